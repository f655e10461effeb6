"""Who made a link to a password, and ways to what is looked for by its end, its e-mail address or a provider's name."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("tickets", sa.Column("by_key", KEY, nullable=True))
    op.create_index("tickets_expires", "tickets", ["expires_ms"])
    for table, column in (("actors", "email"), ("sessions", "elsewhere")):
        there = sa.text(f"{column} IS NOT NULL")
        op.create_index(
            f"{table}_{column}",
            table,
            [column],
            sqlite_where=there,
            postgresql_where=there,
        )
