"""Salts, with which the digest of each content is keyed, and every room's chain made anew with them.

What was damaged before stays damaged: from the first event on that does not fit its chain, a room keeps the old one.
"""

import secrets
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from itertools import groupby
from typing import Any

import orjson
import sqlalchemy as sa
from alembic import context, op
from msgspec import Struct, field

from palaver.clock import SystemClock
from palaver.store.columns import cid_out, text_out

revision = "0010"
down_revision = "0009"

PAGE = 500
ACTORS = {"person": "u_", "agent": "a_", "system": "s_"}
NEXT = """
SELECT e.room_key, e.seq, e.type, e.at_ms, e.message_seq, e.data, e.chain, e.digest,
    r.id AS room, r.chain AS newest, a.kind AS actor_kind, a.id AS actor,
    m.id, m.role, m.status, m.kind, m.text, m.cid, m.reply_to_seq, m.branch, m.meta, m.digest AS message_digest
FROM events e
JOIN rooms r ON r.key = e.room_key
LEFT JOIN actors a ON a.key = e.actor_key
LEFT JOIN messages m ON m.room_key = e.room_key AND m.seq = e.seq
WHERE (e.room_key, e.seq) > (:room_key, :seq)
ORDER BY e.room_key, e.seq LIMIT :count
"""
EVENT = "UPDATE events SET chain = :chain, salt = :salt WHERE room_key = :room_key AND seq = :seq"
MESSAGE = "UPDATE messages SET salt = :salt WHERE room_key = :room_key AND seq = :seq"
ROOM = "UPDATE rooms SET chain = :chain WHERE key = :key AND chain = :before"
EPOCH = "UPDATE meta SET value = :epoch WHERE name = 'epoch'"


class _Room(Struct):
    """Where a room's chains are, in the walk through its events."""

    seq: int
    old: bytes
    new: bytes
    intact: bool = True
    events: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    messages: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])


def upgrade() -> None:
    op.add_column("messages", sa.Column("salt", sa.LargeBinary(), nullable=True))
    op.add_column("events", sa.Column("salt", sa.LargeBinary(), nullable=True))
    conn = op.get_bind()
    count = conn.scalar(sa.text("SELECT count(*) FROM rooms"))
    progress = context.config.attributes["progress"]
    with _any_text(conn):
        for number, (key, rows) in enumerate(groupby(_events(conn), lambda row: row.room_key)):
            _chained_anew(conn, key, rows)
            if number % 100 == 0:
                progress(f"chaining room {number + 1} of {count}")
    conn.execute(sa.text(EPOCH), {"epoch": f"e_{SystemClock().new_id()}"})


def _events(conn: sa.Connection) -> Iterator[Any]:
    room_key, seq = -1, 0
    while page := conn.execute(sa.text(NEXT), _place(room_key, seq)).all():
        yield from page
        room_key, seq = page[-1].room_key, page[-1].seq


def _place(room_key: int, seq: int) -> dict[str, int]:
    return {"room_key": room_key, "seq": seq, "count": PAGE}


def _chained_anew(conn: sa.Connection, key: int, rows: Iterator[Any]) -> None:
    room = None
    for row in rows:
        room = room or _Room(0, row.room, row.room)
        _take(room, row)
        if len(room.events) == PAGE:
            _write(conn, room)
    assert room is not None, "a group has a row"
    _write(conn, room)
    conn.execute(sa.text(ROOM), {"chain": room.new, "key": key, "before": room.old})


def _take(room: _Room, row: Any) -> None:
    """Links the next event anew, if it is what was stored."""
    place = {"room_key": row.room_key, "seq": row.seq}
    created = row.type == "message.created"
    salt = secrets.token_bytes(8) if created or row.data is not None else None
    links = _links(room, row, salt or b"") if room.intact and row.seq == room.seq + 1 else None
    room.intact = links is not None and links[0] == row.chain
    room.seq, room.old = row.seq, row.chain
    room.new = row.chain if links is None or not room.intact else links[1]
    room.events.append({**place, "chain": room.new, "salt": None if created else salt})
    if created:
        room.messages.append({**place, "salt": salt})


def _links(room: _Room, row: Any, salt: bytes) -> tuple[bytes, bytes] | None:
    """The event's old link and its new one; None where its content cannot be read."""
    actor = None if row.actor is None else ACTORS[row.actor_kind] + row.actor.hex()
    happened = orjson.dumps((row.seq, row.type, actor, row.at_ms, row.message_seq))
    try:
        content = _content_of(row)
    except (ValueError, TypeError):  # of JSON that is none, and of text
        return None
    given = row.message_digest if row.type == "message.created" else row.digest
    old, new = (given or _digest(content, key) for key in (b"", salt))
    return _digest(room.old + happened + old), _digest(room.new + happened + new)


def _content_of(row: Any) -> bytes:
    if row.type != "message.created":
        return b"" if row.data is None else orjson.dumps(orjson.loads(row.data))
    if row.id is None:
        raise ValueError
    meta = None if row.meta is None else orjson.loads(row.meta)
    told = (row.role, row.status, row.kind, text_out(row.text), cid_out(row.cid))
    return orjson.dumps((f"m_{row.id.hex()}", *told, row.reply_to_seq, row.branch, meta))


def _digest(said: bytes, key: bytes = b"") -> bytes:
    return blake2b(said, digest_size=16, key=key).digest() if said else b""


def _write(conn: sa.Connection, room: _Room) -> None:
    conn.execute(sa.text(EVENT), room.events)
    if room.messages:
        conn.execute(sa.text(MESSAGE), room.messages)
    room.events.clear()
    room.messages.clear()


def _decoded(said: bytes) -> str:
    return said.decode(errors="surrogateescape")


@contextmanager
def _any_text(conn: sa.Connection) -> Generator[None]:
    """Lets SQLite give text that is none, which is a content that cannot be read."""
    raw: Any = conn.connection.dbapi_connection
    if conn.dialect.name != "sqlite":
        yield
        return
    before = raw.text_factory
    raw.text_factory = _decoded
    try:
        yield
    finally:
        raw.text_factory = before
