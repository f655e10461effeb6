"""Whose account somebody went into."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.add_column("actors", sa.Column("became_key", key, nullable=True))
    became = sa.text("became_key IS NOT NULL")
    op.create_index(
        "actors_became", "actors", ["became_key"], sqlite_where=became, postgresql_where=became
    )
