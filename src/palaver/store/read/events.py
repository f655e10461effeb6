"""What happened in a room, by seq. Reads only."""

from sqlalchemy import Connection, bindparam, select

from palaver.model import Event, EventType, RoomId
from palaver.store.engine.statement import Statement
from palaver.store.read import messages
from palaver.store.read.actors import id_of
from palaver.store.schema import actors, events, messages as messages_table
from palaver.store.values import new_event

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
    select(*messages.COLUMNS, _cut.c.seq, _cut.c.type, _cut.c.at_ms, _cut.c.data)
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
    found: list[Event] = []
    for row in _SINCE.all(conn, room, messages.bounded(after), limit):
        kind, digits = row[2], row[3]
        seq, type_, at_ms, data = row[len(messages.COLUMNS) :]
        found.append(
            new_event(
                room,
                seq,
                type_,
                None if digits is None else id_of(kind, digits),
                at_ms,
                messages.message_of(room, row) if type_ is EventType.MESSAGE_CREATED else None,
                data,
            )
        )
    return tuple(found)
