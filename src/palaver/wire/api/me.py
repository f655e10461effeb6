"""REST about who asks: the name, the API keys and the devices."""

from collections.abc import Mapping
from typing import Any

from fastapi import Request
from msgspec.structs import replace
from pydantic import Field
from starlette.responses import Response
from typing_extensions import TypedDict

import palaver.model as stored
from palaver.core import validation
from palaver.core.runtime import Core
from palaver.model import Actor, ActorId, KeyId, Scope
from palaver.policy import ServerAct
from palaver.wire import shapes
from palaver.wire.api.body import KEPT, Given
from palaver.wire.auth import Me, Present, begin, client, session_of
from palaver.wire.calls import call
from palaver.wire.edge.proxies import address_of, client_of
from palaver.wire.edge.rates import Use
from palaver.wire.setup import check_guest
from palaver.wire.shapes import explained, moment


class Changes(Given):
    """What is to change of who asks. Default: it stays as it is."""

    name: str | None = None
    """1 to 80 characters."""
    email: str | None = None
    """A label of who has an account; `""` is none."""
    preferences: dict[str, Any] = Field(default={})
    """Some of them; null takes one away. At most 4 KiB in all."""


class Leaving(Given):
    """That one leaves for good."""

    password: str = ""
    """Of an account that has one."""


class NewGuest(Given):
    """A new identity."""

    name: str | None = None
    """Its name. Default: a made-up one."""


class NewKey(Given):
    """A new API key of one's own, or of an agent that one may edit."""

    agent: str | None = None
    """The agent that its program is to be; it must be a bot. Such a key is good in the agent's rooms alone."""

    name: str | None = None
    """What the list calls it. Default: a made-up name."""
    scopes: list[str] = Field(default=[])
    """What it is good for. Default: everything."""
    expires_at: str | None = None
    """Until when it is good: a date, with or without a time. Default: until it is revoked."""
    days: int | None = None
    """Instead: for how many days."""
    rooms: list[str] | None = None
    """To which rooms it is limited, 1 to 100 that one sees. Default: to none."""


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


@explained
class Own(shapes.Me):
    """Who is asking, and what only they see of it."""

    email: str | None
    preferences: Mapping[str, Any]
    """What clients are to remember, on every device."""
    invites: bool
    """Whether one may make links by which others make accounts here."""
    connects: bool
    """Whether one may connect model servers."""


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

    @call("GET", "/me", ServerAct.OWN, scope=Scope.ROOMS)
    async def me(self, me: Me) -> Own:
        """Who is asking. Without a session a cookie is set; its guest is stored with the first call that writes."""
        found = await self._core.profiles.get(me)
        return {
            **shapes.me(me),
            "email": found.email,
            "preferences": found.preferences,
            "invites": self._core.invitations.may(me),
            "connects": self._core.model_profiles.may(me),
        }

    @call("PATCH", "/me", ServerAct.OWN)
    async def change_me(self, me: Me, body: Changes) -> Own:
        """Takes another name, e-mail address or preferences."""
        if body.email is not None or body.preferences:
            changed = body.preferences
            await self._core.profiles.change(me, email=body.email, preferences=changed)
        if body.name is not None:
            me = await self._core.identity.rename(me, body.name)
        return await self.me(me)

    @call("DELETE", "/me", ServerAct.OWN, status=204)
    async def leave(self, me: Me, request: Request, body: Leaving) -> None:
        """Leaves for good: sessions, keys, name, handle, e-mail address and picture go; what one said stays."""
        address = client_of(client(request.scope).address)
        await self._core.accounts.leave(me, body.password, counted=address)
        if "authorization" not in request.headers:
            begin(request, self._core.identity.visitor(None)[0])

    @call("PUT", "/me/avatar", ServerAct.OWN)
    async def set_avatar(self, me: Me, request: Request) -> Own:
        """Takes the picture that is the body: PNG, JPEG, WebP or GIF, of 256 KiB and 1,024 pixels a side at most."""
        data = await request.body() or b"\0"
        return await self.me(replace(me, avatar=await self._core.profiles.set_avatar(me, data)))

    @call("DELETE", "/me/avatar", ServerAct.OWN, status=204)
    async def remove_avatar(self, me: Me) -> None:
        """Takes one's picture away."""
        await self._core.profiles.set_avatar(me, b"")

    @call("GET", "/avatars/{avatar}", ServerAct.ROOMS, media="image/*")
    async def avatar(self, me: Me, avatar: str) -> Response:  # noqa: ARG002  somebody has to ask
        """The picture of a person, whose address is told to who shares a room with them."""
        media_type, data = await self._core.profiles.avatar(avatar)
        headers = {"cache-control": KEPT, "content-security-policy": "sandbox; default-src 'none'"}
        return Response(data, media_type=media_type, headers=headers)

    @call("POST", "/guests", ServerAct.ENTER, use=Use.GUESTS, status=201)
    async def new_guest(self, request: Request, body: NewGuest) -> Guest:
        """An identity for a program, which sends the token as `Authorization: Bearer`."""
        await check_guest(self._core, request.scope)
        token, actor = await self._core.identity.new_guest(body.name)
        return {"token": token, "me": shapes.me(actor)}

    @call("GET", "/keys", ServerAct.OWN)
    async def keys(self, me: Me, *, agent: str | None = None) -> Keys:
        """One's own API keys that were not revoked, or those of an agent that one may edit, the oldest first."""
        of = me if agent is None else await self._agent(me, agent)
        return {"keys": [shapes.key(one) for one in await self._core.keys.own(of)]}

    @call("POST", "/keys", ServerAct.OWN, status=201)
    async def new_key(self, me: Me, body: NewKey) -> MadeKey:
        """Makes an API key that speaks for who asks, or for an agent. Its token is shown here and never again."""
        expires_ms = None if body.expires_at is None else validation.when(body.expires_at)
        token, made = await self._core.keys.create(
            name=body.name,
            scopes=body.scopes,
            actor=me,
            agent=None if body.agent is None else await self._agent(me, body.agent),
            expires_ms=expires_ms,
            days=body.days,
            rooms=body.rooms,
        )
        return {"token": token, "key": shapes.key(made)}

    @call("DELETE", "/keys/{key}", ServerAct.OWN, status=204)
    async def revoke_key(self, me: Me, key: str) -> None:
        """Ends one of one's own API keys for ever, or one of an agent that one may edit."""
        await self._core.keys.revoke(KeyId(key), by=me)

    async def _agent(self, me: Actor, agent: str) -> Actor:
        return (await self._core.agents.edited(me, ActorId(agent))).actor

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
        return {"sessions": [session(one, current=found.current) for one in found.devices]}

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


def session(value: stored.Device, *, current: str | None) -> Session:
    """Builds the shape of a session; `current`: the id of the one that asks."""
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
