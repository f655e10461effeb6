"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _create_meta()
    _create_actors()
    _create_rooms()
    _create_members()
    _create_messages()
    _create_events()
    _create_turns()
    _create_branches()


def _create_meta() -> None:
    op.create_table(
        "meta",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="meta_pk"),
    )


def _create_actors() -> None:
    op.create_table(
        "actors",
        sa.Column("key", KEY, autoincrement=True, nullable=False),
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("handle", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("guest", sa.Boolean(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("length(id) = 16", name=op.f("actors_id_length")),
        sa.PrimaryKeyConstraint("key", name="actors_pk"),
        sa.UniqueConstraint("handle", name="actors_handle"),
        sa.UniqueConstraint("id", name="actors_id"),
    )
    op.create_table(
        "sessions",
        sa.Column("token_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("actor_key", KEY, nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["actor_key"], ["actors.key"], name="sessions_actor_key_fk"),
        sa.PrimaryKeyConstraint("token_sha256", name="sessions_pk"),
    )
    op.create_table(
        "agents",
        sa.Column("actor_key", KEY, autoincrement=False, nullable=False),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("system_prompt", sa.Text(), nullable=False),
        sa.Column("settings", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["actor_key"], ["actors.key"], name="agents_actor_key_fk"),
        sa.PrimaryKeyConstraint("actor_key", name="agents_pk"),
    )


def _create_rooms() -> None:
    op.create_table(
        "rooms",
        sa.Column("key", KEY, autoincrement=True, nullable=False),
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("title_folded", sa.Text(), nullable=False),
        sa.Column("title_source", sa.Text(), nullable=False),
        sa.Column("visibility", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("chain", sa.LargeBinary(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("active_ms", sa.BigInteger(), nullable=False),
        sa.Column("deleted_ms", sa.BigInteger(), nullable=True),
        sa.Column("settings", sa.Text(), nullable=True),
        sa.CheckConstraint("length(id) = 16", name=op.f("rooms_id_length")),
        sa.PrimaryKeyConstraint("key", name="rooms_pk"),
        sa.UniqueConstraint("id", name="rooms_id"),
    )
    _partial_index("rooms_active", "rooms", ["active_ms", "key"], "deleted_ms IS NULL")
    _partial_index("rooms_open", "rooms", ["key"], "visibility = 'open'")


def _create_members() -> None:
    op.create_table(
        "members",
        sa.Column("room_key", KEY, nullable=False),
        sa.Column("actor_key", KEY, nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("auto_respond", sa.Boolean(), nullable=True),
        sa.Column("read_seq", sa.BigInteger(), nullable=False),
        sa.Column("joined_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["actor_key"], ["actors.key"], name="members_actor_key_fk"),
        sa.ForeignKeyConstraint(["room_key"], ["rooms.key"], name="members_room_key_fk"),
        sa.PrimaryKeyConstraint("room_key", "actor_key", name="members_pk"),
    )
    op.create_index("members_actor", "members", ["actor_key"])
    _partial_index("members_agents", "members", ["room_key"], "auto_respond IS NOT NULL")


def _create_messages() -> None:
    op.create_table(
        "messages",
        sa.Column("room_key", KEY, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("author_key", KEY, nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("cid", sa.LargeBinary(), nullable=True),
        sa.Column("reply_to_seq", sa.BigInteger(), nullable=True),
        sa.Column("branch", sa.Integer(), nullable=False),
        sa.Column("edited_ms", sa.BigInteger(), nullable=True),
        sa.Column("deleted_ms", sa.BigInteger(), nullable=True),
        sa.Column("meta", sa.Text(), nullable=True),
        sa.Column("digest", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint("length(id) = 16", name=op.f("messages_id_length")),
        sa.PrimaryKeyConstraint("room_key", "seq", name="messages_pk"),
        sa.UniqueConstraint("id", name="messages_id"),
    )
    _partial_index(
        "messages_cid", "messages", ["cid", "author_key"], "cid IS NOT NULL", unique=True
    )


def _create_events() -> None:
    op.create_table(
        "events",
        sa.Column("room_key", KEY, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("actor_key", KEY, nullable=True),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("message_seq", sa.BigInteger(), nullable=True),
        sa.Column("data", sa.Text(), nullable=True),
        sa.Column("chain", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("room_key", "seq", name="events_pk"),
    )


def _create_turns() -> None:
    op.create_table(
        "turns",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("room_key", KEY, nullable=False),
        sa.Column("agent_key", KEY, nullable=False),
        sa.Column("trigger_seq", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("message_id", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("lease_until_ms", sa.BigInteger(), nullable=True),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_ms", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.CheckConstraint("length(id) = 16", name=op.f("turns_id_length")),
        sa.ForeignKeyConstraint(["agent_key"], ["actors.key"], name="turns_agent_key_fk"),
        sa.ForeignKeyConstraint(["room_key"], ["rooms.key"], name="turns_room_key_fk"),
        sa.PrimaryKeyConstraint("id", name="turns_pk"),
        sa.UniqueConstraint("message_id", name="turns_message_id"),
        sa.UniqueConstraint(
            "room_key", "trigger_seq", "agent_key", "attempt", name="turns_attempts"
        ),
    )
    _partial_index("turns_open", "turns", ["room_key"], "state = 'open'")


def _create_branches() -> None:
    op.create_table(
        "branches",
        sa.Column("room_key", KEY, nullable=False),
        sa.Column("branch", sa.Integer(), nullable=False),
        sa.Column("parent", sa.Integer(), nullable=False),
        sa.Column("fork_seq", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["room_key"], ["rooms.key"], name="branches_room_key_fk"),
        sa.PrimaryKeyConstraint("room_key", "branch", name="branches_pk"),
    )


def _partial_index(
    name: str, table: str, columns: list[str], where: str, *, unique: bool = False
) -> None:
    rows = sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=rows, postgresql_where=rows)
