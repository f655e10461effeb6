"""Makes, uses and revokes invitations: links that let their bearers into a room."""

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from palaver.errors import Code, Refused
from palaver.model import ActorId, EventType, Invitation, MemberRole, RoomId, TicketKind
from palaver.policy import Action
from palaver.store.engine.statement import Statement, database_now, matching
from palaver.store.read import invitations
from palaver.store.schema import rooms, tickets
from palaver.store.write.actors import known_actor, nobody
from palaver.store.write.audit import AUDIT, audit
from palaver.store.write.command import Command, RoomCommand
from palaver.store.write.rooms import join, require
from palaver.store.write.transaction import Transaction

_ADD = Statement(
    insert(tickets).values(
        id=bindparam("id"),
        kind=TicketKind.ROOM,
        actor_key=bindparam("actor_key"),
        room_key=bindparam("room_key"),
        role=bindparam("role"),
        uses_left=bindparam("uses_left"),
        token_sha256=bindparam("token_sha256"),
        created_ms=database_now,
        expires_ms=database_now + bindparam("lasts_ms"),
    ),
    *("id", "actor_key", "room_key", "role", "uses_left", "token_sha256", "now_ms", "lasts_ms"),
)
_FORGET = Statement(
    delete(tickets).where(
        tickets.c.room_key == bindparam("its_room"), tickets.c.expires_ms <= database_now
    ),
    *("now_ms", "its_room"),
)
_USE = Statement(
    update(tickets)
    .where(tickets.c.token_sha256 == bindparam("token"), invitations.invitation_is_good)
    .values(uses_left=tickets.c.uses_left - 1),
    *("now_ms", "token"),
)
_REVOKE = Statement(
    update(tickets)
    .where(tickets.c.id == bindparam("its_id"), tickets.c.revoked_ms.is_(None))
    .values(revoked_ms=database_now),
    *("now_ms", "its_id"),
)
_ROOM_OF_TOKEN = matching(
    select(rooms.c.id).join(tickets, tickets.c.room_key == rooms.c.key), tickets.c.token_sha256
)
_ROOM_OF = matching(select(tickets.c.room_key), tickets.c.id)


class AddInvitation(RoomCommand[Invitation], frozen=True, kw_only=True):
    """Makes an invitation into a room, good for a while on the database's clock; `uses` None: for any number.

    Those of the room that have expired are forgotten.
    Refused: `room_not_found`, `room_protected`, `forbidden`, `too_many_invitations`.
    """

    id: str
    by: ActorId
    role: MemberRole
    token_sha256: bytes
    lasts_ms: int
    uses: int | None

    def rooms(self, conn: Connection) -> Sequence[RoomId]:  # noqa: ARG002  as `Command.rooms`
        return (self.room, AUDIT)

    def apply(self, tx: Transaction) -> Invitation:
        tx.lock(self.rooms_in(tx))
        room, by = tx.room(self.room), tx.actor(self.by)
        require(tx, Action.INVITE, room, by, of=self.role)
        assert by is not None, "who may invite is somebody"
        if invitations.count(tx.conn, room.key, tx.now_ms) == invitations.INVITATIONS_MAX:
            many = (
                f"This room has {invitations.INVITATIONS_MAX} open invitations. Revoke one first."
            )
            raise Refused(Code.TOO_MANY_INVITATIONS, many)
        tx.used(by.key)
        _FORGET.run(tx.conn, tx.now_ms, room.key)
        values = (self.id, by.key, room.key, self.role, self.uses, self.token_sha256)
        _ADD.run(tx.conn, *values, tx.now_ms, self.lasts_ms)
        audit(tx, EventType.INVITE_CREATED, by, invite=self.id, room=room.id, role=self.role.value)
        made = invitations.by_token(tx.conn, self.token_sha256, tx.now_ms)
        assert made is not None
        return made


class RevokeInvitation(RoomCommand[bool], frozen=True, kw_only=True):
    """Ends one of a room's invitations; False when it was revoked already.

    Refused: `room_not_found`, `room_protected`, `forbidden`, `invite_not_found`.
    """

    id: str
    by: ActorId

    def rooms(self, conn: Connection) -> Sequence[RoomId]:  # noqa: ARG002  as `Command.rooms`
        return (self.room, AUDIT)

    def apply(self, tx: Transaction) -> bool:
        tx.lock(self.rooms_in(tx))
        room, by = tx.room(self.room), tx.actor(self.by)
        require(tx, Action.INVITE, room, by)
        if _ROOM_OF.value(tx.conn, self.id) != room.key:
            raise invite_not_found()
        if not _REVOKE.run(tx.conn, tx.now_ms, self.id):
            return False
        audit(tx, EventType.INVITE_REVOKED, by, invite=self.id, room=room.id)
        return True


class JoinByInvitation(Command[RoomId], frozen=True, kw_only=True):
    """Makes an actor a member by an invitation, which loses one use.

    Who is a member already stays so, also by one that has ended: whoever used it may ask again.
    Refused: `invite_not_found`, also for who was removed; `unauthenticated` (the actor is no more).
    """

    token_sha256: bytes
    actor: ActorId

    def rooms(self, conn: Connection) -> Sequence[RoomId]:
        return [*_ROOM_OF_TOKEN.column(conn, self.token_sha256), AUDIT]

    def apply(self, tx: Transaction) -> RoomId:
        """Of two who use it for the last time at once, the second waits for the first and finds it used up."""
        tx.lock(self.rooms_in(tx))
        found = next(iter(_ROOM_OF_TOKEN.column(tx.conn, self.token_sha256)), None)
        room = None if found is None else tx.room_or_none(found)
        if room is None:
            raise invite_not_found()
        actor = known_actor(tx, self.actor, nobody())
        role, kept_out = tx.membership(room, actor)
        if role is not None and not kept_out:
            return room.id
        invitation = invitations.by_token(tx.conn, self.token_sha256, tx.now_ms)
        if invitation is None or kept_out:
            raise invite_not_found()
        if not _USE.run(tx.conn, tx.now_ms, self.token_sha256):
            raise invite_not_found()
        join(tx, room, actor, invitation.role)
        data = {"actor": actor.id, "name": actor.name, "role": invitation.role.value}
        tx.log(room, EventType.MEMBER_JOINED, actor, data=data | {"via": invitation.id})
        audit(tx, EventType.INVITE_USED, actor, invite=invitation.id, room=room.id)
        return room.id


def invite_not_found() -> Refused:
    """An invitation that lets nobody in, whatever the reason."""
    ended = "This link was used or has ended. Ask for a new one."
    return Refused(Code.INVITE_NOT_FOUND, ended)
