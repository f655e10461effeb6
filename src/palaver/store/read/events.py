"""Reads a room's events by seq."""

from sqlalchemy import Connection, bindparam, select

from palaver.model import Event, EventType, RoomId
from palaver.store.engine.statement import Row, Statement
from palaver.store.read import messages
from palaver.store.read.actors import id_of
from palaver.store.schema import actors, events, messages as messages_table

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


def since(conn: Connection, room: RoomId, after: int, limit: int) -> tuple[Event, ...]:
    """The events with seq > `after`, oldest first; a created message comes as it is now."""
    rows = _SINCE.all(conn, room, messages.bounded(after), limit)
    return tuple([_event(room, row) for row in rows])


def _event(room: RoomId, row: Row) -> Event:
    created = row.type is EventType.MESSAGE_CREATED
    return Event(  # in the order of an `Event`'s fields
        room,
        row.event_seq,
        row.type,
        None if row.author is None else id_of(row.author_kind, row.author),
        row.at_ms,
        messages.message_of(room, row) if created else None,
        row.data,
    )
