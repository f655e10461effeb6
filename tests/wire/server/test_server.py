"""The server process: where it listens, how it says so, and how it stops."""

import asyncio
import gc
import json
import os
import socket
import stat
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from tests.support.server import Serve
from tests.wire.door import Door, new_cid, new_room, open_door, serving, settings_for, texts

from palaver.errors import Code, Refused
from palaver.settings import Settings, settings_from
from palaver.wire.edge.proxies import is_loopback
from palaver.wire.server.server import listening, settle

POLL_SECONDS = 30
STOP_SECONDS_MAX = 25.0
"""A stop takes ten, and must not wait until a long poll is over by itself."""


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "::1", "LocalHost"])
def test_loopback_is_for_this_machine_only(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.9", "example.org", ""])
def test_everything_else_is_public(host: str) -> None:
    assert not is_loopback(host)


def test_a_wildcard_is_shown_by_a_name_that_a_browser_can_open(tmp_path: Path) -> None:
    with listening(settings_for(tmp_path, host="0.0.0.0")) as (_, url):
        assert url.startswith("http://localhost:")


def test_a_port_that_is_taken_is_said_so(tmp_path: Path) -> None:
    with listening(settings_for(tmp_path)) as (listener, _):
        taken = settings_for(tmp_path).model_copy(update={"port": listener.getsockname()[1]})
        with pytest.raises(Refused) as refused, listening(taken):
            pass
        assert refused.value.code is Code.PORT_TAKEN
        assert "--port" in refused.value.detail


async def test_a_second_server_on_the_same_port_ends_before_it_touches_the_store(
    door: Door, tmp_path: Path
) -> None:
    port = int(door.host.rpartition(":")[2])
    settings = settings_from(data_dir=tmp_path / "other", port=port, detect=False)
    with pytest.raises(Refused) as refused:
        async with serving(settings, asyncio.Event()):
            pass
    assert refused.value.code is Code.PORT_TAKEN
    assert not (tmp_path / "other").exists()


async def test_a_note_says_where_the_server_is_for_as_long_as_it_is_there(tmp_path: Path) -> None:
    note = tmp_path / "server.json"
    async with open_door(tmp_path) as door:
        content = json.loads(note.read_text(encoding="utf-8"))
        assert content["url"] == door.url
        assert content["pid"] == os.getpid()
        assert content["version"]
        assert stat.S_IMODE(note.stat().st_mode) == 0o600
        assert (await door.http().get("/health")).json()["db"] == "up"
    assert not note.exists()
    assert not [file for file in os.scandir(tmp_path) if file.name.endswith(".new")]


async def test_live_clients_are_told_when_to_come_back(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door:
        token, _ = await door.guest()
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(door.live(token)) for _ in range(8)]
            door.stop.set()
            assert {await live.closed() for live in clients} == {4000}
            waits = [(await live.push("bye"))["retry_ms"] for live in clients]
            assert all(wait > 0 for wait in waits)
            assert len(set(waits)) > 1, "not all at once"


@pytest.mark.slow
@pytest.mark.fault
async def test_sigterm_ends_everything_in_time_and_loses_nothing(serve: Serve) -> None:
    """With a running answer, a feed, a long poll, a half-sent request and a client that says nothing."""
    environment = {"PALAVER_DETECT": "false", "PALAVER_LOG_LEVEL": "debug"}
    server = await serve(environment=environment)
    door = Door(server.url, settings_for(server.data))
    token, http = await door.guest()
    room, idle = await new_room(http), await new_room(http)
    loop = asyncio.get_running_loop()
    async with door.live(token) as live, half_sent(door), half_sent(door, b""):
        await live.ask(t="sub", room=room)
        await live.say(room, "/slow")
        opened = await live.push("s.open")
        await live.push("s.d")
        async with long_poll(door, token, idle) as poll, feed_of(http, idle) as lines:
            assert (await anext(lines)).startswith("event: reset")
            began = loop.time()
            async with asyncio.TaskGroup() as tasks:
                ending = tasks.create_task(server.term())
                assert await live.closed() == 4000
                assert [line async for line in lines if line.startswith("retry: ")]
            answered = await poll.readline()
            assert answered.startswith(b"HTTP/1.1 200"), "a long poll is answered, not cut"
    assert ending.result() == 0, server.tail()
    assert loop.time() - began < STOP_SECONDS_MAX
    assert "Traceback" not in server.tail(), server.tail()
    await server.start()
    found = (await http.get(f"/api/rooms/{room}/messages")).json()["messages"]
    (answer,) = [message for message in found if message["role"] == "assistant"]
    assert (answer["id"], answer["status"]) == (opened["msg"], "interrupted")
    assert answer["text"]
    await door.close()


@asynccontextmanager
async def half_sent(door: Door, data: bytes | None = None) -> AsyncGenerator[None]:
    """A connection whose request never comes to its end."""
    head = f"POST /api/rooms HTTP/1.1\r\nhost: {door.host}\r\ncontent-length: 99\r\n"
    head += "content-type: application/json\r\n\r\n{"
    host, _, port = door.host.rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(head.encode() if data is None else data)
    yield
    writer.transport.abort()


@asynccontextmanager
async def long_poll(door: Door, token: str, room: str) -> AsyncGenerator[asyncio.StreamReader]:
    """A request that waits for events, and is sent before anything else is done."""
    host, _, port = door.host.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    path = f"/api/rooms/{room}/events?after=1&wait={POLL_SECONDS}"
    head = f"GET {path} HTTP/1.1\r\nhost: {door.host}\r\nauthorization: Bearer {token}\r\n\r\n"
    writer.write(head.encode())
    await writer.drain()
    yield reader
    writer.transport.abort()


@asynccontextmanager
async def feed_of(http: httpx2.AsyncClient, room: str) -> AsyncGenerator[AsyncIterator[str]]:
    headers = {"accept": "text/event-stream"}
    async with http.stream("GET", f"/api/rooms/{room}/events", headers=headers) as feed:
        yield feed.aiter_lines()


@pytest.mark.fault
async def test_it_serves_on_uvloop_as_users_have_it(serve: Serve) -> None:
    """The rest of these tests run the server in their own loop."""
    environment = {"PALAVER_DETECT": "false", "PALAVER_LOG_LEVEL": "debug"}
    server = await serve(environment=environment)
    door = Door(server.url, settings_for(server.data))
    token, http = await door.guest()
    room = await new_room(http)
    async with door.live(token) as live:
        await live.ask(t="sub", room=room)
        await live.say(room, "/long 5")
        await live.event("message.created", lambda frame: frame["d"]["role"] == "assistant")
        await live.socket.send("x" * (Settings.model_construct().frame_bytes_max + 1))
        assert await live.closed() == 1009
    assert await texts(http, room) == ["/long 5"]
    answer = await door.raw(b"GET / HTTP/1.1\r\nhost: x\r\na: " + b"x" * 200_000 + b"\r\n\r\n")
    assert b" 431 " in answer.partition(b"\r\n")[0]
    note = json.loads((server.data / "server.json").read_text(encoding="utf-8"))
    assert note["url"] == server.url
    await door.close()
    with socket.create_connection(("127.0.0.1", int(door.host.rpartition(":")[2]))):
        assert await server.term() == 0
    assert "SECRET" not in server.tail()
    assert new_cid() not in server.tail()


def test_the_collector_does_not_look_at_what_stays() -> None:
    thresholds = gc.get_threshold()
    gc.disable()
    try:
        settle()
        assert gc.isenabled()
        assert gc.get_freeze_count() > len(gc.get_objects())
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)
        gc.enable()
