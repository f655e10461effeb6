"""Stored prompts, which requests of the Responses API name."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "prompts",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("actor_key", KEY, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("deleted_ms", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("length(id) = 16", name=op.f("prompts_id_length")),
        sa.ForeignKeyConstraint(["actor_key"], ["actors.key"], name="prompts_actor_key_fk"),
        sa.PrimaryKeyConstraint("id", "version", name="prompts_pk"),
    )
    op.create_index("prompts_actor", "prompts", ["actor_key", "id"])
