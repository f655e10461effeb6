"""What several calls read of a request."""

import pytest
from starlette.requests import Request

from palaver.model import RoomId
from palaver.wire.openai.items import Invalid, conversation_id
from palaver.wire.openai.params import is_repeated, room_of

ROOM = RoomId("r_" + "0192" * 8)


def test_a_room_is_named_by_its_id_or_by_what_has_it() -> None:
    id_ = conversation_id(ROOM)
    assert room_of({"conversation": id_}) == room_of({"conversation": {"id": id_}}) == ROOM
    assert room_of({}) is room_of({"conversation": {}}) is None
    for wrong in ("conv_1", 7, [id_]):
        with pytest.raises(Invalid) as refused:
            room_of({"conversation": wrong})
        assert refused.value.param == "conversation"


@pytest.mark.parametrize(("header", "repeated"), [((), False), (("0",), False), (("1",), True)])
def test_a_library_says_that_it_asks_again(
    header: tuple[str, ...],
    repeated: bool,  # noqa: FBT001  a parameter of the test
) -> None:
    headers = [(b"x-stainless-retry-count", count.encode()) for count in header]
    assert is_repeated(Request({"type": "http", "headers": headers})) is repeated
