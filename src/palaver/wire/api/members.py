"""REST about the members of rooms."""

from typing import Annotated

from pydantic import Field
from starlette.responses import Response
from typing_extensions import TypedDict

import palaver.model as stored
from palaver.core.members import Own
from palaver.core.runtime import Core
from palaver.model import ActorId, ActorKind, MemberRole, RoomId, Speaks
from palaver.policy import Action, ServerAct
from palaver.wire import shapes
from palaver.wire.api.body import Given, Limit, answer, word_of
from palaver.wire.auth import Me
from palaver.wire.calls import call
from palaver.wire.edge.rates import Use
from palaver.wire.shapes import moment

GivenSpeaks = Annotated[Speaks, word_of(Speaks)]
GivenRole = Annotated[MemberRole, word_of(MemberRole)]


class NewMember(Given):
    """Somebody who is to be a member."""

    actor: str
    role: GivenRole = MemberRole.MEMBER
    speaks: GivenSpeaks = Speaks.AUTO
    """When an agent answers by itself."""


class NewSpeaks(Given):
    """When an agent answers by itself."""

    speaks: GivenSpeaks


class NewSettings(Given):
    """What a room has of its own for an agent there. Each that is empty: as the agent's card says."""

    instructions: str = ""
    """At most 20,000 characters, in the place of the card's."""
    model: str | None = None
    """By one of the names that `GET /api/models` lists."""
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None


class OwnSettings(TypedDict):
    """What a room has of its own for an agent there."""

    instructions: str
    model: str | None
    temperature: float | None
    asks: str | None
    """The model that answers: the room's own, or the card's; null: the server's default."""
    bot: bool
    """A program answers, and no model."""


class NewRole(Given):
    """Another role."""

    role: GivenRole


class NewOwner(Given):
    """Who is to own a room."""

    actor: str


class Wishes(Given):
    """What a member wishes of a room. Default: as it is."""

    muted: bool | None = None
    hidden: bool | None = None
    pinned: bool | None = None


@shapes.explained
class Member(TypedDict):
    """Somebody in a room."""

    id: str
    name: str
    kind: ActorKind
    guest: bool
    handle: str | None
    avatar: str | None
    role: MemberRole
    joined_at: str
    speaks: Speaks | None
    for_me: bool | None
    """Whether an agent answers who asks: it is for them, and not archived. Null: no agent."""


class MemberList(TypedDict):
    """A page of members."""

    members: list[Member]
    next: str | None


class KnownPeople(TypedDict):
    """People whom one may want to add."""

    people: list[shapes.Me]


class Members:
    """The calls about members."""

    def __init__(self, core: Core) -> None:
        self._core = core

    @call("GET", "/me/people", ServerAct.OWN, use=Use.CONNECTIONS)
    async def known_people(self, me: Me, handle: str | None = None) -> KnownPeople:
        """Whom one knows: the people of one's own rooms, by name; or whose handle it is, for who has one, too."""
        found = await self._core.members.known(me, handle)
        return {"people": [shapes.me(one) for one in found]}

    @call("GET", "/rooms/{room}/members", Action.SEE)
    async def members(
        self, me: Me, room: RoomId, *, limit: Limit = 50, cursor: str | None = None
    ) -> MemberList:
        """The members: owners first, then moderators, members and readers, each as they came."""
        found, following = await self._core.members.page(me, room, limit=limit, cursor=cursor)
        return {"members": [_member(one) for one in found], "next": following}

    @call("GET", "/rooms/{room}/here", Action.READ)
    async def here(self, me: Me, room: RoomId) -> shapes.Here:
        """Who reads the room now; who is not shown wants it so, or is a program."""
        return shapes.here(await self._core.members.here(me, room))

    @call("POST", "/rooms/{room}/members", Action.INVITE, status=201, others=(200,))
    async def add_member(self, me: Me, room: RoomId, body: NewMember) -> Member | Response:
        """Adds a person or an agent, who sees all that was said. 200 for who is a member already, in whichever role."""
        added, new = await self._core.members.add(
            me, room, ActorId(body.actor), body.role, body.speaks
        )
        return _member(added) if new else answer(_member(added))

    @call("PATCH", "/rooms/{room}/members/{actor}", Action.REMOVE)
    async def set_role(self, me: Me, room: RoomId, actor: str, body: NewRole) -> Member:
        """Gives a member another role."""
        changed = await self._core.members.set_role(me, room, ActorId(actor), body.role)
        return _member(changed)

    @call("PUT", "/rooms/{room}/members/{actor}/speaks", Action.NAME)
    async def set_speaks(self, me: Me, room: RoomId, actor: str, body: NewSpeaks) -> Member:
        """Says when an agent answers by itself."""
        return _member(await self._core.members.set_speaks(me, room, ActorId(actor), body.speaks))

    @call("GET", "/rooms/{room}/members/{actor}/settings", Action.READ)
    async def own(self, me: Me, room: RoomId, actor: str) -> OwnSettings:
        """What the room has of its own for one of its agents."""
        return _own(await self._core.members.own(me, room, ActorId(actor)))

    @call("PUT", "/rooms/{room}/members/{actor}/settings", Action.NAME)
    async def set_own(self, me: Me, room: RoomId, actor: str, body: NewSettings) -> OwnSettings:
        """Gives the room settings of its own for one of its agents, from the next message on."""
        set_own = self._core.members.set_own
        return _own(await set_own(me, room, ActorId(actor), **body.model_dump()))

    @call("DELETE", "/rooms/{room}/members/{actor}", Action.REMOVE, status=204)
    async def remove_member(self, me: Me, room: RoomId, actor: str) -> None:
        """Takes somebody out and keeps them out until they are added again. Oneself: leaves, as every member may."""
        await self._core.members.remove(me, room, ActorId(actor))

    @call("POST", "/rooms/{room}/transfer", Action.GOVERN)
    async def transfer_room(
        self, me: Me, room: RoomId, body: NewOwner
    ) -> shapes.Room | shapes.Overseen:
        """Gives the room to one of its members; the owner stays as a moderator."""
        given = await self._core.members.transfer(me, room, ActorId(body.actor))
        return shapes.room_or_overseen(given)

    @call("POST", "/rooms/{room}/join", Action.JOIN)
    async def join_room(self, me: Me, room: RoomId) -> shapes.Room:
        """Comes into an open room, or as a reader, as who looks after the server; every member sees that in the log."""
        return shapes.room(await self._core.members.come_in(me, room))

    @call("PATCH", "/me/rooms/{room}", Action.MEMBERSHIP)
    async def wish(self, me: Me, room: RoomId, body: Wishes) -> shapes.Room:
        """Mutes, hides or pins a room, for oneself: on top of one's list, where 50 may stand."""
        wished = await self._core.members.wish(me, room, **body.model_dump())
        return shapes.room(wished)


def _own(value: Own) -> OwnSettings:
    own = value.settings
    return {
        "instructions": own.instructions,
        "model": own.model,
        "temperature": own.temperature,
        "asks": value.asks,
        "bot": value.bot,
    }


def _member(value: stored.Member) -> Member:
    return {
        **shapes.me(value.actor),
        "role": value.role,
        "joined_at": moment(value.joined_ms),
        "speaks": value.speaks,
        "for_me": value.for_me,
    }
