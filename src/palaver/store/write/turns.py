"""Ends, repeats, takes over and holds turns.

A turn gives one message, whatever happens: its `fence` rises with each claim, and only the holder of the last one may
finish it, in the transaction that stores the message. Locks are taken in the order room, turn; taking over touches
turns alone and passes by those that are locked.
"""

from dataclasses import replace

from sqlalchemy import Connection, bindparam, delete, literal, select, update

from palaver.errors import Code, Refused
from palaver.model import (
    ActorKind,
    Entry,
    Message,
    MessageId,
    Role,
    RoomId,
    Turn,
    TurnId,
    TurnState,
)
from palaver.policy import Action
from palaver.store.engine.base import POSTGRESQL
from palaver.store.engine.statement import DatabaseNow, Statement, among, inserting, updating
from palaver.store.read.actors import id_of
from palaver.store.read.turns import asker, get, open_of, selected, turn_of
from palaver.store.schema import actors, messages, partials, rooms, turn_is_open, turns
from palaver.store.write.command import (
    ClaimTurns,
    FinishTurn,
    KeepParts,
    OpenTurn,
    RenewLeases,
    RetryTurn,
)
from palaver.store.write.entries import append, mark
from palaver.store.write.new_turns import LEASE_MS, open_turn
from palaver.store.write.transaction import KnownActor, Transaction, distinct

_ROOM_OF_TURN = Statement(
    select(rooms.c.id)
    .join(turns, turns.c.room_key == rooms.c.key)
    .where(turns.c.id == bindparam("turn")),
    "turn",
)
_ROOM_OF_MESSAGE = Statement(
    select(rooms.c.id)
    .join(messages, messages.c.room_key == rooms.c.key)
    .where(messages.c.id == bindparam("message")),
    "message",
)
_LOCK = Statement(
    select(
        turns.c.fence,
        turns.c.state,
        turns.c.message_id,
        turns.c.agent_key,
        actors.c.kind,
        actors.c.id,
        actors.c.name,
    )
    .join(actors, actors.c.key == turns.c.agent_key)
    .where(turns.c.id == bindparam("turn"))
    .with_for_update(of=turns),
    "turn",
)
_END = updating(turns.c.id, "state", "ended_ms", "error")
_ANSWER = Statement(
    select(
        messages.c.seq,
        messages.c.deleted_ms,
        turns.c.trigger_seq,
        turns.c.agent_key,
        actors.c.id,
        actors.c.name,
        turns.c.id,
    )
    .select_from(messages)
    .outerjoin(turns, turns.c.message_id == messages.c.id)
    .outerjoin(actors, actors.c.key == turns.c.agent_key)
    .where(messages.c.id == bindparam("message")),
    "message",
)
_FORGET = Statement(delete(partials).where(partials.c.turn_id == bindparam("turn")), "turn")
_OPEN = among(select(turns.c.id).where(turn_is_open).with_for_update(key_share=True), turns.c.id)
_REPLACED = Statement(
    delete(partials).where(
        partials.c.turn_id == bindparam("turn_id"), partials.c.place == bindparam("part")
    ),
    "turn_id",
    "part",
)
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
        "owner_id",
        "count",
    )
    for engine, free in _FREE.items()
}
_CLAIM = updating(turns.c.id, "owner", "fence", lease_until_ms=_lease)
_EXPIRE = Statement(
    update(turns)
    .where(turn_is_open, turns.c.owner == bindparam("dead_owner"))
    .values(lease_until_ms=0),
    "dead_owner",
)
_RENEW = Statement(
    update(turns)
    .where(turn_is_open, turns.c.owner == bindparam("owner_id"))
    .values(lease_until_ms=_lease),
    "owner_id",
)


def finish(tx: Transaction, command: FinishTurn) -> Message | None:
    """Applies `FinishTurn`. A room that was deleted meanwhile still gets its message: it may be restored."""
    room_id = room_of(tx.conn, command)
    if room_id is None:
        return None
    room = tx.room(room_id, deleted_too=True)
    held = hold(tx, command.turn, command.fence)
    if held is None:
        return None
    message_id, agent = held
    entry = Entry(role=Role.ASSISTANT, text=command.text, meta=command.meta)
    (message,) = append(tx, room, [(message_id, agent, entry, command.status)])
    end(tx, command.turn, command.failure)
    return message


def hold(tx: Transaction, turn: TurnId, fence: int) -> tuple[MessageId, KnownActor] | None:
    """Locks a turn that is open and has this fence: its message's id, and its agent. Its room is locked already."""
    now, state, message, agent_key, kind, digits, name = _LOCK.one(tx.conn, turn)
    if state is not TurnState.OPEN or now != fence:
        return None
    return message, KnownActor(agent_key, id_of(kind, digits), name)


def end(tx: Transaction, turn: TurnId, failure: str | None = None) -> None:
    """The turn's answer is stored, and its copies are needed no longer."""
    _END.run(tx.conn, TurnState.ENDED, tx.now_ms, failure, turn)
    if tx.conn.dialect.name == POSTGRESQL:
        _FORGET.run(tx.conn, turn)


def keep_parts(tx: Transaction, command: KeepParts) -> None:
    """Applies `KeepParts`. Of a turn that has ended meanwhile nothing is kept."""
    open_ones = {row[0] for row in _OPEN.all(tx.conn, distinct([p.turn for p in command.parts]))}
    kept = [
        (part.turn, part.place, part.text, part.reasoning)
        for part in command.parts
        if part.turn in open_ones
    ]
    _REPLACED.many(tx.conn, [row[:2] for row in kept])  # by a commit whose end was unclear
    _KEEP.many(tx.conn, kept)


def retry(tx: Transaction, command: RetryTurn) -> Turn:
    """Applies `RetryTurn`."""
    row = _ROOM_OF_MESSAGE.first(tx.conn, command.message)
    if row is None:
        raise Refused(Code.MESSAGE_NOT_FOUND, "there is no such message")
    room, by = tx.writable(row[0], command.by)
    seq, deleted_ms, trigger_seq, agent_key, digits, name, turn = _ANSWER.one(
        tx.conn, command.message
    )
    if trigger_seq is None or deleted_ms is not None:
        raise Refused(
            Code.TURN_NOT_RETRYABLE, "only an answer that is still there can be asked for again"
        )
    tx.check(Action.TAKE_BACK, room, by, own=asker(tx.conn, turn) == by.key)
    agent = KnownActor(agent_key, id_of(ActorKind.AGENT, digits), name)
    if command.goes_on:
        trigger_seq = seq
    else:
        mark(tx, room, by, (command.message, seq), deleted=True)
    return open_turn(tx, room, agent, trigger_seq)


def open_external(tx: Transaction, command: OpenTurn) -> Turn:
    """Applies `OpenTurn`."""
    known = get(tx.conn, command.turn)
    if known is not None:
        return known
    room, agent = tx.writable(command.room, command.agent)
    return open_turn(tx, room, agent, room.seq, external=(command.turn, command.message))


def claim(tx: Transaction, command: ClaimTurns) -> tuple[Turn, ...]:
    """Applies `ClaimTurns`."""
    for owner in command.dead:
        _EXPIRE.run(tx.conn, owner)
    rows = _CLAIMABLE[tx.conn.dialect.name].all(tx.conn, tx.owner, command.count)
    claimed = [turn_of(row) for row in rows]
    claimed = [replace(turn, fence=turn.fence + 1) for turn in claimed]
    _CLAIM.many(tx.conn, [(tx.owner, turn.fence, turn.id) for turn in claimed])
    return tuple(claimed)


def renew(tx: Transaction, command: RenewLeases) -> frozenset[TurnId]:  # noqa: ARG001  as the others
    """Applies `RenewLeases`."""
    _RENEW.run(tx.conn, tx.owner)
    return frozenset([turn.id for turn in open_of(tx.conn, tx.owner)])


def room_of(conn: Connection, command: FinishTurn | RetryTurn) -> RoomId | None:
    """The room that the command is about, for those who must know before they apply it."""
    if isinstance(command, FinishTurn):
        row = _ROOM_OF_TURN.first(conn, command.turn)
    else:
        row = _ROOM_OF_MESSAGE.first(conn, command.message)
    return None if row is None else row[0]
