"""Accounts, and the handles of those who have one."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    for name in ("public_handle", "skeleton"):
        op.add_column("actors", sa.Column(name, sa.Text(), nullable=True))
    op.add_column("sessions", sa.Column("replaced", sa.Boolean(), nullable=True))
    named = sa.text("skeleton IS NOT NULL")
    op.create_index(
        "actors_skeleton",
        "actors",
        ["skeleton"],
        unique=True,
        sqlite_where=named,
        postgresql_where=named,
    )
    op.create_table(
        "accounts",
        sa.Column("actor_key", KEY, autoincrement=False, nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("password", sa.Text(), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["actor_key"], ["actors.key"], name="accounts_actor_key_fk"),
        sa.PrimaryKeyConstraint("actor_key", name="accounts_pk"),
    )
