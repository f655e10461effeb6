"""The golden rule of passing on: joined, what is told is what the model server sent, byte for byte."""

import asyncio
import gzip
import json
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from msgspec.structs import replace
from tests.providers.support import KEY, upstream_at
from tests.support.upstream import (
    CUT,
    DONE,
    STALL,
    Head,
    Script,
    ScriptedUpstream,
    chunk,
    event,
    refuse,
    reply,
    scripted_upstream,
    stream,
    whole,
)

from palaver.errors import Code, ProviderError
from palaver.providers.base import Piece, TextPiece
from palaver.providers.call import CHAT, Call, CallRequest, CallResult, Chunk
from palaver.providers.http.sse import Framer
from palaver.providers.openai.client import Upstream
from palaver.providers.openai.passthrough import passed_on

FINISH = chunk(finish="stop")
BODY = b'{"model": "m",  "messages": [{"role":"user","content":"hi"}], "odd": 1.50}'


@dataclass(slots=True)
class Passed:
    """All that one call gave."""

    told: list[Chunk] = field(default_factory=list[Chunk])
    outcome: CallResult = field(default_factory=CallResult)

    @property
    def raw(self) -> bytes:
        return b"".join(told.raw for told in self.told)

    @property
    def pieces(self) -> list[Piece]:
        return [piece for told in self.told for piece in told.pieces]

    @property
    def code(self) -> Code:
        assert self.outcome.error is not None, "it is whole"
        return self.outcome.error.code


async def forward(provider: Upstream, **asked: Any) -> Call:
    headers = {"content-type": "application/json"}
    request = CallRequest(method="POST", path=CHAT, body=BODY, headers=headers, stream=True)
    return await provider.forward(replace(request, **asked))


async def passed(provider: Upstream, **asked: Any) -> Passed:
    call = await forward(provider, **asked)
    async with aclosing(call.told()) as telling:
        told = [one async for one in telling]
    await call.close()
    return Passed(told, call.outcome)


def sent(script: Script) -> bytes:
    return b"".join(step for step in script if isinstance(step, bytes))


CRLF = (
    Head(),
    b": hello\r\n\r\n",
    b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\r\n\r\n',
    b"event: message\r\nid: 5\r\ndata:",
    b' {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\r\n\r\n',
    b"data: [DONE]\r\n\r\n",
)
GOLDEN: dict[str, Script] = {
    "an ordinary answer": reply("Hello ", "world"),
    "other line ends, comments and fields": CRLF,
    "no [DONE]": stream("a", FINISH),
    "[DONE] twice": stream("a", FINISH, DONE, DONE),
    "words behind [DONE]": stream("a", FINISH, DONE, b": bye\n\n"),
    "no empty line at the end": stream("a", FINISH, b"data: [DONE]"),
    "two events in one write": stream(chunk("a") + chunk("b") + FINISH, DONE),
    "an event in many writes": (Head(), *(bytes([one]) for one in chunk("a") + FINISH + DONE)),
    "no text in it": stream(event({"choices": []}), "a", FINISH, DONE),
    "bytes that are no UTF-8": stream(chunk("a").replace(b"a", b"\xff\xfe"), FINISH, DONE),
    "half a character": stream(chunk("a").replace(b'"a"', b'"\\ud83d"'), FINISH, DONE),
    "unknown fields": stream(chunk("a", timings={"x": 1.50}, z=None), FINISH, DONE),
}


@pytest.mark.parametrize("script", GOLDEN.values(), ids=GOLDEN.keys())
async def test_every_byte_comes_as_it_was_sent(
    upstream: ScriptedUpstream, provider: Upstream, script: Script
) -> None:
    upstream.will(script)
    found = await passed(provider)
    assert found.raw == sent(script)
    assert found.outcome.whole, found.outcome.error
    assert not any(one.last for one in found.told[:-1])


async def test_the_request_goes_on_byte_for_byte_with_the_servers_own_key(
    upstream: ScriptedUpstream, provider: Upstream
) -> None:
    await passed(provider)
    (asked,) = upstream.asked
    assert asked.body == BODY
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.headers["accept-encoding"] == "identity"


async def test_each_event_is_told_by_itself_and_at_once(
    upstream: ScriptedUpstream, provider: Upstream
) -> None:
    gate = asyncio.Event()
    upstream.will(stream(chunk("a") + chunk("b"), gate, FINISH, DONE))
    call = await forward(provider)
    async with aclosing(call.told()) as telling:
        assert await anext(telling) == Chunk(chunk("a"), (TextPiece("a"),))
        assert await anext(telling) == Chunk(chunk("b"), (TextPiece("b"),))
        gate.set()
        assert [one async for one in telling] == [Chunk(FINISH), Chunk(DONE, last=True)]
    await call.close()


async def test_a_whole_completion_is_one_body_and_its_own_envelope(
    upstream: ScriptedUpstream, provider: Upstream
) -> None:
    message = {"role": "assistant", "content": "Hello"}
    body = {"id": "c", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    upstream.will(whole(body))
    found = await passed(provider, stream=False)
    (told,) = found.told
    assert json.loads(told.raw) == body == found.outcome.envelope
    assert told.pieces == (TextPiece("Hello"),)
    assert told.last
    assert found.outcome.whole


async def test_a_packed_body_is_unpacked(upstream: ScriptedUpstream, provider: Upstream) -> None:
    plain = chunk("a") + FINISH + DONE
    headers = {"content-type": "text/event-stream", "content-encoding": "gzip"}
    upstream.will((Head(headers=headers), gzip.compress(plain)))
    call = await forward(provider)
    assert "content-encoding" not in dict(call.headers)
    async with aclosing(call.told()) as telling:
        assert b"".join([one.raw async for one in telling]) == plain
    await call.close()


BROKEN: dict[str, tuple[Script, Code]] = {
    "cut": (stream("a", CUT), Code.PROVIDER_CUT),
    "a clean end without a reason": (stream("a"), Code.PROVIDER_CUT),
    "nothing at all": (stream(), Code.PROVIDER_CUT),
    "a damaged event": (stream("a", b'data: {"cho\n\n', FINISH, DONE), Code.PROVIDER_BAD_REPLY),
    "an error in it": (
        stream("a", event({"error": {"message": "m", "type": "rate_limit_error"}}), DONE),
        Code.PROVIDER_RATE_LIMITED,
    ),
    "silence": (stream("a", STALL), Code.PROVIDER_TIMEOUT),
    "a huge event": (stream("a", b"data: " + b"x" * 9_000_000), Code.PROVIDER_BAD_REPLY),
}


@pytest.mark.parametrize(("script", "code"), BROKEN.values(), ids=BROKEN.keys())
async def test_what_is_not_whole_says_why_and_keeps_what_came(
    upstream: ScriptedUpstream, script: Script, code: Code
) -> None:
    idle = 0.2 if code is Code.PROVIDER_TIMEOUT else 90
    provider = upstream_at(upstream.base_url, provider_idle_seconds=idle)
    upstream.will(script)
    found = await passed(provider)
    assert found.code is code
    assert not found.outcome.whole
    assert sent(script).startswith(found.raw)
    await provider.close()


async def test_an_error_that_the_client_has_seen_is_known_as_told(
    upstream: ScriptedUpstream, provider: Upstream
) -> None:
    error = event({"error": {"message": "m"}})
    upstream.will(stream("a", error))
    found = await passed(provider)
    assert found.outcome.told
    assert found.raw == chunk("a") + error
    upstream.will(stream("a", CUT))
    assert not (await passed(provider)).outcome.told


@pytest.mark.parametrize("end", [CUT, STALL], ids=["cut", "silence"])
async def test_what_is_lost_behind_the_end_is_no_failure(
    upstream: ScriptedUpstream, end: Any
) -> None:
    provider = upstream_at(upstream.base_url, provider_idle_seconds=0.1)
    upstream.will(stream(chunk("a") + FINISH, end))
    assert (await passed(provider)).outcome.whole
    await provider.close()


async def test_of_two_choices_both_must_end(upstream: ScriptedUpstream, provider: Upstream) -> None:
    upstream.will(stream("a", FINISH, CUT))
    found = await passed(provider, choices=2)
    assert found.code is Code.PROVIDER_CUT


async def test_a_refusal_comes_with_its_status_its_headers_and_its_body(
    upstream: ScriptedUpstream, provider: Upstream
) -> None:
    error = {"error": {"message": "slow down", "code": "rate_limit_exceeded"}}
    upstream.will(refuse(429, error, retry_after="3", x_request_id="req_1"))
    call = await forward(provider)
    assert call.status == 429
    assert dict(call.headers)["retry-after"] == "3"
    assert dict(call.headers)["x-request-id"] == "req_1"
    async with aclosing(call.told()) as telling:
        (told,) = [one async for one in telling]
    assert json.loads(told.raw) == error
    assert call.outcome.error is not None
    assert call.outcome.error.code is Code.PROVIDER_RATE_LIMITED
    assert call.outcome.error.retry_ms == 3000
    await call.close()
    assert len(upstream.asked) == 1, "the client decides whether to ask again"


async def test_it_is_asked_again_only_while_nothing_was_received(
    upstream: ScriptedUpstream, provider: Upstream
) -> None:
    upstream.will((CUT,), (CUT,), reply("a"))
    assert (await passed(provider)).outcome.whole
    assert len(upstream.asked) == 3
    upstream.will((CUT,), (CUT,), (CUT,))
    with pytest.raises(ProviderError) as failed:
        await forward(provider)
    assert failed.value.code is Code.PROVIDER_UNREACHABLE
    assert len(upstream.asked) == 6


async def test_a_server_that_never_begins_is_given_up(upstream: ScriptedUpstream) -> None:
    provider = upstream_at(upstream.base_url, provider_first_seconds=0.1, openai_whole_seconds=0.2)
    for streams in (True, False):
        upstream.will((STALL,))
        with pytest.raises(ProviderError) as failed:
            await forward(provider, stream=streams)
        assert failed.value.code is Code.PROVIDER_TIMEOUT
    await provider.close()


async def test_closing_a_call_ends_it_there_too(
    upstream: ScriptedUpstream, provider: Upstream
) -> None:
    upstream.will(stream("a", STALL))
    call = await forward(provider)
    async with aclosing(call.told()) as telling:
        await anext(telling)
    await call.close()
    await upstream.hung_up.wait()


async def test_what_is_no_chat_passes_unread(
    upstream: ScriptedUpstream, provider: Upstream
) -> None:
    upstream.will((Head(headers={"content-type": "audio/mpeg"}), b"\x00\xff", b"\n\nabc"))
    found = await passed(provider, path="/files/chat/completions")
    assert found.raw == b"\x00\xff\n\nabc"
    assert found.outcome.whole
    upstream.will((Head(headers={"content-type": "audio/mpeg"}), b"\x00", CUT))
    assert (await passed(provider, path="/files/chat/completions")).code is Code.PROVIDER_CUT


def test_headers_that_are_the_servers_own_stay_there() -> None:
    headers = {
        "X-Request-Id": "r",
        "x-ratelimit-remaining-requests": "5",
        "openai-processing-ms": "7",
        "Set-Cookie": "a=b",
        "Content-Length": "5",
        "openai-organization": "us",
        "access-control-allow-origin": "*",
    }
    assert passed_on(headers) == (
        ("x-request-id", "r"),
        ("x-ratelimit-remaining-requests", "5"),
        ("openai-processing-ms", "7"),
    )


STREAM = st.lists(st.sampled_from([b"data: x", b"", b": c", b"\n", b"\r", b"\r\n", b"id: 1"]))


@settings(max_examples=200)
@given(STREAM, st.lists(st.integers(1, 7), min_size=1, max_size=4))
def test_frames_joined_are_what_came_wherever_it_was_cut(
    parts: list[bytes], sizes: list[int]
) -> None:
    data, framer, found, at = b"".join(parts), Framer(), b"", 0
    turn = 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        found += b"".join(framer.feed(data[at : at + size]))
        at, turn = at + size, turn + 1
    assert found + framer.close() == data


def test_a_stream_ends_where_its_server_is_not_reached() -> None:
    async def unreachable() -> None:
        async with scripted_upstream() as gone:
            base_url = gone.base_url
        provider = upstream_at(base_url)
        with pytest.raises(ProviderError) as failed:
            await forward(provider)
        assert failed.value.code is Code.PROVIDER_UNREACHABLE
        await provider.close()

    asyncio.run(unreachable())
