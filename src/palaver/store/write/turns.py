"""Ends, repeats, takes over and holds turns.

A turn gives one message, whatever happens: its `fence` rises with each claim, and only the holder of the last one may
finish it, in the transaction that stores the message. Locks are taken in the order room, turn; taking over touches
turns alone and passes by those that are locked.
"""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import astuple, replace
from sqlalchemy import Connection, bindparam, delete, literal, select, update

from palaver.errors import Code, Refused
from palaver.model import (
    NO_DATA,
    ActorId,
    ActorKind,
    Entry,
    Exchange,
    Message,
    MessageId,
    RoomId,
    Status,
    Turn,
    TurnId,
    TurnState,
    answer_id,
)
from palaver.policy import Action
from palaver.store.engine.base import POSTGRESQL
from palaver.store.engine.statement import (
    DatabaseNow,
    Statement,
    among,
    inserting,
    matching,
    updating,
)
from palaver.store.read.actors import id_of
from palaver.store.read.exchanges import get as exchange_get
from palaver.store.read.messages import get as message_get
from palaver.store.read.turns import asker, get, open_of, selected, turn_of
from palaver.store.schema import actors, messages, partials, rooms, turn_is_open, turns
from palaver.store.write.command import Command, RoomCommand
from palaver.store.write.exchanges import ExchangeEnd, end_exchange, not_found
from palaver.store.write.messages import MessageCommand, append, mark
from palaver.store.write.transaction import (
    LEASE_MS,
    KnownActor,
    LockedRoom,
    Transaction,
    distinct,
)

APART = 1 << 20
"""The messages of an answer that is asked again are so far, times the turn's fence, from where the answer's are."""

_ROOM = matching(select(rooms.c.id).join(turns, turns.c.room_key == rooms.c.key), turns.c.id)
_LOCK = matching(
    select(
        *turns.c["fence", "state", "message_id", "agent_key", "trigger_seq"],
        *actors.c["kind", "id", "name"],
    )
    .join(actors, actors.c.key == turns.c.agent_key)
    .with_for_update(of=turns),
    turns.c.id,
)
_BEHIND = Statement(
    select(messages.c.id, messages.c.seq)
    .where(messages.c.room_key == bindparam("room_key"), messages.c.seq >= bindparam("seq"))
    .order_by(messages.c.seq)
    .limit(2),
    *("room_key", "seq"),
)
_END = updating(turns.c.id, "state", "ended_ms", "error")
_FORGET = matching(delete(partials), partials.c.turn_id)
_OPEN = among(select(turns.c.id).where(turn_is_open).with_for_update(key_share=True), turns.c.id)
_REPLACED = matching(delete(partials), partials.c.turn_id, partials.c.place)
_KEEP = inserting(partials, "turn_id", "place", "text", "reasoning")
_lease = DatabaseNow() + literal(LEASE_MS)
_abandoned = selected.where(turn_is_open, turns.c.owner != bindparam("owner_id"))
_FREE = {
    "sqlite": _abandoned,
    "postgresql": _abandoned.where(turns.c.lease_until_ms < DatabaseNow()),
}
_CLAIMABLE = {
    engine: Statement(
        free.order_by(turns.c.created_ms, turns.c.id)
        .limit(bindparam("count"))
        .with_for_update(of=turns, skip_locked=True),
        *("owner_id", "count"),
    )
    for engine, free in _FREE.items()
}
_CLAIM = updating(turns.c.id, "owner", "fence", lease_until_ms=_lease)
_EXPIRE, _RENEW = (
    matching(update(turns).where(turn_is_open).values(lease_until_ms=until), turns.c.owner)
    for until in (0, _lease)
)


class Finished(Struct, frozen=True, kw_only=True):
    """The messages of an answer as they were stored, and its exchange, if a client asked for it."""

    messages: tuple[Message, ...]
    exchange: Exchange | None


class FinishTurn(Command[Finished | None], frozen=True, kw_only=True):
    """Stores an answer's messages and ends its turn, and its exchange if it has one; None if they are not its own.

    They are while the turn is open and `fence` still matches; repeated, it gives what it stored. The messages get the
    turn's id of its first, and those behind it (`answer_id`). A client's reply to its question, where something else
    was said meanwhile. `apart`: the turn goes on, because it is asked again, and what came of it stays as messages of
    their own.

    Refused: `exchange_not_found`.
    """

    turn: TurnId
    fence: int
    status: Status
    entries: tuple[Entry, ...]
    exchange: ExchangeEnd | None = None
    apart: bool = False

    @property
    def id(self) -> str:
        """By what it is known while it waits for the database."""
        return self.turn if self.exchange is None else self.exchange.id

    @property
    def failure(self) -> str | None:
        """The code of what went wrong, where something did."""
        return (self.entries[0].meta.get("error") or NO_DATA).get("code")

    def rooms(self, conn: Connection) -> Sequence[RoomId]:
        return _ROOM.column(conn, self.turn)

    def apply(self, tx: Transaction) -> Finished | None:
        """A room that was deleted meanwhile still gets its messages: it may be restored."""
        room_id = self.room_in(tx)
        if room_id is None:
            if self.exchange is not None:
                raise not_found()  # the history has lost it
            return None
        room = tx.room(room_id, deleted_too=True)
        held = _hold(tx, self.turn, self.fence)
        if held is None:
            return self._stored(tx)
        first, agent, trigger_seq = held
        reply_to = _left_behind(tx, room, trigger_seq) if self.exchange else (None, None)
        begin = APART * self.fence if self.apart else 0
        said = enumerate(self.entries, begin)
        rows = [(answer_id(first, place), agent, entry, self.status) for place, entry in said]
        if self.apart:
            if message_get(tx.conn, rows[0][0]) is None:
                append(tx, room, rows, reply_to)
            return None
        messages = append(tx, room, rows, reply_to)
        _END.run(tx.conn, TurnState.ENDED, tx.now_ms, self.failure, self.turn)
        if tx.conn.dialect.name == POSTGRESQL:
            _FORGET.run(tx.conn, self.turn)
        exchange = self.exchange and end_exchange(tx, self.exchange, messages, self.entries)
        return Finished(messages=tuple(messages), exchange=exchange)

    def _stored(self, tx: Transaction) -> Finished | None:
        """What this command stored already: its commit was not heard of, or a journal had it as well."""
        fence, state, first, *_ = _LOCK.one(tx.conn, self.turn)
        if self.apart or state is TurnState.OPEN or fence != self.fence:
            return None
        ids = [answer_id(first, place) for place in range(len(self.entries))]
        there = [message_get(tx.conn, id_) for id_ in ids]
        messages = [one for one in there if one is not None and one.status is self.status]
        if len(messages) < len(ids):
            return None
        exchange = self.exchange and exchange_get(tx.conn, self.exchange.id)
        return Finished(messages=tuple(messages), exchange=exchange)


class RetryTurn(MessageCommand[Turn], frozen=True, kw_only=True):
    """Deletes an answer that was not whole (or was) and opens the next attempt at it, owned by this process.

    With `goes_on` the answer stays, and the turn is one that answers it: its agent says what comes next. Refused:
    `turn_not_retryable` (not an answer of a turn, already deleted), `forbidden` also to who wrote it.
    """

    goes_on: bool = False

    def apply(self, tx: Transaction) -> Turn:
        room, by, there = self.writable(tx)
        if there.trigger_seq is None or there.deleted_ms is not None:
            why = "only an answer that is still there can be asked for again"
            raise Refused(Code.TURN_NOT_RETRYABLE, why)
        tx.check(Action.TAKE_BACK, room, by, own=asker(tx.conn, there.turn) == by.key)
        agent_id = id_of(ActorKind.AGENT, there.agent)
        agent = KnownActor(there.agent_key, agent_id, there.agent_name)
        if self.goes_on:
            return tx.open_turn(room, agent, there.seq)
        mark(tx, room, by, there, deleted=True)
        return tx.open_turn(room, agent, there.trigger_seq)


class OpenTurn(RoomCommand[Turn], frozen=True, kw_only=True):
    """Opens a turn for an answer that a program writes itself. Refused: `room_not_found`, `forbidden`."""

    turn: TurnId
    message: MessageId
    agent: ActorId

    def apply(self, tx: Transaction) -> Turn:
        known = get(tx.conn, self.turn)
        if known is not None:
            return known
        room, agent = tx.writable(self.room, self.agent)
        return tx.open_turn(room, agent, room.seq, external=(self.turn, self.message))


class Part(Struct, frozen=True):
    """What came of a running answer since the part before it; `place` counts them."""

    turn: TurnId
    place: int
    text: str
    reasoning: str


class KeepParts(Command[None], frozen=True, kw_only=True):
    """Copies what came of running answers, so that another host can take them over. A turn's end deletes them."""

    parts: tuple[Part, ...]

    def apply(self, tx: Transaction) -> None:
        """Of a turn that has ended meanwhile nothing is kept."""
        asked = distinct([part.turn for part in self.parts])
        open_ones = {turn for (turn,) in _OPEN.all(tx.conn, asked)}
        kept = [astuple(part) for part in self.parts if part.turn in open_ones]
        # by a commit whose end was unclear
        _REPLACED.many(tx.conn, [part[:2] for part in kept])
        _KEEP.many(tx.conn, kept)


class ClaimTurns(Command[tuple[Turn, ...]], frozen=True, kw_only=True):
    """Takes over at most `count` open turns that no living process works on; their fence rises by one.

    On SQLite every turn of another owner is free, because one process owns the file; on PostgreSQL one whose lease
    has run out on the database's clock, or whose owner is known to be `dead`.
    """

    count: int = 100
    dead: tuple[str, ...] = ()

    def apply(self, tx: Transaction) -> tuple[Turn, ...]:
        for owner in self.dead:
            _EXPIRE.run(tx.conn, owner)
        rows = _CLAIMABLE[tx.conn.dialect.name].all(tx.conn, tx.owner, self.count)
        claimed = [turn_of(row) for row in rows]
        claimed = [replace(turn, fence=turn.fence + 1) for turn in claimed]
        _CLAIM.many(tx.conn, [(tx.owner, turn.fence, turn.id) for turn in claimed])
        return tuple(claimed)


class RenewLeases(Command[frozenset[TurnId]], frozen=True, kw_only=True):
    """Prolongs the lease (`LEASE_SECONDS`) of all open turns of this process; which they are."""

    def apply(self, tx: Transaction) -> frozenset[TurnId]:
        _RENEW.run(tx.conn, tx.owner)
        return frozenset([turn.id for turn in open_of(tx.conn, tx.owner)])


def _left_behind(
    tx: Transaction, room: LockedRoom, seq: int
) -> tuple[MessageId | None, int | None]:
    """The question at this seq, if something else was said since."""
    found = _BEHIND.all(tx.conn, room.key, seq) if seq < room.seq else []
    return (found[0].id, seq) if len(found) > 1 and found[0].seq == seq else (None, None)


def _hold(tx: Transaction, turn: TurnId, fence: int) -> tuple[MessageId, KnownActor, int] | None:
    """Locks a turn that is open and has this fence: its message's id, its agent, and what it answers.

    Its room is locked already.
    """
    now, state, message, agent_key, trigger_seq, kind, digits, name = _LOCK.one(tx.conn, turn)
    if state is not TurnState.OPEN or now != fence:
        return None
    return message, KnownActor(agent_key, id_of(kind, digits), name), trigger_seq
