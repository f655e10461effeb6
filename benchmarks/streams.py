"""Many answers at once: T14, 500 streams of 30 pieces a second through one server, without falling behind.

A scripted model server in this process sends each stream a piece every 33 ms, on a schedule; each piece says when it
was sent. The lag is the time from there to the reader of the room, through provider, journal, hub and socket. Beside
it the same streams are read from the model server directly, which shows what the benchmark itself costs.
"""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any, cast

from benchmarks.live import Place, clients_of, close_all, prepared
from benchmarks.model_server import END, HEAD, MODELS, piece, whole
from benchmarks.processes import cpu_seconds
from benchmarks.report import Goal, percentile
from benchmarks.rounds import Bench, Figures, Sample, Side, folder, main, parser
from benchmarks.sockets import Socket
from tests.support.server import ServerProcess

PIECES_A_SECOND = 30
PHASES = 10
FEW = 8
SERVER, DIRECT = "palaver", "model server directly"
STAMP = re.compile(rb" @(\d+\.\d+)")
FAILED = re.compile(rb'"status":"(failed|interrupted|stopped)"|"t":"err"')


class Upstream:
    """Model server. `go` lets the waiting streams run for so many pieces."""

    def __init__(self) -> None:
        self.url = ""
        self.waiting: list[asyncio.StreamWriter] = []
        self._arrived = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection; streams are answered by `go`."""
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                break
            found = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
            if found:
                await reader.readexactly(int(found[1]))
            if head.startswith(b"POST"):
                writer.write(HEAD)
                self.waiting.append(writer)
                self._arrived.set()
            else:
                writer.write(whole(MODELS))
        writer.close()

    async def gathered(self, count: int) -> None:
        """Waits until so many streams are asked for."""
        while len(self.waiting) < count:
            self._arrived.clear()
            await self._arrived.wait()

    async def go(self, pieces: int) -> None:
        """Sends each of them a piece every 1/30 s, in ten phases, and then the end."""
        streams, self.waiting = self.waiting, []
        tick = 1 / PIECES_A_SECOND / PHASES
        start = time.perf_counter()
        for number in range(pieces * PHASES):
            due = start + number * tick
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            said = piece(f" @{due:.6f}")
            for stream in streams[number % PHASES :: PHASES]:
                stream.write(said)
        for stream in streams:
            stream.write(END)


@asynccontextmanager
async def upstream() -> AsyncGenerator[Upstream]:
    """Runs a model server."""
    model = Upstream()
    server = await asyncio.start_server(model.serve, "127.0.0.1", 0, backlog=1024)
    model.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield model


def environment_of(model: Upstream) -> dict[str, str]:
    """Environment of a server that asks this model server."""
    return {"OPENAI_BASE_URL": f"{model.url}/v1", "PALAVER_MODEL": "scripted"}


async def ask(socket: Socket, room: str, number: int, take: Callable[[bytes], None]) -> None:
    """Reads along in a room, and asks something there."""
    await socket.subscribe(room)
    socket.on_frame = take
    frame = '{"t":"send","id":7,"room":"%s","cid":"%s","text":"Tell me something."}'
    socket.send((frame % (room, f"{number}-{time.perf_counter_ns()}")).encode())


class Watch:
    """Lag of each piece that the readers see, and the number of streams to end."""

    def __init__(self, streams: int) -> None:
        self.lags: list[float] = []
        self._left = streams
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def piece(self, data: bytes) -> None:
        """Takes one or several pieces."""
        now = time.perf_counter()
        self.lags += [now - float(stamp) for stamp in STAMP.findall(data)]

    def end(self) -> None:
        """Counts the end of a stream."""
        self._left -= 1
        if self._left == 0:
            self.ended.set_result(None)

    def frame(self, data: bytes) -> None:
        """Takes a frame of a room's reader."""
        if data.startswith(b'{"t":"s.d"'):
            self.piece(data)
        elif data.startswith(b'{"t":"ev"') and b'"role":"assistant"' in data:
            if FAILED.search(data):
                self.ended.set_exception(AssertionError(data[:500]))
            else:
                self.end()

    def sample(self, streams: int, pieces: int, cpu: float, wall: float) -> Sample:
        """The figures."""
        assert len(self.lags) == streams * pieces, f"{len(self.lags)} pieces came"
        return {
            "p50_ms": percentile(self.lags, 50) * 1000,
            "p99_ms": percentile(self.lags, 99) * 1000,
            "behind_s": percentile(self.lags[-streams:], 50),
            "cpu_us": cpu * 1_000_000 / (streams * pieces),
            "cpu_share": cpu / wall * 100,
        }


async def through_server(model: Upstream, place: Place, pieces: int) -> Sample:
    """Asks in every room, and reads the answers there."""
    streams = len(place.rooms)
    sockets = await clients_of(place, streams)
    watch = Watch(streams)
    for number, (socket, room) in enumerate(zip(sockets, place.rooms, strict=True)):
        await ask(socket, room, number, watch.frame)
    await model.gathered(streams)
    cpu, began = cpu_seconds(place.pid), time.perf_counter()
    await model.go(pieces)
    spent, wall = cpu_seconds(place.pid) - cpu, time.perf_counter() - began
    await watch.ended
    await close_all(sockets)
    return watch.sample(streams, pieces, spent, wall)


async def directly(model: Upstream, streams: int, pieces: int) -> Sample:
    """Reads as many streams from the model server itself."""
    watch = Watch(streams)
    port = int(model.url.rpartition(":")[2])

    class Plain(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = cast("asyncio.Transport", transport)
            self.transport.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")

        def data_received(self, data: bytes) -> None:
            watch.piece(data)
            if data.endswith(b"0\r\n\r\n"):
                watch.end()

    loop = asyncio.get_running_loop()
    made: list[Any] = [
        (await loop.create_connection(Plain, "127.0.0.1", port))[0] for _ in range(streams)
    ]
    await model.gathered(streams)
    began = time.perf_counter()
    await model.go(pieces)
    wall = time.perf_counter() - began
    await watch.ended
    for transport in made:
        transport.close()
    return watch.sample(streams, pieces, 0.0, wall)


async def measure(bench: Bench) -> None:
    """T14."""
    streams = bench.sized(500, 200, 4)
    seconds: float = bench.sized(6.0, 3.0, 0.5)
    pieces = int(seconds * PIECES_A_SECOND)
    bench.report.parameters |= {"streams": streams, "pieces": pieces}
    async with AsyncExitStack() as stack:
        path = stack.enter_context(folder())
        model = await stack.enter_async_context(upstream())
        tokens, rooms = await prepared(path / "data", None, streams, agent=True)
        environment = environment_of(model) | {"PALAVER_LOG_LEVEL": "warning"}
        server = ServerProcess(path / "data", environment=environment)
        await server.start()
        stack.push_async_callback(server.kill)
        place = Place(SERVER, server.url, server.pid, tokens, rooms)
        figures = await compared(bench, model, place, pieces)
        few = replace(place, rooms=place.rooms[:FEW], tokens=place.tokens[:FEW])
        calm = await compared(bench, model, few, pieces)
    what = f"{streams} streams of {PIECES_A_SECOND} pieces a second"
    for key, unit, beside, goals in (
        ("p50_ms", "ms lag p50", [DIRECT], []),
        ("p99_ms", "ms lag p99", [DIRECT], []),
        ("behind_s", "s behind at the end, p50", [DIRECT], [Goal(at_most=0.1)]),
        ("cpu_us", "us of server CPU a piece", [], []),
        ("cpu_share", "% of a core", [], []),
    ):
        bench.add(figures, SERVER, key, what, unit, target="T14", beside=beside, goals=goals)
    what = f"delay between model server and reader, {len(few.rooms)} streams"
    for key, unit in (("p50_ms", "ms p50"), ("p99_ms", "ms p99")):
        delay = calm[SERVER][key].minus(calm[DIRECT][key])
        bench.add({SERVER: {key: delay}}, SERVER, key, what, unit)


async def compared(bench: Bench, model: Upstream, place: Place, pieces: int) -> Figures:
    """Measures a stream in each room, through the server and without it."""
    streams = len(place.rooms)
    sides: dict[str, Side] = {
        SERVER: partial(through_server, model, place, pieces),
        DIRECT: partial(directly, model, streams, pieces),
    }
    return await bench.compared(f"{streams} streams", sides)


if __name__ == "__main__":
    main(measure, parser("streams", "Many answers at once.").parse_args())
