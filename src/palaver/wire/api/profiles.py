"""REST about connections to model servers: one's own, and the server's for who looks after it. No key is ever told."""

from typing import Annotated

from pydantic import SecretStr
from typing_extensions import TypedDict

import palaver.model.profiles as stored
from palaver.core.runtime import Core
from palaver.model.profiles import ProfileKind
from palaver.policy import ServerAct
from palaver.wire.api.body import Given, word_of
from palaver.wire.auth import Me
from palaver.wire.calls import call
from palaver.wire.edge.rates import Use
from palaver.wire.shapes import explained

GivenKind = Annotated[ProfileKind | None, word_of(ProfileKind)]


class ChangedProfile(Given):
    """What is to be of a connection. Default: as it is."""

    kind: GivenKind = None
    """`openai` (default of a new one), or `anthropic`."""
    name: str | None = None
    """1 to 60 characters, by which its models are asked for as `name/model`. Default of a new one: its host."""
    url: str | None = None
    """Where it is: scheme, host and path, which often ends in `/v1`. Another one needs its key again."""
    key: SecretStr | None = None
    """Its key; empty: none."""
    headers: dict[str, SecretStr] | None = None
    """What else is sent along, at most 20."""
    model: str | None = None
    """The model that answers where none is named; empty: the first that it lists."""

    def given(self) -> stored.Given:
        """As the core takes it."""
        return stored.Given(
            kind=self.kind,
            name=self.name,
            base_url=self.url,
            model=self.model,
            key=self.key,
            headers=self.headers,
        )


class NewProfile(ChangedProfile):
    """A connection that is to be kept."""

    id: str | None = None
    """An id of the client's making, by which it may be sent again: `f_` and 32 of `0-9`, `a-f`."""
    server: bool = False
    """Whether it is the server's, for everyone."""


class TriedProfile(ChangedProfile):
    """A connection that is to be tried: one that is not kept, or one that is, with what is to be changed of it."""

    profile: str | None = None
    """The id of one that is kept."""
    server: bool = False
    """Whether it would be the server's."""


@explained
class Profile(TypedDict):
    """A connection to a model server, without its key."""

    id: str
    kind: str
    name: str
    url: str
    key: bool
    """Whether it has one."""
    headers: list[str]
    """The names of what else is sent along."""
    model: str | None
    server: bool
    """Whether it is the server's, for everyone."""
    fixed: bool
    """Whether the environment says it: it cannot be changed here."""
    readable: bool
    """Whether its key can be read; else it has to be entered again."""


class Profiles(TypedDict):
    """The connections that one looks after, those of the environment first."""

    profiles: list[Profile]


class Tried(TypedDict):
    """The models of a model server."""

    models: list[str]


class Connections:
    """The calls about connections to model servers."""

    def __init__(self, core: Core) -> None:
        self._profiles, self._environment = core.model_profiles, core.environment

    @call("GET", "/profiles", ServerAct.CONNECT)
    async def listing(self, me: Me) -> Profiles:
        """One's own, and for admins and owners the server's."""
        found = await self._profiles.listing(me, self._environment())
        return {"profiles": [_shape(one) for one in found]}

    @call("POST", "/profiles", ServerAct.CONNECT, status=201)
    async def create(self, me: Me, body: NewProfile) -> Profile:
        """Keeps a connection; the server's may who looks after it. It is in use at once."""
        own = not body.server
        return _shape(await self._profiles.keep(me, body.given(), own=own, id_=body.id))

    @call("POST", "/profiles/test", ServerAct.CONNECT, use=Use.CONNECTIONS)
    async def test(self, me: Me, body: TriedProfile) -> Tried:
        """Asks a model server for its models, and keeps nothing."""
        own, id_ = not body.server, body.profile
        found = await self._profiles.tested(me, body.given(), own=own, id_=id_)
        return {"models": [one.id for one in found]}

    @call("PATCH", "/profiles/{profile}", ServerAct.CONNECT)
    async def change(self, me: Me, profile: str, body: ChangedProfile) -> Profile:
        """Changes a connection, at once."""
        return _shape(await self._profiles.change(me, profile, body.given()))

    @call("DELETE", "/profiles/{profile}", ServerAct.CONNECT, status=204)
    async def delete(self, me: Me, profile: str) -> None:
        """Takes a connection away."""
        await self._profiles.delete(me, profile)


def _shape(one: stored.Shown) -> Profile:
    return {
        "id": one.id,
        "kind": one.kind.value,
        "name": one.name,
        "url": one.base_url,
        "key": one.has_key,
        "headers": list(one.headers),
        "model": one.model,
        "server": not one.own,
        "fixed": one.fixed,
        "readable": one.readable,
    }
