"""Versions of agents' cards, who may use an agent, and handles by which people call it."""

import re
from typing import Any

import orjson
import sqlalchemy as sa
from alembic import op

from palaver.store.columns import text_out

revision = "0025"
down_revision = "0024"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
HANDLE = re.compile(r"[a-z0-9][a-z0-9._-]{0,30}[a-z0-9]")
ALIKE = str.maketrans("01i_-", "oll..")
RESERVED = set(
    "admin administrator agent agents all api bot everyone guest guests here me moderator null owner palaver people"
    " person root server system undefined ws".translate(ALIKE).split()
)
CARDS = """
SELECT a.actor_key, a.model, a.system_prompt, a.settings, x.handle, x.name, x.created_ms
FROM agents a JOIN actors x ON x.key = a.actor_key ORDER BY a.actor_key
"""
NAME = "UPDATE actors SET public_handle = :handle, skeleton = :skeleton WHERE key = :key"
TAKEN = (
    "SELECT count(*) FROM actors WHERE skeleton = :skeleton OR (handle = :handle AND key <> :key)"
)
VERSION = (
    "INSERT INTO agent_versions (actor_key, version, card, at_ms) VALUES (:key, 1, :card, :at_ms)"
)
AGENT = "INSERT INTO agents (actor_key, version, audience) VALUES (:key, 1, 'everyone')"


def upgrade() -> None:
    conn = op.get_bind()
    cards = conn.execute(sa.text(CARDS)).all()
    op.drop_table("agents")
    _make_tables()
    for row in cards:
        card = {"name": text_out(row.name)}
        if (handle := _named(conn, row)) is not None:
            card["handle"] = handle
        card |= {"model": text_out(row.model)} if row.model is not None else {}
        card |= {"persona": text_out(row.system_prompt)} if row.system_prompt else {}
        card |= {"parameters": orjson.loads(row.settings)} if row.settings is not None else {}
        told = {"key": row.actor_key, "card": orjson.dumps(card).decode(), "at_ms": row.created_ms}
        conn.execute(sa.text(VERSION), told)
        conn.execute(sa.text(AGENT), {"key": row.actor_key})


def _named(conn: sa.Connection, row: Any) -> str | None:
    """Calls an agent by its inner name, where that is a handle that nobody has."""
    skeleton = row.handle.translate(ALIKE)
    told = {"handle": row.handle, "skeleton": skeleton, "key": row.actor_key}
    if not HANDLE.fullmatch(row.handle) or skeleton.replace(".", "") in RESERVED:
        return None
    if conn.scalar(sa.text(TAKEN), told):
        return None
    conn.execute(sa.text(NAME), told)
    return row.handle


def _make_tables() -> None:
    op.create_table(
        "agents",
        sa.Column("actor_key", KEY, autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("owner_key", KEY, nullable=True),
        sa.Column("audience", sa.Text(), nullable=False),
        sa.Column("archived_ms", sa.BigInteger(), nullable=True),
        sa.Column("profile_key", KEY, nullable=True),
        sa.ForeignKeyConstraint(["actor_key"], ["actors.key"], name="agents_actor_key_fk"),
        sa.ForeignKeyConstraint(["owner_key"], ["actors.key"], name="agents_owner_key_fk"),
        sa.PrimaryKeyConstraint("actor_key", name="agents_pk"),
    )
    owned = sa.text("owner_key IS NOT NULL")
    op.create_index(
        *("agents_owner", "agents", ["owner_key"]), sqlite_where=owned, postgresql_where=owned
    )
    op.create_table(
        "agent_versions",
        sa.Column("actor_key", KEY, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("card", sa.Text(), nullable=True),
        sa.Column("by_key", KEY, nullable=True),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["actor_key"], ["actors.key"], name="agent_versions_actor_key_fk"),
        sa.PrimaryKeyConstraint("actor_key", "version", name="agent_versions_pk"),
    )
    op.create_table(
        "agent_people",
        sa.Column("agent_key", KEY, nullable=False),
        sa.Column("person_key", KEY, nullable=False),
        sa.ForeignKeyConstraint(["agent_key"], ["actors.key"], name="agent_people_agent_key_fk"),
        sa.ForeignKeyConstraint(["person_key"], ["actors.key"], name="agent_people_person_key_fk"),
        sa.PrimaryKeyConstraint("agent_key", "person_key", name="agent_people_pk"),
    )
    op.create_index("agent_people_person", "agent_people", ["person_key"])
