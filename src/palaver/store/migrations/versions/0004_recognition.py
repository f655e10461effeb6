"""Ids that clients have of conversations, and what requests said beside the messages of their room."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "client_rooms",
        sa.Column("actor_key", KEY, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("room_key", KEY, nullable=False),
        sa.ForeignKeyConstraint(["actor_key"], ["actors.key"], name="client_rooms_actor_key_fk"),
        sa.ForeignKeyConstraint(["room_key"], ["rooms.key"], name="client_rooms_room_key_fk"),
        sa.PrimaryKeyConstraint("actor_key", "digest", name="client_rooms_pk"),
    )
    op.create_table(
        "asides",
        sa.Column("room_key", KEY, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("said", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["room_key"], ["rooms.key"], name="asides_room_key_fk"),
        sa.PrimaryKeyConstraint("room_key", "number", name="asides_pk"),
        sa.UniqueConstraint("room_key", "digest", name="asides_digest"),
    )
