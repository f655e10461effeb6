"""Makes, uses and revokes invitations: links that let their bearers into a room, or to the server."""

import hashlib
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, bindparam, case, insert, update

from palaver.errors import Code, Refused
from palaver.model import ActorId, EventType, Invitation, MemberRole, RoomId, ServerRole, TicketKind
from palaver.policy import Action, ServerAct, check_server, owns, server_refusal
from palaver.store.engine.statement import Statement, database_now, updating
from palaver.store.read import accounts as stored_accounts, invitations
from palaver.store.schema import tickets
from palaver.store.write.actors import known_actor, nobody
from palaver.store.write.audit import AUDIT, audit
from palaver.store.write.command import Command
from palaver.store.write.people.credentials import kept
from palaver.store.write.rooms import full, join, require
from palaver.store.write.transaction import KnownActor, LockedRoom, Transaction

DAYS_MAX = 365
"""So long an invitation lasts at the most."""

_ADD = Statement(
    insert(tickets).values(
        id=bindparam("id"),
        kind=bindparam("kind"),
        actor_key=bindparam("actor_key"),
        room_key=bindparam("room_key"),
        role=bindparam("role"),
        server_role=bindparam("server_role"),
        rooms=bindparam("rooms"),
        uses_left=bindparam("uses_left"),
        token_sha256=bindparam("token_sha256"),
        created_ms=database_now,
        expires_ms=database_now + bindparam("lasts_ms"),
    ),
    *("id", "kind", "actor_key", "room_key", "role", "server_role", "rooms", "uses_left"),
    *("token_sha256", "now_ms", "lasts_ms"),
)
_RENEW = updating(tickets.c.id, "token_sha256")
_USE = Statement(
    update(tickets)
    .where(tickets.c.token_sha256 == bindparam("token"), invitations.invitation_is_good)
    .values(
        uses_left=tickets.c.uses_left - 1,
        expires_ms=case((tickets.c.uses_left == 1, database_now), else_=tickets.c.expires_ms),
    ),
    *("now_ms", "token"),
)
_REVOKE = Statement(
    update(tickets)
    .where(tickets.c.id == bindparam("its_id"), tickets.c.revoked_ms.is_(None))
    .values(revoked_ms=database_now, expires_ms=database_now),
    *("now_ms", "its_id"),
)


class AddInvitation(Command[Invitation], frozen=True, kw_only=True):
    """Makes an invitation, good for a while on the database's clock; `uses` None: for any number.

    It is into one room, or, with a `server_role`, to the server and into any number of rooms; then `act` is that of
    making one. Once more by the same id, it gets another token. `operated`: whether an operator makes it in the
    name of `by`.
    Refused: `room_not_found`, `room_protected`, `forbidden`, `too_many_invitations`, `invite_not_found` (the id is of
    somebody else's, or of one that has ended).
    """

    id: str
    by: ActorId
    into: tuple[RoomId, ...]
    role: MemberRole = MemberRole.MEMBER
    server_role: ServerRole | None = None
    act: ServerAct = ServerAct.MANAGE
    token_sha256: bytes
    lasts_ms: int
    uses: int | None
    operated: bool = False

    def rooms(self, conn: Connection) -> Sequence[RoomId]:  # noqa: ARG002  as `Command.rooms`
        return (*self.into, AUDIT)

    def apply(self, tx: Transaction) -> Invitation:
        tx.lock(self.rooms_in(tx))
        into, by = [tx.room(room) for room in self.into], tx.actor(self.by)
        if self.server_role is not None:
            check_server(self.act, stored_accounts.role_of(tx.conn, self.by), of=self.server_role)
        for room in into:
            require(tx, Action.INVITE, room, by, of=self.role)
        assert by is not None, "who may invite is somebody"
        found = invitations.by_id(tx.conn, self.id, tx.now_ms)
        if found is None:
            self._add(tx, by, into)
        elif found[1] and self._is_of(found[0]):
            _RENEW.run(tx.conn, self.token_sha256, self.id)
        else:
            raise invite_not_found()
        made = invitations.by_token(tx.conn, self.token_sha256, tx.now_ms, self.act)
        assert made is not None
        return made

    def _is_of(self, there: Invitation) -> bool:
        into_it = self.server_role is not None or tuple(there.rooms) == self.into
        return into_it and there.by.id == self.by and there.server_role is self.server_role

    def _add(self, tx: Transaction, by: KnownActor, into: Sequence[LockedRoom]) -> None:
        if self.server_role is None:
            (room,) = into
            there, key, words = invitations.count(tx.conn, room.key, tx.now_ms), room.key, None
            kind, told = TicketKind.ROOM, {"room": room.id, "role": self.role.value}
        else:
            own, most = invitations.LAST, invitations.INVITATIONS_MAX
            found, _ = invitations.to_server(
                tx.conn, tx.now_ms, self.act, maker=by.id, before=own, count=most
            )
            there, key, words = len(found), None, " ".join(self.into)
            kind, told = TicketKind.SERVER, {"role": self.server_role.value}
        if there >= invitations.INVITATIONS_MAX:
            many = f"There are {invitations.INVITATIONS_MAX} open invitations. Revoke one first."
            raise Refused(Code.TOO_MANY_INVITATIONS, many)
        tx.used(by.key)
        values = (self.id, kind, by.key, key, self.role, self.server_role, words, self.uses)
        _ADD.run(tx.conn, *values, self.token_sha256, tx.now_ms, self.lasts_ms)
        audit(tx, EventType.INVITE_CREATED, None if self.operated else by, invite=self.id, **told)


class RevokeInvitation(Command[bool], frozen=True, kw_only=True):
    """Ends an invitation into a room, or to the server, which its maker may and who may `MANAGE` such accounts.

    False when it was revoked already. `by`: None is the operator.
    Refused: `room_not_found`, `room_protected`, `forbidden`, `invite_not_found`.
    """

    id: str
    room: RoomId | None = None
    by: ActorId | None = None

    def rooms(self, conn: Connection) -> Sequence[RoomId]:  # noqa: ARG002  as `Command.rooms`
        return (AUDIT,) if self.room is None else (self.room, AUDIT)

    def apply(self, tx: Transaction) -> bool:
        tx.lock(self.rooms_in(tx))
        by = tx.actor(self.by)
        if self.room is not None:
            room = tx.room(self.room)
            if self.by is not None:
                require(tx, Action.INVITE, room, by)
        found = invitations.by_id(tx.conn, self.id, tx.now_ms)
        if found is None:
            raise invite_not_found()
        invitation, told = found[0], {"invite": self.id}
        if self.room is not None:
            if invitation.server_role is not None or self.room not in invitation.rooms:
                raise invite_not_found()
            told["room"] = self.room
        else:
            self._check(tx, invitation)
        if not _REVOKE.run(tx.conn, tx.now_ms, self.id):
            return False
        audit(tx, EventType.INVITE_REVOKED, by, **told)
        return True

    def _check(self, tx: Transaction, invitation: Invitation) -> None:
        if owns(self.by, invitation.by.id):
            return
        role = None if self.by is None else stored_accounts.role_of(tx.conn, self.by)
        if invitation.server_role is None or server_refusal(ServerAct.MANAGE, role) is not None:
            raise invite_not_found()
        check_server(ServerAct.MANAGE, role, of=invitation.server_role)


class JoinByInvitation(Command[tuple[RoomId, ...]], frozen=True, kw_only=True):
    """Makes an actor a member by an invitation, which loses one use; the rooms that they are in by it.

    Who is a member already stays so, also by one that has ended: whoever used it may ask again. Who has left as a
    reader comes back as no more by one that was there before, so that nobody undoes what a moderator made of them. One
    to the server is for who has an account, whom it brings into its rooms and nothing else.
    Refused: `invite_not_found`, also for who was removed; `forbidden` (no account); `unauthenticated` (the actor is no
    more).
    """

    token_sha256: bytes
    actor: ActorId
    act: ServerAct = ServerAct.MANAGE

    def rooms(self, conn: Connection) -> Sequence[RoomId]:
        return [*invitations.leads_to(conn, self.token_sha256), AUDIT]

    def apply(self, tx: Transaction) -> tuple[RoomId, ...]:
        """Of two who use it for the last time at once, the second waits for the first and finds it used up."""
        tx.lock(self.rooms_in(tx))
        actor = known_actor(tx, self.actor, nobody())
        rooms = [tx.room_or_none(room) for room in self.rooms_in(tx)[:-1]]
        there = [room for room in rooms if room is not None]
        if there and all(tx.role(room, actor) for room in there):
            return tuple([room.id for room in there])
        invitation = invitations.by_token(tx.conn, self.token_sha256, tx.now_ms, self.act)
        if invitation is None:
            raise invite_not_found()
        to_server = invitation.server_role is not None
        if to_server and actor.status is None:
            raise Refused(Code.FORBIDDEN, "This link is for an account: make one by it.")
        new = [room for room in there if tx.membership(room, actor)[0] is None]
        if new:
            use(tx, self.token_sha256, actor, invitation)
        elif not to_server:
            raise invite_not_found()
        return enter(tx, actor, invitation, there)


def to_server(tx: Transaction, token_sha256: bytes, act: ServerAct) -> Invitation:
    """The invitation to the server with this token. The audit room is locked. Refused: `invite_not_found`."""
    found = invitations.by_token(tx.conn, token_sha256, tx.now_ms, act)
    if found is None or found.server_role is None:
        raise invite_not_found()
    return found


def use(tx: Transaction, token_sha256: bytes, actor: KnownActor, invitation: Invitation) -> None:
    """Takes one of its uses. Refused: `invite_not_found` (there is none left)."""
    if not _USE.run(tx.conn, tx.now_ms, token_sha256):
        raise invite_not_found()
    where = {} if invitation.server_role else {"room": next(iter(invitation.rooms))}
    audit(tx, EventType.INVITE_USED, actor, invite=invitation.id, **where)


def enter(
    tx: Transaction, actor: KnownActor, invitation: Invitation, rooms: Iterable[LockedRoom]
) -> tuple[RoomId, ...]:
    """Makes an actor a member of those of these rooms that it leads into; those in which they are one now."""
    entered: list[RoomId] = []
    for room in rooms:
        role, kept_out = tx.membership(room, actor)
        if role is None and room.id in invitation.rooms:
            left_ms = kept(tx, left_as_reader(room, actor))
            again = left_ms is not None and invitation.created_ms <= int(left_ms)
            given = MemberRole.READER if again else invitation.role
            if (refused := full(tx, room, actor)) is not None:
                if invitation.server_role is None:
                    raise refused
                continue  # the server lets them in all the same
            join(tx, room, actor, given)
            data = {"actor": actor.id, "role": given.value, "via": invitation.id}
            tx.log(room, EventType.MEMBER_JOINED, actor, data=data, name=actor.name)
        if not kept_out and (role is not None or room.id in invitation.rooms):
            entered.append(room.id)
    return tuple(entered)


def left_as_reader(room: LockedRoom, actor: KnownActor) -> bytes:
    """Under what it is kept when somebody left a room in which they only read."""
    return hashlib.sha256(f"left {room.id} {actor.id}".encode()).digest()


def invite_not_found() -> Refused:
    """An invitation that lets nobody in, whatever the reason."""
    ended = "This link was used or has ended. Ask for a new one."
    return Refused(Code.INVITE_NOT_FOUND, ended)
