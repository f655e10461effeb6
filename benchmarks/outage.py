"""A database that is away: how fast messages are `accepted`, and how fast they are stored when it is back.

Clients send to a real server on PostgreSQL, which is then stopped under them. An `accepted` message is synced in the
journal before it is acknowledged, so beside it stands the least that this takes: appending the same text to a file and
`fdatasync`, one message after the other. Beside the draining stands the same server storing the same messages while
the database is there.
"""

import argparse
import asyncio
import os
import re
import time
from functools import partial
from pathlib import Path

from benchmarks.live import CLIENTS, ENVIRONMENT, TEXT, Place, clients_of, close_all, prepared
from benchmarks.report import Report, Row
from benchmarks.rounds import (
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
from benchmarks.web import HttpClient
from tests.support.postgres import PostgresServer, running_postgres
from tests.support.server import ServerProcess

from palaver.clock import SystemClock

AWAY, THERE, FILE = "database away", "database there", "append and fdatasync"
DEPTH = re.compile(rb"^palaver_drafts_waiting (\S+)$", re.MULTILINE)
ACK, ERROR = b'{"t":"ack"', b'{"t":"err"'


class Sender:
    """A client that sends, waits for the acknowledgement of a kind, and sends again."""

    def __init__(self, socket: Socket, room: str, state: bytes) -> None:
        self._socket = socket
        self._state = b'"state":"%s"' % state
        self._frame = b'{"t":"send","id":7,"room":"%s","cid":"%%s","text":"%s"}' % (
            room.encode(),
            TEXT.encode(),
        )
        self._waiting: asyncio.Future[None] | None = None
        socket.on_frame = self._take

    async def run(self, count: int, taken: list[float]) -> None:
        """Sends so many."""
        new_id, loop = SystemClock().new_id, asyncio.get_running_loop()
        for _ in range(count):
            start = time.perf_counter()
            self._waiting = loop.create_future()
            self._socket.send(self._frame % new_id().encode())
            await self._waiting
            taken.append(time.perf_counter() - start)

    def _take(self, frame: bytes) -> None:
        if self._waiting is None or self._waiting.done():
            return
        if frame.startswith(ERROR):
            self._waiting.set_exception(AssertionError(frame))
        elif frame.startswith(ACK) and b'"id":7' in frame:
            if self._state in frame:
                self._waiting.set_result(None)
            else:
                self._waiting.set_exception(AssertionError(frame))


async def sending(sockets: list[Socket], place: Place, state: bytes, count: int) -> Sample:
    """Every client sends so many messages, each into its room."""
    taken: list[float] = []
    began = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for socket, room in zip(sockets, place.rooms, strict=True):
            tasks.create_task(Sender(socket, room, state).run(count, taken))
    return of_latencies(taken, time.perf_counter() - began)


async def there(place: Place, count: int) -> Sample:
    """The usual case."""
    sockets = await followers(place)
    sample = await sending(sockets, place, b"stored", count)
    await close_all(sockets)
    return sample | {"drain_rate": sample["rate"]}


async def away(place: Place, database: PostgresServer, count: int) -> Sample:
    """The database is stopped, all is accepted, and drained when it is there again."""
    sockets = await followers(place)
    database.stop_at_once()
    try:
        # the first message of each room still asks the database; the others queue behind it
        await sending(sockets, place, b"accepted", 1)
        sample = await sending(sockets, place, b"accepted", count)
    finally:
        database.start()
    began = time.perf_counter()
    client = await HttpClient.connected(place.url)
    left = deepest = await waiting(client)
    while left:
        left = await waiting(client)
    took = time.perf_counter() - began
    await client.close()
    await close_all(sockets)
    return sample | {"drain_rate": deepest / took}


async def waiting(client: HttpClient) -> float:
    """How many messages wait for the database."""
    _, text = await client.raw("GET", "/metrics")
    found = DEPTH.search(text)
    assert found is not None, text[:300]
    return float(found[1])


async def followers(place: Place) -> list[Socket]:
    """A client for each room, which must be reading it to be accepted."""
    sockets = await clients_of(place, len(place.rooms))
    for socket, room in zip(sockets, place.rooms, strict=True):
        await socket.subscribe(room)
    return sockets


def to_file(path: Path, count: int) -> Sample:
    """The least that keeping a message for sure takes."""
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.posix_fallocate(descriptor, 0, 1024 * 1024)
    taken: list[float] = []
    began = time.perf_counter()
    for _ in range(count):
        start = time.perf_counter()
        os.write(descriptor, TEXT.encode())
        os.fdatasync(descriptor)
        taken.append(time.perf_counter() - start)
    sample = of_latencies(taken, time.perf_counter() - began)
    os.close(descriptor)
    path.unlink()
    return sample | {"drain_rate": sample["rate"]}


async def measure(options: argparse.Namespace) -> Report:
    """All of it."""
    count: int = sized(options, 150, 50, 2)
    rounds = rounds_of(options)
    report = Report("outage", {"clients": CLIENTS, "messages": count * CLIENTS, "rounds": rounds})
    with folder() as path, running_postgres() as postgres:
        url = postgres.url(postgres.create_database())
        tokens, rooms = await prepared(path / "data", url, CLIENTS)
        server = ServerProcess(
            path / "data",
            database_url=url,
            environment=ENVIRONMENT | {"PALAVER_LOG_LEVEL": "error"},
        )
        await server.start()
        try:
            place = Place("server", server.url, server.pid, tokens, rooms)

            async def plain() -> Sample:
                return to_file(path / "plain", count * CLIENTS)

            sides: dict[str, Side] = {
                AWAY: partial(away, place, postgres, count),
                THERE: partial(there, place, count),
                FILE: plain,
            }
            figures = await interleaved(f"{CLIENTS} clients", sides, rounds)
        finally:
            await server.kill()
    for what, key, unit, others in (
        ("accepted while the database is away", "rate", "messages/s", [THERE, FILE]),
        ("send to accepted", "p50_ms", "ms p50", [THERE, FILE]),
        ("send to accepted", "p99_ms", "ms p99", [THERE, FILE]),
        ("stored when it is back", "drain_rate", "messages/s", [THERE]),
    ):
        report.add(
            Row(
                target="",
                what=f"{what}, {CLIENTS} clients",
                unit=unit,
                figure=figures[AWAY][key],
                baselines=of_key(figures, key, others),
            )
        )
    return report


if __name__ == "__main__":
    main(measure, parser("outage", "A database that is away.").parse_args())
