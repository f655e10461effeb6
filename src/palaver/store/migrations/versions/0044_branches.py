"""Branches: who made them and when, which is a room's main one, and which a member looks at."""

import sqlalchemy as sa
from alembic import op

from palaver.store.columns import Key

revision = "0044"
down_revision = "0043"

_COLUMNS = (
    ("rooms", "main_branch", sa.Integer()),
    ("rooms", "last_branch", sa.Integer()),
    ("rooms", "forked_key", Key),
    ("rooms", "forked_seq", sa.BigInteger()),
    ("members", "branch", sa.Integer()),
    ("turns", "branch", sa.Integer()),
)


def upgrade() -> None:
    """One walk through all messages for their index: about a second for a million of them, while the server is stopped.

    Nothing has written to the table of branches before.
    """
    op.drop_table("branches")
    op.create_table(
        "branches",
        sa.Column("room_key", Key, nullable=False),
        sa.Column("branch", sa.Integer(), nullable=False),
        sa.Column("parent", sa.Integer(), nullable=False),
        sa.Column("fork_seq", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text()),
        sa.Column("by_key", Key),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("deleted_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("room_key", "branch", name="branches_pk"),
        sa.ForeignKeyConstraint(["room_key"], ["rooms.key"], name="branches_room_key_fk"),
    )
    for table, name, kind in _COLUMNS:
        op.add_column(table, sa.Column(name, kind))
    op.create_index("messages_branches", "messages", ["room_key", "branch", "seq"])
