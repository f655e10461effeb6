"""What a connection hears of its client, and how the two of them end."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from palaver.wire.edge.protocols import BYTES_MAX, LATE_MS, REFUSED, TOO_MANY
from palaver.wire.edge.sockets import NOT_THIS_PROTOCOL, UNEXPECTED, Over, Socket, talked


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


async def test_the_edge_is_told_of_a_connection_with_its_acceptance() -> None:
    client = Client({"type": "websocket.connect"})
    await client.socket().accept(more={BYTES_MAX: 7})
    assert client.sent == [{"type": "websocket.accept", "subprotocol": None, BYTES_MAX: 7}]


async def test_what_cannot_be_carried_out_is_heard_with_its_reason() -> None:
    fine: dict[str, Any] = {"type": "websocket.receive", LATE_MS: 0, REFUSED: 0}
    frames = [{"text": '{"a":1}'}, {"text": "no"}, {"text": "{}", LATE_MS: 40}]
    socket = Client(*(fine | one for one in frames), fine | {"text": "{}", REFUSED: 3}).socket()
    well, unread, late = [await socket.heard(2) for _ in range(3)]
    assert (well.frame, well.size, well.problem) == ({"a": 1}, 7, None)
    assert (unread.frame, unread.size) == ({}, 2)
    assert unread.problem is not None
    assert unread.problem.code == "invalid_json"
    assert late.problem is not None
    assert (late.problem.code, late.problem.retry_ms) == ("rate_limited", 40)
    with pytest.raises(Over) as over:
        await socket.heard(2)
    assert over.value.code == TOO_MANY


@pytest.mark.parametrize(
    ("end", "code"), [(Over(4000, "bye"), 4000), (Over(None), None), (ValueError(), UNEXPECTED)]
)
async def test_a_connection_ends_by_the_first_of_its_tasks_that_ends(
    end: Exception, code: int | None
) -> None:
    never = asyncio.Event()

    async def fail() -> None:
        raise end

    async def run(tasks: asyncio.TaskGroup) -> None:
        tasks.create_task(fail())
        await never.wait()

    assert (await talked(run)).code == code
