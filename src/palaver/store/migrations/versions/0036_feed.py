"""A feed of what happens in all rooms, in one order, and how far its consumers are."""

import sqlalchemy as sa
from alembic import op

from palaver.store.columns import Key

revision = "0036"
down_revision = "0035"


def upgrade() -> None:
    op.create_table(
        "feed",
        sa.Column("position", Key, autoincrement=True, nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("spans", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("position", name="feed_pk"),
    )
    op.create_table(
        "unfed",
        sa.Column("key", Key, autoincrement=True, nullable=False),
        sa.Column("room_key", Key, nullable=False),
        sa.Column("first_seq", sa.BigInteger(), nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="unfed_pk"),
    )
    op.create_table(
        "consumers",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="consumers_pk"),
    )
