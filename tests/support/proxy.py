"""A bad network: a TCP proxy that ends connections in the middle of a byte stream.

It passes bytes on in both directions, and lets each connection live for a random number of them: then a part of the
last piece still goes through, and both ends are reset, so that either side may have half a frame. Which byte it is
comes from a seed. `calm` lets everything through.
"""

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

PIECE_BYTES = 4_096


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
        far: asyncio.StreamWriter | None = None
        try:
            answers, far = await asyncio.open_connection("127.0.0.1", self._target)
            life = _Life(self, self._chance.randint(*self._bytes))
            async with asyncio.TaskGroup() as both:
                both.create_task(life.pump(reader, far))
                both.create_task(life.pump(answers, writer))
        except* (ConnectionError, _Cut):
            pass  # either end left, or it was our doing
        finally:
            writer.transport.abort()
            if far is not None:
                far.transport.abort()


class _Cut(Exception):
    """This connection's bytes are used up."""


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


@asynccontextmanager
async def proxying(
    port: int, seed: int, *, bytes_min: int, bytes_max: int
) -> AsyncGenerator[Proxy]:
    """A bad network before a port, for as long as the block runs."""
    proxy = Proxy(port, seed, bytes_min=bytes_min, bytes_max=bytes_max)
    connections: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            await proxy.serve(reader, writer)
        finally:
            connections.discard(task)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        for task in connections:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*connections, return_exceptions=True)
