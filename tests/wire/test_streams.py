import asyncio
from collections.abc import AsyncGenerator

import pytest
from starlette.types import Message, Send

from palaver.errors import Code, ProviderError
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


@pytest.mark.parametrize("end", ["a stream", "a refusal", "an error"])
async def test_the_first_comment_takes_the_head_with_it_and_what_comes_then_is_in_the_stream(
    end: str,
) -> None:
    client, go = Client(), asyncio.Event()

    async def tell(send: Send) -> None:
        await go.wait()
        if end == "an error":
            raise ProviderError(Code.PROVIDER_CUT, "It went away.")
        if end == "a stream":
            await stream(send, parts_of(b"data: 1\n\n"), event_headers([("x-late", "l")]))
            return
        await send({"type": "http.response.start", "status": 429, "headers": []})
        await send({"type": "http.response.body", "body": b'{\n "error": 1}'})

    async with asyncio.TaskGroup() as tasks:
        telling = attended(
            tell,
            client.receive,
            client.send,
            lambda: None,
            pings=0.01,
            early=event_headers([("x-room", "r")]),
            refused=lambda failure: b"data: %s\n\n" % failure.code.encode(),
        )
        tasks.create_task(telling)
        await client.has(PING)
        go.set()
    start, *written = client.got
    assert (start["status"], (b"x-room", b"r") in start["headers"]) == (200, True)
    assert all(one["type"] == "http.response.body" for one in written), "there is one head"
    said = [one["body"] for one in written if one["body"] not in {PING, b""}]
    told = {
        "a stream": b"data: 1\n\n",
        "a refusal": b'data: {\ndata:  "error": 1}\n\n',
        "an error": b"data: provider_cut\n\n",
    }
    assert said == [told[end]]
    assert written[-1]["more_body"] is (end != "a stream"), "what failed has no clean end"


async def test_an_answer_that_is_no_stream_gets_no_comment() -> None:
    client, go = Client(), asyncio.Event()
    waited = asyncio.Event()

    async def tell(send: Send) -> None:
        await go.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    async def receive() -> Message:
        waited.set()
        return await client.receive()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(attended(tell, receive, client.send, lambda: None, pings=0.001))
        for _ in range(3):  # each wait ends with the time for a comment
            await waited.wait()
            waited.clear()
        go.set()
    assert [one["type"] for one in client.got] == ["http.response.start", "http.response.body"]


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
