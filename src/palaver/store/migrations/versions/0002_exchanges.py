"""What came through the OpenAI-compatible API: its keys, its exchanges, and where a repeated history goes on.

And `partials`: copies of running answers for other hosts.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("turns", sa.Column("external", sa.Boolean(), nullable=True))
    _create_partials()
    _create_keys()
    _create_exchanges()
    _create_prefixes()


def _create_partials() -> None:
    op.create_table(
        "partials",
        sa.Column("turn_id", sa.LargeBinary(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("reasoning", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["turn_id"], ["turns.id"], name="partials_turn_id_fk"),
        sa.PrimaryKeyConstraint("turn_id", "place", name="partials_pk"),
    )


def _create_keys() -> None:
    op.create_table(
        "keys",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("token_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("actor_key", KEY, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_used_ms", sa.BigInteger(), nullable=True),
        sa.Column("revoked_ms", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("length(id) = 16", name=op.f("keys_id_length")),
        sa.ForeignKeyConstraint(["actor_key"], ["actors.key"], name="keys_actor_key_fk"),
        sa.PrimaryKeyConstraint("id", name="keys_pk"),
        sa.UniqueConstraint("token_sha256", name="keys_token_sha256"),
    )


def _create_exchanges() -> None:
    op.create_table(
        "exchanges",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.Column("room_key", KEY, nullable=False),
        sa.Column("actor_key", KEY, nullable=False),
        sa.Column("turn_id", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_ms", sa.BigInteger(), nullable=True),
        sa.Column("deleted_ms", sa.BigInteger(), nullable=True),
        sa.Column("previous_id", sa.LargeBinary(), nullable=True),
        sa.Column("kept", sa.Boolean(), nullable=False),
        sa.Column("body_digest", sa.LargeBinary(), nullable=True),
        sa.Column("seqs", sa.Text(), nullable=False),
        sa.Column("request", sa.Text(), nullable=True),
        sa.Column("response", sa.Text(), nullable=True),
        sa.Column("metadata", sa.Text(), nullable=True),
        sa.CheckConstraint("length(id) = 16", name=op.f("exchanges_id_length")),
        sa.ForeignKeyConstraint(["actor_key"], ["actors.key"], name="exchanges_actor_key_fk"),
        sa.ForeignKeyConstraint(["room_key"], ["rooms.key"], name="exchanges_room_key_fk"),
        sa.PrimaryKeyConstraint("id", name="exchanges_pk"),
        sa.UniqueConstraint("turn_id", name="exchanges_turn_id"),
    )
    op.create_index("exchanges_room", "exchanges", ["room_key", "id"])
    for name, columns, where in (
        ("exchanges_kept", ["actor_key", "id"], "kept IS {true}"),
        ("exchanges_name", ["name"], "name IS NOT NULL"),
        ("exchanges_body", ["body_digest"], "body_digest IS NOT NULL"),
    ):
        op.create_index(
            name,
            "exchanges",
            columns,
            sqlite_where=sa.text(where.format(true="1")),
            postgresql_where=sa.text(where.format(true="true")),
        )


def _create_prefixes() -> None:
    op.create_table(
        "prefixes",
        sa.Column("actor_key", KEY, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("exchange_id", sa.LargeBinary(), nullable=False),
        sa.Column("answered", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["actor_key"], ["actors.key"], name="prefixes_actor_key_fk"),
        sa.PrimaryKeyConstraint("actor_key", "digest", "exchange_id", name="prefixes_pk"),
    )
