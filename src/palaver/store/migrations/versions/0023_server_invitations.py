"""Invitations to the server: as what one comes, and into which rooms."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    op.add_column("tickets", sa.Column("server_role", sa.Text(), nullable=True))
    op.add_column("tickets", sa.Column("rooms", sa.Text(), nullable=True))
    op.drop_index("tickets_actor", "tickets")
    op.create_index("tickets_actor", "tickets", ["actor_key", "id"])
    where = sa.text("server_role IS NOT NULL")
    op.create_index("tickets_server", "tickets", ["id"], sqlite_where=where, postgresql_where=where)
