"""Floods, byte by byte: what one connection may have parsed before everybody else has had a turn.

Counted in bytes that reach a parser between two turns of the loop in which another socket is served, never in seconds.
"""

import asyncio
import contextlib
import json
import logging
import random
import socket
import struct
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httptools
import pytest
from tests.wire.door import Door, new_room, open_door
from websockets.protocol import Protocol

from palaver.wire.edge import protocols
from palaver.wire.edge.waiting import SLICE_BYTES

FLOOD_BYTES = 4_000_000
TURN_BYTES_MAX = 65_536
UPGRADE = (
    "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: upgrade\r\nupgrade: websocket\r\n{more}"
    "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n"
)


def frame(head: int, payload: bytes = b"") -> bytes:
    """A masked frame; the mask is zero."""
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 65_536:
        length = struct.pack("!BH", 0x80 | 126, size)
    else:
        length = struct.pack("!BQ", 0x80 | 127, size)
    return bytes([head]) + length + bytes(4) + payload


def flood_of(one: bytes) -> bytes:
    return one * (FLOOD_BYTES // len(one))


class Count:
    """Bytes that were parsed, in all and at the most between two turns of another."""

    def __init__(self) -> None:
        self.total = 0
        self.most = 0
        self._before = 0

    def parsed(self, size: int) -> None:
        self.total += size

    def turn(self) -> None:
        self.most = max(self.most, self.total - self._before)
        self._before = self.total


@pytest.fixture
async def count(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Count]:
    """Counts what the parsers of others' code are given, while another socket wants a turn all the time."""
    counted = Count()
    receive_data = Protocol.receive_data

    def parse_frames(self: Protocol, data: bytes | bytearray) -> None:
        counted.parsed(len(data))
        receive_data(self, data)

    class Parser(httptools.HttpRequestParser):
        def feed_data(self, data: Any) -> None:
            counted.parsed(len(data))
            super().feed_data(data)

    monkeypatch.setattr(protocols, "LINGER_SECONDS", 0.1)
    monkeypatch.setattr(Protocol, "receive_data", parse_frames)
    monkeypatch.setattr(httptools, "HttpRequestParser", Parser)
    loop = asyncio.get_running_loop()
    other, end = socket.socketpair()
    end.send(b"x")  # nobody reads it: the loop finds it in every turn
    loop.add_reader(other, counted.turn)
    try:
        yield counted
    finally:
        loop.remove_reader(other)
        other.close()
        end.close()
        counted.turn()


def attack(door: Door, data: bytes, head: bytes = b"") -> bytes:
    """Sends all of it as fast as the server takes it, and gives what came back. To be run in a thread."""
    host, _, port = door.host.rpartition(":")
    got = b""
    with socket.create_connection((host, int(port)), timeout=90) as attacker:
        with contextlib.suppress(ConnectionError):
            if head:
                attacker.sendall(head)
                while b"\r\n\r\n" not in got:
                    got += attacker.recv(65_536)
            attacker.sendall(data)
        with contextlib.suppress(ConnectionError):
            while more := attacker.recv(65_536):
                got += more
    return got


def upgrade(door: Door, path: str = "/ws", more: str = "") -> bytes:
    return UPGRADE.format(path=path, host=door.host, more=more).encode()


FLOODS = {
    "pongs": flood_of(frame(0x8A)),
    "pings": flood_of(frame(0x89, b"?")),
    "texts": flood_of(frame(0x81, b"{}")),
    "bytes": flood_of(frame(0x82)),
    "pieces": frame(0x01) + flood_of(frame(0x00)),
    "pieces around pings": flood_of(frame(0x01) + frame(0x89) + frame(0x80)),
    "one frame without an end": struct.pack("!BBQ", 0x81, 0xFF, 1_000_000) + bytes(FLOOD_BYTES),
    "one text in large pieces": frame(0x01) + flood_of(frame(0x00, b" " * 30_000)),
    "goodbyes": flood_of(frame(0x88)),
    "what is no frame": b"\xff" * FLOOD_BYTES,
}


@pytest.mark.parametrize("kind", FLOODS)
async def test_who_has_not_said_hello_is_parsed_for_a_moment_only(
    door: Door, count: Count, kind: str
) -> None:
    flood = asyncio.to_thread(attack, door, FLOODS[kind], upgrade(door))
    answers = await asyncio.gather(flood, door.http().get("/health"))
    assert answers[1].status_code == 200
    assert count.most <= TURN_BYTES_MAX
    assert count.total <= TURN_BYTES_MAX, "the rest was thrown away unparsed"


@pytest.mark.parametrize("kind", ["pongs", "pings", "texts", "pieces", "bytes"])
async def test_a_guest_who_floods_is_cut_off(door: Door, count: Count, kind: str) -> None:
    token, http = await door.guest()
    hello = frame(0x81, json.dumps({"t": "hello", "v": 1, "token": token}).encode())
    flood = asyncio.to_thread(attack, door, hello + FLOODS[kind], upgrade(door))
    answers = await asyncio.gather(flood, http.get("/health"))
    assert answers[1].status_code == 200
    assert count.most <= TURN_BYTES_MAX
    assert count.total <= 2 * TURN_BYTES_MAX


@pytest.mark.parametrize("kind", ["pongs", "texts", "pieces"])
async def test_a_classic_client_that_floods_is_cut_off(door: Door, count: Count, kind: str) -> None:
    cookie = "cookie: stupidbot_user_id=00000000-0000-4000-8000-000000000001\r\n"
    flood = asyncio.to_thread(attack, door, FLOODS[kind], upgrade(door, "/ws/chat", cookie))
    answers = await asyncio.gather(flood, door.http().get("/health"))
    assert answers[1].status_code == 200
    assert count.most <= TURN_BYTES_MAX
    assert count.total <= 2 * TURN_BYTES_MAX


@pytest.mark.parametrize("kind", ["pongs", "pings", "texts", "pieces", "bytes", "goodbyes"])
async def test_a_client_of_responses_that_floods_is_cut_off(
    door: Door, count: Count, kind: str
) -> None:
    flood = asyncio.to_thread(attack, door, FLOODS[kind], upgrade(door, "/v1/responses"))
    answers = await asyncio.gather(flood, door.http().get("/health"))
    assert answers[1].status_code == 200
    assert count.most <= TURN_BYTES_MAX
    assert count.total <= 2 * TURN_BYTES_MAX


async def test_bytes_beyond_the_allowance_wait_unparsed(tmp_path: Path, count: Count) -> None:
    async with open_door(tmp_path, bytes_per_second=1) as door:
        token, http = await door.guest()
        async with door.live(token) as live:
            large = "x" * 15_000
            assert (await live.ask(t="ping", pad=large))["t"] == "pong", "what is owed is owed"
            for _ in range(3):
                await live.send(t="ping", pad=large)
            before = count.total
            for _ in range(3):
                assert (await http.get("/health")).status_code == 200
            assert count.total - before < 3_000, "the requests, and nothing of what waits"
            live.socket.transport.abort()


async def test_a_body_in_pieces_of_a_byte_leaves_others_their_turns(
    door: Door, count: Count
) -> None:
    head = (
        f"POST /api/guests HTTP/1.1\r\nhost: {door.host}\r\nconnection: close\r\n"
        "content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    body = b"1\r\n \r\n" * 100_000 + b"2\r\n{}\r\n0\r\n\r\n"
    flood = asyncio.to_thread(attack, door, head.encode() + body)
    answers = await asyncio.gather(flood, door.http().get("/health"))
    assert answers[0].startswith(b"HTTP/1.1 201")
    assert count.total > len(body)
    assert count.most <= TURN_BYTES_MAX


async def test_requests_that_wait_for_their_answers_are_not_parsed_without_end(
    door: Door, count: Count
) -> None:
    token, http = await door.guest()
    room = await new_room(http)
    end = f" HTTP/1.1\r\nhost: {door.host}\r\nauthorization: Bearer {token}\r\n\r\n"
    quick = f"GET /health{end}".encode()
    seq = (await http.get(f"/api/rooms/{room}")).json()["seq"]
    long = f"GET /api/rooms/{room}/events?after={seq}&wait=30{end}".encode()
    host, _, port = door.host.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    before = count.total
    writer.write(5 * quick + long + 5_000 * quick)
    for _ in range(5):
        assert b"HTTP/1.1 200" in await reader.readuntil(b"\r\n\r\n")
    for _ in range(3):
        assert (await http.get("/health")).status_code == 200
    writer.transport.abort()
    assert count.total - before <= SLICE_BYTES + 3_000
    assert count.most <= TURN_BYTES_MAX


@pytest.mark.parametrize("seed", [1, pytest.param(range(2, 30), marks=pytest.mark.torture)])
async def test_no_frames_make_an_error_of_ours(
    door: Door,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    seed: int | range,
) -> None:
    monkeypatch.setattr(protocols, "LINGER_SECONDS", 0.1)
    token, _ = await door.guest()
    for number in seed if isinstance(seed, range) else [seed]:
        chance = random.Random(number)
        for _ in range(20):
            hello = json.dumps({"t": "hello", "v": 1, "token": token}).encode()
            said = [frame(0x81, hello)] if chance.random() < 0.7 else []
            said += [_some_frame(chance) for _ in range(chance.randrange(12))]
            host, _, port = door.host.rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(upgrade(door))
            await reader.readuntil(b"\r\n\r\n")
            with contextlib.suppress(ConnectionError):
                writer.write(b"".join(said))
                writer.write_eof()
                await reader.read()
            writer.transport.abort()
    assert (await door.http().get("/health")).status_code == 200
    assert [entry for entry in caplog.records if entry.levelno >= logging.ERROR] == []


def _some_frame(chance: random.Random) -> bytes:
    payload = chance.choice(
        [
            b"",
            b"{}",
            b"\xff\xfe",
            b'{"t":"ping","id":1}',
            b'{"t":"send","text":"\\ud800"}',
            b'{"t":"watch"}',
            b"\x03\xe8\xff",
            chance.randbytes(chance.randrange(200)),
            b" " * chance.choice([125, 126, 65_535, 65_536]),
        ]
    )
    made = bytearray(
        frame(chance.choice([0x81, 0x82, 0x89, 0x8A, 0x88, 0x01, 0x00, 0x80]), payload)
    )
    if chance.random() < 0.3:
        made[chance.randrange(len(made))] ^= 1 << chance.randrange(8)
    if chance.random() < 0.1:
        del made[chance.randrange(len(made)) :]
    return bytes(made)
