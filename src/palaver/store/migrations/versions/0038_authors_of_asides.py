"""Whose an aside is: what a request said beside its room."""

import sqlalchemy as sa
from alembic import op

revision = "0038"
down_revision = "0037"


def upgrade() -> None:
    """Those that are there keep none: no row is written, however many they are."""
    key = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.add_column("asides", sa.Column("author_key", key, nullable=True))
