"""What a live connection replies to its client."""

import json
from collections.abc import MutableMapping
from typing import Any

from palaver.errors import Code, Refused
from palaver.wire.live.socket import Socket, encoded


async def test_an_error_names_the_room_and_the_id_of_its_request() -> None:
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {}

    socket = Socket({"type": "websocket"}, receive, send)
    await socket.error(Refused(Code.FORBIDDEN, "No."), {"id": 7, "room": "r_1"})
    told = json.loads(sent[0]["frames"][0])
    assert (told["t"], told["id"], told["room"], told["code"]) == ("err", 7, "r_1", "forbidden")


def test_an_id_is_a_number() -> None:
    assert json.loads(encoded({"t": "ok"}, {})) == {"t": "ok"}
    assert json.loads(encoded({"t": "ok"}, {"id": 1.5})) == {"t": "ok", "id": 1.5}
    others: tuple[object, ...] = ("1", True, [], {})
    for wrong in others:
        assert json.loads(encoded({"t": "ok"}, {"id": wrong}))["code"] == "bad_request"
