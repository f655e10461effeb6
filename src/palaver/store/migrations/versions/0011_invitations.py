"""Who was removed from a room and is kept out of it, members in the order of a list, and invitations into rooms."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("members", sa.Column("kept_out", sa.Boolean(), nullable=True))
    op.add_column("tickets", sa.Column("room_key", KEY, nullable=True))
    op.add_column("tickets", sa.Column("role", sa.Text(), nullable=True))
    op.add_column("tickets", sa.Column("uses_left", sa.BigInteger(), nullable=True))
    for name, table, columns, condition in (
        ("members_roles", "members", "room_key role joined_ms actor_key", "kept_out IS NULL"),
        ("tickets_room", "tickets", "room_key created_ms", "room_key IS NOT NULL"),
    ):
        where = sa.text(condition)
        chosen = columns.split()
        op.create_index(name, table, chosen, sqlite_where=where, postgresql_where=where)
