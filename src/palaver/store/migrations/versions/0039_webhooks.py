"""Webhooks, and what they are told."""

import sqlalchemy as sa
from alembic import op

from palaver.store.columns import Key

revision = "0039"
down_revision = "0038"


def upgrade() -> None:
    op.create_table(
        "webhooks",
        sa.Column("key", Key, autoincrement=True, nullable=False),
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("owner_key", Key, nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("chosen", sa.Text(), nullable=True),
        sa.Column("ended", sa.Text(), nullable=True),
        sa.Column("failing_ms", sa.BigInteger(), nullable=True),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_before", sa.LargeBinary(), nullable=True),
        sa.Column("before_until_ms", sa.BigInteger(), nullable=True),
        sa.Column("holder", sa.Text(), nullable=True),
        sa.Column("held_until_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("key", name="webhooks_pk"),
        sa.UniqueConstraint("id", name="webhooks_id"),
        sa.ForeignKeyConstraint(["owner_key"], ["actors.key"], name="webhooks_owner_key_fk"),
        sa.CheckConstraint("length(id) = 16", name=op.f("webhooks_id_length")),
    )
    op.create_index("webhooks_owner", "webhooks", ["owner_key"])
    op.create_table(
        "deliveries",
        sa.Column("key", Key, autoincrement=True, nullable=False),
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("webhook_key", Key, nullable=False),
        sa.Column("room_key", Key, nullable=True),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("code", sa.Integer(), nullable=True),
        sa.Column("took_ms", sa.BigInteger(), nullable=True),
        sa.Column("due_ms", sa.BigInteger(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="deliveries_pk"),
        sa.UniqueConstraint("id", name="deliveries_id"),
        sa.ForeignKeyConstraint(
            ["webhook_key"], ["webhooks.key"], name="deliveries_webhook_key_fk"
        ),
        sa.CheckConstraint("length(id) = 16", name=op.f("deliveries_id_length")),
    )
    op.create_index("deliveries_webhook", "deliveries", ["webhook_key", "key"])
    waits = sa.text("state = 'waiting'")
    op.create_index(
        "deliveries_waiting",
        "deliveries",
        ["webhook_key", "room_key", "key"],
        sqlite_where=waits,
        postgresql_where=waits,
    )
