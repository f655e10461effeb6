"""What a live connection says and hears of its client."""

import json
from collections.abc import MutableMapping
from typing import Any

import pytest

from palaver.errors import Code, Refused
from palaver.wire.live.socket import NOT_THIS_PROTOCOL, Over, Socket, encoded


class Client:
    """The server's end of a socket: what comes next, and what was sent."""

    def __init__(self, *coming: dict[str, Any], gone: bool = False) -> None:
        self.coming = list(coming)
        self.gone = gone
        self.sent: list[MutableMapping[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        return self.coming.pop(0)

    async def send(self, message: MutableMapping[str, Any]) -> None:
        if self.gone:
            raise OSError("the client has left")
        self.sent.append(message)

    def socket(self, *offered: str) -> Socket:
        scope = {"type": "websocket", "subprotocols": offered}
        return Socket(scope, self.receive, self.send)


@pytest.mark.parametrize(("offered", "chosen"), [((), None), (("a", "b"), "b"), (("a",), None)])
async def test_the_sub_protocol_is_chosen_where_it_was_offered(
    offered: tuple[str, ...], chosen: str | None
) -> None:
    client = Client({"type": "websocket.connect"})
    await client.socket(*offered).accept("b")
    assert client.sent == [{"type": "websocket.accept", "subprotocol": chosen}]


async def test_a_client_that_left_and_one_that_sends_bytes_end_the_connection() -> None:
    left = Client({"type": "websocket.disconnect"}, {"type": "websocket.receive", "bytes": b"x"})
    socket = left.socket()
    for code in (None, NOT_THIS_PROTOCOL):
        with pytest.raises(Over) as over:
            await socket.next()
        assert over.value.code == code
    with pytest.raises(Over) as over:
        await Client(gone=True).socket().put([b"{}"])
    assert over.value.code is None


async def test_an_error_names_the_room_and_the_id_of_its_request() -> None:
    client = Client()
    await client.socket().error(Refused(Code.FORBIDDEN, "No."), {"id": 7, "room": "r_1"})
    told = json.loads(client.sent[0]["frames"][0])
    assert (told["t"], told["id"], told["room"], told["code"]) == ("err", 7, "r_1", "forbidden")


def test_an_id_is_a_number() -> None:
    assert json.loads(encoded({"t": "ok"}, {})) == {"t": "ok"}
    assert json.loads(encoded({"t": "ok"}, {"id": 1.5})) == {"t": "ok", "id": 1.5}
    others: tuple[object, ...] = ("1", True, [], {})
    for wrong in others:
        assert json.loads(encoded({"t": "ok"}, {"id": wrong}))["code"] == "bad_request"
