"""What receivers of webhooks are sent: CloudEvents of less than 20,000 bytes, whatever was said."""

import json
from typing import Any

import pytest

from palaver.model import ActorId, Event, EventType, Message, MessageId, Role, RoomId, Status
from palaver.model.webhooks import Delivery, DeliveryId, DeliveryState, Webhook, WebhookId
from palaver.settings import Settings
from palaver.wire.webhooks import BODY_BYTES_MAX, teller

ROOM, ADA = RoomId(f"r_{1:032x}"), ActorId(f"u_{1:032x}")
HOOK = Webhook(
    *(WebhookId(f"h_{1:032x}"), 1, ADA, 1, "Ada", "https://example.com/", (), (), None, None, 0),
    *(0, b"", None, None, None, None),
)
DELIVERY = Delivery(
    *(DeliveryId(f"v_{1:032x}"), ROOM, 7, "message.created", DeliveryState.WAITING),
    *(0, 0, None, None, None, 0, 1_796_000_000_123),
)


def said(text: str) -> Event:
    message = Message(
        id=MessageId(f"m_{7:032x}"),
        room=ROOM,
        seq=7,
        author=ADA,
        name="Ada",
        role=Role.USER,
        status=Status.DONE,
        text=text,
        created_ms=1_796_000_000_123,
    )
    return Event(ROOM, 7, EventType.MESSAGE_CREATED, ADA, 1_796_000_000_123, message)


def told(event: Event | None, **settings: Any) -> tuple[int, Any]:
    body = teller(Settings(**settings))(HOOK, DELIVERY, event)
    return len(body), json.loads(body)


def test_an_event_is_a_cloudevent_whose_data_is_that_of_the_protocol() -> None:
    _, event = told(said("hello"))
    assert (event["specversion"], event["id"]) == ("1.0", f"{ROOM}:7")
    assert (event["source"], event["type"]) == (f"/rooms/{ROOM}", "chat.palaver.message.created")
    assert (event["sequence"], event["partitionkey"]) == ("7", ROOM)
    assert event["subject"] == event["data"]["id"] == f"m_{7:032x}"
    assert event["data"]["text"] == "hello"


@pytest.mark.parametrize("text", ["x" * 30_000, "ж" * 10_000, "\0" * 4_000])
def test_what_would_be_too_long_is_thin_and_says_where_it_is(text: str) -> None:
    size, event = told(said(text))
    assert size < BODY_BYTES_MAX
    place = f"/api/rooms/{ROOM}/messages?around=7&limit=1"
    assert (event["data"]["thin"], event["data"]["url"]) == (True, place)
    assert event["data"]["id"] == event["subject"]
    assert text[:9] not in json.dumps(event, ensure_ascii=False)
    _, event = told(said(text), public_url="https://example.org/chat")
    assert event["data"]["url"] == f"https://example.org/chat{place}"


def test_what_just_fits_is_whole() -> None:
    size, _ = told(said(""))
    whole, event = told(said("x" * (BODY_BYTES_MAX - size - 1)))
    assert (whole, "thin" in event["data"]) == (BODY_BYTES_MAX - 1, False)
    assert told(said("x" * (BODY_BYTES_MAX - size)))[1]["data"]["thin"]


def test_a_test_is_of_no_room() -> None:
    _, event = told(None)
    assert (event["source"], event["data"]) == (f"/webhooks/{HOOK.id}", {})
