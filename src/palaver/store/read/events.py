"""Reads a room's events by seq. They hold nobody's name: it is read beside them, as it is now."""

from collections.abc import Mapping, Sequence

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    bindparam,
    case,
    literal_column,
    select,
)

from palaver.model import (
    Actor,
    ActorId,
    Event,
    EventType,
    Message,
    MessageId,
    RoomId,
)
from palaver.store.engine.statement import Row, Statement, among
from palaver.store.read import messages
from palaver.store.read.actors import id_of, of_ids
from palaver.store.read.rooms import seqs
from palaver.store.schema import actors, events, messages as messages_table, rooms

_replied = messages.replied
# The range is cut before anything is joined to it; see `messages._range`.
_cut = (
    select(events)
    .where(events.c.room_key == messages.room_key(), events.c.seq > bindparam("after"))
    .order_by(events.c.seq)
    .limit(bindparam("limit"))
    .subquery("cut")
)
# A message has the seq of the event that created it, and its author is that event's actor.
_SINCE = Statement(
    select(*messages.COLUMNS, _cut.c.seq.label("event_seq"), _cut.c.type, _cut.c.at_ms, _cut.c.data)
    .select_from(_cut)
    .outerjoin(actors, actors.c.key == _cut.c.actor_key)
    .outerjoin(messages.became, messages.became.c.key == actors.c.became_key)
    .outerjoin(
        messages_table,
        (messages_table.c.room_key == _cut.c.room_key) & (messages_table.c.seq == _cut.c.seq),
    )
    .outerjoin(
        _replied,
        (_replied.c.room_key == messages_table.c.room_key)
        & (_replied.c.seq == messages_table.c.reply_to_seq),
    )
    .order_by(_cut.c.seq),
    "room",
    "after",
    "limit",
)
NOTICES = (
    EventType.ROOM_CLEARED,
    EventType.ROOM_UNCLEARED,
    EventType.ROOM_ARCHIVED,
    EventType.ROOM_UNARCHIVED,
    EventType.ROOM_TRANSFERRED,
    EventType.ROOM_VISIBILITY,
    EventType.MEMBER_JOINED,
    EventType.MEMBER_LEFT,
    EventType.MEMBER_REMOVED,
    EventType.MEMBER_ROLE,
    EventType.MEMBER_SPEAKS,
    EventType.MEMBER_SETTINGS,
    EventType.TURN_REFUSED,
)
"""What is told among the messages of a room."""
NOTICES_WALKED_MAX = 10_000
_NAMED = {EventType.MEMBER_JOINED, EventType.MEMBER_REMOVED, EventType.MEMBER_RENAMED}
_TOLD: list[ColumnElement[str]] = [literal_column(f"'{kind}'") for kind in NOTICES]
_NOTICES = Statement(
    select(
        events.c.seq.label("event_seq"),
        *events.c["type", "at_ms", "data"],
        actors.c.id.label("author"),
        actors.c.kind.label("author_kind"),
    )
    .select_from(events)
    .outerjoin(actors, actors.c.key == events.c.actor_key)
    .where(events.c.room_key == messages.room_key(), events.c.type.in_(_TOLD))
    .where(events.c.seq > bindparam("after"), events.c.seq < bindparam("before"))
    .order_by(events.c.seq.desc())
    .limit(bindparam("limit")),
    *("room", "after", "before", "limit"),
)
_before: ColumnElement[int] = bindparam("before", type_=BigInteger)
_top = case((_before <= rooms.c.seq, _before), else_=rooms.c.seq + 1)
_glimpsed = (
    select(rooms.c.id.label("room"), *events.c["seq", "type", "at_ms"])
    .join(events, events.c.room_key == rooms.c.key)
    .where(events.c.seq >= _top - bindparam("depth"), events.c.seq < _top)
    .order_by(events.c.at_ms.desc(), rooms.c.key, events.c.seq.desc())
    .limit(bindparam("depth"))
)
_of_type = events.c.type == bindparam("type", type_=events.c.type.type)
_GLIMPSES = among(_glimpsed, rooms.c.id, "before", "depth")
_GLIMPSES_OF = among(_glimpsed.where(_of_type), rooms.c.id, "before", "depth", "type")


def glimpses(
    conn: Connection, among: Sequence[RoomId], before: int, depth: int, kind: EventType | None
) -> list[tuple[RoomId, int, EventType, int]]:
    """Room, seq, type and time of the newest events before a seq: `depth` in all, of the last `depth` of each room."""
    asked = [(room,) for room in among]
    told = (before, depth) if kind is None else (before, depth, kind)
    rows = (_GLIMPSES if kind is None else _GLIMPSES_OF).all(conn, asked, *told)
    return [(row.room, row.seq, row.type, row.at_ms) for row in rows]


def notices(
    conn: Connection, room: RoomId, after: int, before: int, limit: int
) -> tuple[tuple[Event, ...], tuple[Actor, ...]]:
    """The last events between two seqs that are told among the messages, oldest first, and of whom they tell."""
    before = min(messages.bounded(before), seqs(conn, [room]).get(room, 0) + 1)
    rows = _NOTICES.all(conn, room, max(after, before - NOTICES_WALKED_MAX), before, limit)
    whom = [(_by(row), row.data.get("actor"), row.data.get("agent")) for row in rows]
    told = {one for those in whom for one in those if one is not None}
    people = of_ids(conn, told)
    return tuple([_event(room, row, people, {}) for row in reversed(rows)]), tuple(people.values())


def since(conn: Connection, room: RoomId, after: int, limit: int) -> tuple[Event, ...]:
    """The events with seq > `after`, oldest first; a message that was created or edited comes as it is now."""
    rows = _SINCE.all(conn, room, messages.bounded(after), limit)
    people = of_ids(conn, {row.data["actor"] for row in rows if row.type in _NAMED})
    edited = {row.data["msg"] for row in rows if row.type is EventType.MESSAGE_EDITED}
    said = messages.of_ids(conn, edited) if edited else {}
    return tuple([_event(room, row, people, said) for row in rows])


def of(
    conn: Connection, spans: Mapping[RoomId, tuple[int, int]]
) -> dict[tuple[RoomId, int], Event]:
    """The events of a span of seqs, from the first to the last, of each of these rooms."""
    return {
        (room, event.seq): event
        for room, (first, last) in spans.items()
        for event in since(conn, room, first - 1, last - first + 1)
    }


def _by(row: Row) -> ActorId | None:
    return None if row.author is None else id_of(row.author_kind, row.author)


def _event(
    room: RoomId,
    row: Row,
    people: Mapping[ActorId, Actor],
    edited: Mapping[MessageId, Message],
) -> Event:
    """`edited`: the messages of the edits."""
    message, data = None, row.data
    if row.type is EventType.MESSAGE_CREATED:
        message = messages.message_of(room, row)
    elif row.type is EventType.MESSAGE_EDITED:
        message = edited[data["msg"]]
        data = data if message.deleted_ms is None else {**data, "was": ""}
    named = people.get(row.data["actor"]) if row.type in _NAMED else None
    return Event(  # in the order of an `Event`'s fields
        room,
        row.event_seq,
        row.type,
        _by(row),
        row.at_ms,
        message,
        data,
        named and named.name,
    )
