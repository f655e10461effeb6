import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from starlette.responses import Response
from starlette.types import Message

from palaver.wire.openai.streams import PING, Broken, Streamed, unless_gone


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
        async with asyncio.timeout(10), self.arrived:
            await self.arrived.wait_for(lambda: body in [one.get("body") for one in self.got])

    async def gets(self, answer: Response) -> None:
        await answer({"type": "http"}, self.receive, self.send)


def nothing() -> None:
    """Nobody cares that the client has gone."""


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
    await client.gets(Streamed(parts_of(b"a", b"b"), nothing))
    start, *written = client.got
    assert (b"x-accel-buffering", b"no") in start["headers"]
    assert [(one["body"], one["more_body"]) for one in written] == [
        (b"a", True),
        (b"b", True),
        (b"", False),
    ]


async def test_what_breaks_has_no_end() -> None:
    client = Client()
    await client.gets(Streamed(parts_of(b"a", Broken()), nothing))
    assert client.got[-1] == {"type": "http.response.body", "body": b"a", "more_body": True}


async def test_a_silence_is_filled_with_comments() -> None:
    client, go = Client(), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(client.gets(Streamed(parts_of(b"a", go, b"b"), nothing, pings=0.01)))
        await client.has(PING)
        go.set()
    assert client.got[-2]["body"] in {b"b", PING}


async def test_who_leaves_is_noticed_and_told_nothing_more() -> None:
    client, left = Client(), asyncio.Event()
    answer = Streamed(parts_of(b"a", asyncio.Event()), left.set)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(client.gets(answer))
        await client.has(b"a")
        client.gone.set()
    assert left.is_set()
    assert client.got[-1]["body"] == b"a"


async def test_a_client_may_go_before_its_answer_is_there() -> None:
    client = Client()
    ended = asyncio.Event()

    async def work() -> Response:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return Response()

    client.gone.set()
    assert await unless_gone(client.receive, work()) is None
    assert ended.is_set()


async def test_what_the_work_raises_is_raised_as_it_is() -> None:
    async def work() -> Any:
        raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        await unless_gone(Client().receive, work())
