"""Where a model server is, is told to nobody who asks it something, whatever goes wrong; the log has it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.providers.support import hear, upstream_at
from tests.support.upstream import (
    CUT,
    STALL,
    Head,
    Script,
    ScriptedUpstream,
    event,
    refuse,
    scripted_upstream,
    stream,
    whole,
)

from palaver.errors import Code, ProviderError
from palaver.providers.call import CHAT, CallRequest
from palaver.providers.openai.client import Upstream

HERE = "127.0.0.1"
FAILING: dict[str, Script] = {
    "redirect": refuse(302, "", location="http://HERE/elsewhere"),
    "its words": refuse(500, {"error": {"message": "no route to http://HERE/v1 (HERE)"}}),
    "its words, plain": refuse(400, "upstream HERE said no"),
    "key": refuse(401, {"error": {"message": "bad key for HERE"}}),
    "credit": refuse(402, ""),
    "no model": refuse(404, {"error": {"message": "model not found at HERE"}}),
    "no API": refuse(404, "404 page not found"),
    "busy": refuse(429, ""),
    "overloaded": refuse(529, ""),
    "slow": refuse(504, "<html>HERE timed out</html>"),
    "too long": refuse(400, {"error": {"code": "context_length_exceeded", "message": "HERE"}}),
    "cut": stream("Hel", CUT),
    "cut before": (Head(), CUT),
    "senseless": (Head(status=700),),
    "packed": (Head(headers={"content-encoding": "br"}), b"x"),
    "nothing": whole({"ok": True}),
    "damaged": stream("Hel", b'data: {"a":\n\n'),
    "words": stream("Hel", b"data: error: HERE is out of memory\n\n"),
    "in the middle": stream("Hel", event({"error": {"message": "worker at HERE died"}})),
    "silent": (STALL,),
    "falls silent": stream("Hel", STALL),
}


def with_place(step: Any, place: str) -> Any:
    return step.replace(b"HERE", place.encode()) if isinstance(step, bytes) else step


async def passed_on(provider: Upstream) -> ProviderError | None:
    """How a request that is passed on fails."""
    request = CallRequest(method="POST", path=CHAT, body=b'{"model":"m"}', stream=True)
    try:
        call = await provider.forward(request)
    except ProviderError as failure:
        return failure
    async with aclosing(call.told()) as telling:
        async for _ in telling:
            pass
    await call.close()
    return call.outcome.error


async def listed(provider: Upstream) -> ProviderError | None:
    try:
        await provider.models()
    except ProviderError as failure:
        return failure
    return None


async def every_failure(url: str) -> list[ProviderError]:
    """How each kind of call fails there."""
    limits = {"provider_first_seconds": 0.2, "provider_idle_seconds": 0.2}
    provider = upstream_at(url, name=HERE, model="m", **limits)
    found = [(await hear(provider)).error, await passed_on(provider), await listed(provider)]
    await provider.close()
    return [one for one in found if one is not None]


def check(failures: list[ProviderError], *places: object) -> None:
    for failure in failures:
        for place in places:
            assert str(place) not in failure.detail
        assert "model server" in failure.detail or "The conversation" in failure.detail
        assert failure.detail[0].isupper()
        assert "of The" not in failure.detail


@pytest.fixture(scope="module")
async def failing() -> AsyncIterator[ScriptedUpstream]:
    async with scripted_upstream() as upstream:
        yield upstream


@pytest.mark.parametrize("name", FAILING)
async def test_no_failure_tells_where_the_server_is(failing: ScriptedUpstream, name: str) -> None:
    script = tuple(with_place(step, f"{HERE}:{failing.port}") for step in FAILING[name])
    failing.default = script
    failing.models_script = None if STALL in script else script  # a list is waited for longer
    failures = await every_failure(failing.base_url)
    assert len(failures) >= (1 if STALL in script else 2)
    check(failures, HERE, failing.port)


async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"\x15\x03\x01\x00\x02\x02\x46 no HTTP\r\n\r\n")
    writer.close()


async def hangs_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


@pytest.mark.parametrize("server", [nonsense, hangs_up, None])
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("proxied", [False, True])
async def test_no_way_there_is_told_but_logged(
    monkeypatch: pytest.MonkeyPatch, server: Any, scheme: str, *, proxied: bool
) -> None:
    async with AsyncExitStack() as running:
        listener = running.enter_context(socket.socket())
        listener.bind((HERE, 0))
        port = listener.getsockname()[1]
        if server is not None:
            serving = await asyncio.start_server(server, sock=listener)
            await running.enter_async_context(serving)
        url = f"{scheme}://{HERE}:{port}/v1"
        if proxied:
            monkeypatch.setenv("ALL_PROXY", f"http://{HERE}:{port}")
            url = f"{scheme}://models.invalid/v1"
        with capture_logs() as logs:
            failures = await every_failure(url)
    assert len(failures) == 3
    check(failures, HERE, port, "models.invalid")
    for logged in logs:
        assert logged["at"] == url.removesuffix("/v1")
        assert logged["proxy"] == (f"{HERE}:{port}" if proxied else None)
    assert len(logs) == (0 if {one.code for one in failures} == {Code.PROVIDER_BAD_REPLY} else 1)


async def test_a_name_that_nobody_knows_is_not_told() -> None:
    failures = await every_failure("http://models.invalid/v1")
    assert {one.code for one in failures} == {Code.PROVIDER_UNREACHABLE}
    check(failures, "models.invalid")


async def lists_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\nconnection: close\r\n\r\n"
    writer.write(head + b'{"data":[]}')
    writer.close()


async def test_that_a_server_is_away_is_told_once_until_it_is_back() -> None:
    with capture_logs() as logs, socket.socket() as listener:
        listener.bind((HERE, 0))
        provider = upstream_at(f"http://{HERE}:{listener.getsockname()[1]}/v1", model="m")
        for _ in range(2):
            assert await listed(provider)
        assert [one["event"] for one in logs] == ["provider.unreachable"]
        async with await asyncio.start_server(lists_nothing, sock=listener):
            assert await listed(provider) is None
        assert await listed(provider)
    assert len(logs) == 2
    await provider.close()
