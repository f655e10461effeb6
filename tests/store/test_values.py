"""Values that are made of rows are the values that their own constructors make."""

from types import SimpleNamespace
from typing import cast

from msgspec.structs import asdict

from palaver.model import ActorId, Message, MessageId, Meta, Role, RoomId, Status
from palaver.store.values import ByName

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


def test_a_row_gives_the_fields_of_its_columns_and_a_caller_the_others() -> None:
    columns = asdict(MESSAGE) | {"room": "of the row", "beside": 1}
    of_rooms = ByName(Message, "author", "room")
    made = of_rooms.one(SimpleNamespace(**columns), MESSAGE.author, MESSAGE.room)
    assert (made, type(made)) == (MESSAGE, Message)
    turned = SimpleNamespace(**{name: [value] * 2 for name, value in columns.items()})
    both = of_rooms.all(turned, [MESSAGE.author] * 2, [MESSAGE.room] * 2)
    assert both == (MESSAGE, MESSAGE)
