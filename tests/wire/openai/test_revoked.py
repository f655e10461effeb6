"""A key that is revoked in mid-answer: its streams end at once, what came is kept as stopped, and nothing begins."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.support.upstream import Endless, Head, scripted_upstream
from tests.wire.door import ANSWER_SECONDS_MAX, Door, new_room, open_door, serving, settings_for
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from palaver.clock import SystemClock

Json = dict[str, Any]
ENDLESS = "/long 50000"
"""Minutes of an answer."""
ASKED: Json = {"model": "echo", "messages": [{"role": "user", "content": ENDLESS}]}
STREAMS: dict[str, Json] = {
    "/v1/chat/completions": ASKED | {"stream": True},
    "/v1/messages": ASKED | {"stream": True, "max_tokens": 100_000},
    "/v1/responses": {"model": "echo", "input": ENDLESS, "stream": True},
}


@dataclass(frozen=True, slots=True)
class Owner:
    """A person with a key, by which a program asks."""

    http: httpx2.AsyncClient
    key: str
    bearer: dict[str, str]
    program: httpx2.AsyncClient

    async def revoke(self) -> None:
        assert (await self.http.delete(f"/api/keys/{self.key}")).status_code == 204

    async def answer(self) -> Json:
        """The one answer that was kept, once it is."""
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            while True:
                for room in (await self.http.get("/api/rooms")).json()["rooms"]:
                    path = f"/api/rooms/{room['id']}"
                    for one in (await self.http.get(f"{path}/messages")).json()["messages"]:
                        if one["role"] == "assistant":
                            return one
                    if room["door"] is not None:  # it comes as an event
                        await self.http.get(f"{path}/events?after={room['seq']}&wait=1")


async def owner_in(door: Door) -> Owner:
    _, http = await door.guest()
    made = (await http.post("/api/keys", json={})).json()
    bearer = {"authorization": f"Bearer {made['token']}"}
    return Owner(http, made["key"]["id"], bearer, door.http(headers=bearer))


async def rest_of(parts: AsyncIterator[bytes]) -> tuple[bytes, bool]:
    """What still comes of a stream, and whether it ended as a whole one does."""
    rest = b""
    try:
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            async for part in parts:
                rest += part
    except httpx2.RemoteProtocolError:
        return rest, False
    return rest, True


@pytest.mark.parametrize("path", STREAMS)
async def test_a_stream_ends_at_once_and_what_came_is_kept_as_stopped(
    door: Door, path: str
) -> None:
    owner = await owner_in(door)
    async with owner.program.stream("POST", path, json=STREAMS[path]) as streaming:
        assert streaming.status_code == 200
        parts = streaming.aiter_raw()
        seen = b""
        while seen.count(b"word") < 3 and seen.count(b"data:") < 10:
            seen += await anext(parts)
        await owner.revoke()
        rest, whole = await rest_of(parts)
    assert not whole, "no clean end: that would count as success"
    assert b"This API key was revoked" in rest
    answer = await owner.answer()
    assert answer["status"] == "stopped"
    assert 0 < len(answer["text"]) < 10_000
    refused = await owner.program.post(path, json=STREAMS[path])
    assert refused.status_code == 401


@pytest.mark.parametrize("streams", [False, True])
async def test_an_answer_in_the_background_stops(door: Door, *, streams: bool) -> None:
    owner = await owner_in(door)
    body = STREAMS["/v1/responses"] | {"background": True, "stream": streams}
    async with owner.program.stream("POST", "/v1/responses", json=body) as asked:
        await anext(asked.aiter_raw())
    rooms = (await owner.http.get("/api/rooms")).json()["rooms"]
    assert [room["door"] for room in rooms if room["door"]] == ["openai"], "it runs on"
    await owner.revoke()
    assert (await owner.answer())["status"] == "stopped"


async def test_the_answer_of_another_key_of_the_same_person_goes_on(door: Door) -> None:
    owner = await owner_in(door)
    other = (await owner.http.post("/api/keys", json={})).json()
    path = "/v1/chat/completions"
    async with owner.program.stream("POST", path, json=STREAMS[path]) as streaming:
        parts = streaming.aiter_raw()
        await anext(parts)
        assert (await owner.http.delete(f"/api/keys/{other['key']['id']}")).status_code == 204
        for _ in range(20):
            assert await anext(parts)


async def test_what_is_only_passed_on_ends_too(tmp_path: Path) -> None:
    async with (
        scripted_upstream(everywhere=True) as upstream,
        open_door(tmp_path, openai_base_url=upstream.base_url) as door,
    ):
        owner = await owner_in(door)
        upstream.will((Head(headers={"content-type": "audio/mpeg"}), Endless(b"sound" * 100)))
        async with owner.program.stream("POST", "/v1/audio/speech", json={}) as streaming:
            parts = streaming.aiter_raw()
            await anext(parts)
            await owner.revoke()
            _, whole = await rest_of(parts)
        assert not whole
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            while not upstream.hangups:  # noqa: ASYNC110  it wakes nobody
                await asyncio.sleep(0.01)


@asynccontextmanager
async def talking(door: Door, owner: Owner) -> AsyncGenerator[ClientConnection]:
    async with door.socket("/v1/responses", additional_headers=owner.bearer) as socket:
        yield socket


async def frames_of(socket: ClientConnection) -> AsyncGenerator[str | bytes]:
    """All that comes until the end, whatever end that is."""
    with suppress(ConnectionClosed):
        while True:
            yield await socket.recv()


async def test_a_connection_to_responses_is_closed(door: Door) -> None:
    owner = await owner_in(door)
    async with talking(door, owner) as busy, talking(door, owner) as idle:
        asked = {"type": "response.create", "model": "echo", "input": ENDLESS}
        await busy.send(json.dumps(asked))
        for _ in range(8):
            await busy.recv()
        await owner.revoke()
        for socket in (busy, idle):
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                told = [json.loads(frame) async for frame in frames_of(socket)]
            assert socket.close_code == 1008
            assert told[-1]["error"]["code"] == "invalid_api_key"
    assert (await owner.answer())["status"] == "stopped"


class Later(SystemClock):
    """A clock that a test sets ahead."""

    ahead_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.ahead_ms


async def test_what_lives_by_a_key_ends_when_it_expires_on_every_door(tmp_path: Path) -> None:
    settings, stop, clock = settings_for(tmp_path), asyncio.Event(), Later()
    path = "/v1/chat/completions"
    async with serving(settings, stop, clock=clock) as (url, _):
        door = Door(url, settings, stop)
        _, http = await door.guest()
        made = (await http.post("/api/keys", json={"days": 1})).json()
        program = door.http(headers={"authorization": f"Bearer {made['token']}"})
        room, feed = await new_room(program), {"accept": "text/event-stream"}
        async with (
            door.live(made["token"]) as live,
            program.stream("GET", f"/api/rooms/{room}/events", headers=feed) as following,
            program.stream("POST", path, json=STREAMS[path]) as streaming,
        ):
            events, parts = following.aiter_raw(), streaming.aiter_raw()
            await anext(parts)
            clock.ahead_ms = 25 * 3_600_000
            rest, whole = await rest_of(parts)
            assert await live.closed() == 4503
            told, _ = await rest_of(events)
        assert b"unauthenticated" in told
        assert not whole
        assert b"or has expired." in rest
        refused = await program.post(path, json=STREAMS[path])
        assert refused.status_code == 401
        assert refused.json()["error"]["message"].startswith("This API key has expired.")
        await door.close()
