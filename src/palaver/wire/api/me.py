"""REST about who asks: the name, the API keys and the devices."""

from fastapi import Request
from pydantic import Field
from typing_extensions import TypedDict

import palaver.model as stored
from palaver.core.runtime import Core
from palaver.model import KeyId
from palaver.policy import ServerAct
from palaver.wire import shapes
from palaver.wire.api.body import Given
from palaver.wire.auth import Me, Present, begin, client, session_of
from palaver.wire.calls import call
from palaver.wire.edge.proxies import address_of
from palaver.wire.edge.rates import Use
from palaver.wire.shapes import explained, moment


class NewName(Given):
    """Another name."""

    name: str
    """1 to 80 characters."""


class NewGuest(Given):
    """A new identity."""

    name: str | None = None
    """Its name. Default: a made-up one."""


class NewKey(Given):
    """A new API key of one's own."""

    name: str | None = None
    """What the list calls it. Default: a made-up name."""
    scopes: list[str] = Field(default=[])
    """What it is good for. Default: everything."""


class GivenLink(Given):
    """A link that adds a device."""

    token: str
    """What stands behind its `#`."""


class NewDevice(GivenLink):
    """A device that is added by a link."""

    name: str = "Another device"
    """What the list calls it."""
    replace: bool = False
    """Whether it may become somebody else, where it is somebody already."""


class Guest(TypedDict):
    """A new identity and its token."""

    token: str
    me: shapes.Me


class Keys(TypedDict):
    """One's own API keys."""

    keys: list[shapes.Key]


class MadeKey(TypedDict):
    """A new API key, and its token, which is shown this once."""

    token: str
    key: shapes.Key


@explained
class Device(TypedDict):
    """A device with a session of one's own."""

    id: str
    name: str | None
    """None: where this identity began."""
    created_at: str
    current: bool


class Link(TypedDict):
    """A link that adds a device, once."""

    id: str
    created_at: str
    expires_at: str


class Devices(TypedDict):
    """One's own devices, and the link that is still good."""

    devices: list[Device]
    link: Link | None


class MadeLink(TypedDict):
    """A new link. `url` has its token, which is shown this once."""

    url: str
    link: Link


@explained
class Session(TypedDict):
    """A session of one's own, by the id of its device."""

    id: str
    name: str | None
    """As in Device."""
    agent: str | None
    """The program that used it last, such as "Firefox on Linux"."""
    address: str | None
    """The address from which it was used last."""
    created_at: str
    used_at: str
    """About a minute behind."""
    expires_at: str
    """When it ends, unless it is used."""
    current: bool


class Sessions(TypedDict):
    """One's own sessions."""

    sessions: list[Session]


class LinkOwner(TypedDict):
    """Whose link it is, and who this browser is."""

    by: shapes.Person
    me: shapes.Person | None


class People:
    """The calls about who asks."""

    def __init__(self, core: Core) -> None:
        self._core = core

    @call("GET", "/me", ServerAct.OWN)
    async def me(self, me: Me) -> shapes.Me:
        """Who is asking. Without a session a cookie is set; its guest is stored with the first call that writes."""
        return shapes.me(me)

    @call("PATCH", "/me", ServerAct.OWN)
    async def rename_me(self, me: Me, body: NewName) -> shapes.Me:
        """Takes another name."""
        return shapes.me(await self._core.identity.rename(me, body.name))

    @call("POST", "/guests", ServerAct.ENTER, use=Use.GUESTS, status=201)
    async def new_guest(self, body: NewGuest) -> Guest:
        """An identity for a program, which sends the token as `Authorization: Bearer`."""
        token, actor = await self._core.identity.new_guest(body.name)
        return {"token": token, "me": shapes.me(actor)}

    @call("GET", "/keys", ServerAct.OWN)
    async def keys(self, me: Me) -> Keys:
        """One's own API keys that were not revoked, the oldest first."""
        return {"keys": [shapes.key(one) for one in await self._core.keys.own(me)]}

    @call("POST", "/keys", ServerAct.OWN, status=201)
    async def new_key(self, me: Me, body: NewKey) -> MadeKey:
        """Makes an API key that speaks for who asks. Its token is shown here and never again."""
        token, made = await self._core.keys.create(name=body.name, scopes=body.scopes, actor=me)
        return {"token": token, "key": shapes.key(made)}

    @call("DELETE", "/keys/{key}", ServerAct.OWN, status=204)
    async def revoke_key(self, me: Me, key: str) -> None:
        """Ends one of one's own API keys for ever."""
        await self._core.keys.revoke(KeyId(key), by=me)

    @call("GET", "/devices", ServerAct.OWN)
    async def devices(self, me: Me, request: Request) -> Devices:
        """One's own devices, the oldest first, and the link that is still good."""
        found = await self._core.devices.listing(me, session_of(request))
        shown = [_device(one, current=found.current) for one in found.devices]
        return {"devices": shown, "link": found.link and _link(found.link)}

    @call("POST", "/devices", ServerAct.OWN, use=Use.CONNECTIONS, status=201)
    async def new_link(self, me: Me, request: Request) -> MadeLink:
        """Makes a link that adds a device: once, within ten minutes, in the place of the one before it."""
        token, ticket = await self._core.devices.invite(me)
        url = f"{address_of(request.scope, self._core.settings)}device#{token}"
        return {"url": url, "link": _link(ticket)}

    @call("DELETE", "/devices/{device}", ServerAct.OWN, status=204)
    async def end_device(self, me: Me, request: Request, device: str) -> None:
        """Ends the session on another device of one's own, or a link."""
        await self._core.devices.end(me, device, session_of(request))

    @call("GET", "/me/sessions", ServerAct.OWN)
    async def sessions(self, me: Me, request: Request) -> Sessions:
        """One's own sessions, the oldest first: the devices of `/devices`, in full."""
        found = await self._core.devices.listing(me, session_of(request))
        return {"sessions": [_session(one, current=found.current) for one in found.devices]}

    @call("DELETE", "/me/sessions", ServerAct.OWN, status=204)
    async def end_others(self, me: Me, request: Request) -> None:
        """Ends all of one's own sessions but the one that asks."""
        await self._core.devices.end_others(me, session_of(request))

    @call("DELETE", "/me/sessions/{session}", ServerAct.OWN, status=204)
    async def end_session(self, me: Me, request: Request, session: str) -> None:
        """Ends another session of one's own."""
        await self._core.devices.end(me, session, session_of(request))

    @call("POST", "/devices/look", ServerAct.ENTER, use=Use.CONNECTIONS)
    async def look(self, me: Present, body: GivenLink) -> LinkOwner:
        """Whose link it is, without using it."""
        by = (await self._core.devices.look(body.token)).actor
        return {"by": shapes.person(by), "me": me and shapes.person(me)}

    @call("POST", "/devices/redeem", ServerAct.ENTER, use=Use.CONNECTIONS)
    async def redeem(self, me: Present, request: Request, body: NewDevice) -> shapes.Me:
        """Uses a link: the cookie makes this browser who made it."""
        token, actor = await self._core.devices.redeem(
            body.token, body.name, me=me, replace=body.replace, by=client(request.scope)
        )
        begin(request, token)
        return shapes.me(actor)


def _device(value: stored.Device, *, current: str | None) -> Device:
    made = moment(value.created_ms)
    return {"id": value.id, "name": value.name, "created_at": made, "current": value.id == current}


def _session(value: stored.Device, *, current: str | None) -> Session:
    return {
        "id": value.id,
        "name": value.name,
        "agent": value.agent,
        "address": value.address,
        "created_at": moment(value.created_ms),
        "used_at": moment(value.used_ms),
        "expires_at": moment(value.expires_ms),
        "current": value.id == current,
    }


def _link(value: stored.Ticket) -> Link:
    made, expires = moment(value.created_ms), moment(value.expires_ms)
    return {"id": value.id, "created_at": made, "expires_at": expires}
