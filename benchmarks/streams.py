"""Many answers at once: T14, 500 streams of 30 pieces a second through one server, without falling behind.

A scripted model server in this process sends each stream a piece every 33 ms, on a schedule; each piece says when it
was sent. The lag is the time from there to the reader of the room, through provider, journal, hub and socket. Beside
it the same streams are read from the model server directly, which shows what the benchmark itself costs.
"""

import argparse
import asyncio
import re
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from benchmarks.live import Place, clients_of, close_all
from benchmarks.processes import cpu_seconds
from benchmarks.report import Figure, Goal, Report, Row, percentile
from benchmarks.rounds import (
    Sample,
    Side,
    folder,
    interleaved,
    main,
    of_key,
    parser,
    rounds_of,
    sized,
)
from tests.support.server import ServerProcess

from palaver.core.runtime import started
from palaver.settings import settings_from

PIECES_A_SECOND = 30
PHASES = 10
FEW = 8
SERVER, DIRECT = "palaver", "model server directly"
STAMP = re.compile(rb" @(\d+\.\d+)")
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
MODELS = b'{"object":"list","data":[{"id":"scripted","object":"model"}]}'
FAILED = re.compile(rb'"status":"(failed|interrupted|stopped)"|"t":"err"')


class Upstream:
    """The model server. `go` lets the streams that wait run for so many pieces."""

    def __init__(self) -> None:
        self.url = ""
        self.waiting: list[asyncio.StreamWriter] = []
        self._arrived = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection; streams are answered by `go`."""
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
                size = b"content-length: %d\r\n\r\n" % len(MODELS)
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n" + size + MODELS
                )
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
            piece = chunk(f'{{"content":" @{due:.6f}"}}', "null")
            for stream in streams[number % PHASES :: PHASES]:
                stream.write(piece)
        last = chunk("{}", '"stop"') + framed(b"data: [DONE]\n\n") + b"0\r\n\r\n"
        for stream in streams:
            stream.write(last)


def chunk(delta: str, finish: str) -> bytes:
    """One event of a stream."""
    data = (
        '{"id":"c","object":"chat.completion.chunk","created":1,"model":"scripted",'
        f'"choices":[{{"index":0,"delta":{delta},"finish_reason":{finish}}}]}}'
    )
    return framed(f"data: {data}\n\n".encode())


def framed(data: bytes) -> bytes:
    """One chunk of a body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


@asynccontextmanager
async def upstream() -> AsyncGenerator[Upstream]:
    """A running model server."""
    model = Upstream()
    server = await asyncio.start_server(model.serve, "127.0.0.1", 0, backlog=1024)
    model.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield model


class Watch:
    """What the readers see: the lag of each piece, and how many streams have ended."""

    def __init__(self, streams: int) -> None:
        self.lags: list[float] = []
        self._left = streams
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def piece(self, data: bytes) -> None:
        """Takes what came, which may be several pieces."""
        now = time.perf_counter()
        self.lags += [now - float(stamp) for stamp in STAMP.findall(data)]

    def end(self) -> None:
        """A stream has ended."""
        self._left -= 1
        if self._left == 0:
            self.ended.set_result(None)

    def frame(self, data: bytes) -> None:
        """A frame of a room's reader."""
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
            "late_ms": percentile(self.lags[-streams:], 50) * 1000,
            "cpu_us": cpu * 1_000_000 / (streams * pieces),
            "cpu_share": cpu / wall * 100,
        }


async def through_server(model: Upstream, place: Place, pieces: int) -> Sample:
    """Everybody asks something in a room of their own."""
    streams = len(place.rooms)
    sockets = await clients_of(place, streams)
    watch = Watch(streams)
    for number, (socket, room) in enumerate(zip(sockets, place.rooms, strict=True)):
        await socket.subscribe(room)
        socket.on_frame = watch.frame
        frame = '{"t":"send","id":7,"room":"%s","cid":"%s","text":"Tell me something."}'
        socket.send((frame % (room, f"{number}-{time.perf_counter_ns()}")).encode())
    await model.gathered(streams)
    cpu, began = cpu_seconds(place.pid), time.perf_counter()
    await model.go(pieces)
    spent, wall = cpu_seconds(place.pid) - cpu, time.perf_counter() - began
    await watch.ended
    await close_all(sockets)
    return watch.sample(streams, pieces, spent, wall)


async def directly(model: Upstream, streams: int, pieces: int) -> Sample:
    """Plain connections to the model server."""
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


async def prepared(data: Path, count: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Guests with a room each, in which the assistant answers."""
    settings = settings_from(data_dir=data, detect=False)
    tokens: list[str] = []
    rooms: list[str] = []
    async with started(settings) as core:
        for number in range(count):
            token, guest = await core.identity.new_guest(f"Guest {number}")
            tokens.append(token)
            rooms.append((await core.rooms.create(guest, title=f"Room {number}")).id)
    return tuple(tokens), tuple(rooms)


async def measure(options: argparse.Namespace) -> Report:
    """T14."""
    streams: int = sized(options, 500, 200, 4)
    seconds: float = sized(options, 6.0, 3.0, 0.5)
    pieces = int(seconds * PIECES_A_SECOND)
    report = Report("streams", {"streams": streams, "pieces": pieces, "rounds": rounds_of(options)})
    async with AsyncExitStack() as stack:
        path = stack.enter_context(folder())
        model = await stack.enter_async_context(upstream())
        tokens, rooms = await prepared(path / "data", streams)
        environment = {
            "OPENAI_BASE_URL": f"{model.url}/v1",
            "PALAVER_MODEL": "scripted",
            "PALAVER_LOG_LEVEL": "warning",
        }
        server = ServerProcess(path / "data", environment=environment)
        await server.start()
        stack.push_async_callback(server.kill)
        place = Place(SERVER, server.url, server.pid, tokens, rooms)
        sides: dict[str, Side] = {
            SERVER: partial(through_server, model, place, pieces),
            DIRECT: partial(directly, model, streams, pieces),
        }
        figures = await interleaved(f"{streams} streams", sides, rounds_of(options))
        few = replace(place, rooms=place.rooms[:FEW], tokens=place.tokens[:FEW])
        sides = {
            SERVER: partial(through_server, model, few, pieces),
            DIRECT: partial(directly, model, len(few.rooms), pieces),
        }
        calm = await interleaved(f"{len(few.rooms)} streams", sides, rounds_of(options))
    what = f"{streams} streams of {PIECES_A_SECOND} pieces a second"
    for key, unit, goal in (
        ("p50_ms", "ms lag p50", None),
        ("p99_ms", "ms lag p99", Goal(at_most=100)),
        ("late_ms", "ms lag p50 of the last pieces", Goal(at_most=100)),
        ("cpu_us", "us of server CPU a piece", None),
        ("cpu_share", "% of a core", None),
    ):
        beside = of_key(figures, key, [DIRECT]) if key.endswith("_ms") else {}
        row = Row(
            target="T14" if goal else "",
            what=what,
            unit=unit,
            figure=figures[SERVER][key],
            baselines=beside,
            goal=goal,
        )
        report.add(row)
    for key, unit in (("p50_ms", "ms p50"), ("p99_ms", "ms p99")):
        pairs = zip(calm[SERVER][key].values, calm[DIRECT][key].values, strict=True)
        row = Row(
            target="",
            what=f"delay between model server and reader, {len(few.rooms)} streams",
            unit=unit,
            figure=Figure(tuple(through - straight for through, straight in pairs)),
        )
        report.add(row)
    return report


if __name__ == "__main__":
    main(measure, parser("streams", "Many answers at once.").parse_args())
