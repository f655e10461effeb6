"""Rooms in which nothing more is said, and what members hide and mute for themselves."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.add_column("rooms", sa.Column("archived_ms", sa.BigInteger(), nullable=True))
    op.add_column("members", sa.Column("muted", sa.Boolean(), nullable=True))
    op.add_column("members", sa.Column("hidden_seq", sa.BigInteger(), nullable=True))
