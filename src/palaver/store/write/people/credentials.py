"""Makes, uses and ends what lets somebody in: API keys, tickets, sessions, and the secret of visitors' tokens."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct
from sqlalchemy import (
    Column,
    Connection,
    Table,
    bindparam,
    delete,
    insert,
    literal_column,
    or_,
    select,
    update,
)

from palaver.errors import Code, Refused
from palaver.model import (
    Actor,
    ActorId,
    ActorKind,
    ApiKey,
    EventType,
    KeyId,
    RoomId,
    Scope,
    Ticket,
    TicketKind,
)
from palaver.policy import owns, room_not_found
from palaver.store import migrate
from palaver.store.engine.statement import Statement, database_now, inserting, matching, updating
from palaver.store.read import (
    actors as stored_actors,
    agents as stored_agents,
    api_keys as stored_keys,
    devices,
    rooms,
)
from palaver.store.schema import keys, once, sessions, tickets
from palaver.store.write.actors import AddActor, known_actor, nobody, of_handle
from palaver.store.write.audit import AUDIT, audit
from palaver.store.write.command import Command, T_co
from palaver.store.write.transaction import KnownActor, Transaction

KEYS_MAX = 50
"""So many good keys a person makes."""
FORGOTTEN_MAX = 10
"""So many that are past are forgotten when another one is kept."""

_ADD_KEY = inserting(
    keys,
    *("id", "token_sha256", "actor_key", "name", "scopes", "created_ms", "expires_ms", "rooms"),
)
_REVOKE_KEY = updating(keys.c.id, "revoked_ms", where=keys.c.revoked_ms.is_(None))
_KEY_USED = Statement(
    update(keys)
    .where(
        keys.c.id == bindparam("key"),
        or_(keys.c.last_used_ms.is_(None), keys.c.last_used_ms < bindparam("at_ms")),
    )
    .values(last_used_ms=bindparam("at_ms")),
    *("at_ms", "key"),
)
_FORGET_TICKETS = matching(delete(tickets), tickets.c.actor_key, tickets.c.kind)
_ADD_TICKET = Statement(
    insert(tickets).values(
        id=bindparam("id"),
        kind=bindparam("kind"),
        actor_key=bindparam("actor_key"),
        by_key=bindparam("by_key"),
        token_sha256=bindparam("token_sha256"),
        created_ms=database_now,
        expires_ms=database_now + bindparam("lasts_ms"),
    ),
    *("id", "kind", "actor_key", "by_key", "token_sha256", "now_ms", "lasts_ms"),
)
_USE_TICKET = Statement(
    update(tickets)
    .where(tickets.c.token_sha256 == bindparam("token"), devices.ticket_is_good)
    .values(used_ms=database_now, expires_ms=database_now)
    .returning(tickets.c.id),
    *("now_ms", "token"),
)
_REVOKE_TICKET = Statement(
    update(tickets)
    .where(tickets.c.id == bindparam("its_id"), tickets.c.actor_key == bindparam("its_key"))
    .where(devices.ticket_is_good, tickets.c.kind == literal_column(f"'{TicketKind.DEVICE}'"))
    .values(revoked_ms=database_now, expires_ms=database_now),
    *("now_ms", "its_id", "its_key"),
)
_BEGIN_SESSION = inserting(
    sessions, "token_sha256", "actor_key", "name", "created_ms", "expires_ms"
)
_END_SESSION = updating(sessions.c.token_sha256, "ended_ms", where=sessions.c.ended_ms.is_(None))
_REPLACE_SESSION = updating(
    sessions.c.token_sha256, "ended_ms", where=sessions.c.ended_ms.is_(None), replaced=True
)
_END_OTHERS = Statement(
    update(sessions)
    .where(
        sessions.c.actor_key == bindparam("its_key"),
        sessions.c.token_sha256 != bindparam("kept"),
        sessions.c.ended_ms.is_(None),
    )
    .values(ended_ms=bindparam("at_ms"))
    .returning(sessions.c.token_sha256),
    *("at_ms", "its_key", "kept"),
)
_SESSION_USED = Statement(
    update(sessions)
    .where(
        sessions.c.token_sha256 == bindparam("token"),
        sessions.c.ended_ms.is_(None),  # of who has left nothing is noted any more
        or_(sessions.c.used_ms.is_(None), sessions.c.used_ms < bindparam("at_ms")),
    )
    .values(used_ms=bindparam("at_ms"), agent=bindparam("by"), address=bindparam("from_where")),
    *("at_ms", "by", "from_where", "token"),
)
_KEEP = inserting(once, "digest", "said", "expires_ms")
_TAKE = Statement(
    delete(once).where(once.c.digest == bindparam("its_digest")).returning(*once.c),
    "its_digest",
)
_KEPT = matching(select(once), once.c.digest)


def _forgetting(table: Table, key: Column[Any]) -> Statement:
    """Deletes so many of what was past before a time, the oldest first."""
    past = select(key).where(table.c.expires_ms < bindparam("before_ms"))
    some = past.order_by(table.c.expires_ms).limit(bindparam("count"))
    return Statement(delete(table).where(key.in_(some)), "before_ms", "count")


_FORGET, _FORGET_PAST_TICKETS = _forgetting(once, once.c.digest), _forgetting(tickets, tickets.c.id)
_FORGET_SESSION = matching(delete(sessions), sessions.c.token_sha256)
_STRIP_SESSION = updating(
    sessions.c.token_sha256, ended_ms=0, name=None, agent=None, address=None, elsewhere=None
)


class Audited(Command[T_co], frozen=True):
    """A command that the audit room tells of."""

    def rooms(self, conn: Connection) -> Sequence[RoomId]:  # noqa: ARG002  as `Command.rooms`
        return (AUDIT,)


class AddKey(Audited[ApiKey], frozen=True, kw_only=True):
    """Makes an API key of the person with this handle, made as `key.actor` if need be; without one, of `key.actor`.

    `by` as in `audit`. Refused: `name_reserved` when the handle is no person's, `not_found` (`key.actor`),
    `too_many_keys` (without a handle, when the person has as many as it may), `room_not_found` (one of `key.rooms`
    that its person does not see).
    """

    key: ApiKey
    handle: str | None
    token_sha256: bytes
    by: ActorId | None = None

    def apply(self, tx: Transaction) -> ApiKey:
        tx.lock(self.rooms_in(tx))  # of somebody who leaves no key is kept
        key, owner = self.key, self.key.actor
        if self.handle is not None:
            of_handle(tx, self.handle, ActorKind.PERSON)
            owner = AddActor(actor=owner, handle=self.handle).apply(tx)
        elif len(stored_keys.of_actor(tx.conn, owner.id, KEYS_MAX)) == KEYS_MAX:
            many = f"You have {KEYS_MAX} keys already. Revoke one first."
            raise Refused(Code.TOO_MANY_KEYS, many)
        found = known_actor(tx, owner.id)
        for room in key.rooms or ():
            seen = rooms.get(tx.conn, room, owner.id)
            if seen is None or seen.role is None or seen.deleted_ms is not None:
                raise room_not_found()
        words = [None if one is None else " ".join(sorted(one)) for one in (key.scopes, key.rooms)]
        values = (key.id, self.token_sha256, found.key, key.name, words[0], tx.now_ms)
        _ADD_KEY.run(tx.conn, *values, key.expires_ms, words[1])
        audit(tx, EventType.KEY_CREATED, tx.actor(self.by), key=key.id, of=found.id)
        made = stored_keys.get(tx.conn, key.id)
        assert made is not None
        return made


class RevokeKey(Audited[ApiKey], frozen=True, kw_only=True):
    """Ends an API key for ever; one that has ended stays as it is.

    Refused: `not_found`, also for one that is neither of `by` nor of an agent that they may edit.
    """

    key: KeyId
    by: ActorId | None = None

    def apply(self, tx: Transaction) -> ApiKey:
        found = stored_keys.get(tx.conn, self.key)
        if found is None or not (owns(self.by, found.actor.id) or self._edits(tx, found.actor.id)):
            raise Refused(Code.NOT_FOUND, "There is no such key. The list of keys shows their ids.")
        if _REVOKE_KEY.run(tx.conn, tx.now_ms, self.key):
            by, of = tx.actor(self.by), found.actor.id
            audit(tx, EventType.KEY_REVOKED, by, key=self.key, of=of)
        return stored_keys.get(tx.conn, self.key) or found

    def _edits(self, tx: Transaction, agent: ActorId) -> bool:
        card = stored_agents.get(tx.conn, agent)
        may = self.by and card and stored_agents.refusal(tx.conn, self.by, card) is None
        return bool(may)


def revoke_keys(tx: Transaction, actor: ActorId, scope: Scope | None = None) -> None:
    """Ends all API keys of an actor's, or those that name a scope, as the actor would."""
    for key in stored_keys.of_actor(tx.conn, actor, KEYS_MAX):
        if scope is None or scope in key.scopes:
            RevokeKey(key=key.id, by=actor).apply(tx)


class KeysUsed(Command[None], frozen=True, kw_only=True):
    """Notes when API keys were last used, which never falls."""

    last_used_ms: Mapping[KeyId, int]

    def apply(self, tx: Transaction) -> None:
        for key, at_ms in self.last_used_ms.items():
            _KEY_USED.run(tx.conn, at_ms, key)


class SessionUse(Struct, frozen=True):
    """When a session was used, by which program and from which address."""

    at_ms: int
    agent: str
    address: str


class SessionsUsed(Command[None], frozen=True, kw_only=True):
    """Notes when sessions, by their tokens' SHA-256, were last used, which never falls, and by what."""

    used: Mapping[bytes, SessionUse]

    def apply(self, tx: Transaction) -> None:
        for token in sorted(
            self.used
        ):  # in one order, so that no two processes wait for each other
            use = self.used[token]
            _SESSION_USED.run(tx.conn, use.at_ms, use.agent, use.address, token)


class AddTicket(Command[Ticket], frozen=True, kw_only=True):
    """Makes a ticket in the place of the actor's others of its kind, good for a while on the database's clock.

    `by`: who makes it for somebody else; None is the operator, too.
    """

    id: str
    kind: TicketKind
    actor: ActorId
    token_sha256: bytes
    lasts_ms: int
    by: ActorId | None = None

    def apply(self, tx: Transaction) -> Ticket:
        owner, by = known_actor(tx, self.actor, nobody()), tx.actor(self.by)
        tx.used(owner.key)
        forget(tx, owner, self.kind)
        values = (self.id, self.kind, owner.key, by and by.key, self.token_sha256)
        _ADD_TICKET.run(tx.conn, *values, tx.now_ms, self.lasts_ms)
        made = devices.ticket(tx.conn, self.token_sha256, self.kind, tx.now_ms)
        assert made is not None
        return made


class UseTicket(Audited[Actor], frozen=True, kw_only=True):
    """Uses a ticket up and begins a session of its actor, who is the result; the session lasts `lasts_ms` at the most.

    Refused: `ticket_ended` (used, revoked, expired, or none), `too_many_devices`.
    """

    token_sha256: bytes
    session_sha256: bytes
    name: str
    lasts_ms: int
    idle_ms: int

    def apply(self, tx: Transaction) -> Actor:
        ticket = taken(tx, self.token_sha256, TicketKind.DEVICE)
        owner = known_actor(tx, ticket.actor.id, nobody())
        there = devices.of_actor(tx.conn, owner.id, tx.now_ms, self.idle_ms)
        if len(there) >= devices.DEVICES_MAX:
            many = f"{ticket.actor.name} has {devices.DEVICES_MAX} devices already. End one first."
            raise Refused(Code.TOO_MANY_DEVICES, many)
        use_up(tx, self.token_sha256)
        begin(tx, self.session_sha256, owner, self.lasts_ms, self.name)
        return ticket.actor


class EndDevice(Audited[None], frozen=True, kw_only=True):
    """Ends the session on one of the actor's devices, or revokes a ticket; `operated`: an operator does.

    Refused: `not_found`.
    """

    id: str
    by: ActorId
    idle_ms: int
    operated: bool = False

    def apply(self, tx: Transaction) -> None:
        owner = known_actor(tx, self.by, nobody())
        if _REVOKE_TICKET.run(tx.conn, tx.now_ms, self.id, owner.key):
            return
        for digest, device in devices.of_actor(tx.conn, owner.id, tx.now_ms, self.idle_ms):
            if device.id == self.id:
                end(tx, digest, None if self.operated else owner, of=owner.id)
                return
        raise Refused(Code.NOT_FOUND, "There is no such device or link of yours.")


class EndSessions(Audited[tuple[bytes, ...]], frozen=True, kw_only=True):
    """Ends an actor's sessions but for the one that is kept; the result is their tokens' SHA-256.

    A link that would begin another one ends, too. `by` as in `audit`.
    """

    actor: ActorId
    but: bytes = b""
    by: ActorId | None = None

    def apply(self, tx: Transaction) -> tuple[bytes, ...]:
        owner, by = known_actor(tx, self.actor, nobody()), tx.actor(self.by)
        forget(tx, owner, TicketKind.DEVICE)
        ended = tuple(_END_OTHERS.column(tx.conn, tx.now_ms, owner.key, self.but))
        for session in map(devices.id_of, ended):
            audit(tx, EventType.SESSION_ENDED, by, session=session, of=owner.id)
        return ended


class KeepSecret(Command[str], frozen=True, kw_only=True):
    """Keeps what signs the tokens of visitors in all processes of a database; the result is what was kept first."""

    value: str

    def apply(self, tx: Transaction) -> str:
        kept = migrate.META.value(tx.conn, "visitors")
        if kept is None:
            migrate.INSERT_META.run(tx.conn, "visitors", self.value)
        return kept or self.value


class KeepOnce(Command[None], frozen=True, kw_only=True):
    """Keeps what is good once, or holds for a while, in the place of what was; forgets some of what is past."""

    digest: bytes
    said: bytes
    lasts_ms: int

    def apply(self, tx: Transaction) -> None:
        _FORGET.run(tx.conn, tx.now_ms, FORGOTTEN_MAX)
        _TAKE.first(tx.conn, self.digest)
        _KEEP.run(tx.conn, self.digest, self.said, tx.now_ms + self.lasts_ms)


class TakeOnce(Command[bytes | None], frozen=True, kw_only=True):
    """Takes it, which nobody else can do then; None where there is nothing any more."""

    digest: bytes

    def apply(self, tx: Transaction) -> bytes | None:
        row = _TAKE.first(tx.conn, self.digest)
        return None if row is None or row.expires_ms < tx.now_ms else row.said


def kept(tx: Transaction, digest: bytes) -> bytes | None:
    """What `KeepOnce` keeps under this, unless it is past."""
    row = _KEPT.first(tx.conn, digest)
    return None if row is None or row.expires_ms < tx.now_ms else row.said


class ForgetEnded(Command[int], frozen=True, kw_only=True):
    """Forgets some sessions, tickets and what was good once that ended before a time; how many sessions.

    Of the session of a visitor's token, which would make that guest again, it stays known that it has ended.
    """

    before_ms: int
    count: int

    def apply(self, tx: Transaction) -> int:
        for statement in (_FORGET, _FORGET_PAST_TICKETS):
            statement.run(tx.conn, self.before_ms, self.count)
        found = devices.long_ended(tx.conn, self.before_ms, self.count)
        for token, actor in found:
            is_visitors = stored_actors.guest_of(token) == actor
            (_STRIP_SESSION if is_visitors else _FORGET_SESSION).run(tx.conn, token)
        return len(found)


def taken(tx: Transaction, token_sha256: bytes, kind: TicketKind) -> Ticket:
    """The ticket of a token. Refused: `ticket_ended`."""
    found = devices.ticket(tx.conn, token_sha256, kind, tx.now_ms)
    if found is None:
        raise ended()
    return found


def forget(tx: Transaction, owner: KnownActor, kind: TicketKind) -> None:
    """Ends the tickets of an actor of this kind."""
    _FORGET_TICKETS.run(tx.conn, owner.key, kind)


def use_up(tx: Transaction, token_sha256: bytes) -> None:
    """Of two who use a ticket at once, the second waits for the first and finds it used. Refused: `ticket_ended`."""
    if not _USE_TICKET.all(tx.conn, tx.now_ms, token_sha256):
        raise ended()


def begin(
    tx: Transaction, token_sha256: bytes, owner: KnownActor, lasts_ms: int, name: str | None = None
) -> None:
    """Begins a session. To be called by an `Audited` command, as `end`."""
    times = (tx.now_ms, tx.now_ms + lasts_ms)
    _BEGIN_SESSION.run(tx.conn, token_sha256, owner.key, name, *times)
    session = devices.id_of(token_sha256)
    audit(tx, EventType.SESSION_BEGAN, owner, session=session, of=owner.id)


def end(
    tx: Transaction,
    token_sha256: bytes,
    owner: KnownActor | None,
    *,
    of: ActorId | None = None,
    replaced: bool = False,
) -> None:
    """Ends a session of `owner`, or `of` somebody else, also because it is `replaced`. One that has ended stays.

    Without an `owner` an operator ends it.
    """
    ending = _REPLACE_SESSION if replaced else _END_SESSION
    if ending.run(tx.conn, tx.now_ms, token_sha256):
        session = devices.id_of(token_sha256)
        audit(tx, EventType.SESSION_ENDED, owner, session=session, of=of or (owner and owner.id))


def ended() -> Refused:
    """A ticket that lets nobody in."""
    return Refused(Code.TICKET_ENDED, "This link was used or has ended. Ask for a new one.")
