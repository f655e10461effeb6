"""REST about the links that let somebody in: into a room, or to the server with an account of their own."""

from typing import Annotated

from fastapi import Request
from pydantic import Field
from typing_extensions import TypedDict

import palaver.model as stored
from palaver.core.identity.invitations import DAYS
from palaver.core.runtime import Core
from palaver.errors import Code, Refused
from palaver.model import MemberRole, RoomId, ServerRole
from palaver.policy import Action, ServerAct
from palaver.wire import shapes
from palaver.wire.api.body import Given, Limit, word_of
from palaver.wire.auth import Me, Present, begun, somebody
from palaver.wire.calls import call
from palaver.wire.edge.proxies import address_of
from palaver.wire.edge.rates import Use
from palaver.wire.shapes import explained, moment


class NewLink(Given):
    """A new link."""

    id: str | None = None
    """`i_` and 32 hex digits. Once more with the same one: another link in the place of the first."""
    uses: int | None = None
    """For how many, 1 to 1000. Default: any number."""
    days: int = DAYS
    """How long it lasts, 1 to 365."""


class NewInvitation(NewLink):
    """A new invitation into a room."""

    role: Annotated[MemberRole, word_of(MemberRole)] = MemberRole.MEMBER
    """`member` or `reader`."""


class NewServerInvitation(NewLink):
    """A new invitation to the server."""

    role: Annotated[ServerRole, word_of(ServerRole)] = ServerRole.PERSON
    """`person`, or `admin`, which only an owner may give."""
    rooms: list[str] = Field(default=[])
    """Into which rooms, at most 20, those who come are members."""


class GivenInvitation(Given):
    """An invitation."""

    token: str
    """What stands behind the `#` of its link."""


class Newcomer(GivenInvitation):
    """Who comes by an invitation."""

    name: str | None = None
    """The name of a new guest, 1 to 80 characters; of no use for who is somebody already."""


class NamedRoom(TypedDict):
    """A room by its title."""

    id: str
    title: str


@explained
class Invitation(TypedDict):
    """A link that lets somebody in, without its token."""

    id: str
    role: MemberRole
    server_role: ServerRole | None
    """As what on the server, with an account; None: into the one room, also as a guest."""
    rooms: list[NamedRoom]
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


class InvitationPage(Invitations):
    """A page of the open invitations to the server."""

    next: str | None


@explained
class InvitingRoom(NamedRoom):
    """A room, as an invitation tells of it."""

    members: int
    """How many people, at most 1000."""


@explained
class Invited(TypedDict):
    """What an invitation is for, and who this browser is."""

    room: InvitingRoom | None
    """None: it is to the server."""
    rooms: list[NamedRoom]
    by: shapes.Person
    role: MemberRole
    server_role: ServerRole | None
    me: shapes.Me | None
    member: bool
    """Whether one is a member already."""


class Joined(TypedDict):
    """The room that one came into, if any, and who one is."""

    room: shapes.Room | None
    me: shapes.Me


class Links:
    """The calls about invitations."""

    def __init__(self, core: Core) -> None:
        self._core, self._invitations = core, core.invitations

    @call("GET", "/rooms/{room}/invitations", Action.INVITE)
    async def invitations(self, me: Me, room: RoomId) -> Invitations:
        """The room's open invitations, the oldest first."""
        found = await self._invitations.of_room(me, room)
        return {"invitations": [invitation(one) for one in found]}

    @call("POST", "/rooms/{room}/invitations", Action.INVITE, use=Use.CONNECTIONS, status=201)
    async def new_invitation(
        self, me: Me, request: Request, room: RoomId, body: NewInvitation
    ) -> MadeInvitation:
        """Makes a link that lets its bearers in, who see all that was said."""
        token, made = await self._invitations.make(
            me, room, role=body.role, uses=body.uses, days=body.days, id_=body.id
        )
        return self._made(request, token, made)

    @call("DELETE", "/rooms/{room}/invitations/{invitation}", Action.INVITE, status=204)
    async def revoke_invitation(self, me: Me, room: RoomId, invitation: str) -> None:
        """Ends an invitation; who came by it stays."""
        await self._invitations.revoke(me, invitation, room)

    @call("GET", "/invitations", ServerAct.INVITE)
    async def to_server(
        self, me: Me, *, limit: Limit = 50, cursor: str | None = None
    ) -> InvitationPage:
        """The open invitations to the server, the newest first: one's own, or all of them for its admins."""
        found, following = await self._invitations.to_server(me, limit=limit, cursor=cursor)
        return {"invitations": [invitation(one) for one in found], "next": following}

    @call("POST", "/invitations", ServerAct.INVITE, use=Use.CONNECTIONS, status=201)
    async def new_to_server(
        self, me: Me, request: Request, body: NewServerInvitation
    ) -> MadeInvitation:
        """Makes a link by which its bearers make accounts, and are members of some rooms with them."""
        token, made = await self._invitations.make(
            me,
            *map(RoomId, body.rooms),
            server_role=body.role,
            uses=body.uses,
            days=body.days,
            id_=body.id,
        )
        return self._made(request, token, made)

    @call("DELETE", "/invitations/{link}", ServerAct.INVITE, status=204)
    async def revoke_to_server(self, me: Me, link: str) -> None:
        """Ends an invitation to the server; who came by it stays."""
        await self._invitations.revoke(me, link)

    @call("POST", "/invitations/look", ServerAct.ENTER, use=Use.CONNECTIONS)
    async def look(self, me: Present, body: GivenInvitation) -> Invited:
        """What an invitation is for, without using it."""
        found, people, member = await self._invitations.look(body.token, me)
        rooms = _rooms(found)
        return {
            "room": None if found.server_role else {**rooms[0], "members": people},
            "rooms": rooms,
            "by": shapes.person(found.by),
            "role": found.role,
            "server_role": found.server_role,
            "me": me and shapes.me(me),
            "member": member,
        }

    @call("POST", "/invitations/join", ServerAct.ENTER, use=Use.CONNECTIONS)
    async def join(self, me: Present, request: Request, body: Newcomer) -> Joined:
        """Comes into a room, as a new guest where one is nobody yet; by one to the server, who has an account.

        Who has none makes one: `POST /api/sign-up` with the invitation.
        """
        core, name = self._core, body.name if me is None else None
        if name is not None:
            core.identity.check_name(name)
        if me is None:  # for a link that is none nobody is made
            found, _, _ = await self._invitations.look(body.token, None)
            if found.server_role is not None:
                raise Refused(Code.FORBIDDEN, "This link is for an account: make one by it.")
        actor = me or await somebody(request, invited=True)
        if name is not None:
            actor = await core.identity.rename(actor, name)
        try:
            rooms = await self._invitations.join(body.token, actor)
            room = await core.access.room(actor, rooms[0]) if rooms else None
        except Refused:  # it ended meanwhile, and makes nobody a guest
            if me is None:
                await core.devices.end_own(actor, begun(request))
            raise
        return {"room": room and shapes.room(room), "me": shapes.me(actor)}

    def _made(self, request: Request, token: str, made: stored.Invitation) -> MadeInvitation:
        url = f"{address_of(request.scope, self._core.settings)}invite#{token}"
        return {"url": url, "invitation": invitation(made)}


def invitation(value: stored.Invitation) -> Invitation:
    """Builds the shape of an invitation."""
    return {
        "id": value.id,
        "role": value.role,
        "server_role": value.server_role,
        "rooms": _rooms(value),
        "uses_left": value.uses_left,
        "created_at": moment(value.created_ms),
        "expires_at": moment(value.expires_ms),
        "by": shapes.person(value.by),
    }


def _rooms(value: stored.Invitation) -> list[NamedRoom]:
    return [{"id": id_, "title": title} for id_, title in value.rooms.items()]
