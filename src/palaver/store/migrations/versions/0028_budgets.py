"""Budgets of what answers may use, and what is reserved of them for those that run."""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"


def upgrade() -> None:
    key = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    names = ["kind", "of_key", "period"]
    kinds = (sa.Text(), key, sa.Text())
    op.create_table(
        "budgets",
        *[sa.Column(name, kind, nullable=False) for name, kind in zip(names, kinds, strict=True)],
        *[sa.Column(name, sa.BigInteger(), nullable=True) for name in ("tokens", "cost_micros")],
        sa.PrimaryKeyConstraint(*names, name="budgets_pk"),
    )
    op.create_index("usage_agent", "usage", ["agent_key", "day"])
    for name, kind in (("payer_key", key), ("reserved_tokens", None), ("reserved_micros", None)):
        op.add_column("turns", sa.Column(name, kind or sa.BigInteger(), nullable=True))
