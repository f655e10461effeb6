"""How fast the live door is: T7 (send to stored), T8 (to the last of many), T9 (events by CPU), T10 (idle sockets).

The server is a process of its own; the clients share this one and cost little. Beside it runs `benchmarks.floor`:
uvicorn with a queue for each client, which stores nothing.
"""

import argparse
import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from benchmarks import raw
from benchmarks.processes import KIB, cpu_seconds, resident_bytes
from benchmarks.report import Figure, Goal, Report, Row, percentile, tell
from benchmarks.rounds import (
    Figures,
    Sample,
    Side,
    folder,
    interleaved,
    main,
    of_key,
    of_latencies,
    parser,
    rounds_of,
    sized,
)
from benchmarks.sockets import Socket
from tests.support.postgres import running_postgres
from tests.support.server import ServerProcess

from palaver.clock import SystemClock
from palaver.core.runtime import started
from palaver.settings import settings_from

CLIENTS = 64
OFFERED = 5_000
ACROSS = "postgresql, from another process"
FLOOR = "uvicorn, queue a client, unstored"
RAW = "raw sqlite3, no server"
EVENT, ACK = b'{"t":"ev"', b'{"t":"ack"'
TEXT = "Has anybody seen my umbrella? It was here. ".ljust(100, ".")
ENVIRONMENT = {
    "PALAVER_FRAMES_PER_SECOND": "1000000",
    "PALAVER_BYTES_PER_SECOND": "1e9",
    "PALAVER_LOG_LEVEL": "warning",
}
AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Place:
    """A running server and what was prepared in it: a token and a room for each client. No agent answers."""

    name: str
    url: str
    pid: int
    tokens: tuple[str, ...]
    rooms: tuple[str, ...]


async def prepared(data: Path, database_url: str | None, count: int) -> tuple[tuple[str, ...], ...]:
    """Guests with a room each, in a database that nobody has open."""
    settings = settings_from(data_dir=data, database_url=database_url, detect=False)
    tokens: list[str] = []
    rooms: list[str] = []
    async with started(settings) as core:
        for number in range(count):
            token, guest = await core.identity.new_guest(f"Guest {number}")
            room = await core.rooms.create(guest, title=f"Room {number}", agent=False)
            tokens.append(token)
            rooms.append(room.id)
    return tuple(tokens), tuple(rooms)


@contextmanager
def floor() -> Generator[Place]:
    """The floor, as a process."""
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
    """So many clients; with `room`, all are the first guest and read it."""
    found: dict[int, Socket] = {}

    async def connect(number: int) -> None:
        socket = await Socket.connected(place.url)
        await socket.hello(place.tokens[0 if room else number % len(place.tokens)])
        if room:
            await socket.subscribe(room)
        found[number] = socket

    for start in range(0, count, AT_ONCE):
        async with asyncio.TaskGroup() as tasks:
            for number in range(start, min(count, start + AT_ONCE)):
                tasks.create_task(connect(number))
    return [found[number] for number in range(count)]


async def close_all(sockets: list[Socket]) -> None:
    """Drops them."""
    for socket in sockets:
        await socket.close()


# T7


class Sender:
    """A client that sends, waits for the word `stored`, and sends again."""

    def __init__(self, socket: Socket, room: str, new_id: Callable[[], str]) -> None:
        self._socket = socket
        self._room = room
        self._new_id = new_id
        self._waiting: asyncio.Future[None] | None = None
        socket.on_frame = self._take

    async def run(self, until: float, every: float, taken: list[float]) -> None:
        """Sends at most once in `every` seconds, until then."""
        loop = asyncio.get_running_loop()
        due = time.perf_counter() + every * SystemClock().chance()
        while (now := time.perf_counter()) < until:
            if due > now:
                await asyncio.sleep(due - now)
            start = max(due, now) if every else now
            due += every
            self._waiting = loop.create_future()
            self._socket.send(
                b'{"t":"send","id":7,"alone":true,"room":"%s","cid":"%s","text":"%s"}'
                % (self._room.encode(), self._new_id().encode(), TEXT.encode())
            )
            await self._waiting
            taken.append(time.perf_counter() - start)

    def _take(self, frame: bytes) -> None:
        assert self._waiting is not None, "nothing was sent yet"
        if frame.startswith(ACK):
            self._waiting.set_result(None)
        else:
            self._waiting.set_exception(AssertionError(frame))


async def send_many(place: Place, seconds: float, offered: float) -> Sample:
    """64 clients send, each into its room: as fast as they can, or so many a second in all."""
    sockets = await clients_of(place, CLIENTS)
    new_id = SystemClock().new_id
    senders = [
        Sender(socket, room, new_id) for socket, room in zip(sockets, place.rooms, strict=True)
    ]
    taken: list[float] = []
    cpu, began = cpu_seconds(place.pid), time.perf_counter()
    every = CLIENTS / offered if offered else 0.0
    async with asyncio.TaskGroup() as tasks:
        for sender in senders:
            tasks.create_task(sender.run(began + seconds, every, taken))
    sample = of_latencies(taken, time.perf_counter() - began)
    spent = cpu_seconds(place.pid) - cpu
    await close_all(sockets)
    return sample | {"cpu_ms": spent * 1000 / len(taken) * 1000}


async def acknowledged(
    path: Path, places: list[Place], report: Report, options: argparse.Namespace
) -> None:
    """T7, at full speed and at an offered rate. `raw sqlite3` tells how fast the disk is just then."""
    seconds: float = sized(options, 3.0, 1.5, 0.2)
    disk = raw.RawSqlite(path / "raw.db", CLIENTS)

    async def hammer_raw() -> Sample:
        return disk.hammer(CLIENTS, seconds, TEXT)

    for offered in (0, OFFERED):
        sides: dict[str, Side] = {
            place.name: partial(send_many, place, seconds, offered) for place in places
        }
        sides[RAW] = hammer_raw
        what = f"{CLIENTS} clients" + (f", {offered:,} a second offered" if offered else "")
        figures = await interleaved(f"stored, {what}", sides, rounds_of(options))
        for place in places:
            if place.name != FLOOR:
                _acknowledged(place.name, what, figures, report, offered=bool(offered))
    disk.close()


def _acknowledged(name: str, what: str, figures: Figures, report: Report, *, offered: bool) -> None:
    tail = Goal(at_most=10 if name == "sqlite" else 20) if offered else None
    for key, unit, goal in (
        ("rate", "messages/s", None if offered else Goal(at_least=5_000)),
        ("p50_ms", "ms p50", None),
        ("p99_ms", "ms p99", tail),
        ("cpu_ms", "ms of server CPU per 1,000", None),
    ):
        report.add(
            Row(
                target="T7" if goal else "",
                what=f"{name}: send to stored, {what}",
                unit=unit,
                figure=figures[name][key],
                baselines=of_key(figures, key, [FLOOR] if key == "cpu_ms" else [FLOOR, RAW]),
                goal=goal,
            )
        )


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
        """Somebody says so much; with `apart`, how long each took to the last one, else all of it together."""
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
        elif not frame.startswith(ACK) and self._all_came is not None:
            self._all_came.set_exception(AssertionError(frame))


async def fan_out(
    place: Place, readers: int, messages: int, *, said_at: Place | None = None
) -> Sample:
    """One message after the other to a room with many readers, then many at once.

    `said_at`: another process of the same database, whose clients say it.
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


async def delivered(
    places: list[Place], second: Place, report: Report, options: argparse.Namespace
) -> None:
    """T8 and T9: in each of the places, and from `second` to the second of them, whose database it shares."""
    readers: int = sized(options, 1_000, 300, 10)
    messages: int = sized(options, 200, 100, 5)
    sides: dict[str, Side] = {
        place.name: partial(fan_out, place, readers, messages) for place in places
    }
    sides[second.name] = partial(fan_out, places[1], readers, messages, said_at=second)
    figures = await interleaved(f"{readers:,} readers of one room", sides, rounds_of(options))
    for name in sides:
        if name == FLOOR:
            continue
        across = name == second.name
        for target, key, unit, goal in (
            ("", "p50_ms", "ms p50", None),
            ("T8", "p99_ms", "ms p99", Goal(at_most=50 if across else 30)),
            ("T9", "per_cpu_second", "events per CPU second", Goal(at_least=100_000)),
            ("", "rate", "events/s", None),
        ):
            sent = "sent to seen by the last of" if unit.startswith("ms") else "delivered to"
            report.add(
                Row(
                    target=target,
                    what=f"{name}: {sent} {readers:,}",
                    unit=unit,
                    figure=figures[name][key],
                    baselines=of_key(figures, key, [FLOOR]),
                    goal=goal,
                )
            )


# T10


async def idle(place: Place, count: int) -> float:
    """KiB of server memory for each socket that is greeted, subscribed and silent."""
    warm = await clients_of(place, min(count, 200), place.rooms[0])
    before = resident_bytes(place.pid)
    sockets = await clients_of(place, count, place.rooms[0])
    after = resident_bytes(place.pid)
    await close_all(warm + sockets)
    return (after - before) / count / KIB


async def measure(options: argparse.Namespace) -> Report:
    """All of it."""
    idle_count: int = sized(options, 10_000, 2_000, 20)
    report = Report("live", {"clients": CLIENTS, "idle": idle_count, "rounds": rounds_of(options)})
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
            await acknowledged(path, [*places, plain], report, options)
            server = ServerProcess(
                path / "other", database_url=urls["postgresql"], environment=ENVIRONMENT
            )
            servers.append(server)
            await server.start()
            other = replace(places[1], name=ACROSS, url=server.url, pid=server.pid)
            await delivered([*places, plain], other, report, options)
            await servers[0].restart()  # what was in use before does not hide what a socket takes
            fresh = replace(places[0], url=servers[0].url, pid=servers[0].pid)
            figure = {one.name: Figure((await idle(one, idle_count),)) for one in (fresh, plain)}
        except BaseException:
            for server in servers:
                tell(server.tail())
            raise
        finally:
            for server in servers:
                if server.alive:
                    await server.kill()
    report.add(
        Row(
            target="T10",
            what=f"memory for each of {idle_count:,} idle sockets",
            unit="KiB",
            figure=figure["sqlite"],
            baselines={FLOOR: figure[FLOOR]},
            goal=Goal(at_most=30),
            note="one round: memory that was once taken stays with a process",
        )
    )
    return report


if __name__ == "__main__":
    main(measure, parser("live", "How fast the live door is.").parse_args())
