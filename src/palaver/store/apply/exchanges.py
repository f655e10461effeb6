"""Opens and finishes exchanges: where a request belongs, what of it is new, and what came of it.

Theory of operation. A client of the API sends its whole history again with every request. Each exchange therefore
leaves two digests: of the history with which it was asked, and of that with its answer. The longest beginning of a
request that is known leads to an exchange; if no other came after it in its room, the room goes on there. What people
said on the page meanwhile is passed by where the client repeats it, and stays unseen where it does not. Otherwise the
history has been changed or shortened, and a new room holds it: what is stored is never rewritten.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, select

from palaver.errors import Code, Refused
from palaver.model import (
    Entry,
    Exchange,
    ExchangeId,
    ExchangeState,
    Message,
    Role,
    RoomId,
    Spans,
)
from palaver.store import messages, rooms as stored_rooms
from palaver.store.apply import rooms
from palaver.store.apply.entries import REPEATED_MS, append, by_role
from palaver.store.apply.opening import open_turn
from palaver.store.apply.transaction import KnownActor, LockedRoom, Transaction, distinct
from palaver.store.apply.turns import end, hold
from palaver.store.commands import ChangeExchange, FinishExchange, Opened, OpenExchange
from palaver.store.engine.statement import Statement, among, inserting, updating
from palaver.store.exchanges import exchange_of, get, selected_exchanges, spoken
from palaver.store.prefix import likeness
from palaver.store.schema import exchanges, prefixes, rooms as rooms_table
from palaver.store.turns import get as turn_get

FIRST_MESSAGES = 4
LAST_MESSAGES = 400
"""Among so many of a room's first and last messages a repeated history is looked for."""

_UNANSWERED = frozenset({ExchangeState.FAILED, ExchangeState.CANCELLED})

_PREFIXES = among(
    select(prefixes.c.digest, prefixes.c.exchange_id, prefixes.c.answered)
    .where(prefixes.c.actor_key == bindparam("actor_key"))
    .order_by(prefixes.c.exchange_id.desc())
    .limit(32),
    prefixes.c.digest,
    "actor_key",
)
_ANY = Statement(selected_exchanges.where(exchanges.c.id == bindparam("exchange")), "exchange")
_HEAD = Statement(
    select(exchanges.c.id)
    .join(rooms_table, rooms_table.c.key == exchanges.c.room_key)
    .where(rooms_table.c.id == bindparam("room"))
    .order_by(exchanges.c.id.desc())
    .limit(1),
    "room",
)
_REPEATED = Statement(
    selected_exchanges.where(
        exchanges.c.body_digest == bindparam("digest"),
        exchanges.c.body_digest.is_not(None),
        exchanges.c.actor_key == bindparam("actor_key"),
        exchanges.c.created_ms > bindparam("since_ms"),
    )
    .order_by(exchanges.c.id.desc())
    .limit(1),
    "digest",
    "actor_key",
    "since_ms",
)
_INSERT = inserting(
    exchanges,
    "id",
    "room_key",
    "actor_key",
    "turn_id",
    "kind",
    "state",
    "model",
    "created_ms",
    "previous_id",
    "kept",
    "body_digest",
    "seqs",
    "request",
    "metadata",
)
_INSERT_PREFIX = inserting(prefixes, "actor_key", "digest", "exchange_id", "answered")
_FINISH = updating(exchanges.c.id, "state", "name", "ended_ms", "seqs", "response")
_SET_METADATA = updating(exchanges.c.id, "metadata")
_FORGET = updating(exchanges.c.id, "deleted_ms", "kept")


def opened(tx: Transaction, command: OpenExchange) -> Opened:
    """Applies `OpenExchange`."""
    actor = tx.actor(command.actor)
    agent = tx.actor(command.agent)
    if actor is None or agent is None:
        raise not_found()  # the history has lost them
    known = _known(tx, command, actor)
    if known is not None:
        return Opened(exchange=known, turn=turn_get(tx.conn, known.turn), dup=True, untitled=False)
    room, view, taken = _place(tx, command, actor)
    new = append(tx, room, by_role(command.ids[taken:], command.entries[taken:], actor, agent))
    view = _with(view, [message.seq for message in new])
    trigger_seq = view[-1][1] if view else room.seq
    ids = (command.turn, command.message)
    turn = open_turn(tx, room, agent, trigger_seq, first=bool(new), external=ids)
    _insert(tx, command, room, actor, view)
    exchange = command.begun(room.id, tx.now_ms, view)
    return Opened(exchange=exchange, turn=turn, dup=False, untitled=room.untitled)


def finished(tx: Transaction, command: FinishExchange) -> Exchange | None:
    """Applies `FinishExchange`."""
    exchange = _unfiltered(tx.conn, command.id)
    if exchange is None:
        raise not_found()  # the history has lost it
    room = tx.room(exchange.room, deleted_too=True)
    held = hold(tx, exchange.turn, command.fence)
    if held is None:
        return None
    message_id, agent = held
    rows = [
        (id_, agent, entry, command.status)
        for id_, entry in zip((message_id, *command.ids), command.entries, strict=False)
    ]
    answers = [message.seq for message in append(tx, room, rows)]
    end(tx, exchange.turn)
    seqs = {"view": exchange.view, "answers": answers}
    _FINISH.run(tx.conn, command.state, command.name, tx.now_ms, seqs, command.response, command.id)
    actor = tx.actor(exchange.actor)
    assert actor is not None, "it asked"
    _INSERT_PREFIX.many(
        tx.conn, [(actor.key, *digest, command.id, True) for digest in distinct(command.prefixes)]
    )
    return _unfiltered(tx.conn, command.id)


def changed(tx: Transaction, command: ChangeExchange) -> Exchange:
    """Applies `ChangeExchange`."""
    exchange = get(tx.conn, command.id)
    if exchange is None or exchange.actor != command.by:
        raise not_found()
    if command.metadata is not None:
        _SET_METADATA.run(tx.conn, command.metadata, command.id)
    if command.forget:
        _FORGET.run(tx.conn, tx.now_ms, False, command.id)  # noqa: FBT003  a value to store
    after = _unfiltered(tx.conn, command.id)
    assert after is not None
    return after


def not_found() -> Refused:
    """The exchange is not there, or not this actor's."""
    return Refused(Code.EXCHANGE_NOT_FOUND, "there is no such completion or response")


def _unfiltered(conn: Connection, exchange: ExchangeId) -> Exchange | None:
    row = _ANY.first(conn, exchange)
    return None if row is None else exchange_of(row)


def _known(tx: Transaction, command: OpenExchange, actor: KnownActor) -> Exchange | None:
    """The exchange that this request already is."""
    known = _unfiltered(tx.conn, command.id)
    if known is None and command.repeated:
        since = tx.now_ms - REPEATED_MS
        row = _REPEATED.first(tx.conn, command.body_digest, actor.key, since)
        known = None if row is None else exchange_of(row)
        if known is not None and known.state is ExchangeState.FAILED:
            return None  # it is asked again because it failed
    return known


def _place(
    tx: Transaction, command: OpenExchange, actor: KnownActor
) -> tuple[LockedRoom, Spans, int]:
    """The room, the seqs of what it holds of the request already, and how many entries those are."""
    if command.previous is not None:
        before = get(tx.conn, command.previous)
        if before is None or before.actor != command.actor:
            raise not_found()
        view = _with(before.view, before.answers)
        room, _ = tx.writable(command.room or before.room, command.actor)
        return room, view, 0
    found = _matched(tx, command, actor)
    if found is not None:
        return found
    if command.room is None:
        return rooms.make(tx, command.new_room), (), 0
    room = rooms.conversation(tx, command.room, command.actor)
    if not command.whole:  # what is new goes on from all that was said
        return room, ((1, room.seq),) if room.seq else (), 0
    return room, *_aligned(tx.conn, room.id, command.entries)


def _matched(
    tx: Transaction, command: OpenExchange, actor: KnownActor
) -> tuple[LockedRoom, Spans, int] | None:
    """Where the longest known beginning of the entries leads to, if the room may go on there."""
    counts = {digest: count for count, digest in command.prefixes}
    rows = _PREFIXES.all(tx.conn, [(digest,) for digest in counts], actor.key)
    for digest, id_, answered in sorted(rows, key=lambda row: -counts[bytes(row[0])]):
        exchange = _unfiltered(tx.conn, id_)
        assert exchange is not None
        taken = counts[bytes(digest)]
        if command.room not in (None, exchange.room):
            continue
        if not answered and exchange.state not in _UNANSWERED:
            continue  # the same question again is another conversation
        head = _HEAD.first(tx.conn, exchange.room)
        seen = stored_rooms.get(tx.conn, exchange.room, command.actor)
        if head is None or head[0] != id_ or seen is None or seen.deleted_ms is not None:
            continue
        view = _with(exchange.view, exchange.answers if answered else ())
        later = spoken(tx.conn, exchange.room, ((view[-1][1] + 1, view[-1][1] + LAST_MESSAGES),))
        for message in later:
            if taken < len(command.entries) and _alike(command.entries[taken], message):
                view = _with(view, [message.seq])
                taken += 1
        room, _ = tx.writable(exchange.room, command.actor)
        return room, view, taken
    return None


def _aligned(conn: Connection, room: RoomId, entries: Sequence[Entry]) -> tuple[Spans, int]:
    """What a room that was named holds of a history: its system prompt, and all up to the last answer, in order.

    What stands behind the last answer is new, whatever words the room may hold already.
    """
    last = max(
        (index for index, entry in enumerate(entries) if entry.role is Role.ASSISTANT), default=-1
    )
    first = messages.page(conn, room, after=0, limit=FIRST_MESSAGES).messages
    newest = messages.page(conn, room, limit=LAST_MESSAGES).messages
    there = [*first, *[message for message in newest if not first or message.seq > first[-1].seq]]
    view: Spans = ()
    taken = at = 0
    for index, entry in enumerate(entries):
        if index > last and entry.role not in (Role.SYSTEM, Role.DEVELOPER):
            break
        places = (place for place in range(at, len(there)) if _alike(entry, there[place]))
        place = next(places, None)
        if place is None:
            break
        view = _with(view, [there[place].seq])
        at, taken = place + 1, index + 1
    return view, taken


def _alike(entry: Entry, message: Message) -> bool:
    return message.deleted_ms is None and likeness(entry) == likeness(message) != b""


def _with(view: Spans, seqs: Sequence[int]) -> Spans:
    """The spans with more seqs behind them."""
    spans = [*view]
    for seq in seqs:
        if spans and spans[-1][1] == seq - 1:
            spans[-1] = (spans[-1][0], seq)
        else:
            spans.append((seq, seq))
    return tuple(spans)


def _insert(
    tx: Transaction, command: OpenExchange, room: LockedRoom, actor: KnownActor, view: Spans
) -> None:
    _INSERT.run(
        tx.conn,
        command.id,
        room.key,
        actor.key,
        command.turn,
        command.kind,
        ExchangeState.RUNNING,
        command.model,
        tx.now_ms,
        command.previous,
        command.kept,
        command.body_digest,
        {"view": view, "answers": ()},
        command.request,
        command.metadata,
    )
    if command.prefixes:
        count, digest = command.prefixes[0]
        if count == len(command.entries):
            _INSERT_PREFIX.run(tx.conn, actor.key, digest, command.id, False)  # noqa: FBT003  as above
