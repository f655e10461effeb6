"""Makes, lists and ends invitations, and lets in by them: into a room, or to the server with an account.

Those into a room are made by who may `INVITE` there, those to the server by who may `INVITE` to it: by the setting
`invites` all people, else who may `MANAGE` accounts. An operator, for whom there is no actor, makes them in somebody's
name, and sees and ends them all.
"""

import re

from palaver.clock import Clock
from palaver.core import validation
from palaver.core.access import Access
from palaver.core.identity.actors import digest_of
from palaver.errors import Code, Refused
from palaver.model import Actor, Invitation, MemberRole, RoomId, ServerRole
from palaver.policy import (
    Action,
    ServerAct,
    check,
    check_server,
    is_everyones,
    room_not_found,
    server_refusal,
)
from palaver.settings import DAY_MS, Settings
from palaver.store.read import accounts, invitations, members
from palaver.store.read.rooms import bad_cursor
from palaver.store.store import Store
from palaver.store.write.people.invitations import (
    DAYS_MAX,
    AddInvitation,
    JoinByInvitation,
    RevokeInvitation,
    invite_not_found,
)

INVITED_AS = (MemberRole.MEMBER, MemberRole.READER)
DAYS, USES_MAX, ROOMS_MAX = 7, 1_000, 20
_ID = re.compile("i_(?!f{32})[0-9a-f]{32}")
"""None is the last one (`LAST`), which no list would show."""


class Invitations:
    """The invitations of one database."""

    def __init__(self, store: Store, access: Access, settings: Settings, clock: Clock) -> None:
        self._store, self._access = store, access
        self._settings, self._clock = settings, clock

    @property
    def act(self) -> ServerAct:
        """What an invitation to the server asks of who makes it."""
        people = self._settings.invites == "people" and self._settings.sign_up != "off"
        return ServerAct.INVITE if people else ServerAct.MANAGE

    def may(self, actor: Actor) -> bool:
        """Whether an actor makes invitations to the server."""
        return server_refusal(self.act, actor.server_role) is None

    async def make(
        self,
        actor: Actor,
        *into: RoomId,
        role: MemberRole = MemberRole.MEMBER,
        server_role: ServerRole | None = None,
        uses: int | None = None,
        days: int = DAYS,
        id_: str | None = None,
        operated: bool = False,
    ) -> tuple[str, Invitation]:
        """An invitation's token, told this once, and the invitation: `into` one room, or, with a `server_role`, some.

        `uses` None: any number. Once more with the same `id_`: another token of what was made. Refused: as
        `AddInvitation` says, and `bad_request` (a role, the number of uses, days or rooms, the id).
        """
        if server_role is None and role not in INVITED_AS:
            raise Refused(Code.BAD_REQUEST, "An invitation is for a member or a reader.")
        if server_role is ServerRole.OWNER:
            raise Refused(Code.BAD_REQUEST, "An invitation is for a person or an admin.")
        if uses is not None and not 1 <= uses <= USES_MAX:
            raise Refused(Code.BAD_REQUEST, f"An invitation has 1 to {USES_MAX:,} uses.")
        if not 1 <= days <= DAYS_MAX:
            raise Refused(Code.BAD_REQUEST, f"An invitation lasts 1 to {DAYS_MAX} days.")
        if len(into) > ROOMS_MAX:
            raise Refused(Code.BAD_REQUEST, f"An invitation is into {ROOMS_MAX} rooms at most.")
        if id_ is not None and not _ID.fullmatch(id_):
            raise Refused(Code.BAD_REQUEST, "An id is 'i_' and 32 of 0-9 and a-f.")
        if server_role is not None:
            check_server(self.act, actor.server_role, of=server_role)
        token = self._clock.secret()
        adding = AddInvitation(
            id=id_ or f"i_{self._clock.new_id()}",
            into=tuple(dict.fromkeys(into)),
            by=actor.id,
            role=role,
            server_role=server_role,
            act=self.act,
            token_sha256=digest_of(token),
            lasts_ms=days * DAY_MS,
            uses=uses,
            operated=operated,
        )
        return token, await self._store.write(adding)

    async def owner(self, room: RoomId | None) -> Actor:
        """Who owns a room, or the server: in whose name an operator invites. Refused: `not_found`, `room_not_found`."""
        if room is None:
            found = await self._store.read(accounts.an_owner)
            if found is None:
                raise Refused(
                    Code.NOT_FOUND, "This server has no owner yet, in whose name to invite."
                )
            return found
        for member in (await self._store.read(members.page, room, limit=1))[0]:
            if member.role is MemberRole.OWNER:
                return member.actor
        raise room_not_found()

    async def of_room(self, actor: Actor | None, room: RoomId) -> tuple[Invitation, ...]:
        """A room's open invitations, the oldest first. Refused: `room_not_found`, `room_protected`, `forbidden`."""
        if actor is not None:
            found = await self._access.room(actor, room)
            everyones = is_everyones(found, found.door)
            check(Action.INVITE, found.role, everyones=everyones)
        return await self._store.read(invitations.of_room, room, self._clock.now_ms())

    async def to_server(
        self, actor: Actor | None, *, limit: int, cursor: str | None = None
    ) -> tuple[tuple[Invitation, ...], str | None]:
        """A page of one's own open invitations to the server, of all for who may `MANAGE`; and where it goes on.

        Refused: `forbidden`, `limit_invalid`, `cursor_invalid`.
        """
        maker = None
        if actor is not None:
            check_server(self.act, actor.server_role)
            if server_refusal(ServerAct.MANAGE, actor.server_role) is not None:
                maker = actor.id
        if cursor is not None and not _ID.fullmatch(cursor):
            raise bad_cursor()
        return await self._store.read(
            invitations.to_server,
            self._clock.now_ms(),
            self.act,
            maker=maker,
            before=cursor or invitations.LAST,
            count=validation.page_size(limit, self._settings.page_max),
        )

    async def revoke(
        self, actor: Actor | None, invitation: str, room: RoomId | None = None
    ) -> None:
        """Ends an invitation, into this room or to the server. Refused: as `RevokeInvitation` says."""
        if actor is not None and room is None:
            check_server(self.act, actor.server_role)
        by = None if actor is None else actor.id
        await self._store.write(RevokeInvitation(room=room, by=by, id=invitation))

    async def look(self, token: str, actor: Actor | None) -> tuple[Invitation, int, bool]:
        """An invitation, how many people a room has, and whether the actor is one. Refused: `invite_not_found`."""
        who, now_ms = None if actor is None else actor.id, self._clock.now_ms()
        looked = (invitations.looked_at, digest_of(token), who, now_ms, self.act)
        found = await self._store.read(*looked)
        if found is None:
            raise invite_not_found()
        return found

    async def join(self, token: str, actor: Actor) -> tuple[RoomId, ...]:
        """Comes in by an invitation; the rooms that one is in by it. Refused: as `JoinByInvitation` says."""
        joining = JoinByInvitation(token_sha256=digest_of(token), actor=actor.id, act=self.act)
        return await self._store.write(joining)
