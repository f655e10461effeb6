"""Reads exchanges: the requests of API clients and their answers."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import orjson
from sqlalchemy import Connection, Select, Text, bindparam, func, literal, select

from palaver.model import (
    NO_DATA,
    ActorId,
    ExchangeId,
    Message,
    MessageId,
    Role,
    RoomId,
    Spans,
    Status,
    TurnId,
)
from palaver.model.exchanges import Exchange, ExchangeKind, ExchangeState
from palaver.store.columns import INTEGER_MAX
from palaver.store.engine.statement import Row, Statement, among
from palaver.store.read import branches
from palaver.store.read.actors import id_of
from palaver.store.read.messages import (
    became,
    get as get_message,
    messages_of,
    person,
    room_key,
    selected,
)
from palaver.store.read.rooms import AMONG, room_is_among, these
from palaver.store.schema import (
    actors,
    asides,
    exchange_is_kept,
    exchanges,
    messages,
    rooms,
    turn_is_open,
    turns,
)
from palaver.store.values import ByName

NOBODY = ActorId("")
FIRST_ID, LAST_ID = ExchangeId("x_" + "0" * 32), ExchangeId("x_" + "f" * 32)

selected_exchanges = (
    select(
        *exchanges.c["id", "name", "kind", "state", "model", "created_ms", "ended_ms", "kept"],
        *exchanges.c["seqs", "request", "response", "metadata"],
        exchanges.c.previous_id.label("previous"),
        rooms.c.id.label("room"),
        actors.c.kind.label("actor_kind"),
        actors.c.id.label("actor"),
        turns.c.id.label("turn"),
        turns.c.message_id.label("message"),
    )
    .select_from(exchanges)
    .join(rooms, rooms.c.key == exchanges.c.room_key)
    .join(actors, actors.c.key == exchanges.c.actor_key)
    .join(turns, turns.c.id == exchanges.c.turn_id)
)
_EXCHANGE = ByName(Exchange, "actor", "view", "answers", "lasting", "by")
_live = selected_exchanges.where(exchanges.c.deleted_ms.is_(None))
_BY_ID = Statement(_live.where(exchanges.c.id == bindparam("exchange")), "exchange")
_BY_TURN = Statement(selected_exchanges.where(exchanges.c.turn_id == bindparam("turn")), "turn")
_BY_NAME = Statement(
    _live.where(
        exchange_is_kept,
        exchanges.c.name == bindparam("name"),
        exchanges.c.name.is_not(None),
        actors.c.id == bindparam("actor"),
    )
    .order_by(exchanges.c.id.desc())
    .limit(1),
    *("name", "actor"),
)
_OPEN = Statement(
    select(turns.c.trigger_seq, exchanges.c.seqs)
    .join(exchanges, exchanges.c.turn_id == turns.c.id)
    .where(turn_is_open, turns.c.room_key == room_key()),
    "room",
)
_SAID = Statement(
    select(*messages.c["seq", "branch"])
    .where(messages.c.room_key == room_key(), messages.c.seq <= bindparam("seq"))
    .order_by(messages.c.seq),
    *("room", "seq"),
)
_ASIDES = among(
    select(
        *asides.c["number", "digest", "said"],
        actors.c.kind.label("author_kind"),
        actors.c.id.label("author"),
        became.c.id.label("became"),
    )
    .select_from(asides)
    .outerjoin(actors, actors.c.key == asides.c.author_key)
    .outerjoin(became, became.c.key == actors.c.became_key)
    .where(asides.c.room_key == room_key()),
    asides.c.number,
    "room",
)
_ASIDE = Statement(
    select(asides.c.number).where(
        asides.c.room_key == room_key(), asides.c.digest == bindparam("digest")
    ),
    "room",
    "digest",
)
_in_span = selected().where(
    messages.c.room_key == room_key(),
    messages.c.seq >= bindparam("first"),
    messages.c.seq <= bindparam("last"),
    messages.c.deleted_ms.is_(None),
)
_SPAN = Statement(_in_span.order_by(messages.c.seq), "room", "first", "last")
_OLDEST = Statement(
    _in_span.order_by(messages.c.seq).limit(bindparam("limit")), "room", "first", "last", "limit"
)
_NEWEST = Statement(
    _in_span.order_by(messages.c.seq.desc()).limit(bindparam("limit")),
    *("room", "first", "last", "limit"),
)


def get(conn: Connection, exchange: ExchangeId) -> Exchange | None:
    """The exchange of this id, unless it was forgotten."""
    row = _BY_ID.first(conn, exchange)
    return None if row is None else exchange_of(conn, row)


def of_turn(conn: Connection, turn: TurnId) -> Exchange | None:
    """The exchange whose answer a turn is."""
    row = _BY_TURN.first(conn, turn)
    return None if row is None else exchange_of(conn, row)


def by_name(conn: Connection, name: str, actor: str) -> Exchange | None:
    """The newest of the exchanges that an actor asked to keep and to which its upstream gave this name."""
    row = _BY_NAME.first(conn, name, actor)
    return None if row is None else exchange_of(conn, row)


def kept(
    conn: Connection,
    actor: str,
    kind: ExchangeKind,
    *,
    after: ExchangeId | None,
    limit: int,
    newest_first: bool,
    model: str | None,
    metadata: Mapping[str, str],
    among: Collection[RoomId] | None = None,
) -> tuple[Exchange, ...]:
    """The ended exchanges that an actor asked to keep, in the order of their making, after one of them.

    Those of a model only, with this metadata, and in these rooms, where they are given.
    """
    above = FIRST_ID if after is None or newest_first else after
    below = LAST_ID if after is None or not newest_first else after
    pairs = ["," + orjson.dumps({key: value})[1:-1].decode() for key, value in metadata.items()]
    found = _kept(
        newest_first=newest_first,
        of_model=model is not None,
        pairs=len(pairs),
        few=among is not None,
    )
    models = () if model is None else (model,)
    values = (above, below, limit, *models, *pairs, *these(among))
    rows = found.all(conn, kind, actor, *values)
    return tuple([exchange_of(conn, row) for row in rows])


@cache
def _kept(*, newest_first: bool, of_model: bool, pairs: int, few: bool) -> Statement:
    """A page of kept exchanges. Nothing but a pair of metadata stands in its JSON as `orjson` writes that."""
    there = literal(",") + func.substr(exchanges.c.metadata, 2, type_=Text)
    own = select(actors.c.key).where(actors.c.id == bindparam("actor")).scalar_subquery()
    places = [f"pair_{number}" for number in range(pairs)]

    def asked(position: str) -> Select[*tuple[Any, ...]]:
        chosen = _live.where(
            exchange_is_kept,
            exchanges.c.state != ExchangeState.RUNNING,
            exchanges.c.kind == bindparam("kind"),
            exchanges.c.actor_key == own,
            exchanges.c.id > bindparam("above"),
            exchanges.c.id < bindparam("below"),
            *[exchanges.c.model == bindparam("model") for _ in range(of_model)],
            *[getattr(func, position)(there, bindparam(place, type_=Text)) > 0 for place in places],
            *[room_is_among for _ in range(few)],
        )
        order = exchanges.c.id.desc() if newest_first else exchanges.c.id
        return chosen.order_by(order).limit(bindparam("limit"))

    names = ("kind", "actor", "above", "below", "limit", *["model"] * of_model)
    return Statement(asked("strpos"), *names, *places, *AMONG * few, sqlite=asked("instr"))


def standing(conn: Connection, room: RoomId, seq: int) -> Spans:
    """All that was said in a room up to this seq, but for the questions of clients whose answers are not there.

    Of a room with branches that is what was said on its main path.
    """
    asked = [
        (row.seqs["own"], row.trigger_seq) for row in _OPEN.all(conn, room) if "own" in row.seqs
    ]
    if branches.any_of(conn, room):
        path = branches.main(conn, room)
        said = _SAID.all(conn, room, seq)
        asked += [(one.seq, one.seq) for one in said if not path.holds(one.branch, one.seq)]
    spans: list[tuple[int, int]] = []
    at = 1
    for first, last in [*sorted(asked), (seq + 1, seq + 1)]:
        if at < first:
            spans.append((at, first - 1))
        at = max(at, last + 1)
    return tuple(spans)


def stands(conn: Connection, room: RoomId, seq: int) -> tuple[Message, ...]:
    """The messages of `standing`."""
    return spoken(conn, room, standing(conn, room, seq))


def spoken(
    conn: Connection, room: RoomId, spans: Spans, asker: ActorId = NOBODY
) -> tuple[Message, ...]:
    """The messages of a room at these seqs that are still there, and its asides, in the order of the spans.

    `asker`: who asked the exchange that the spans are of. Asides of before revision 0038 have no author: they are its.
    Of a room as it stood an answer follows its question, whatever was said between them.
    """
    numbers = [(first,) for first, _ in spans if first < 0]
    beside = {row.number: row for row in _ASIDES.all(conn, numbers, room)}
    found: list[Message] = []
    for first, last in spans:
        if first < 0:
            found.append(_aside_of(room, beside[first], asker))
            continue
        found += messages_of(room, _SPAN.columns(conn, room, first, min(last, INTEGER_MAX)))
    return tuple(_by_question(found) if spans and spans[0][0] == 1 else found)


def _by_question(said: Sequence[Message]) -> Iterator[Message]:
    answers: dict[MessageId, list[Message]] = {one.id: [] for one in said}
    first: list[Message] = []
    for one in said:
        late = one.role is Role.ASSISTANT and one.reply_to is not None
        (answers.get(one.reply_to, first) if late else first).append(one)  # type: ignore[arg-type]
    left = first[::-1]
    while left:
        yield (one := left.pop())
        left += answers[one.id][::-1]


def page(
    conn: Connection,
    room: RoomId,
    spans: Spans,
    *,
    after: MessageId | None,
    limit: int,
    newest_first: bool,
    asker: ActorId = NOBODY,
) -> tuple[Message, ...] | None:
    """At most `limit` of what `spoken` gives, behind one of them; None where that is none of them.

    No more is read than is given.
    """
    found: list[Message] = []
    seq = None if after is None else _seq_of(conn, room, after)
    behind = after is None
    for first, last in reversed(spans) if newest_first else spans:
        begin, end = first, min(last, INTEGER_MAX)
        if not behind:
            if seq is None or not begin <= seq <= end:
                continue
            behind = True
            begin, end = (begin, seq - 1) if newest_first else (seq + 1, end)
        if begin > end:
            continue
        if begin < 0:
            found += spoken(conn, room, ((begin, end),), asker)
        else:
            span = _NEWEST if newest_first else _OLDEST
            left = limit - len(found)
            found += messages_of(room, span.columns(conn, room, begin, end, left))
        if len(found) >= limit:
            break
    return tuple(found) if behind else None


def _seq_of(conn: Connection, room: RoomId, message: MessageId) -> int | None:
    """The seq of a message of a room, or the number of an aside."""
    known = get_message(conn, message)
    if known is not None:
        return known.seq if known.room == room else None
    return _ASIDE.value(conn, room, bytes.fromhex(message[2:]))


def _aside_of(room: RoomId, row: Row, asker: ActorId) -> Message:
    said, known = row.said, row.author is not None
    return Message(
        id=MessageId(f"m_{row.digest.hex()}"),
        room=room,
        seq=row.number,
        author=id_of(row.author_kind, row.author) if known else asker,
        became=person(row.became),
        name="",
        role=Role(said["role"]),
        status=Status.DONE,
        text=said["text"],
        created_ms=0,
        kind=said["kind"],
        meta=said["meta"] or {},
    )


def exchange_of(conn: Connection, row: Row) -> Exchange:
    """The exchange of a row of `selected_exchanges`."""
    view = tuple((int(first), int(last)) for first, last in row.seqs.get("view", ()))
    answers = tuple(row.seqs.get("answers", ()))
    beside: Mapping[str, int] = row.seqs.get("request", NO_DATA)
    if beside:
        numbers = [(number,) for number in beside.values()]
        kept = {one.number: one.said["value"] for one in _ASIDES.all(conn, numbers, row.room)}
        row.request.update({name: kept[number] for name, number in beside.items()})
    lasting = row.seqs.get("lasting", False)
    told = (view, answers, lasting, row.seqs.get("by"))
    return _EXCHANGE.one(row, id_of(row.actor_kind, row.actor), *told)
