"""How far the history of a room was cleared, and an index of what is deleted."""

import sqlalchemy as sa
from alembic import op

revision = "0042"
down_revision = "0041"


def upgrade() -> None:
    """One walk through all messages for the index, while the server is stopped."""
    for name in ("cleared_seq", "cleared_upto"):
        op.add_column("rooms", sa.Column(name, sa.BigInteger()))
    deleted = sa.text("deleted_ms IS NOT NULL")
    columns = ["deleted_ms", "room_key", "seq"]
    op.create_index(
        "messages_deleted", "messages", columns, sqlite_where=deleted, postgresql_where=deleted
    )
