"""Reactions to messages."""

import sqlalchemy as sa
from alembic import op

from palaver.store.columns import Key

revision = "0041"
down_revision = "0040"


def upgrade() -> None:
    op.create_table(
        "reactions",
        sa.Column("room_key", Key, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("emoji", sa.Text(), nullable=False),
        sa.Column("actor_key", Key, nullable=False),
        sa.Column("added_seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("room_key", "seq", "emoji", "actor_key", name="reactions_pk"),
    )
