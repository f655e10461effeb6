"""By how many tokens a budget bounded what a turn's model was asked for."""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"


def upgrade() -> None:
    op.add_column("turns", sa.Column("tokens_max", sa.BigInteger(), nullable=True))
