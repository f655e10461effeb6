"""What receivers of webhooks are sent: one CloudEvent as JSON, thin where it would be too long."""

from typing import Any

from palaver.core.deliveries import Tell
from palaver.model import Event
from palaver.model.webhooks import Delivery, Webhook
from palaver.settings import Settings
from palaver.strict_json import dump
from palaver.wire.cloudevents import TYPE, CloudEvent, cloud_event
from palaver.wire.shapes import moment

BODY_BYTES_MAX = 20_000
"""What receivers take. What would be longer is sent without what was said, and with the address of the message."""
KEPT = ("id", "msg", "room", "seq", "by", "role", "kind", "status", "reply_to", "branch", "at")
"""What is sent of a message all the same."""


def teller(settings: Settings) -> Tell:
    """What webhooks are told, as bytes. The address of a message begins with the public URL, where there is one."""

    def tell(webhook: Webhook, delivery: Delivery, event: Event | None) -> bytes:
        if event is None:
            return dump(_test(webhook, delivery))
        told = cloud_event(event)
        body = dump(told)
        if len(body) < BODY_BYTES_MAX:
            return body
        place = (
            f"/api/rooms/{event.room}/messages?around={told['data'].get('seq', event.seq)}&limit=1"
        )
        data: dict[str, Any] = {name: told["data"][name] for name in KEPT if name in told["data"]}
        thin = {**data, "thin": True, "url": f"{settings.public_url or ''}{place}"}
        return dump({**told, "data": thin})

    return tell


def _test(webhook: Webhook, delivery: Delivery) -> CloudEvent:
    return {
        "specversion": "1.0",
        "id": delivery.id,
        "source": f"/webhooks/{webhook.id}",
        "type": f"{TYPE}{delivery.type}",
        "time": moment(delivery.created_ms),
        "datacontenttype": "application/json",
        "data": {},
        "sequence": "0",
        "partitionkey": webhook.id,
    }
