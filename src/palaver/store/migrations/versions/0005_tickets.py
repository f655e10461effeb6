"""Tickets, and sessions of further devices."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("sessions", sa.Column("name", sa.Text(), nullable=True))
    op.add_column("sessions", sa.Column("ended_ms", sa.BigInteger(), nullable=True))
    ended = sa.text("ended_ms IS NOT NULL")
    op.create_index(
        "sessions_ended", "sessions", ["ended_ms"], sqlite_where=ended, postgresql_where=ended
    )
    op.create_table(
        "tickets",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("actor_key", KEY, nullable=False),
        sa.Column("token_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("used_ms", sa.BigInteger(), nullable=True),
        sa.Column("revoked_ms", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("length(id) = 16", name=op.f("tickets_id_length")),
        sa.ForeignKeyConstraint(["actor_key"], ["actors.key"], name="tickets_actor_key_fk"),
        sa.PrimaryKeyConstraint("id", name="tickets_pk"),
        sa.UniqueConstraint("token_sha256", name="tickets_token_sha256"),
    )
    op.create_index("tickets_actor", "tickets", ["actor_key"])
