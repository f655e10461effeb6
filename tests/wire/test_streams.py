import asyncio
from collections.abc import AsyncGenerator

import pytest
from starlette.types import Message, Send

from palaver.wire.streams import PING, Broken, attended, event_headers, stream


class Client:
    """The other end of a response: what it got, and when it goes."""

    def __init__(self) -> None:
        self.got: list[Message] = []
        self.arrived = asyncio.Condition()
        self.gone = asyncio.Event()

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        async with self.arrived:
            self.got.append(message)
            self.arrived.notify_all()

    async def has(self, body: bytes) -> None:
        async with asyncio.timeout(90), self.arrived:
            await self.arrived.wait_for(lambda: body in [one.get("body") for one in self.got])

    async def gets(self, parts: AsyncGenerator[bytes, None], pings: float = 60.0) -> bool:
        """Whether it left before the end."""
        left = False

        async def tell(send: Send) -> None:
            await stream(send, parts, event_headers([("x-request-id", "r")]))

        def leave() -> None:
            nonlocal left
            left = True

        await attended(tell, self.receive, self.send, leave, pings=pings)
        return left


async def parts_of(*parts: bytes | Exception | asyncio.Event) -> AsyncGenerator[bytes, None]:
    for part in parts:
        match part:
            case bytes():
                yield part
            case asyncio.Event():
                await part.wait()
            case _:
                raise part


async def test_each_part_is_one_write_and_the_end_comes_last() -> None:
    client = Client()
    await client.gets(parts_of(b"a", b"b"))
    start, *written = client.got
    assert (b"x-accel-buffering", b"no") in start["headers"]
    assert [(one["body"], one["more_body"]) for one in written] == [
        (b"a", True),
        (b"b", True),
        (b"", False),
    ]


async def test_what_breaks_has_no_end() -> None:
    client = Client()
    await client.gets(parts_of(b"a", Broken()))
    assert client.got[-1] == {"type": "http.response.body", "body": b"a", "more_body": True}


async def test_a_silence_is_filled_with_comments() -> None:
    client, go = Client(), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(client.gets(parts_of(b"a", go, b"b"), 0.01))
        await client.has(PING)
        go.set()
    assert client.got[-2]["body"] in {b"b", PING}


async def test_who_leaves_is_noticed_and_told_nothing_more() -> None:
    client = Client()
    async with asyncio.TaskGroup() as tasks:
        telling = tasks.create_task(client.gets(parts_of(b"a", asyncio.Event())))
        await client.has(b"a")
        client.gone.set()
    assert telling.result(), "its going is told"
    assert client.got[-1]["body"] == b"a"


async def test_a_client_may_go_before_its_answer_begins() -> None:
    client = Client()
    client.gone.set()
    assert await client.gets(parts_of(asyncio.Event()))


async def test_what_goes_wrong_is_raised_as_it_is() -> None:
    with pytest.raises(ValueError, match="x"):
        await Client().gets(parts_of(ValueError("x")))
