"""How long answers let people wait for their first word, and how many failed, added up by day, provider and model."""

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"


def upgrade() -> None:
    names = ["day", "profile", "model", "within_ms"]
    kinds = (sa.Integer(), sa.Text(), sa.Text(), sa.BigInteger())
    op.create_table(
        "waits",
        *[sa.Column(name, kind, nullable=False) for name, kind in zip(names, kinds, strict=True)],
        sa.Column("answers", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(*names, name="waits_pk"),
    )
    op.add_column("usage", sa.Column("failed", sa.BigInteger(), nullable=True))
