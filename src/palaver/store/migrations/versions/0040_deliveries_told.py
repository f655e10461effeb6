"""Why a delivery was not sent, and how often it was tried before somebody hurried it."""

import sqlalchemy as sa
from alembic import op

revision = "0040"
down_revision = "0039"


def upgrade() -> None:
    hurried = sa.Column("hurried", sa.Integer(), nullable=False, server_default="0")
    op.add_column("deliveries", hurried)
    op.add_column("deliveries", sa.Column("problem", sa.Text(), nullable=True))
