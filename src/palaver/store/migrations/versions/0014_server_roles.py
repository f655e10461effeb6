"""What who has an account may do on the server: so far as anyone else. Nobody becomes its owner by a migration."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.add_column("accounts", sa.Column("role", sa.Text(), nullable=True))
    op.execute("UPDATE accounts SET role = 'person'")
