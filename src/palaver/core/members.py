"""Who is in a room, who comes in by a link, and what becomes of them there. Who is added sees all of its history."""

from palaver.core import validation
from palaver.core.ground import Ground
from palaver.core.identity.actors import digest_of
from palaver.errors import Code, Refused
from palaver.model import Actor, ActorId, Invitation, Member, MemberRole, Room, RoomId
from palaver.policy import Action, check, is_everyones
from palaver.settings import DAY_MS
from palaver.store.read import invitations, members
from palaver.store.write.invitations import (
    AddInvitation,
    JoinByInvitation,
    RevokeInvitation,
    invite_not_found,
)
from palaver.store.write.members import (
    LeaveRoom,
    SetMembership,
    SetRole,
    TransferRoom,
    no_member,
)
from palaver.store.write.rooms import AddMember, RemoveMember

INVITED_AS = (MemberRole.MEMBER, MemberRole.READER)
DAYS_MAX, DAYS, USES_MAX = 365, 7, 1_000


class Members:
    """What an actor may do with the members of rooms, and with its own membership."""

    def __init__(self, ground: Ground) -> None:
        self._store, self._access = ground.store, ground.access
        self._settings, self._clock = ground.settings, ground.clock

    async def page(
        self, actor: Actor, room: RoomId, *, limit: int, cursor: str | None = None
    ) -> tuple[tuple[Member, ...], str | None]:
        """A page of a room's members, the owners first, and the cursor to go on with.

        Refused: `room_not_found`, `limit_invalid`, `cursor_invalid`.
        """
        limit = validation.page_size(limit, self._settings.page_max)
        found = await self._store.read(members.page, room, limit=limit, cursor=cursor)
        await self._access.room(actor, room)
        return found

    async def add(
        self, actor: Actor, room: RoomId, who: ActorId, role: MemberRole = MemberRole.MEMBER
    ) -> tuple[Member, bool]:
        """Adds a person, or an agent that answers; the member, and whether it is new. Refused: as `AddMember` says."""
        adding = AddMember(room=room, by=actor.id, actor=who, role=role, auto_respond=True)
        added = await self._store.write(adding)
        return await self._member(room, who), added

    async def set_role(self, actor: Actor, room: RoomId, who: ActorId, role: MemberRole) -> Member:
        """Gives a member another role. Refused: as `SetRole` says."""
        await self._store.write(SetRole(room=room, by=actor.id, actor=who, role=role))
        return await self._member(room, who)

    async def remove(self, actor: Actor, room: RoomId, who: ActorId) -> None:
        """Takes somebody out, who is kept out until added again; oneself: leaves. Refused: as the commands say."""
        if who == actor.id:
            await self._store.write(LeaveRoom(room=room, by=actor.id))
        else:
            await self._store.write(RemoveMember(room=room, by=actor.id, actor=who))

    async def transfer(self, actor: Actor, room: RoomId, who: ActorId) -> Room:
        """Gives a room to one of its members, and stays as a moderator. Refused: as `TransferRoom` says."""
        await self._store.write(TransferRoom(room=room, by=actor.id, actor=who))
        return await self._access.room(actor, room)

    async def wish(
        self, actor: Actor, room: RoomId, *, muted: bool | None, hidden: bool | None
    ) -> Room:
        """Mutes or hides a room for oneself; None: stays as it is. Refused: `room_not_found`."""
        wished = SetMembership(room=room, by=actor.id, muted=muted, hidden=hidden)
        await self._store.write(wished)
        return await self._access.room(actor, room)

    async def invite(
        self,
        actor: Actor,
        room: RoomId,
        *,
        role: MemberRole = MemberRole.MEMBER,
        uses: int | None = None,
        days: int = DAYS,
    ) -> tuple[str, Invitation]:
        """An invitation's token, told this once, and the invitation. `uses` None: any number.

        Refused: as `AddInvitation` says, and `bad_request` (the role, the number of uses or of days).
        """
        if role not in INVITED_AS:
            raise Refused(Code.BAD_REQUEST, "An invitation is for a member or a reader.")
        if uses is not None and not 1 <= uses <= USES_MAX:
            raise Refused(Code.BAD_REQUEST, f"An invitation has 1 to {USES_MAX:,} uses.")
        if not 1 <= days <= DAYS_MAX:
            raise Refused(Code.BAD_REQUEST, f"An invitation lasts 1 to {DAYS_MAX} days.")
        token = self._clock.secret()
        adding = AddInvitation(
            id=f"i_{self._clock.new_id()}",
            room=room,
            by=actor.id,
            role=role,
            token_sha256=digest_of(token),
            lasts_ms=days * DAY_MS,
            uses=uses,
        )
        return token, await self._store.write(adding)

    async def invitations(self, actor: Actor, room: RoomId) -> tuple[Invitation, ...]:
        """A room's open invitations, the oldest first.

        Refused: `room_not_found`, `room_protected`, `forbidden`.
        """
        found = await self._access.room(actor, room)
        everyones = is_everyones(found.visibility, found.door)
        check(Action.INVITE, found.role, everyones=everyones)
        return await self._store.read(invitations.of_room, room, self._clock.now_ms())

    async def revoke(self, actor: Actor, room: RoomId, invitation: str) -> None:
        """Ends an invitation. Refused: as `RevokeInvitation` says."""
        await self._store.write(RevokeInvitation(room=room, by=actor.id, id=invitation))

    async def look(self, token: str, actor: Actor | None) -> tuple[Invitation, int, bool]:
        """An invitation, how many people its room has, and whether the actor is one. Refused: `invite_not_found`."""
        who = None if actor is None else actor.id
        now_ms = self._clock.now_ms()
        found = await self._store.read(invitations.looked_at, digest_of(token), who, now_ms)
        if found is None:
            raise invite_not_found()
        return found

    async def join(self, token: str, actor: Actor) -> Room:
        """Comes into a room by an invitation; the room. Refused: `invite_not_found`."""
        joining = JoinByInvitation(token_sha256=digest_of(token), actor=actor.id)
        return await self._access.room(actor, await self._store.write(joining))

    async def _member(self, room: RoomId, who: ActorId) -> Member:
        found = await self._store.read(members.get, room, who)
        if found is None:  # taken out again meanwhile
            raise no_member()
        return found
