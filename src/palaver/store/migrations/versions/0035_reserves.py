"""What is reserved of budgets for answers that nobody keeps."""

import sqlalchemy as sa
from alembic import op

revision = "0035"
down_revision = "0034"


def upgrade() -> None:
    key = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "reserves",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("lease_until_ms", sa.BigInteger(), nullable=True),
        sa.Column("asker_key", key, nullable=False),
        sa.Column("agent_key", key, nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("micros", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="reserves_pk"),
        sa.CheckConstraint("length(id) = 16", name=op.f("reserves_id_length")),
    )
