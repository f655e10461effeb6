"""What a room has of its own for an agent there, and of each turn the model that was asked for by name."""

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"


def upgrade() -> None:
    op.add_column("members", sa.Column("settings_seq", sa.BigInteger(), nullable=True))
    for name, kind in (
        ("settings_seq", sa.BigInteger()),
        ("model", sa.Text()),
        ("choice", sa.Integer()),
    ):
        op.add_column("turns", sa.Column(name, kind, nullable=True))
