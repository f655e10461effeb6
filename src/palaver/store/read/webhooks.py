"""Reads webhooks, what each is to be told next, and how telling went."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection, Select, bindparam, func, select

from palaver.model import ActorId, Event, EventType
from palaver.model.webhooks import Delivery, DeliveryId, Webhook, WebhookId
from palaver.store.engine.statement import DatabaseNow, Row, Statement, matching
from palaver.store.read import events as room_events, feed
from palaver.store.read.actors import id_of
from palaver.store.read.rights import readable
from palaver.store.schema import (
    actors,
    deliveries,
    delivery_waits,
    events,
    rooms,
    webhooks,
)
from palaver.store.values import ByName

WAITING_MAX = 1_000
"""While so many deliveries of a webhook wait, it takes nothing more from the feed."""
TAKEN_MAX = 100
"""So many rows of the feed are looked at in one go."""
AT_ONCE_MAX = 8
"""So many rooms are told of at the same time."""

_WEBHOOK = ByName(Webhook, "owner", "types", "rooms")
_selected: Select[tuple[Any, ...]] = (
    select(
        *webhooks.c["id", "key", "owner_key", "url", "chosen", "ended", "failing_ms", "position"],
        *webhooks.c["created_ms", "sealed", "sealed_before", "before_until_ms", "holder"],
        (webhooks.c.held_until_ms - DatabaseNow()).label("held_ms"),
        *(actors.c.id.label("actor"), actors.c.kind, actors.c.name.label("owner_name")),
    )
    .join(actors, actors.c.key == webhooks.c.owner_key)
    .order_by(webhooks.c.key)
)
_ALL = Statement(_selected)
_OF_OWNER = matching(_selected, actors.c.id)
_BY_ID = matching(_selected, webhooks.c.id)
_DELIVERY = ByName(Delivery)
_told: Select[tuple[Any, ...]] = select(
    *deliveries.c["key", "id", "room_key", "seq", "type", "state", "attempts", "hurried", "code"],
    *deliveries.c["problem", "took_ms", "due_ms", "created_ms"],
    rooms.c.id.label("room"),
).outerjoin(rooms, rooms.c.key == deliveries.c.room_key)
_of_webhook = deliveries.c.webhook_key == bindparam("webhook_key")
_NEWEST = Statement(
    _told.where(_of_webhook, deliveries.c.key < bindparam("before"))
    .order_by(deliveries.c.key.desc())
    .limit(bindparam("limit")),
    *("webhook_key", "before", "limit"),
)
_ONE = matching(_told, deliveries.c.webhook_key, deliveries.c.id)
_first_of_rooms = (
    select(func.min(deliveries.c.key))
    .where(_of_webhook, delivery_waits)
    .group_by(deliveries.c.room_key)
)
_HEADS = Statement(
    _told.where(deliveries.c.key.in_(_first_of_rooms))
    .order_by(deliveries.c.due_ms, deliveries.c.key)
    .limit(AT_ONCE_MAX),
    "webhook_key",
)
_some = select(deliveries.c.key).where(_of_webhook, delivery_waits).limit(WAITING_MAX).subquery()
_WAITING = Statement(select(func.count()).select_from(_some), "webhook_key")
_TYPES = Statement(
    select(*events.c["seq", "type"])
    .where(events.c.room_key == bindparam("room_key"))
    .where(events.c.seq >= bindparam("first"), events.c.seq <= bindparam("last"))
    .order_by(events.c.seq),
    *("room_key", "first", "last"),
)


class Due(Struct, frozen=True):
    """What is to be told now: `event` None where its room is not the owner's to read any more."""

    delivery: Delivery
    event: Event | None


class Round(Struct, frozen=True):
    """What a webhook is to do next: to take `taken` (key, seq, type) up to a position, and to tell what is due.

    `due_ms`: when there is more to tell. `more`: whether the feed goes on behind the position.
    """

    webhook: Webhook
    position: int
    taken: Sequence[tuple[int, int, EventType]]
    more: bool
    due: Sequence[Due]
    due_ms: int | None


def everybodys(conn: Connection) -> tuple[Webhook, ...]:
    """All there are, the oldest first."""
    return tuple(map(_webhook_of, _ALL.all(conn)))


def of(conn: Connection, owner: ActorId) -> tuple[Webhook, ...]:
    """Somebody's own, the oldest first."""
    return tuple(map(_webhook_of, _OF_OWNER.all(conn, owner)))


def get(conn: Connection, webhook: WebhookId) -> Webhook | None:
    """One of them."""
    row = _BY_ID.first(conn, webhook)
    return None if row is None else _webhook_of(row)


def told(
    conn: Connection, webhook: Webhook, before: int, limit: int
) -> tuple[tuple[Delivery, ...], int | None]:
    """Deliveries, the newest first, and the cursor behind which there are more."""
    rows = _NEWEST.all(conn, webhook.key, before, limit + 1)
    more = rows[limit - 1].key if len(rows) > limit else None
    return tuple(map(_DELIVERY.one, rows[:limit])), more


def due(conn: Connection, webhook: Webhook, delivery: DeliveryId) -> Due | None:
    """A delivery with what it tells, whenever it was due."""
    row = _ONE.first(conn, webhook.key, delivery)
    return None if row is None else _due(conn, webhook, row)


def next_round(conn: Connection, webhook: WebhookId, seen: int, now_ms: int) -> Round | None:
    """What comes next, of what lies behind a position that was `seen` if that is further; None: nothing ever."""
    found = get(conn, webhook)
    if found is None or found.ended is not None:
        return None
    position = max(found.position, seen)
    room = WAITING_MAX - _WAITING.value(conn, found.key)
    fed = feed.after(conn, position, TAKEN_MAX) if room > 0 else ()
    taken: list[tuple[int, int, EventType]] = []
    for row in fed:
        if len(taken) >= room:
            break
        taken += _wanted(conn, found, row.spans)
        position = row.position
    heads = _HEADS.all(conn, found.key)
    later = next((one.due_ms for one in heads if one.due_ms > now_ms), None)
    return Round(
        webhook=found,
        position=position,
        taken=taken,
        more=bool(fed) and (len(fed) == TAKEN_MAX or position < fed[-1].position),
        due=[_due(conn, found, one) for one in heads if one.due_ms <= now_ms],
        due_ms=later,
    )


def _wanted(
    conn: Connection, webhook: Webhook, spans: Sequence[feed.Span]
) -> list[tuple[int, int, EventType]]:
    """Of what happened, what a webhook is told."""
    found = readable(conn, [key for key, _, _ in spans], webhook.owner)
    return [
        (key, row.seq, row.type)
        for key, first, last in spans
        if key in found and (not webhook.rooms or found[key].id in webhook.rooms)
        for row in _TYPES.all(conn, key, first, last)
        if not webhook.types or row.type in webhook.types
    ]


def _due(conn: Connection, webhook: Webhook, row: Row) -> Due:
    delivery = _DELIVERY.one(row)
    key = row.room_key
    room = None if key is None else readable(conn, [key], webhook.owner).get(key)
    found = () if room is None else room_events.since(conn, room.id, row.seq - 1, 1)
    return Due(delivery, found[0] if found and found[0].seq == row.seq else None)


def _webhook_of(row: Row) -> Webhook:
    owner = id_of(row.kind, row.actor)
    types, chosen = row.chosen.get("types", ()), row.chosen.get("rooms", ())
    return _WEBHOOK.one(row, owner, tuple(types), tuple(chosen))
