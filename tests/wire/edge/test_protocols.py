"""The bounds of a connection: what is too much, too slow or malformed ends it, and others do not notice."""

import asyncio
import contextlib
import json
import logging
import socket
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest
from structlog.testing import capture_logs
from tests.wire.door import Door, Live, new_cid, new_room, open_door
from websockets.exceptions import ConnectionClosed, InvalidStatus

from palaver.wire.edge import protocols


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def code_of(answer: bytes) -> str:
    return json.loads(answer.partition(b"\r\n\r\n")[2])["code"]


def request(door: Door, line: str = "GET /health HTTP/1.1", *headers: str) -> bytes:
    return "\r\n".join([line, f"host: {door.host}", *headers, "", ""]).encode()


async def served(door: Door) -> None:
    """The server lives and serves others."""
    assert (await door.http().get("/health")).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        ["a: " + "x" * 200_000],
        ["a: " + "x" * 33_000],
        ["x" * 200_000 + ": a"],
        [f"a{number}: b" for number in range(10_000)],
        [f"a{number}: b" for number in range(129)],
    ],
)
async def test_headers_without_end_are_refused(door: Door, headers: list[str]) -> None:
    answer = await door.raw(request(door, "GET /health HTTP/1.1", *headers))
    assert (status_of(answer), code_of(answer)) == (431, "headers_too_large")
    await served(door)


async def test_nothing_of_a_connection_is_kept_by_what_refused_it(door: Door) -> None:
    """An error that is raised again and again would keep all that it came through."""
    assert status_of(await door.raw(request(door, "GET / HTTP/1.1", "a: " + "x" * 33_000))) == 431
    assert protocols._LARGE.__traceback__ is None


async def test_an_address_without_end_is_refused(door: Door) -> None:
    assert status_of(await door.raw(request(door, f"GET /{'x' * 40_000} HTTP/1.1"))) == 431


async def test_headers_that_never_end_are_refused_while_they_come(door: Door) -> None:
    answer = await door.raw(request(door)[:-2] + b"a: " + b"x" * 1_000_000)
    assert status_of(answer) == 431


@pytest.mark.parametrize(
    "head",
    [
        b"POST /api HTTP/1.1\r\nhost: HOST\r\ncontent-length: 6\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET",
        b"POST /api/rooms HTTP/1.1\r\nhost: HOST\r\ncontent-length: 2\r\ncontent-length: 5\r\n\r\n{}GET",
        b"POST /api/rooms HTTP/1.1\r\nhost: HOST\r\ncontent-length: -1\r\n\r\n",
        b"POST /api/rooms HTTP/1.1\r\nhost: HOST\r\ncontent-length: 1e3\r\n\r\n",
        b"GET /health HTTP/1.1\r\nhost : HOST\r\n\r\n",
        b"GET /health HTTP/1.1\r\nhost: HOST\r\n folded: x\r\n\r\n",
        b"GET /health HTTP/1.1\r\nhost: HOST\r\na: x\x00y\r\n\r\n",
        b"GET /health HTTP/9.9\r\nhost: HOST\r\n\r\n",
        b"CONNECT evil.example:443 HTTP/1.1\r\nhost: HOST\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nhost: HOST\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x00" * 100,
        b"GET /health HTTP/1.1\r\n\r\n",
        b"GET /health HTTP/1.1\r\nhost: HOST\r\nhost: HOST\r\n\r\n",
    ],
)
async def test_what_two_servers_would_read_differently_is_refused(door: Door, head: bytes) -> None:
    head = head.replace(b"HOST", door.host.encode())
    if head.startswith((b"GET", b"POST")):
        head = head.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n", 1)
    answer = await door.raw(head)
    assert status_of(answer) == 400, answer
    assert answer.count(b"content-length") == 1, "one answer, then the end"
    await served(door)


async def test_who_dawdles_with_the_headers_is_not_waited_for(tmp_path: Path) -> None:
    async with open_door(tmp_path, header_seconds=0.3) as door:
        answer = await door.raw(request(door)[:-2])
        assert (status_of(answer), code_of(answer)) == (408, "request_timeout")
        assert await door.raw(b"") == b"", "who says nothing is let go without a word"
        second = await door.raw(request(door) + request(door)[:-2])
        assert second.startswith(b"HTTP/1.1 200")
        assert b"HTTP/1.1 408" in second


async def test_an_idle_connection_is_let_go(tmp_path: Path) -> None:
    async with open_door(tmp_path, header_seconds=0.3) as door:
        answer = await door.raw(request(door))
        assert status_of(answer) == 200


async def test_an_answer_is_seen_although_the_body_was_not_read(door: Door) -> None:
    answer = await door.raw(
        request(door, "POST /nowhere HTTP/1.1", "content-length: 900000") + b"x" * 500_000
    )
    assert status_of(answer) == 404
    await served(door)


async def test_more_connections_than_allowed_are_told_to_come_later(tmp_path: Path) -> None:
    async with open_door(tmp_path, connections_max=3) as door:
        host, _, port = door.host.rpartition(":")
        open_now = [await asyncio.open_connection(host, int(port)) for _ in range(3)]
        for reader, writer in open_now:
            writer.write(request(door))
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        answer = await door.raw(request(door))
        assert (status_of(answer), code_of(answer)) == (503, "too_busy")
        with pytest.raises(InvalidStatus) as refused:
            async with door.socket():
                pass
        assert refused.value.response.status_code == 503
        for _, writer in open_now:
            writer.transport.abort()
        async with asyncio.timeout(90):
            while (
                status_of(
                    await door.raw(request(door, "GET /health HTTP/1.1", "connection: close"))
                )
                != 200
            ):
                pass


async def small_socket(door: Door) -> socket.socket:
    """A connection that takes little as long as nobody reads."""
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    small.setblocking(False)  # noqa: FBT003  the standard library's signature
    host, _, port = door.host.rpartition(":")
    await asyncio.get_running_loop().sock_connect(small, (host, int(port)))
    return small


@pytest.mark.slow
async def test_a_reader_that_takes_no_byte_is_cut_off_and_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocols, "LINGER_SECONDS", 5)  # so that it may find out late why
    async with open_door(tmp_path, slow_reader_seconds=0.5, frames_per_second=1_000) as door:
        token, http = await door.guest()
        room = await new_room(http)
        for _ in range(50):
            said = {"cid": new_cid(), "text": "\U0001f600" * 10_000}
            assert (await http.post(f"/api/rooms/{room}/messages", json=said)).status_code == 201
        small = await small_socket(door)
        other_room = await new_room(http)
        async with (
            door.live(token, sock=small, max_queue=1) as slow,
            door.live(token) as other,
        ):
            for number in range(30):
                await slow.send(t="sub", id=1_000 + number, room=room)
            await other.ask(t="sub", room=other_room)
            assert (await other.say(other_room, "/slow"))["state"] == "stored"
            while "slow_closed_total 1.0" not in (await http.get("/metrics")).text:  # noqa: ASYNC110  it wakes nobody
                await asyncio.sleep(0.05)
            assert await slow.closed() == 4003
            await other.push("s.d", lambda frame: frame["n"] >= 3)
        async with door.live(token) as again:
            assert (await again.ask(t="sub", room=room, since=1))["mode"] == "resume"


@pytest.mark.slow
async def test_a_classic_client_that_only_talks_is_cut_off_without_an_error(tmp_path: Path) -> None:
    guest = {"additional_headers": {"cookie": f"stupidbot_user_id={UUID(int=1)}"}}
    said = json.dumps({"content": "\U0001f600" * 9_000}, ensure_ascii=False)
    with capture_logs() as logs:
        async with open_door(
            tmp_path,
            slow_reader_seconds=1,
            frames_per_second=1_000,
            stop_seconds=1,
            turns_running_max=1,
        ) as door:
            small = await small_socket(door)
            async with (
                door.socket("/ws/chat", sock=small, max_queue=1, **guest) as deaf,
                door.socket("/ws/chat", **guest) as other,
            ):
                for _ in range(150):
                    await other.send(said)
                    while json.loads(await other.recv())["type"] != "message":
                        pass
                await deaf.send("not a frame")  # its answer waits behind what is not read
                async with asyncio.timeout(90):
                    while not any(entry["event"] == "connection" for entry in logs):  # noqa: ASYNC110  it wakes nobody
                        await asyncio.sleep(0.01)
                deaf.transport.abort()
    assert [entry for entry in logs if entry["log_level"] == "error"] == []


async def test_a_flood_of_pings_ends_the_connection(door: Door) -> None:
    token, _ = await door.guest()
    async with door.live(token) as live:
        with contextlib.suppress(ConnectionClosed):
            for number in range(2_000):
                await live.socket.ping(f"{number}")
        assert await live.closed() == 4008
    await served(door)


async def test_a_message_in_a_thousand_pieces_ends_the_connection(door: Door) -> None:
    token, _ = await door.guest()
    async with door.live(token) as live:
        await live.socket.send(["", *'{"t":"ping"}', ""])
        assert (await live.receive())["t"] == "pong", "a few pieces are fine"
        with contextlib.suppress(ConnectionClosed):
            await live.socket.send(["x"] * 3_000)
        assert await live.closed() == 1009
    await served(door)


async def test_invalid_utf8_ends_the_connection_and_is_no_error_of_ours(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    token, _ = await door.guest()
    for path in ("/ws", "/ws/chat"):
        cookie = {"cookie": f"stupidbot_user_id={UUID(int=2)}"}
        async with door.socket(path, additional_headers=cookie) as socket:
            await socket.send(b"\xff\xfe", text=True)
            assert await Live(socket).closed() == 1007
    async with door.live(token) as live:
        await live.socket.send([b"ok", b"\xff\xfe"], text=True)
        assert await live.closed() == 1007
    assert [entry for entry in caplog.records if entry.levelno >= logging.ERROR] == []


async def test_nothing_is_compressed(door: Door) -> None:
    token, _ = await door.guest()
    async with door.live(token) as live:
        assert live.socket.response is not None
        assert "sec-websocket-extensions" not in live.socket.response.headers


@pytest.mark.parametrize(
    "headers",
    [
        ["sec-websocket-key: short", "sec-websocket-version: 13"],
        ["sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==", "sec-websocket-version: 7"],
        ["sec-websocket-version: 13"],
        [
            "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
            "sec-websocket-version: 13",
            "a: " + "x" * 9_000,
        ],
    ],
)
async def test_a_bad_handshake_is_refused(door: Door, headers: list[str]) -> None:
    upgrade = ["connection: upgrade", "upgrade: websocket", *headers]
    answer = await door.raw(request(door, "GET /ws HTTP/1.1", *upgrade))
    assert status_of(answer) in {400, 426}, answer
    await served(door)


async def test_a_frame_that_is_not_masked_ends_the_connection(door: Door) -> None:
    upgrade = [
        "connection: upgrade",
        "upgrade: websocket",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
        "sec-websocket-version: 13",
    ]
    host, _, port = door.host.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request(door, "GET /ws HTTP/1.1", *upgrade))
    assert status_of(await reader.readuntil(b"\r\n\r\n")) == 101
    writer.write(b"\x81\x02{}")
    assert (await reader.read()).startswith(b"\x88"), "a close frame"
    writer.transport.abort()
    await served(door)


async def test_many_frames_arrive_as_they_were_written(door: Door) -> None:
    """Of every length class of RFC 6455: below 126, below 65,536, and beyond."""
    token, http = await door.guest()
    room = await new_room(http)
    async with door.live(token) as live:
        await live.ask(t="sub", room=room)
        for size in (1, 200, 10_000):
            text = "\U0001f600" * size
            ack = await live.say(room, text)
            got = await live.event(
                "message.created", lambda frame, ack=ack: frame["seq"] == ack["seq"]
            )
            assert got["d"]["text"] == text
        reset = await live.ask(t="sub", room=room)
        assert len(json.dumps(reset, ensure_ascii=False).encode()) > 40_000


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_a_server_takes_the_open_files_that_it_may_have() -> None:
    code = """
import resource as r
from palaver.wire.edge.protocols import allow_files
_, most = r.getrlimit(r.RLIMIT_NOFILE)
r.setrlimit(r.RLIMIT_NOFILE, (256, most))
allow_files(10)
print(r.getrlimit(r.RLIMIT_NOFILE)[0])
allow_files(10**9)
print(r.getrlimit(r.RLIMIT_NOFILE)[0] == min(most, 10**9) or most)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    some, enough = done.stdout.split()
    assert int(some) > 256
    assert enough != "False"
