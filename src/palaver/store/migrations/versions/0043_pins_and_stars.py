"""Messages that are pinned in their room or starred by somebody, and chats on top of somebody's list."""

import sqlalchemy as sa
from alembic import op

from palaver.store.columns import Key

revision = "0043"
down_revision = "0042"


def upgrade() -> None:
    op.create_table(
        "pins",
        sa.Column("room_key", Key, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("added_seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("room_key", "seq", name="pins_pk"),
    )
    op.create_table(
        "stars",
        sa.Column("key", Key, primary_key=True, autoincrement=True),
        sa.Column("actor_key", Key, nullable=False),
        sa.Column("room_key", Key, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="stars_pk"),
        sa.ForeignKeyConstraint(["actor_key"], ["actors.key"], name="stars_actor_key_fk"),
        sa.UniqueConstraint("actor_key", "room_key", "seq", name="stars_actor_key_room_key_seq"),
    )
    op.create_index("stars_actor", "stars", ["actor_key", "key"])
    op.add_column("members", sa.Column("pinned", sa.Boolean()))
    pinned = sa.text("pinned IS NOT NULL")
    op.create_index(
        *("members_pinned", "members", ["actor_key"]), sqlite_where=pinned, postgresql_where=pinned
    )
