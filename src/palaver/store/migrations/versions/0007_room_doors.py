"""The door through which a room was made, taken out of its settings, and the room out of which it came."""

import orjson
import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
SETTINGS = """
SELECT key, settings FROM rooms WHERE key > :last AND settings LIKE '%"door"%' ORDER BY key LIMIT 500
"""
DOOR = "UPDATE rooms SET door = :door, settings = :settings WHERE key = :key"


def upgrade() -> None:
    op.add_column("rooms", sa.Column("door", sa.Text(), nullable=True))
    op.add_column("rooms", sa.Column("parent_key", KEY, nullable=True))
    where = sa.text("parent_key IS NOT NULL")
    op.create_index(
        "rooms_parent", "rooms", ["parent_key", "key"], sqlite_where=where, postgresql_where=where
    )
    conn, last = op.get_bind(), 0
    while rows := conn.execute(sa.text(SETTINGS), {"last": last}).all():
        last = rows[-1].key
        moved = [_moved(key, orjson.loads(settings)) for key, settings in rows]
        conn.execute(sa.text(DOOR), moved)


def _moved(key: int, settings: dict[str, object]) -> dict[str, object]:
    door = settings.pop("door", None)
    left = orjson.dumps(settings).decode() if settings else None
    return {"key": key, "door": door, "settings": left}
