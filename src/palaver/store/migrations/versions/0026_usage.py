"""What answers used, added up by day, who set them off, agent, provider and model."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    keys = ["day", "asker_key", "agent_key", "profile", "model"]
    key = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    kinds = (sa.Integer(), key, key, sa.Text(), sa.Text())
    sums = ("answers", "input", "output", "cached", "reasoning", "cost_micros", "unpriced")
    op.create_table(
        "usage",
        *[sa.Column(name, kind, nullable=False) for name, kind in zip(keys, kinds, strict=True)],
        *[sa.Column(name, sa.BigInteger(), nullable=False) for name in (*sums, "estimated")],
        sa.PrimaryKeyConstraint(*keys, name="usage_pk"),
    )
    op.create_index("usage_asker", "usage", ["asker_key", "day"])
