"""The transport against raw sockets that say what the test wants."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator

import httpx2
import pytest

from palaver.providers.http.connection import HEADERS_MAX, QUEUE_BYTES_MAX, Transport

OK = b"HTTP/1.1 200 OK\r\n"


class RawServer:
    """Answers each request with the next of `answers`; None closes the connection. Keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: list[bytes | None] = []
        self.asked: list[bytes] = []
        self.connections = 0
        self.url = ""
        self.closed = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.asked.append(head + await self._body(reader, head.lower()))
                answer = self.answers.pop(0)
                if answer is None:
                    break
                writer.write(answer)
                if b"connection: close" in answer.lower():
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.closed.set()
            writer.close()

    async def _body(self, reader: asyncio.StreamReader, head: bytes) -> bytes:
        if b"chunked" in head:
            return await reader.readuntil(b"0\r\n\r\n")
        size = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
        return await reader.readexactly(int(size or 0))


@pytest.fixture
async def server() -> AsyncIterator[RawServer]:
    raw = RawServer()
    listening = await asyncio.start_server(raw.serve, "127.0.0.1", 0)
    raw.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    yield raw
    listening.close()


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    transport = Transport(
        context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), connect_seconds=90, kept_max=2
    )
    async with httpx2.AsyncClient(transport=transport, timeout=None) as found:
        yield found


async def test_answers_of_every_framing_are_read_on_one_connection(
    server: RawServer, client: httpx2.AsyncClient
) -> None:
    server.answers = [
        OK + b"content-length: 5\r\nx-a: 1\r\n\r\nHello",
        OK + b"transfer-encoding: chunked\r\n\r\n3\r\nHel\r\n2\r\nlo\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"content-length: 5\r\n\r\nHello",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        OK + b"connection: close\r\n\r\nHello",
    ]
    for wanted in ("Hello", "Hello", "Hello", "", "Hello"):
        answer = await client.post(f"{server.url}/a?b=c", content=b"{}")
        assert answer.text == wanted
    assert server.connections <= 2
    assert server.asked[0].startswith(b"POST /a?b=c HTTP/1.1\r\n")
    assert server.asked[0].endswith(b"\r\n\r\n{}")


async def test_a_body_is_sent_as_it_comes(server: RawServer, client: httpx2.AsyncClient) -> None:
    server.answers = [OK + b"content-length: 0\r\n\r\n"]

    async def parts() -> AsyncGenerator[bytes]:
        yield b"ab"
        yield b""
        yield b"c"

    await client.post(server.url, content=parts())
    assert server.asked[0].endswith(b"\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n")


CUT = (
    None,
    OK + b"content-length: 9\r\nconnection: close\r\n\r\nHello",
    OK + b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n5\r\nHel",
)
NO_HTTP = (
    b"nonsense\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    b"HTTP/1.1 099 What\r\ncontent-length: 0\r\n\r\n",
    OK + b"x: " + b"y" * 200_000,
    OK + b"x: y\r\n" * (HEADERS_MAX + 1) + b"content-length: 0\r\n\r\n",
    OK + b"content-length: 1\r\ncontent-length: 2\r\n\r\nab",
    OK + b"transfer-encoding: chunked\r\n\r\n1ffffffffffffffff\r\n",
    OK + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n" + b"a: b\r\n" * 200_000 + b"\r\n",
)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        *((answer, httpx2.ReadError) for answer in CUT),
        *((answer, httpx2.DecodingError) for answer in NO_HTTP),
    ],
)
async def test_what_is_cut_or_no_http_is_an_error(
    server: RawServer, client: httpx2.AsyncClient, answer: bytes | None, error: type[Exception]
) -> None:
    server.answers = [answer]
    with pytest.raises(error):
        await client.get(server.url)
    assert len(server.asked) == 1, "nothing is sent twice"


async def test_nobody_there_is_an_error(client: httpx2.AsyncClient) -> None:
    listening = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    listening.close()
    await listening.wait_closed()
    with pytest.raises(httpx2.ConnectError):
        await client.get(f"http://127.0.0.1:{port}")


async def test_closing_an_answer_ends_its_connection(
    server: RawServer, client: httpx2.AsyncClient
) -> None:
    server.answers = [OK + b"transfer-encoding: chunked\r\n\r\n3\r\nHel\r\n"]
    async with client.stream("GET", server.url) as answer:
        async for part in answer.aiter_raw():
            assert part == b"Hel"
            break
    await asyncio.wait_for(server.closed.wait(), 90)


async def test_a_kept_connection_that_was_closed_is_not_used(
    server: RawServer, client: httpx2.AsyncClient
) -> None:
    server.answers = [OK + b"content-length: 0\r\n\r\n"] * 2
    await client.get(server.url)
    server.answers = [None]
    with pytest.raises(httpx2.ReadError):
        await client.get(server.url)
    server.answers = [OK + b"content-length: 0\r\n\r\n"]
    assert (await client.get(server.url)).is_success
    assert server.connections == 2


async def test_an_answer_that_is_whole_but_unread_does_not_block_the_next(
    server: RawServer, client: httpx2.AsyncClient
) -> None:
    size = 2 * QUEUE_BYTES_MAX
    large = OK + b"transfer-encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * (size // 60) + b"0\r\n\r\n"
    server.answers = [large, OK + b"content-length: 5\r\n\r\nHello"]
    async with client.stream("GET", server.url):
        pass
    async with asyncio.timeout(90):
        assert (await client.get(server.url)).text == "Hello"


async def test_a_second_answer_that_nobody_asked_for_is_none(
    server: RawServer, client: httpx2.AsyncClient
) -> None:
    poison = b"HTTP/1.1 500 No\r\nx-poison: 1\r\ncontent-length: 6\r\n\r\npoison"
    server.answers = [OK + b"content-length: 5\r\n\r\nHello" + poison] * 3
    for count in (1, 2, 3):
        answer = await client.get(server.url)
        assert (answer.status_code, answer.text) == (200, "Hello")
        assert "x-poison" not in answer.headers
        assert server.connections == count, "the connection is not used again"


async def test_a_slow_reader_stops_the_server(
    server: RawServer, client: httpx2.AsyncClient
) -> None:
    size = 64 * QUEUE_BYTES_MAX
    server.answers = [OK + b"content-length: %d\r\n\r\n" % size + b"x" * size]
    async with client.stream("GET", server.url) as answer:
        parts = [len(part) async for part in answer.aiter_raw()]
    assert sum(parts) == size
    assert max(parts) < 4 * QUEUE_BYTES_MAX
