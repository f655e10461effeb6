"""A keep-alive HTTP client that costs next to nothing, so that what is measured is the server."""

import asyncio
import json
import time
from typing import Any, Self
from urllib.parse import urlsplit

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class HttpClient:
    """A connection to one server, for one request at a time.

    `first_at`: when the last body began to come; of one in chunks, when the first came that holds the `mark`.
    """

    def __init__(self, url: str, token: str | None, streams: Streams) -> None:
        self.first_at = 0.0
        self.mark = b""
        self._url = url
        self._reader, self._writer = streams
        identity = f"authorization: Bearer {token}\r\n" if token else ""
        host = f"host: {urlsplit(url).netloc}\r\n"
        self._head = f"{host}{identity}content-type: application/json\r\n".encode()

    @classmethod
    async def connected(cls, url: str, token: str | None = None) -> Self:
        """Connects to the server at `url`, as the guest with this token."""
        return cls(url, token, await _streams(url))

    async def request(self, method: str, path: str, body: object = None) -> Any:
        """Asks for JSON. Any status but a success fails the benchmark."""
        status, content = await self.raw(
            method, path, b"" if body is None else json.dumps(body).encode()
        )
        assert 200 <= status < 300, f"{method} {path}: {status} {content[:300]!r}"
        return json.loads(content) if content else None

    async def raw(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Asks; gives status and body."""
        if self._reader.at_eof():  # some servers end a connection after a while
            self._reader, self._writer = await _streams(self._url)
        line = b"%s %s HTTP/1.1\r\n" % (method.encode(), path.encode())
        length = b"content-length: %d\r\n\r\n" % len(body)
        self._writer.write(line + self._head + length + body)
        head = await self._reader.readuntil(b"\r\n\r\n")
        status = int(head[9:12])
        lower = head.lower()
        start = lower.find(b"content-length:")
        content = b""
        if start >= 0:
            size = int(lower[start + 15 : lower.index(b"\r\n", start)])
            content = await self._reader.readexactly(size)
            self.first_at = time.perf_counter()
        elif b"transfer-encoding: chunked" in lower:
            content, met = b"", False
            while piece := await self._chunk():
                content += piece
                if not met and self.mark in piece:
                    met, self.first_at = True, time.perf_counter()
        return status, content

    async def _chunk(self) -> bytes:
        size = int(await self._reader.readline(), 16)
        return (await self._reader.readexactly(size + 2))[:size]

    async def close(self) -> None:
        """Closes the connection."""
        self._writer.close()
        await self._writer.wait_closed()


async def _streams(url: str) -> Streams:
    place = urlsplit(url)
    return await asyncio.open_connection(place.hostname, place.port)
