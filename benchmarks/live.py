"""How fast the live door is: T7 (send to stored), T8 (to the last of many), T9 (events by CPU), T10 (idle sockets).

The server is a process of its own; the clients share this one and cost little. Beside it runs `benchmarks.floor`:
uvicorn with a queue for each client, which stores nothing.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from benchmarks import raw
from benchmarks.processes import KIB, cpu_seconds, resident_bytes
from benchmarks.report import Figure, Goal, percentile, tell
from benchmarks.rounds import Bench, Sample, Side, blocking, folder, main, of_latencies, parser
from benchmarks.sockets import Socket
from tests.support.postgres import running_postgres
from tests.support.server import ServerProcess

from palaver.clock import SystemClock
from palaver.core.runtime import started
from palaver.settings import settings_from

CLIENTS = 64
ACROSS = "postgresql, from another process"
FLOOR = "uvicorn, queue a client, unstored"
RAW = "raw sqlite3, no server"
EVENT, ACK, ERROR = b'{"t":"ev"', b'{"t":"ack"', b'{"t":"err"'
TEXT = "Has anybody seen my umbrella? It was here. ".ljust(100, ".")
ENVIRONMENT = {
    "PALAVER_FRAMES_PER_SECOND": "1000000",
    "PALAVER_BYTES_PER_SECOND": "1e9",
    "PALAVER_LOG_LEVEL": "warning",
}
AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Place:
    """Running server with a token and a room for each client."""

    name: str
    url: str
    pid: int
    tokens: tuple[str, ...]
    rooms: tuple[str, ...]


async def prepared(
    data: Path, database_url: str | None, count: int, *, agent: bool = False
) -> tuple[tuple[str, ...], ...]:
    """Makes guests with a room each, in a database that nobody has open. `agent`: the assistant answers there."""
    settings = settings_from(data_dir=data, database_url=database_url, detect=False)
    tokens: list[str] = []
    rooms: list[str] = []
    async with started(settings) as core:
        for number in range(count):
            token, guest = await core.identity.new_guest(f"Guest {number}")
            room = await core.rooms.create(guest, title=f"Room {number}", agent=agent)
            tokens.append(token)
            rooms.append(room.id)
    return tuple(tokens), tuple(rooms)


@contextmanager
def floor() -> Generator[Place]:
    """Runs `benchmarks.floor` as a process."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.floor"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        url = process.stdout.readline().strip()
        everyone = tuple(str(number) for number in range(CLIENTS))
        yield Place(FLOOR, url, process.pid, everyone, everyone)
        process.stdin.close()


async def clients_of(place: Place, count: int, room: str | None = None) -> list[Socket]:
    """Connects `count` clients, each as the next guest; with `room`, they read that room."""
    found: dict[int, Socket] = {}

    async def connect(number: int) -> None:
        socket = await Socket.connected(place.url)
        await socket.hello(place.tokens[number % len(place.tokens)])
        if room:
            await socket.subscribe(room)
        found[number] = socket

    for start in range(0, count, AT_ONCE):
        async with asyncio.TaskGroup() as tasks:
            for number in range(start, min(count, start + AT_ONCE)):
                tasks.create_task(connect(number))
    return [found[number] for number in range(count)]


async def close_all(sockets: list[Socket]) -> None:
    """Drops the connections."""
    for socket in sockets:
        await socket.close()


# T7


class Sender:
    """A client that sends, waits for an acknowledgement of one kind, and sends again."""

    def __init__(self, socket: Socket, room: str, state: bytes) -> None:
        self._socket = socket
        self._state = b'"state":"%s"' % state
        self._frame = b'{"t":"send","id":7,"alone":true,"room":"%s","cid":"%%s","text":"%s"}' % (
            room.encode(),
            TEXT.encode(),
        )
        self._waiting: asyncio.Future[None] | None = None
        socket.on_frame = self._take

    async def run(self, more: Callable[[int], bool], taken: list[float]) -> None:
        """Sends while `more(sent)`; adds the seconds of each to `taken`."""
        new_id, loop = SystemClock().new_id, asyncio.get_running_loop()
        sent = 0
        while more(sent):
            start = time.perf_counter()
            self._waiting = loop.create_future()
            self._socket.send(self._frame % new_id().encode())
            await self._waiting
            taken.append(time.perf_counter() - start)
            sent += 1

    def _take(self, frame: bytes) -> None:
        if self._waiting is None or self._waiting.done():
            return
        answered = frame.startswith(ACK) and b'"id":7' in frame
        if answered and self._state in frame:
            self._waiting.set_result(None)
        elif answered or frame.startswith(ERROR):
            self._waiting.set_exception(AssertionError(frame))


async def sending(
    sockets: list[Socket], rooms: Sequence[str], state: bytes, more: Callable[[int], bool]
) -> Sample:
    """Sends from every client into its room, while `more(sent)`."""
    taken: list[float] = []
    began = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for socket, room in zip(sockets, rooms, strict=True):
            tasks.create_task(Sender(socket, room, state).run(more, taken))
    return of_latencies(taken, time.perf_counter() - began)


async def send_many(place: Place, seconds: float) -> Sample:
    """Sends from 64 clients as fast as they can, each into its room."""
    sockets = await clients_of(place, CLIENTS)
    cpu, began = cpu_seconds(place.pid), time.perf_counter()
    until = began + seconds
    sample = await sending(sockets, place.rooms, b"stored", lambda _: time.perf_counter() < until)
    spent, wall = cpu_seconds(place.pid) - cpu, time.perf_counter() - began
    await close_all(sockets)
    return sample | {"cpu_ms": spent * 1_000_000 / (sample["rate"] * wall)}


async def acknowledged(bench: Bench, path: Path, places: list[Place]) -> None:
    """T7. `raw sqlite3` shows how fast the disk is just then."""
    seconds: float = bench.sized(3.0, 1.5, 0.2)
    disk = raw.RawSqlite(path / "raw.db", CLIENTS)
    sides: dict[str, Side] = {place.name: partial(send_many, place, seconds) for place in places}
    sides[RAW] = blocking(disk.hammer, CLIENTS, seconds, TEXT)
    figures = await bench.compared("stored", sides)
    disk.close()
    goals = {
        "sqlite": [Goal(at_least=2, against=RAW), Goal(at_least=0.3, against=FLOOR)],
        "postgresql": [Goal(at_least=0.8, against="sqlite")],
    }
    for name, rate in goals.items():
        what = f"{name}: send to stored, {CLIENTS} clients"
        beside = [FLOOR, RAW]
        bench.add(figures, name, "rate", what, "messages/s", target="T7", beside=beside, goals=rate)
        bench.add(figures, name, "p50_ms", what, "ms p50", beside=beside)
        bench.add(figures, name, "p99_ms", what, "ms p99", beside=beside)
        bench.add(figures, name, "cpu_ms", what, "ms of server CPU per 1,000", beside=[FLOOR])


# T8, T9


class Crowd:
    """Many subscribers of one room, counted together."""

    def __init__(self, sockets: list[Socket], speakers: list[Socket], room: str) -> None:
        self.sockets = sockets
        self._speakers = speakers
        self._head = b'{"t":"send","id":7,"room":"%s","cid":"' % room.encode()
        self._tail = b'","text":"%s"}' % TEXT.encode()
        self._new_id = SystemClock().new_id
        self._left = 0
        self._all_came: asyncio.Future[None] | None = None
        for socket in sockets:
            socket.on_frame = self._take

    async def say(self, count: int, *, apart: bool) -> list[float]:
        """Sends `count` messages; gives the seconds until all have seen each (`apart`), else all of them."""
        taken: list[float] = []
        for _ in range(count if apart else 1):
            events = 1 if apart else count
            self._left = events * len(self.sockets)
            self._all_came = asyncio.get_running_loop().create_future()
            start = time.perf_counter()
            for number in range(events):
                speaker = self._speakers[number % len(self._speakers)]
                speaker.send(self._head + self._new_id().encode() + self._tail)
            await self._all_came
            taken.append(time.perf_counter() - start)
        return taken

    def _take(self, frame: bytes) -> None:
        if frame.startswith(EVENT):
            self._left -= 1
            if self._left == 0 and self._all_came is not None:
                self._all_came.set_result(None)
        elif frame.startswith(ERROR) and self._all_came is not None:
            self._all_came.set_exception(AssertionError(frame))


async def fan_out(
    place: Place, readers: int, messages: int, *, said_at: Place | None = None
) -> Sample:
    """Sends to a room with many readers: one message after the other, then many at once.

    `said_at`: another process of the same database, whose clients send.
    """
    room = place.rooms[0]
    sockets = await clients_of(place, readers, room)
    speakers = sockets
    if said_at is not None:
        speakers = await clients_of(replace(said_at, tokens=place.tokens[:1]), min(readers, 64))
    crowd = Crowd(sockets, speakers, room)
    await crowd.say(3, apart=True)
    taken = await crowd.say(messages, apart=True)
    cpu = cpu_seconds(place.pid)
    (wall,) = await crowd.say(messages, apart=False)
    spent = cpu_seconds(place.pid) - cpu
    await close_all([*sockets, *(speakers if said_at else ())])
    delivered = readers * messages
    return {
        "p50_ms": percentile(taken, 50) * 1000,
        "p99_ms": percentile(taken, 99) * 1000,
        "per_cpu_second": delivered / spent,
        "rate": delivered / wall,
    }


async def delivered(bench: Bench, places: list[Place], second: Place) -> None:
    """T8 and T9: in each of the places, and from `second` to the second of them, whose database it shares."""
    readers = bench.sized(1_000, 300, 10)
    messages = bench.sized(200, 100, 5)
    ones = [replace(place, tokens=place.tokens[:1]) for place in places]
    sides: dict[str, Side] = {one.name: partial(fan_out, one, readers, messages) for one in ones}
    sides[second.name] = partial(fan_out, ones[1], readers, messages, said_at=second)
    figures = await bench.compared(f"{readers:,} readers of one room", sides)
    for name in [side for side in sides if side != FLOOR]:
        seen = f"{name}: sent to seen by the last of {readers:,}"
        soon = [Goal(at_most=3 if name == second.name else 2, against=FLOOR)]
        bench.add(figures, name, "p50_ms", seen, "ms p50", target="T8", goals=soon)
        bench.add(figures, name, "p99_ms", seen, "ms p99", beside=[FLOOR])
        what, cheap = f"{name}: delivered to {readers:,}", [Goal(at_least=5, against=FLOOR)]
        unit = "events per CPU second"
        bench.add(figures, name, "per_cpu_second", what, unit, target="T9", goals=cheap)
        bench.add(figures, name, "rate", what, "events/s", beside=[FLOOR])


# T10


async def idle(place: Place, count: int) -> float:
    """Measures the KiB of server memory for each socket that is greeted, subscribed and silent."""
    one = replace(place, tokens=place.tokens[:1])
    warm = await clients_of(one, min(count, 200), place.rooms[0])
    before = resident_bytes(place.pid)
    sockets = await clients_of(one, count, place.rooms[0])
    after = resident_bytes(place.pid)
    await close_all(warm + sockets)
    return (after - before) / count / KIB


async def measure(bench: Bench) -> None:
    """T7 to T10."""
    idle_count = bench.sized(10_000, 2_000, 20)
    bench.report.parameters |= {"clients": CLIENTS, "idle": idle_count}
    with folder() as path, floor() as plain, running_postgres() as postgres:
        urls = {"sqlite": None, "postgresql": postgres.url(postgres.create_database())}
        places: list[Place] = []
        servers: list[ServerProcess] = []
        try:
            for name, url in urls.items():
                tokens, rooms = await prepared(path / name, url, CLIENTS)
                server = ServerProcess(path / name, database_url=url, environment=ENVIRONMENT)
                servers.append(server)
                await server.start()
                places.append(Place(name, server.url, server.pid, tokens, rooms))
            await acknowledged(bench, path, [*places, plain])
            server = ServerProcess(
                path / "other", database_url=urls["postgresql"], environment=ENVIRONMENT
            )
            servers.append(server)
            await server.start()
            other = replace(places[1], name=ACROSS, url=server.url, pid=server.pid)
            await delivered(bench, [*places, plain], other)
            await servers[0].restart()  # what was in use before does not hide what a socket takes
            fresh = replace(places[0], url=servers[0].url, pid=servers[0].pid)
            taken = {
                one.name: {"kib": Figure((await idle(one, idle_count),))} for one in (fresh, plain)
            }
        except BaseException:
            for server in servers:
                tell(server.tail())
            raise
        finally:
            for server in servers:
                if server.alive:
                    await server.kill()
    what, goals = f"memory for each of {idle_count:,} idle sockets", [Goal(at_most=24)]
    bench.add(taken, "sqlite", "kib", what, "KiB", target="T10", beside=[FLOOR], goals=goals)


if __name__ == "__main__":
    main(measure, parser("live", "How fast the live door is.").parse_args())
