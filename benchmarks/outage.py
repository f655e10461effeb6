"""A database that is away: how fast messages are `accepted`, and how fast they are stored when it is back.

Clients send to a real server on PostgreSQL, which is then stopped under them. An `accepted` message is synced in the
journal before it is acknowledged, so beside it stands the least that this takes: appending the same text to a file and
`fdatasync`, one message after the other. Beside the draining stands the same server storing the same messages while
the database is there.
"""

import os
import re
import time
from functools import partial
from pathlib import Path

from benchmarks.live import (
    CLIENTS,
    ENVIRONMENT,
    TEXT,
    Place,
    clients_of,
    close_all,
    prepared,
    sending,
)
from benchmarks.rounds import Bench, Sample, Side, blocking, folder, main, of_latencies, parser
from benchmarks.sockets import Socket
from benchmarks.web import HttpClient
from tests.support.postgres import PostgresServer, running_postgres
from tests.support.server import ServerProcess

AWAY, THERE, FILE = "database away", "database there", "append and fdatasync"
DEPTH = re.compile(rb"^palaver_drafts_waiting (\S+)$", re.MULTILINE)


async def there(place: Place, count: int) -> Sample:
    """Stores messages while the database is there."""
    sockets = await followers(place)
    sample = await sending(sockets, place.rooms, b"stored", lambda sent: sent < count)
    await close_all(sockets)
    return sample | {"drain_rate": sample["rate"]}


async def away(place: Place, database: PostgresServer, count: int) -> Sample:
    """Stops the database, sends until all is accepted, and drains when the database is there again."""
    sockets = await followers(place)
    database.stop_at_once()
    try:
        # the first message of each room still asks the database; the others queue behind it
        await sending(sockets, place.rooms, b"accepted", lambda sent: sent < 1)
        sample = await sending(sockets, place.rooms, b"accepted", lambda sent: sent < count)
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
    """Number of messages that wait for the database."""
    _, text = await client.raw("GET", "/metrics")
    found = DEPTH.search(text)
    assert found is not None, text[:300]
    return float(found[1])


async def followers(place: Place) -> list[Socket]:
    """Clients that each read their room: only a reader's message is accepted."""
    sockets = await clients_of(place, len(place.rooms))
    for socket, room in zip(sockets, place.rooms, strict=True):
        await socket.subscribe(room)
    return sockets


def to_file(path: Path, count: int) -> Sample:
    """Appends and syncs messages one by one: the least that keeping them takes."""
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


async def measure(bench: Bench) -> None:
    """Measures both ways, beside their baselines."""
    count = bench.sized(150, 50, 2)
    bench.report.parameters |= {"clients": CLIENTS, "messages": count * CLIENTS}
    with folder() as path, running_postgres() as postgres:
        url = postgres.url(postgres.create_database())
        tokens, rooms = await prepared(path / "data", url, CLIENTS)
        environment = ENVIRONMENT | {"PALAVER_LOG_LEVEL": "error"}
        server = ServerProcess(path / "data", database_url=url, environment=environment)
        await server.start()
        try:
            place = Place("server", server.url, server.pid, tokens, rooms)
            sides: dict[str, Side] = {
                AWAY: partial(away, place, postgres, count),
                THERE: partial(there, place, count),
                FILE: blocking(to_file, path / "plain", count * CLIENTS),
            }
            figures = await bench.compared(f"{CLIENTS} clients", sides)
        finally:
            await server.kill()
    for what, key, unit, beside in (
        ("accepted while the database is away", "rate", "messages/s", [THERE, FILE]),
        ("send to accepted", "p50_ms", "ms p50", [THERE, FILE]),
        ("send to accepted", "p99_ms", "ms p99", [THERE, FILE]),
        ("stored when it is back", "drain_rate", "messages/s", [THERE]),
    ):
        bench.add(figures, AWAY, key, f"{what}, {CLIENTS} clients", unit, beside=beside)


if __name__ == "__main__":
    main(measure, parser("outage", "A database that is away.").parse_args())
