"""The table of branches; `schema` has all others, and this one, too."""

from sqlalchemy import BigInteger, Column, ForeignKey, Integer, PrimaryKeyConstraint

from palaver.store.columns import Key, SafeText
from palaver.store.tables import table

# the paths through a room's messages beside the first, which is 0: each begins behind the seq of one of its parent's
branches = table(
    "branches",
    Column("room_key", Key, ForeignKey("rooms.key"), nullable=False),
    Column("branch", Integer, nullable=False),
    Column("parent", Integer, nullable=False),
    Column("fork_seq", BigInteger, nullable=False),
    Column("name", SafeText),
    Column("by_key", Key),
    Column("created_ms", BigInteger, nullable=False),
    Column("deleted_ms", BigInteger),
    PrimaryKeyConstraint("room_key", "branch"),
)
