"""To whom an owner opens a room, and as what; and the indexes along which such rooms are listed, and everyone's."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Goes to this revision."""
    op.drop_index("rooms_open", "rooms")
    for name in ("open_to", "open_role"):
        op.add_column("rooms", sa.Column(name, sa.Text(), nullable=True))
    for name, condition in (
        ("rooms_open", "visibility = 'open' AND open_role IS NULL AND deleted_ms IS NULL"),
        ("rooms_opened", "open_role IS NOT NULL AND deleted_ms IS NULL"),
    ):
        where = sa.text(condition)
        op.create_index(
            name, "rooms", ["active_ms", "key"], sqlite_where=where, postgresql_where=where
        )
