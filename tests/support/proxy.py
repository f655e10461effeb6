"""Bad networks: TCP proxies before a port of this machine.

`proxying` ends connections in the middle of a byte stream: it passes bytes on in both directions, and lets each
connection live for a random number of them; then a part of the last piece still goes through, and both ends are reset,
so that either side may have half a frame. Which byte it is comes from a seed. `calm` lets everything through.

`way_to` is the way to a PostgreSQL server: it can be closed, led to another server, hold everything back as a black
hole does, and fail exactly while a COMMIT is on the wire.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from enum import Enum
from typing import Any

PIECE_BYTES = 4_096
COMMIT = b"COMMIT;\x00"
"""How asyncpg asks for it, in one small message."""


class Proxy:
    """Stands before one port of this machine."""

    def __init__(self, port: int, seed: int, *, bytes_min: int, bytes_max: int) -> None:
        self.port = 0
        self.cuts = 0
        self.connections = 0
        self.calm = False
        self._target = port
        self._chance = random.Random(seed)
        self._bytes = (bytes_min, bytes_max)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its beginning to its violent end."""
        self.connections += 1
        life = _Life(self, self._chance.randint(*self._bytes))
        await _both_ways(self._target, reader, writer, life.pump, life.pump)


class _Cut(Exception):
    """This connection's bytes are used up, or it was our will."""


class _Life:
    def __init__(self, proxy: Proxy, left: int) -> None:
        self._proxy = proxy
        self._left = left

    async def pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(PIECE_BYTES):
            cut = len(data) > self._left and not self._proxy.calm
            sink.write(data[: self._left] if cut else data)
            await sink.drain()
            if cut:
                self._proxy.cuts += 1
                raise _Cut
            self._left -= 0 if self._proxy.calm else len(data)
        raise _Cut  # one side has ended, so both do


class AtCommit(Enum):
    """What becomes of a connection on which a COMMIT is on its way."""

    BEFORE = "it is cut, and the server never hears of it"
    AFTER = "the server commits, and it is cut before the answer"
    SILENCE = "the server commits, and the answer never comes"


class Way:
    """The way to a PostgreSQL server. `at_commit` happens to the next COMMIT, once."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self.target = target
        self.at_commit: AtCommit | None = None
        self.faults = 0
        self.struck = asyncio.Event()
        self._open = True
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._ends: set[asyncio.StreamWriter] = set()

    def url(self, direct: str) -> str:
        """The same database, by this way."""
        head, _, name = direct.rpartition("/")
        return f"{head.rpartition(':')[0]}:{self.port}/{name}"

    def cut(self) -> None:
        """Resets all connections."""
        for end in self._ends:
            end.transport.abort()

    def close(self) -> None:
        """Resets all connections, and refuses new ones."""
        self._open = False
        self.cut()

    def hold(self) -> None:
        """From now on nothing comes through and nothing says so."""
        self._flowing.clear()

    def open(self) -> None:
        """Lets everything through again, what was held back too, however late it is."""
        self._open = True
        self._flowing.set()

    def fail_next_commit(self, at_commit: AtCommit) -> None:
        """`struck` is set once it happened."""
        self.struck.clear()
        self.at_commit = at_commit

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection to the server."""
        self._ends.add(writer)
        talk = _Talk(self)
        try:
            await self._flowing.wait()
            if self._open:
                await _both_ways(self.target, reader, writer, talk.ask, talk.answer)
        finally:
            self._ends.discard(writer)
            writer.transport.abort()

    async def flowing(self) -> None:
        """Waits while everything is held back."""
        await self._flowing.wait()


class _Talk:
    """One connection of a `Way`."""

    def __init__(self, way: Way) -> None:
        self._way = way
        self._unanswered: AtCommit | None = None

    async def ask(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        way = self._way
        while data := await source.read(PIECE_BYTES):
            await way.flowing()
            if way.at_commit is not None and COMMIT in data:
                self._unanswered, way.at_commit = way.at_commit, None
                way.faults += 1
                if self._unanswered is AtCommit.BEFORE:
                    way.struck.set()
                    raise _Cut
            sink.write(data)
            await sink.drain()
        raise _Cut

    async def answer(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        way = self._way
        while data := await source.read(PIECE_BYTES):
            await way.flowing()
            if self._unanswered is not None:  # the server has committed
                way.struck.set()
                if self._unanswered is AtCommit.AFTER:
                    raise _Cut
                continue
            sink.write(data)
            await sink.drain()
        raise _Cut


_Pump = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


async def _both_ways(
    port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, there: _Pump, back: _Pump
) -> None:
    """Pumps bytes until one side ends or it is our will; then resets both."""
    far: asyncio.StreamWriter | None = None
    try:
        answers, far = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.TaskGroup() as both:
            both.create_task(there(reader, far))
            both.create_task(back(answers, writer))
    except* (ConnectionError, _Cut):
        pass  # either end left, or it was our doing
    finally:
        writer.transport.abort()
        if far is not None:
            far.transport.abort()


@asynccontextmanager
async def proxying(
    port: int, seed: int, *, bytes_min: int, bytes_max: int
) -> AsyncGenerator[Proxy]:
    """A bad network before a port, for as long as the block runs."""
    proxy = Proxy(port, seed, bytes_min=bytes_min, bytes_max=bytes_max)
    async with _listening(proxy.serve) as proxy.port:
        yield proxy


@asynccontextmanager
async def way_to(port: int) -> AsyncGenerator[Way]:
    """A way to a PostgreSQL server, for as long as the block runs."""
    way = Way(port)
    async with _listening(way.serve) as way.port:
        yield way


@asynccontextmanager
async def _listening(
    serve: _Pump,
) -> AsyncGenerator[int]:
    """A port of our own; those who are connected at the end are let go."""
    connections: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            await serve(reader, writer)
        finally:
            connections.discard(task)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in connections:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*connections, return_exceptions=True)
