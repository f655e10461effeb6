"""An index of the few accounts that own the server."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

OWNERS = sa.text("role = 'owner' AND status = 'active'")


def upgrade() -> None:
    op.create_index(
        *("accounts_owners", "accounts", ["actor_key"]),
        sqlite_where=OWNERS,
        postgresql_where=OWNERS,
    )
