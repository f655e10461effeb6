"""The tables of what people mark messages with; `schema` has all others, and these, too."""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    PrimaryKeyConstraint,
    Text,
    UniqueConstraint,
)

from palaver.store.columns import Key
from palaver.store.tables import table

# who reacts to which messages with what; `added_seq`: of the event that says so
reactions = table(
    "reactions",
    Column("room_key", Key, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("emoji", Text, nullable=False),
    Column("actor_key", Key, nullable=False),
    Column("added_seq", BigInteger, nullable=False),
    PrimaryKeyConstraint("room_key", "seq", "emoji", "actor_key"),
)

# which messages are pinned in their room; `added_seq`: of the event that says so
pins = table(
    "pins",
    Column("room_key", Key, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("added_seq", BigInteger, nullable=False),
    PrimaryKeyConstraint("room_key", "seq"),
)

# which messages somebody has starred, in the order in which they did
stars = table(
    "stars",
    Column("key", Key, primary_key=True, autoincrement=True),
    Column("actor_key", Key, ForeignKey("actors.key"), nullable=False),
    Column("room_key", Key, nullable=False),
    Column("seq", BigInteger, nullable=False),
    UniqueConstraint("actor_key", "room_key", "seq"),
)
Index("stars_actor", stars.c.actor_key, stars.c.key)
