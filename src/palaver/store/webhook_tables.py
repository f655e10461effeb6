"""The tables of webhooks, and of what they are told; `schema` has all others, and these, too."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, Text, literal_column

from palaver.model.webhooks import DeliveryState, Ending, Problem
from palaver.store.columns import Choice, Digest, Id, Json, Key, OptionalChoice, SafeText
from palaver.store.tables import partial_index, table

# addresses that are told what happens in rooms; `chosen`: `{"types": […], "rooms": […]}`, what is missing is all of it
webhooks = table(
    "webhooks",
    Column("key", Key, primary_key=True, autoincrement=True),
    Column("id", Id("h_"), nullable=False, unique=True),
    Column("owner_key", Key, ForeignKey("actors.key"), nullable=False),
    Column("url", SafeText, nullable=False),
    Column("chosen", Json),
    Column("ended", OptionalChoice(Ending)),
    Column("failing_ms", BigInteger),
    Column("position", BigInteger, nullable=False),  # in the feed
    Column("created_ms", BigInteger, nullable=False),
    Column(
        "sealed", Digest, nullable=False
    ),  # its secret, and the one before while both hold; see `sealing`
    Column("sealed_before", Digest),
    Column("before_until_ms", BigInteger),
    # which process delivers, where there are several
    Column("holder", Text),
    Column("held_until_ms", BigInteger),
)
Index("webhooks_owner", webhooks.c.owner_key)

# what webhooks are told, and how it went; without a room: a test
deliveries = table(
    "deliveries",
    Column("key", Key, primary_key=True, autoincrement=True),
    Column("id", Id("v_"), nullable=False, unique=True),
    Column("webhook_key", Key, ForeignKey("webhooks.key"), nullable=False),
    Column("room_key", Key),
    Column("seq", BigInteger, nullable=False),
    Column("type", Text, nullable=False),
    Column("state", Choice(DeliveryState), nullable=False),
    Column("attempts", Integer, nullable=False),
    # so many of them were before it was hurried
    Column("hurried", Integer, nullable=False, server_default="0"),
    Column("code", Integer),
    Column("problem", OptionalChoice(Problem)),
    Column("took_ms", BigInteger),
    Column("due_ms", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
)
delivery_waits = deliveries.c.state == literal_column("'waiting'")
Index("deliveries_webhook", deliveries.c.webhook_key, deliveries.c.key)
partial_index("deliveries_waiting", delivery_waits, *deliveries.c["webhook_key", "room_key", "key"])
