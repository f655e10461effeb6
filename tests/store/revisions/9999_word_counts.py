"""A revision that only tests know: it writes into every message, room by room."""

import sqlalchemy as sa
from alembic import context, op

from palaver.store.migrate import revisions

revision = "9999"
down_revision = revisions()[-2]
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds a column and fills it."""
    progress = context.config.attributes["progress"]
    op.add_column("messages", sa.Column("chars", sa.Integer()))
    connection = op.get_bind()
    rooms = [key for (key,) in connection.execute(sa.text("SELECT key FROM rooms ORDER BY key"))]
    fill = sa.text("UPDATE messages SET chars = length(text) WHERE room_key = :room")
    for number, room in enumerate(rooms, start=1):
        connection.execute(fill, {"room": room})
        progress(f"room {number} of {len(rooms)}")
