"""A keep-alive HTTP client that costs next to nothing, so that what is measured is the server."""

import asyncio
import json
from typing import Any, Self
from urllib.parse import urlsplit


class HttpClient:
    """One connection to one server, one request at a time."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        host: str,
        token: str | None,
    ) -> None:
        self._reader = reader
        self._writer = writer
        identity = f"authorization: Bearer {token}\r\n" if token else ""
        self._head = f"host: {host}\r\n{identity}content-type: application/json\r\n".encode()

    @classmethod
    async def connected(cls, url: str, token: str | None = None) -> Self:
        """To the server at `url`, as the guest with this token."""
        place = urlsplit(url)
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        return cls(reader, writer, host=place.netloc, token=token)

    async def request(self, method: str, path: str, body: object = None) -> Any:
        """The JSON that comes back. What is no success fails the benchmark."""
        status, content = await self.raw(
            method, path, b"" if body is None else json.dumps(body).encode()
        )
        assert 200 <= status < 300, f"{method} {path}: {status} {content[:300]!r}"
        return json.loads(content) if content else None

    async def raw(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Status and body."""
        line = b"%s %s HTTP/1.1\r\n" % (method.encode(), path.encode())
        length = b"content-length: %d\r\n\r\n" % len(body)
        self._writer.write(line + self._head + length + body)
        head = await self._reader.readuntil(b"\r\n\r\n")
        status = int(head[9:12])
        lower = head.lower()
        start = lower.find(b"content-length:")
        if start >= 0:
            size = int(lower[start + 15 : lower.index(b"\r\n", start)])
            return status, await self._reader.readexactly(size)
        if b"transfer-encoding: chunked" in lower:
            return status, await self._chunks()
        return status, b""

    async def _chunks(self) -> bytes:
        found = b""
        while size := int(await self._reader.readline(), 16):
            found += await self._reader.readexactly(size)
            await self._reader.readexactly(2)
        await self._reader.readexactly(2)
        return found

    async def close(self) -> None:
        """Closes the connection."""
        self._writer.close()
        await self._writer.wait_closed()
