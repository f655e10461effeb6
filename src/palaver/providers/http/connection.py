"""The way to a model server that costs the least: a transport for httpx2 on asyncio and llhttp.

What it replaces took half of all that an answer's piece costs a server: a hundred pieces a second and stream make
reading them the most frequent thing of all. Everything else (addresses, headers, errors, proxies) stays httpx2's.

Theory of operation. A connection is one protocol of the event loop: bytes go from the socket to the parser, and parts
of the body into a short queue that the reader empties. A reader that lags stops the socket from being read. A
connection whose answer was read to its end is kept for the next request. Nothing is sent twice, and there are no
timers here: the caller says what is asked again and how long it waits, and closing an answer ends it.

A server is not trusted. Whatever comes that is no body (heads, interim answers, the framing of chunks, trailers) is
paid from `OVERHEAD_BYTES_MAX`, which only the body fills up again; trailers are not kept. What is malformed or follows
an answer's end closes the connection at once; what came before counts. What other clients read is read, though: lines
that end with LF alone, folded headers, a length beside chunks, which win, and whose connection is not used again.
"""

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import cast

import httptools
import httpx2

from palaver.providers.http.addresses import NotAllowed

QUEUE_BYTES_MAX = 256 * 1024
"""A server is not read further while so much waits for the reader."""
OVERHEAD_BYTES_MAX = 128 * 1024
"""So much may come in a row that is no body."""
OVERHEAD_BYTES_PER_BODY_BYTE = 16
HEADERS_MAX = 256
_PART_BYTES = 64
"""What a part of a body takes beside its bytes."""
_NO_BODY = frozenset({204, 304})

_Origin = tuple[str, str, int]


class Transport(httpx2.AsyncBaseTransport):
    """Connections to any number of servers. `context` is for those of https.

    With `may_reach`, a name is resolved here, each of its addresses must pass, and one of them is connected to.
    """

    def __init__(
        self,
        *,
        context: ssl.SSLContext,
        connect_seconds: float,
        kept_max: int,
        may_reach: Callable[[str], bool] | None = None,
    ) -> None:
        self._context, self._may_reach = context, may_reach
        self._connect_seconds = connect_seconds
        self._kept_max = kept_max
        self._kept: dict[_Origin, deque[_Connection]] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """One request. Raises httpx2's errors: `ConnectError`, `ReadError`; `DecodingError` for what is no HTTP."""
        origin = _origin(request.url)
        kept = self._kept.get(origin, ())
        while kept:
            connection = kept.pop()
            if not connection.closed:
                return await self._asked(connection, origin, request)
        return await self._asked(await self._connected(origin, request), origin, request)

    async def aclose(self) -> None:
        """Ends the connections that are kept."""
        for connections in self._kept.values():
            for connection in connections:
                connection.abort()
        self._kept.clear()
        self._kept_max = 0  # what is under way ends by itself

    async def _connected(self, origin: _Origin, request: httpx2.Request) -> "_Connection":
        scheme, host, port = origin
        context, name = (self._context, host) if scheme == "https" else (None, None)
        loop, failure = asyncio.get_running_loop(), OSError("there is no address")
        try:
            async with asyncio.timeout(self._connect_seconds):
                for address in await self._addresses(host, port):
                    try:
                        made = await loop.create_connection(
                            _Connection, address, port, ssl=context, server_hostname=name
                        )
                    except OSError as refused:
                        failure = refused
                    else:
                        return made[1]
        except TimeoutError:
            raise httpx2.ConnectTimeout("connecting took too long", request=request) from None
        except (OSError, UnicodeError) as refused:  # a name that cannot be one
            failure = refused
        raise httpx2.ConnectError(str(failure), request=request) from failure

    async def _addresses(self, host: str, port: int) -> Sequence[str]:
        """What to connect to. Raises `OSError`: `NotAllowed` where it may not be reached."""
        if self._may_reach is None:
            return (host,)
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
        if not all(map(self._may_reach, addresses)):
            raise NotAllowed("this address is not public")
        return addresses

    async def _asked(
        self, connection: "_Connection", origin: _Origin, request: httpx2.Request
    ) -> httpx2.Response:
        try:
            await connection.ask(request)
            status, headers = await connection.head()
        except BaseException:
            connection.abort()
            raise

        def over() -> None:
            if not connection.reusable:
                connection.abort()
                return
            kept = self._kept.setdefault(origin, deque())
            kept.append(connection)
            if len(kept) > self._kept_max:
                kept.popleft().abort()

        return httpx2.Response(status, headers=headers, stream=_Body(connection, over))


class _Body(httpx2.AsyncByteStream):
    """What follows the head."""

    def __init__(self, connection: "_Connection", over: Callable[[], None]) -> None:
        self._connection = connection
        self._over: Callable[[], None] | None = over

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while chunk := await self._connection.chunk():
            yield chunk

    async def aclose(self) -> None:
        """Keeps the connection, if all was read, else ends it."""
        over, self._over = self._over, None
        if over is not None:
            over()


class _Connection(asyncio.Protocol):
    """One connection, which answers one request after the other."""

    def __init__(self) -> None:
        self.closed = False
        self._transport: asyncio.Transport | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._waiting: asyncio.Future[None] | None = None
        self._request: httpx2.Request | None = None
        self._failure: str | None = None
        self._malformed = False
        self._begin()

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(
            lenient_headers=True,
            lenient_chunked_length=True,
            lenient_optional_cr_before_lf=True,
            lenient_spaces_after_chunk_size=True,
        )
        self._headers: list[tuple[bytes, bytes]] = []
        self._queue: deque[bytes] = deque()
        self._spare_bytes = OVERHEAD_BYTES_MAX
        self._status = self._body_bytes = self._sized = self._queued = 0
        self.reusable = self._headed = self._ended = self._paused = False

    # asking

    async def ask(self, request: httpx2.Request) -> None:
        self._begin()
        self._request = request
        stream = cast("httpx2.AsyncByteStream", request.stream)
        target = request.url.raw_path
        head = b"%s %s HTTP/1.1\r\n" % (request.method.encode("ascii"), target)
        head += b"".join(b"%s: %s\r\n" % header for header in request.headers.raw) + b"\r\n"
        chunked = "transfer-encoding" in request.headers
        async for part in stream:
            data = b"%x\r\n%s\r\n" % (len(part), part) if chunked and part else part
            await self._write(head + data)
            head = b""
        if rest := head + (b"0\r\n\r\n" if chunked else b""):
            await self._write(rest)

    async def head(self) -> tuple[int, list[tuple[bytes, bytes]]]:
        while not self._headed:
            if self._failure is not None or self.closed:
                raise self._error("the connection was closed before the answer")
            await self._news()
        return self._status, self._headers

    async def chunk(self) -> bytes:
        """The next part of the body; nothing at its end."""
        while True:
            if self._queue:
                chunk = b"".join(self._queue)
                self._queue.clear()
                self._queued = 0
                if self._paused and self._transport is not None and not self.closed:
                    self._paused = False
                    self._transport.resume_reading()
                return chunk
            if self._failure is not None or (self.closed and self._sized and not self._ended):
                raise self._error("the answer was cut")
            if self._ended or self.closed:  # what has no length ends with its connection
                self._ended = True
                return b""
            await self._news()

    def abort(self) -> None:
        self.closed = True
        if self._transport is not None:
            self._transport.abort()

    def _error(self, what: str) -> httpx2.RequestError:
        kind = httpx2.DecodingError if self._malformed else httpx2.ReadError
        return kind(self._failure or what, request=self._request)

    def _fail(self, what: str) -> None:
        """Ends the connection for what the server sent. An answer that was whole before it stays so."""
        if not self._ended and self._failure is None:
            self._failure, self._malformed = what, True
        self.reusable = False
        self.abort()

    async def _write(self, data: bytes) -> None:
        if self._transport is None or self.closed:
            raise self._error("the connection was closed")
        self._transport.write(data)
        await self._writable.wait()

    async def _news(self) -> None:
        self._waiting = asyncio.get_running_loop().create_future()
        try:
            await self._waiting
        finally:
            self._waiting = None

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    # the event loop's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._ended or self._request is None or self._failure is not None:
            self._fail("the server spoke first")
            return
        before = self._body_bytes
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail("the server changed the protocol")
        except httptools.HttpParserError:
            self._fail("the answer is no HTTP")
        came = self._body_bytes - before
        spare = self._spare_bytes + came * OVERHEAD_BYTES_PER_BODY_BYTE - (len(data) - came)
        self._spare_bytes = min(spare, OVERHEAD_BYTES_MAX)
        if spare < 0:
            self._fail("too much comes around the answer")
        full = self._queued > QUEUE_BYTES_MAX and not self._ended
        if full and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self.reusable = False
        if exc is not None and not self._ended:
            self._failure = self._failure or "the connection broke"
        self._writable.set()
        self._wake()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # the parser's calls; what they raise ends its reading

    def on_message_begin(self) -> None:
        """An answer begins: the one that was asked for, or its interim ones."""
        if self._ended:
            raise httptools.HttpParserError

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._headed:
            return  # a trailer
        if len(self._headers) == HEADERS_MAX:
            self._fail("the answer has too many headers")
            raise httptools.HttpParserError
        self._headers.append((name, value))
        if name.lower() in {b"content-length", b"transfer-encoding"}:
            self._sized += 1

    def on_headers_complete(self) -> None:
        """The head is whole. One of an interim answer is passed over."""
        self._status = self._parser.get_status_code()
        if self._status < httpx2.codes.CONTINUE:
            raise httptools.HttpParserError
        if self._status < httpx2.codes.OK:
            self._headers = []
            self._sized = 0
            return
        self._headed = True
        assert self._request is not None
        if self._request.method == "HEAD" or self._status in _NO_BODY:
            self._ended = True

    def on_body(self, body: bytes) -> None:
        if self._ended:
            raise httptools.HttpParserError
        self._queue.append(body)
        self._queued += len(body) + _PART_BYTES
        self._body_bytes += len(body)

    def on_message_complete(self) -> None:
        if not self._headed:
            return
        assert self._request is not None
        sure = self._sized < 2 and self._request.method != "HEAD"  # noqa: PLR2004  one says the length
        self.reusable = sure and self._parser.should_keep_alive()
        self._ended = True


def _origin(url: httpx2.URL) -> _Origin:
    port = url.port or (443 if url.scheme == "https" else 80)
    return url.scheme, url.raw_host.decode("ascii"), port
