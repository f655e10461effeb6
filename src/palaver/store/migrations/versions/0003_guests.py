"""Guests of whom nothing is kept, and what finds them and all that belongs to an actor. Titles, folded anew."""

import sqlalchemy as sa
from alembic import op

from palaver.store.read.rooms import folded

revision = "0003"
down_revision = "0002"

MARK = """
UPDATE actors SET unused = {true} WHERE guest = {true}
AND EXISTS (SELECT 1 FROM sessions s WHERE s.actor_key = actors.key)
AND key NOT IN (SELECT DISTINCT actor_key FROM events WHERE actor_key IS NOT NULL)
"""

TITLES = "SELECT key, title, title_folded FROM rooms WHERE key > :last ORDER BY key LIMIT 500"
FOLD = "UPDATE rooms SET title_folded = :folded WHERE key = :key"


def upgrade() -> None:
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
    _fold_titles()


def _fold_titles() -> None:
    """As the search compares them since: without accents."""
    conn, last = op.get_bind(), 0
    while rows := conn.execute(sa.text(TITLES), {"last": last}).all():
        last = rows[-1].key
        folds = [{"key": row.key, "folded": folded(row.title)} for row in rows]
        changed = [
            fold
            for fold, row in zip(folds, rows, strict=True)
            if fold["folded"] != row.title_folded
        ]
        if changed:
            conn.execute(sa.text(FOLD), changed)


def _true() -> str:
    return "1" if op.get_bind().dialect.name == "sqlite" else "true"
