"""Values made by position are the values that their own constructors make."""

from dataclasses import FrozenInstanceError, asdict, fields
from types import SimpleNamespace
from typing import cast

import pytest

from palaver.model import (
    NO_DATA,
    ActorId,
    Event,
    EventType,
    Message,
    MessageId,
    Meta,
    Role,
    RoomId,
    Status,
)
from palaver.store.values import ByName, new_event, new_message

MESSAGE = Message(
    id=MessageId("m_1"),
    room=RoomId("r_1"),
    seq=3,
    author=ActorId("u_1"),
    name="Ada",
    role=Role.USER,
    status=Status.DONE,
    text="Hello",
    created_ms=5,
    cid="c",
    reply_to=MessageId("m_0"),
    branch=1,
    kind="text",
    edited_ms=6,
    deleted_ms=7,
    meta=cast("Meta", {"a": 1}),
)
EVENT = Event(
    room=RoomId("r_1"),
    seq=3,
    type=EventType.MESSAGE_CREATED,
    actor=ActorId("u_1"),
    at_ms=5,
    message=MESSAGE,
    data=NO_DATA,
)


def test_a_message_made_by_position_is_the_same() -> None:
    made = new_message(*[getattr(MESSAGE, one.name) for one in fields(Message)])
    assert (made, type(made), repr(made)) == (MESSAGE, Message, repr(MESSAGE))


def test_an_event_made_by_position_is_the_same() -> None:
    made = new_event(*[getattr(EVENT, one.name) for one in fields(Event)])
    assert (made, type(made), repr(made)) == (EVENT, Event, repr(EVENT))


def test_a_row_gives_the_fields_of_its_columns_and_a_caller_the_others() -> None:
    columns = asdict(MESSAGE) | {"room": "of the row", "beside": 1}
    of_rooms = ByName(Message, "author", "room")
    made = of_rooms.one(SimpleNamespace(**columns), MESSAGE.author, MESSAGE.room)
    assert (made, type(made)) == (MESSAGE, Message)
    turned = SimpleNamespace(**{name: [value] * 2 for name, value in columns.items()})
    both = of_rooms.all(turned, [MESSAGE.author] * 2, [MESSAGE.room] * 2)
    assert both == (MESSAGE, MESSAGE)


def test_it_is_frozen() -> None:
    made = new_message(*[getattr(MESSAGE, one.name) for one in fields(Message)])
    with pytest.raises(FrozenInstanceError):
        made.text = "Changed"  # pyright: ignore[reportAttributeAccessIssue]
