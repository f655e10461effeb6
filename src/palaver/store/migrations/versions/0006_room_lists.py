"""Indexes along which open and deleted rooms are listed."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.drop_index("rooms_open", "rooms")
    for name, column, condition in (
        ("rooms_open", "active_ms", "visibility = 'open' AND deleted_ms IS NULL"),
        ("rooms_deleted", "deleted_ms", "deleted_ms IS NOT NULL"),
    ):
        where = sa.text(condition)
        op.create_index(name, "rooms", [column, "key"], sqlite_where=where, postgresql_where=where)
