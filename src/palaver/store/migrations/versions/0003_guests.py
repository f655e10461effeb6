"""Guests of whom nothing is kept, and what finds them and all that belongs to an actor."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

MARK = """
UPDATE actors SET unused = {true} WHERE guest = {true}
AND EXISTS (SELECT 1 FROM sessions s WHERE s.actor_key = actors.key)
AND key NOT IN (SELECT DISTINCT actor_key FROM events WHERE actor_key IS NOT NULL)
"""


def upgrade() -> None:
    """Goes to this revision."""
    op.add_column("actors", sa.Column("unused", sa.Boolean(), nullable=True))
    for table, column in (
        ("sessions", "actor_key"),
        ("keys", "actor_key"),
        ("exchanges", "actor_key"),
        ("turns", "agent_key"),
    ):
        op.create_index(f"{table}_{column.removesuffix('_key')}", table, [column])
    true, unused = _true(), sa.text(f"unused IS {_true()}")
    op.execute(MARK.format(true=true))
    op.create_index(
        "actors_unused",
        "actors",
        ["created_ms", "key"],
        sqlite_where=unused,
        postgresql_where=unused,
    )


def _true() -> str:
    return "1" if op.get_bind().dialect.name == "sqlite" else "true"
