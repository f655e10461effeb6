"""A model server that sends whatever it likes, on raw sockets: all of it is bounded, and has a name."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from tests.providers.support import KEY, hear, upstream_at

from palaver.errors import Code, ProviderError
from palaver.providers.call import CHAT, Call, CallRequest
from palaver.providers.http.client import SLICE_BYTES
from palaver.providers.openai.client import Upstream

OK = b"HTTP/1.1 200 OK\r\n"
EVENTS = OK + b"content-type: text/event-stream\r\n"
CHUNKED = EVENTS + b"transfer-encoding: chunked\r\n\r\n"
WORD = b'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"
SENT_BYTES_MAX = 24 * 1024 * 1024
"""What the sockets' own buffers may swallow, and a little of what is read."""


def framed(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)


WHOLE = CHUNKED + framed(WORD, DONE) + b"0\r\n\r\n"


class Hostile:
    """Answers each request with `answer`, then sends `flood` until its client has gone; without one it hangs up."""

    def __init__(self) -> None:
        self.answer = WHOLE
        self.flood = b""
        self.stays = False
        self.sent = self.asked = self.connections = 0
        self.left = asyncio.Event()
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                size = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
                await reader.readexactly(int(size or 0))
                self.asked += 1
                writer.write(self.answer)
                await self._flooded(writer)
                if not self.stays:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.left.set()
            writer.close()

    async def _flooded(self, writer: asyncio.StreamWriter) -> None:
        while self.flood and self.sent < 4 * SENT_BYTES_MAX:
            writer.write(self.flood)
            await writer.drain()
            self.sent += len(self.flood)
            await asyncio.sleep(0)


@pytest.fixture
async def hostile() -> AsyncIterator[Hostile]:
    made = Hostile()
    listening = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
    yield made
    listening.close()


@pytest.fixture
async def asking(hostile: Hostile) -> AsyncIterator[Upstream]:
    provider = upstream_at(hostile.url, model="m")
    yield provider
    await provider.close()


FLOODS: dict[str, tuple[bytes, bytes]] = {
    "status": (b"HTTP/1.1 200 ", b"x" * 4096),
    "headers": (EVENTS, b"a: b\r\n" * 512),
    "a header": (EVENTS + b"a: ", b"x" * 4096),
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 128),
    "early hints": (b"", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * 128),
    "statuses below 100": (b"", b"HTTP/1.1 099 What\r\n\r\n" * 128),
    "a chunk's extension": (CHUNKED + b"5;", b"x" * 4096),
    "extensions": (CHUNKED, (b"1;" + b"x" * 200 + b"\r\n:\r\n") * 32),
    "a chunk's size": (CHUNKED, b"0" * 4096),
    "trailers": (OK + b"transfer-encoding: chunked\r\n\r\n0\r\n", b"a: b\r\n" * 512),
    "a trailer": (OK + b"transfer-encoding: chunked\r\n\r\n0\r\na: ", b"x" * 4096),
    "no bytes": (b"", b"\x00\xff" * 2048),
}


@pytest.mark.parametrize(("answer", "flood"), FLOODS.values(), ids=FLOODS.keys())
async def test_what_comes_around_an_answer_is_bounded(
    hostile: Hostile, asking: Upstream, answer: bytes, flood: bytes
) -> None:
    hostile.answer, hostile.flood = answer, flood
    heard = await hear(asking)
    assert heard.failure.code is Code.PROVIDER_BAD_REPLY
    assert hostile.asked == 1, "what was answered is not asked again"
    await hostile.left.wait()
    assert hostile.sent < SENT_BYTES_MAX


async def test_others_have_a_turn_between_slices_of_what_came_at_once(
    hostile: Hostile, asking: Upstream
) -> None:
    hostile.answer = EVENTS + b"\r\n" + b": x\n\n" * 200_000 + WORD + DONE
    turns = most = taken = last = 0

    async def turning() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    request = CallRequest(method="POST", path=CHAT, body=b"{}", stream=True)
    async with asyncio.TaskGroup() as tasks:
        others = tasks.create_task(turning())
        call = await asking.forward(request)
        async for told in call.told():
            taken = len(told.raw) + (taken if turns == last else 0)
            last, most = turns, max(most, taken)
        await call.close()
        others.cancel()
    assert call.outcome.error is None
    assert most <= 3 * SLICE_BYTES, "the end of what came, and the beginning of what follows"


@pytest.mark.parametrize(
    "end", [b"x" * 4096, WHOLE, OK + b"content-length: 9\r\n\r\npoisoned!", b"\r\n" * 99]
)
async def test_what_follows_an_answer_is_no_part_of_it_or_of_the_next(
    hostile: Hostile, asking: Upstream, end: bytes
) -> None:
    hostile.answer, hostile.stays = WHOLE + end, True
    for _ in range(3):
        heard = await hear(asking)
        assert (heard.text, heard.error) == ("a", None)


@pytest.mark.parametrize("status", [99, 600, 999])
async def test_a_status_that_is_none_is_a_bad_reply(
    hostile: Hostile, asking: Upstream, status: int
) -> None:
    hostile.answer = b"HTTP/1.1 %03d Odd\r\ncontent-length: 2\r\n\r\n{}" % status
    heard = await hear(asking)
    assert heard.failure.code is Code.PROVIDER_BAD_REPLY
    assert hostile.asked == 1


async def begun(provider: Upstream, *, chat: bool = False) -> Call:
    path = CHAT if chat else "/files"
    return await provider.forward(CallRequest(method="POST", path=path, body=b"{}", stream=chat))


async def test_an_endless_refusal_is_read_for_a_mebibyte(
    hostile: Hostile, asking: Upstream
) -> None:
    hostile.answer = b"HTTP/1.1 429 No\r\ntransfer-encoding: chunked\r\n\r\n"
    hostile.flood = framed(b"no " * 20_000)
    call = await begun(asking)
    told = [one.raw async for one in call.told()]
    await call.close()
    assert told == [b""]
    assert call.outcome.error is not None
    assert call.outcome.error.code is Code.PROVIDER_RATE_LIMITED
    await hostile.left.wait()
    assert hostile.sent < SENT_BYTES_MAX


async def test_a_refusal_that_never_ends_is_told_by_its_status(hostile: Hostile) -> None:
    provider = upstream_at(hostile.url, model="m", openai_whole_seconds=0.5)
    hostile.answer = b"HTTP/1.1 403 No\r\ncontent-length: 9\r\n\r\nno"
    hostile.stays = True
    call = await begun(provider)
    assert [one.raw async for one in call.told()] == [b""]
    assert call.outcome.error is not None
    assert call.outcome.error.code is Code.PROVIDER_AUTH
    await call.close()
    await hostile.left.wait()
    await provider.close()


async def test_what_follows_the_end_of_a_stream_is_not_kept(
    hostile: Hostile, asking: Upstream
) -> None:
    hostile.answer = CHUNKED + framed(WORD, DONE)
    hostile.flood = framed(b": more\n\n" * 1_000)
    call = await begun(asking, chat=True)
    async for told in call.told():
        assert len(told.raw) < 1024 * 1024
    await call.close()
    assert call.outcome.whole


def spoilt(answer: bytes, chance: random.Random) -> bytes:
    """The same, but for a few places."""
    odd = (b"\r\n", b"\r", b"\n", b"0", b":", b";", b"\x00", b"\xff", b" ", b"HTTP/1.1 200 OK\r\n")
    more = (b"content-length: 5\r\n", b"upgrade: x\r\nconnection: upgrade\r\n", b"\r\n\r\n", WHOLE)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(answer))
        end = at + chance.choice((0, 0, 1, 9))
        answer = answer[:at] + chance.choice((*odd, *more, answer[at:])) + answer[end:]
    return answer


@pytest.mark.parametrize("seed", range(4))
async def test_a_spoilt_answer_is_whole_or_an_error_and_harms_no_other(
    hostile: Hostile, asking: Upstream, seed: int
) -> None:
    chance = random.Random(seed)
    for _ in range(60):
        hostile.answer, hostile.stays = spoilt(WHOLE, chance), False
        heard = await hear(asking)
        assert (heard.done is None) != (heard.error is None)
        with suppress(ProviderError):
            call = await begun(asking)
            told = b"".join([one.raw async for one in call.told()])
            assert KEY.encode() not in told
            await call.close()
        hostile.answer = WHOLE
        assert (await hear(asking)).text == "a"
