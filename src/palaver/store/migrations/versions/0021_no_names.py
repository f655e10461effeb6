"""Events without names: those in the log are taken out, with the salts by which a guess could be tried.

The digest of what stood there is kept in their place, so that the chain holds.
"""

from hashlib import blake2b
from typing import Any

import orjson
import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"

PAGE = 500
NEXT = """
SELECT room_key, seq, data, salt, digest FROM events
WHERE (room_key, seq) > (:room_key, :seq) AND type IN ('member.joined', 'member.removed', 'member.renamed')
ORDER BY room_key, seq LIMIT :count
"""
NAMELESS = """
UPDATE events SET data = :data, digest = :digest, salt = NULL WHERE room_key = :room_key AND seq = :seq
"""


def upgrade() -> None:
    conn = op.get_bind()
    raw: Any = conn.connection.dbapi_connection
    sqlite = conn.dialect.name == "sqlite"
    if sqlite:
        raw.text_factory = bytes  # what is damaged is no text
    try:
        _walk(conn)
    finally:
        if sqlite:
            raw.text_factory = str


def _walk(conn: sa.Connection) -> None:
    room_key, seq = -1, 0
    while page := conn.execute(sa.text(NEXT), _place(room_key, seq)).all():
        nameless = [changed for row in page if (changed := _nameless(row)) is not None]
        if nameless:
            conn.execute(sa.text(NAMELESS), nameless)
        room_key, seq = page[-1].room_key, page[-1].seq


def _place(room_key: int, seq: int) -> dict[str, int]:
    return {"room_key": room_key, "seq": seq, "count": PAGE}


def _nameless(row: Any) -> dict[str, Any] | None:
    """What becomes of an event; None for one without a name, and for one that cannot be read."""
    try:
        data = orjson.loads(row.data)
    except ValueError:
        return None
    if data.pop("name", None) is None:
        return None
    said = orjson.dumps(orjson.loads(row.data))
    digest = row.digest or blake2b(said, digest_size=16, key=row.salt or b"").digest()
    told = orjson.dumps(data).decode()
    return {"room_key": row.room_key, "seq": row.seq, "data": told, "digest": digest}
