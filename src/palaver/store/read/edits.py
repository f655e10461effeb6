"""Reads what a message said at each of its versions: each edit's event carries the text that it replaced."""

from typing import Any

from sqlalchemy import Connection, bindparam, func, literal_column, select

from palaver.model import EventType, Message
from palaver.model.edits import Version
from palaver.store.engine.statement import Statement
from palaver.store.read.actors import id_of
from palaver.store.read.messages import room_key
from palaver.store.schema import actors, event_is_later, events

VERSIONS_MAX = 50
"""So many of the last versions are told."""
_is_edit = events.c.type == literal_column(f"'{EventType.MESSAGE_EDITED}'")
_its = (event_is_later, _is_edit, events.c.message_seq == bindparam("seq"))
_LAST = Statement(
    select(func.max(events.c.seq)).where(events.c.room_key == bindparam("room_key"), *_its),
    *("room_key", "seq"),
)
_FIRST = Statement(
    select(events.c.data)
    .where(events.c.room_key == room_key(), *_its)
    .order_by(events.c.seq)
    .limit(1),
    *("room", "seq"),
)
_NEWEST = Statement(
    select(*events.c["seq", "at_ms", "data"], actors.c.id.label("by"), actors.c.kind)
    .select_from(events)
    .outerjoin(actors, actors.c.key == events.c.actor_key)
    .where(events.c.room_key == room_key(), *_its)
    .order_by(events.c.seq.desc())
    .limit(bindparam("limit")),
    *("room", "seq", "limit"),
)


def version_of(conn: Connection, room_key: int, seq: int) -> int:
    """The version of the message at a seq."""
    return _LAST.value(conn, room_key, seq) or seq


def first_text(conn: Connection, message: Message) -> str:
    """What an edited message said when it was sent."""
    data: dict[str, Any] = _FIRST.value(conn, message.room, message.seq)
    return data["was"]


def versions(conn: Connection, message: Message) -> tuple[list[Version], bool]:
    """The last versions of a message, the oldest first, and whether there are older ones."""
    rows = _NEWEST.all(conn, message.room, message.seq, VERSIONS_MAX)
    found: list[Version] = []
    text = message.text
    for row in rows:
        by = None if row.by is None else id_of(row.kind, row.by)
        found.append(Version(row.seq, row.at_ms, by, text))
        text = row.data["was"]
    more = len(rows) == VERSIONS_MAX
    if not more:
        found.append(Version(message.seq, message.created_ms, message.author, text))
    return found[::-1], more
