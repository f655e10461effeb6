"""What is long in a message's parts is left out of lists, and its pictures can be had one by one."""

import base64
from typing import cast

import pytest
from tests.wire.test_shapes import MESSAGE

from palaver.errors import Code, Refused
from palaver.model import Message, Meta
from palaver.wire import parts, shapes

PIXEL = b"\x89PNG\r\n\x1a\n" + bytes(3_000)
PICTURE = "data:image/png;base64," + base64.b64encode(PIXEL).decode()
SHORT = "data:image/png;base64,AAAA"
ADDRESS = f"/api/messages/{MESSAGE.id}/parts"


def with_parts(*given: object) -> Message:
    return Message(
        id=MESSAGE.id,
        room=MESSAGE.room,
        seq=2,
        author=MESSAGE.author,
        name="Ada",
        role=MESSAGE.role,
        status=MESSAGE.status,
        text="look",
        created_ms=0,
        meta=cast("Meta", {"parts": [*given], "name": "station-7"}),
    )


def test_a_list_of_messages_holds_no_long_parts() -> None:
    given = with_parts(
        {"type": "text", "text": "x" * 5_000},
        {"type": "image_url", "image_url": {"url": PICTURE, "detail": "low"}},
        {"type": "input_image", "image_url": PICTURE},
        {"type": "image_url", "image_url": {"url": SHORT}},
        {"type": "input_audio", "input_audio": {"data": "A" * 9_000, "format": "wav"}},
        {"type": "x", "list": ["y" * 5_000, 1, None]},
    )
    assert shapes.message(given)["meta"] == {
        "name": "station-7",
        "parts": [
            {"type": "text", "text": ""},
            {"type": "image_url", "image_url": {"url": f"{ADDRESS}/1", "detail": "low"}},
            {"type": "input_image", "image_url": f"{ADDRESS}/2"},
            {"type": "image_url", "image_url": {"url": SHORT}},
            {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}},
            {"type": "x", "list": ["", 1, None]},
        ],
    }
    assert shapes.message(MESSAGE)["meta"] == {}


def test_a_picture_comes_as_what_it_is() -> None:
    given = with_parts(
        {"type": "image_url", "image_url": {"url": PICTURE}},
        {"type": "input_image", "image_url": PICTURE.replace("png", "JPEG", 1)},
    )
    assert parts.picture(given, 0) == ("image/png", PIXEL)
    assert parts.picture(given, 1) == ("image/jpeg", PIXEL)


@pytest.mark.parametrize(
    "address",
    [
        "data:image/svg+xml;base64,PHN2Zz4=",
        "data:text/html;base64,PGI+",
        "https://elsewhere.example/a.png",
        "data:image/png;base64,not base64",
        7,
    ],
)
def test_nothing_else_is_ever_served(address: object) -> None:
    given = with_parts({"type": "image_url", "image_url": {"url": address}}, "text", None)
    for place in (0, 1, 2, 3, 10**14):
        with pytest.raises(Refused) as refused:
            parts.picture(given, place)
        assert refused.value.code is Code.NOT_FOUND
