"""A WebSocket client for `palaver.v1` that costs next to nothing, so that thousands of them fit into one process.

It parses only the lengths of frames; what a frame says is the callback's business. Its masking key is zero, which the
protocol allows and which makes masking free. It answers the server's in-band pings by itself.
"""

import asyncio
import base64
import json
import os
from collections.abc import Callable
from typing import Any, Self, cast
from urllib.parse import urlsplit

OnFrame = Callable[[bytes], None]
PING = b'{"t":"ping"'
PONG = b'{"t":"pong"}'
SHORT_MAX = 125
TEXT_FRAME = 0x81
CONTINUES = 126


class Socket(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self.on_frame: OnFrame = _nobody
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None
        self._rest = b""

    @classmethod
    async def connected(cls, url: str, path: str = "/ws") -> Self:
        """Connects to the server at `url`."""
        place = urlsplit(url)
        assert place.hostname is not None
        assert place.port is not None
        loop = asyncio.get_running_loop()
        _, socket = await loop.create_connection(cls, place.hostname, place.port)
        await socket.upgrade(place.netloc, path)
        return socket

    async def upgrade(self, host: str, path: str) -> None:
        """Asks for a WebSocket, and waits for it."""
        key = base64.b64encode(os.urandom(16)).decode()
        self._write(
            f"GET {path} HTTP/1.1\r\nhost: {host}\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
            f"sec-websocket-key: {key}\r\nsec-websocket-version: 13\r\n\r\n".encode()
        )
        await self._opened

    async def hello(self, token: str) -> None:
        """Says hello with a token."""
        welcome = await self.ask({"t": "hello", "id": 1, "v": 1, "token": token})
        assert welcome["t"] == "welcome", welcome

    async def resume(self, token: str, last: dict[str, Any]) -> dict[str, Any]:
        """Says hello with the last seq of one room; gives the answer for that room."""
        joined: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def take(frame: bytes) -> None:
            if not joined.done():
                joined.set_result(frame)

        self.on_frame = take
        welcome = await self.ask({"t": "hello", "id": 1, "v": 1, "token": token, "last": last})
        assert welcome["t"] == "welcome", welcome
        return cast("dict[str, Any]", json.loads(await joined))

    async def subscribe(self, room: str) -> None:
        """Reads along in a room."""
        joined = await self.ask({"t": "sub", "id": 2, "room": room})
        assert joined["t"] == "sub", joined

    async def ask(self, frame: dict[str, Any]) -> dict[str, Any]:
        """Sends a request with an `id`, and gives its reply."""
        before, mark = self.on_frame, b'"id":%d' % frame["id"]
        reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def take(data: bytes) -> None:
            if mark in data:
                self.on_frame = before  # at once: what comes in the same packet is not ours
                reply.set_result(data)
            else:
                before(data)

        self.on_frame = take
        self.send(json.dumps(frame).encode())
        return cast("dict[str, Any]", json.loads(await reply))

    def send(self, payload: bytes) -> None:
        """Sends a text frame."""
        size = len(payload)
        if size <= SHORT_MAX:
            head = bytes((TEXT_FRAME, 0x80 | size))
        else:
            head = bytes((TEXT_FRAME, 0x80 | CONTINUES)) + size.to_bytes(2)
        self._write(head + b"\0\0\0\0" + payload)

    async def close(self) -> None:
        """Drops the connection."""
        assert self._transport is not None
        self._transport.abort()
        await self._lost

    async def lost(self) -> None:
        """Waits until the server is gone."""
        await self._lost

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        if not self._opened.done():
            self._opened.set_exception(exc or ConnectionError("closed before it was open"))
        self._lost.set_result(None)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if self._rest:
            data = self._rest + data
            self._rest = b""
        at = 0
        if not self._opened.done():
            at = data.find(b"\r\n\r\n") + 4
            if at < 4:
                self._rest = data
                return
            if b" 101 " not in data[:20]:
                self._opened.set_exception(ConnectionError(data[:200].decode(errors="replace")))
                return
            self._opened.set_result(None)
        self._frames(data, at)

    def _frames(self, data: bytes, at: int) -> None:
        total = len(data)
        while total - at >= 2:
            size, start = data[at + 1], at + 2
            if size == CONTINUES:
                size, start = int.from_bytes(data[at + 2 : at + 4]), at + 4
            elif size > CONTINUES:
                size, start = int.from_bytes(data[at + 2 : at + 10]), at + 10
            end = start + size
            if end > total:
                break
            payload = data[start:end]
            if payload.startswith(PING):
                self.send(PONG)
            elif data[at] == TEXT_FRAME:
                self.on_frame(payload)
            at = end
        self._rest = data[at:]

    def _write(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)


def _nobody(_: bytes) -> None:
    return
