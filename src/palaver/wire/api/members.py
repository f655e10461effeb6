"""REST about the members of rooms, and about the links that let somebody in."""

from typing import Annotated

from fastapi import Request
from pydantic import BeforeValidator
from starlette.responses import Response
from typing_extensions import TypedDict

import palaver.model as stored
from palaver.core.runtime import Core
from palaver.model import ActorId, ActorKind, MemberRole, RoomId
from palaver.policy import Action, ServerAct
from palaver.wire import shapes
from palaver.wire.api.body import Given, Limit, answer
from palaver.wire.auth import Me, Present, identity
from palaver.wire.calls import call
from palaver.wire.edge.proxies import address_of
from palaver.wire.edge.rates import Use
from palaver.wire.shapes import explained, moment


def role_of(word: object) -> object:
    """A role as a body names it."""
    if word in set(MemberRole):
        return MemberRole(word)
    raise ValueError(f"must be one of {', '.join(MemberRole)}")


GivenRole = Annotated[MemberRole, BeforeValidator(role_of)]


class NewMember(Given):
    """Somebody who is to be a member."""

    actor: str
    role: GivenRole = MemberRole.MEMBER


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


class NewInvitation(Given):
    """A new invitation."""

    role: GivenRole = MemberRole.MEMBER
    """`member` or `reader`."""
    uses: int | None = None
    """For how many, 1 to 1000. Default: any number."""
    days: int = 7
    """How long it lasts, 1 to 365."""


class GivenInvitation(Given):
    """An invitation."""

    token: str
    """What stands behind the `#` of its link."""


class Newcomer(GivenInvitation):
    """Who comes by an invitation."""

    name: str | None = None
    """The name of a new guest, 1 to 80 characters; of no use for who is somebody already."""


class Member(TypedDict):
    """Somebody in a room."""

    id: str
    name: str
    kind: ActorKind
    guest: bool
    handle: str | None
    role: MemberRole
    joined_at: str
    auto_respond: bool


class MemberList(TypedDict):
    """A page of members."""

    members: list[Member]
    next: str | None


@explained
class Invitation(TypedDict):
    """A link that lets somebody in, without its token."""

    id: str
    role: MemberRole
    uses_left: int | None
    """None: any number."""
    created_at: str
    expires_at: str
    by: shapes.Person


class MadeInvitation(TypedDict):
    """A new invitation. `url` has its token, which is shown this once."""

    url: str
    invitation: Invitation


class Invitations(TypedDict):
    """The open invitations of a room."""

    invitations: list[Invitation]


@explained
class InvitingRoom(TypedDict):
    """A room, as an invitation tells of it."""

    id: str
    title: str
    members: int
    """How many people, at most 1000."""


@explained
class Invited(TypedDict):
    """What an invitation is for, and who this browser is."""

    room: InvitingRoom
    by: shapes.Person
    role: MemberRole
    me: shapes.Person | None
    member: bool
    """Whether one is a member already."""


class Joined(TypedDict):
    """The room that one came into, and who one is."""

    room: shapes.Room
    me: shapes.Me


class Members:
    """The calls about members and invitations."""

    def __init__(self, core: Core) -> None:
        self._core = core

    @call("GET", "/rooms/{room}/members", Action.READ)
    async def members(
        self, me: Me, room: RoomId, *, limit: Limit = 50, cursor: str | None = None
    ) -> MemberList:
        """The members: owners first, then moderators, members and readers, each as they came."""
        found, following = await self._core.members.page(me, room, limit=limit, cursor=cursor)
        return {"members": [_member(one) for one in found], "next": following}

    @call("POST", "/rooms/{room}/members", Action.INVITE, status=201, others=(200,))
    async def add_member(self, me: Me, room: RoomId, body: NewMember) -> Member | Response:
        """Adds a person or an agent, who sees all that was said. 200 for who is a member already, in whichever role."""
        added, new = await self._core.members.add(me, room, ActorId(body.actor), body.role)
        return _member(added) if new else answer(_member(added))

    @call("PATCH", "/rooms/{room}/members/{actor}", Action.REMOVE)
    async def set_role(self, me: Me, room: RoomId, actor: str, body: NewRole) -> Member:
        """Gives a member another role."""
        changed = await self._core.members.set_role(me, room, ActorId(actor), body.role)
        return _member(changed)

    @call("DELETE", "/rooms/{room}/members/{actor}", Action.REMOVE, status=204)
    async def remove_member(self, me: Me, room: RoomId, actor: str) -> None:
        """Takes somebody out and keeps them out until they are added again. Oneself: leaves, as every member may."""
        await self._core.members.remove(me, room, ActorId(actor))

    @call("POST", "/rooms/{room}/transfer", Action.GOVERN)
    async def transfer_room(self, me: Me, room: RoomId, body: NewOwner) -> shapes.Room:
        """Gives the room to one of its members; the owner stays as a moderator."""
        return shapes.room(await self._core.members.transfer(me, room, ActorId(body.actor)))

    @call("PATCH", "/me/rooms/{room}", Action.MEMBERSHIP)
    async def wish(self, me: Me, room: RoomId, body: Wishes) -> shapes.Room:
        """Mutes or hides a room, for oneself."""
        wished = await self._core.members.wish(me, room, muted=body.muted, hidden=body.hidden)
        return shapes.room(wished)

    @call("GET", "/rooms/{room}/invitations", Action.INVITE)
    async def invitations(self, me: Me, room: RoomId) -> Invitations:
        """The room's open invitations, the oldest first."""
        found = await self._core.members.invitations(me, room)
        return {"invitations": [_invitation(one) for one in found]}

    @call("POST", "/rooms/{room}/invitations", Action.INVITE, use=Use.CONNECTIONS, status=201)
    async def new_invitation(
        self, me: Me, request: Request, room: RoomId, body: NewInvitation
    ) -> MadeInvitation:
        """Makes a link that lets its bearers in, who see all that was said."""
        token, made = await self._core.members.invite(
            me, room, role=body.role, uses=body.uses, days=body.days
        )
        url = f"{address_of(request.scope, self._core.settings)}invite#{token}"
        return {"url": url, "invitation": _invitation(made)}

    @call("DELETE", "/rooms/{room}/invitations/{invitation}", Action.INVITE, status=204)
    async def revoke_invitation(self, me: Me, room: RoomId, invitation: str) -> None:
        """Ends an invitation; who came by it stays."""
        await self._core.members.revoke(me, room, invitation)

    @call("POST", "/invitations/look", ServerAct.ENTER, use=Use.CONNECTIONS)
    async def look(self, me: Present, body: GivenInvitation) -> Invited:
        """What an invitation is for, without using it."""
        found, people, member = await self._core.members.look(body.token, me)
        return {
            "room": {"id": found.room, "title": found.title, "members": people},
            "by": shapes.person(found.by),
            "role": found.role,
            "me": me and shapes.person(me),
            "member": member,
        }

    @call("POST", "/invitations/join", ServerAct.ENTER, use=Use.CONNECTIONS)
    async def join(self, me: Present, request: Request, body: Newcomer) -> Joined:
        """Comes into a room, as a new guest where one is nobody yet."""
        core, name = self._core, body.name if me is None else None
        if name is not None:
            core.identity.check_name(name)
        if me is None:
            await core.members.look(body.token, None)  # for a link that is none nobody is made
        actor = me or await identity(request)
        if name is not None:
            actor = await core.identity.rename(actor, name)
        room = await core.members.join(body.token, actor)
        return {"room": shapes.room(room), "me": shapes.me(actor)}


def _member(value: stored.Member) -> Member:
    return {
        **shapes.me(value.actor),
        "role": value.role,
        "joined_at": moment(value.joined_ms),
        "auto_respond": value.auto_respond,
    }


def _invitation(value: stored.Invitation) -> Invitation:
    return {
        "id": value.id,
        "role": value.role,
        "uses_left": value.uses_left,
        "created_at": moment(value.created_ms),
        "expires_at": moment(value.expires_ms),
        "by": shapes.person(value.by),
    }
