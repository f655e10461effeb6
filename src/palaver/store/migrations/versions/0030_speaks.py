"""When each agent of a room speaks, and of each turn what set it off, for whom, and after which it begins."""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

SPEAKS = """
UPDATE members SET speaks = CASE WHEN auto_respond THEN 'auto' ELSE 'never' END WHERE auto_respond IS NOT NULL
"""


def upgrade() -> None:
    """Goes to this revision."""
    op.add_column("members", sa.Column("speaks", sa.Text(), nullable=True))
    op.execute(sa.text(SPEAKS))
    op.drop_index("members_agents", "members")
    op.drop_column("members", "auto_respond")
    for name, kind in (
        ("depth", sa.Integer()),
        *((name, sa.BigInteger()) for name in ("root_seq", "context_seq")),
        ("asker_key", sa.BigInteger().with_variant(sa.Integer(), "sqlite")),
        ("waits_for", sa.LargeBinary()),
    ):
        op.add_column("turns", sa.Column(name, kind, nullable=True))
    for name, table, columns, condition in (
        ("members_agents", "members", ["room_key"], "speaks IS NOT NULL"),
        ("turns_waiting", "turns", ["waits_for"], "waits_for IS NOT NULL"),
        ("turns_of_agents", "turns", ["room_key", "created_ms"], "depth > 1"),
    ):
        where = sa.text(condition)
        op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)
