"""When an API key ends by itself, and the rooms to which it is limited."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    op.add_column("keys", sa.Column("expires_ms", sa.BigInteger(), nullable=True))
    op.add_column("keys", sa.Column("rooms", sa.Text(), nullable=True))
