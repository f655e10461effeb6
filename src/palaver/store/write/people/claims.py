"""Brings what a guest, or a person whom only programs know, has into an account, some of it in each commit.

What they said stays theirs, as the hash chain says, and who reads it is told whom they became. Sessions end with the
last part: who is cut off before it comes again, and goes on.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, Table, bindparam, delete, or_, select, tuple_, update

from palaver.errors import Code, Refused
from palaver.model import AUDIT, ActorId, ActorKind, EventType, MemberRole, RoomId, Scope
from palaver.store.engine.statement import Statement, matching, updating
from palaver.store.read import accounts as stored_accounts
from palaver.store.read.actors import PREFIX
from palaver.store.schema import (
    actors,
    client_rooms,
    exchanges,
    keys,
    members,
    prefixes,
    prompts,
    rooms,
    stars,
    tickets,
)
from palaver.store.write.actors import known_actor
from palaver.store.write.audit import audit
from palaver.store.write.people.accounts import account_of, proven, refuse_pending
from palaver.store.write.people.credentials import Audited, EndSessions, kept, revoke_keys
from palaver.store.write.people.invitations import left_as_reader
from palaver.store.write.rooms import is_of_everyone
from palaver.store.write.transaction import KnownActor, LockedRoom, Transaction

PART_MAX = 100
"""So much of each kind is brought in one commit."""

_BECOME = updating(
    actors.c.key,
    "became_key",
    where=or_(actors.c.became_key.is_(None), actors.c.became_key == bindparam("new_became_key")),
    unused=None,
)
SHARED = matching(
    select(rooms.c.id)
    .join(members, members.c.room_key == rooms.c.key)
    .join(actors, actors.c.key == members.c.actor_key)
    .limit(PART_MAX),
    actors.c.id,
)
_MEMBER = (members.c.room_key, members.c.actor_key)
_MEMBERSHIP = matching(select(*members.c["role", "kept_out", "read_seq"]), *_MEMBER)
_HAND_ON = updating(_MEMBER, "actor_key", "role")
_LEAVE = matching(delete(members), *_MEMBER)
_RAISE = updating(_MEMBER, "role", "read_seq", kept_out=None)
_KNOWN_ROOMS = Statement(
    delete(client_rooms).where(
        client_rooms.c.actor_key == bindparam("old"),
        client_rooms.c.digest.in_(
            select(client_rooms.c.digest).where(client_rooms.c.actor_key == bindparam("new"))
        ),
    ),
    *("new", "old"),
)
_known = stars.alias("known")
_KNOWN_STARS = Statement(
    delete(stars).where(
        stars.c.actor_key == bindparam("old"),
        select(_known.c.key)
        .where(_known.c.actor_key == bindparam("new"))
        .where(_known.c.room_key == stars.c.room_key, _known.c.seq == stars.c.seq)
        .correlate(stars)
        .exists(),
    ),
    *("new", "old"),
)
_LINKS = matching(delete(tickets).where(tickets.c.room_key.is_(None)), tickets.c.actor_key)


def _moving(table: Table, *key: str) -> Statement:
    """Some rows of an actor's become another's."""
    its = [table.c[name] for name in key]
    part = select(*its).where(table.c.actor_key == bindparam("old")).limit(PART_MAX)
    moved = update(table).where(tuple_(*its).in_(part)).values(actor_key=bindparam("new"))
    return Statement(moved, "new", "old")


_MOVING = (
    _moving(prompts, "id", "version"),
    _moving(exchanges, "id"),
    _moving(prefixes, "actor_key", "digest", "exchange_id"),
    _moving(client_rooms, "actor_key", "digest"),
    _moving(tickets, "id"),
    _moving(keys, "id"),
    _moving(stars, "key"),
)


class Claim(Audited[bool], frozen=True, kw_only=True):
    """Brings a part of what is `guest`'s into the account of `actor`; True when that was the last of it.

    Their sessions end with it, all `but` one, links that add devices, and their keys, of which an operator
    brings all but those for admins: whoever else was at the guest's browser may hold one. Of those who were removed
    from a room, either stays kept out, unless the other one may come back or is there by right; an account that only
    reads is no member by a guest. `by` as in `audit`; `password`: against which the account was proven, if it had to
    be. Refused: `not_found`, `credentials_wrong`, `account_disabled`, `account_pending`, `identity_in_use` (they have
    an account, or went into another one).
    """

    actor: ActorId
    guest: ActorId
    by: ActorId | None = None
    password: bytes | None = None
    but: bytes = b""

    @property
    def anywhere(self) -> bool:
        return True

    def rooms(self, conn: Connection) -> Sequence[RoomId]:
        return (AUDIT, *SHARED.column(conn, self.guest))

    def apply(self, tx: Transaction) -> bool:
        """Locked before all else: of a guest who makes an account and goes into another one at once, one holds."""
        shared = self.rooms_in(tx)
        tx.lock(shared)
        if self.password is not None:
            proven(tx, self.actor, self.password)
        account_of(tx, self.actor)
        account, guest = known_actor(tx, self.actor), known_actor(tx, self.guest)
        if self.by is not None:
            refuse_pending(account)
        theirs = stored_accounts.of_actor(tx.conn, guest.id)
        free = guest.id.startswith(PREFIX[ActorKind.PERSON]) and theirs is None
        if not (free and _BECOME.run(tx.conn, account.key, guest.key)):
            raise Refused(Code.IDENTITY_IN_USE, "They have an account, or went into another one.")
        tx.unused.discard(guest.key)
        for room in shared[1:]:
            _bring(tx, tx.room(room, deleted_too=True), guest, account)
        _LINKS.run(tx.conn, guest.key)
        revoke_keys(tx, guest.id, Scope.ADMIN if self.by is None else None)
        for known in (_KNOWN_ROOMS, _KNOWN_STARS):
            known.run(tx.conn, account.key, guest.key)
        moved = [moving.run(tx.conn, account.key, guest.key) for moving in _MOVING]
        if PART_MAX in moved or SHARED.column(tx.conn, guest.id):
            return False
        ended = EndSessions(actor=guest.id, but=self.but, by=self.by).apply(tx)
        if len(shared) > 1 or any(moved) or ended:
            audit(tx, EventType.ACCOUNT_CLAIMED, tx.actor(self.by), actor=guest.id, of=account.id)
        return True


def _bring(tx: Transaction, room: LockedRoom, guest: KnownActor, account: KnownActor) -> None:
    """Brings a membership, with its role, or that they are kept out, into the account."""
    theirs = _MEMBERSHIP.first(tx.conn, room.key, guest.key)
    if theirs is None:
        return
    own = _MEMBERSHIP.first(tx.conn, room.key, account.key)
    out, role = bool(theirs.kept_out), _brought(tx, room, account, theirs.role, own and own.role)
    before: MemberRole | None = None
    if own is None:
        _HAND_ON.run(tx.conn, account.key, role, room.key, guest.key)
    else:
        _LEAVE.run(tx.conn, room.key, guest.key)
        before = own.role
        if out or (own.kept_out and role is not MemberRole.OWNER):
            role = own.role
        else:
            role = min(role, own.role, key=list(MemberRole).index)
            read_seq = max(theirs.read_seq, own.read_seq)
            _RAISE.run(tx.conn, role, read_seq, room.key, account.key)
            before = None if own.kept_out else before
    if is_of_everyone(tx, room):
        return
    if not out:
        data = {"actor": guest.id, "became": account.id}
        tx.log(room, EventType.MEMBER_LEFT, account, data=data)
    told = {"actor": account.id}
    if own is None and out:
        tx.log(room, EventType.MEMBER_REMOVED, account, data=told, name=account.name)
    elif before is None:
        data = told | {"role": role.value}
        tx.log(room, EventType.MEMBER_JOINED, account, data=data, name=account.name)
    elif before is not role:
        data = told | {"role": role.value, "before": before.value}
        tx.log(room, EventType.MEMBER_ROLE, account, data=data)


def _brought(
    tx: Transaction,
    room: LockedRoom,
    account: KnownActor,
    theirs: MemberRole,
    own: MemberRole | None,
) -> MemberRole:
    """The role that a guest's makes: who only reads, or did when they left, is no member by a guest of a link."""
    left = own is None and kept(tx, left_as_reader(room, account)) is not None
    reads = theirs is MemberRole.MEMBER and (left or own is MemberRole.READER)
    return MemberRole.READER if reads else theirs
