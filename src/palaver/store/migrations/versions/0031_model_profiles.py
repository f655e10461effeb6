"""Connections to model servers: the server's, and each person's own."""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "profiles",
        sa.Column("key", KEY, nullable=False, autoincrement=True),
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("owner_key", KEY, nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("base_url", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("headers_sealed", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint("length(id) = 16", name=op.f("profiles_id_length")),
        sa.ForeignKeyConstraint(["owner_key"], ["actors.key"], name="profiles_owner_key_fk"),
        sa.PrimaryKeyConstraint("key", name="profiles_pk"),
        sa.UniqueConstraint("id", name="profiles_id"),
    )
    op.create_index("profiles_owner", "profiles", ["owner_key"])
    servers = sa.text("owner_key IS NULL")
    op.create_index(
        "profiles_servers", "profiles", ["key"], sqlite_where=servers, postgresql_where=servers
    )
