"""What many people cost: T23 (lists), T24 (a crowd in one room), T25 (a flood of sign-ins), T26 (what is taken away).

One person owns 10,000 rooms, another one is in 50. One room has 10,000 members, of whom 1,000 read along; another has
50. The flood comes from many addresses, each attempt at another handle, so that nearly every one costs a hash.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from benchmarks import live
from benchmarks.live import FLOOR, Place, clients_of, close_all
from benchmarks.processes import KIB, resident_bytes
from benchmarks.read import warmed
from benchmarks.report import Goal, percentile
from benchmarks.rounds import Bench, Sample, Side, folder, main, parser
from benchmarks.sockets import Socket
from benchmarks.web import HttpClient
from tests.support.postgres import running_postgres
from tests.support.server import ServerProcess

from palaver.core.identity.passwords import WAITING_MAX
from palaver.core.runtime import started
from palaver.model import Actor
from palaver.settings import settings_from

ENGINES = "sqlite", "postgresql"
FEW = 50
LISTED = 20
UNSUBSCRIBED = b'{"t":"unsub"'
OUT_SECONDS_MAX = 10.0
LATER = 20
"""So many messages are said after somebody was taken out, of which none may come."""
T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True, slots=True)
class Town:
    """Running server. `place`: everyone's tokens, the room of all and the room of few.

    The first person owns all rooms, the second is in few. `second`: another process of the same database.
    """

    place: Place
    people: tuple[Actor, ...]
    second: Place | None


async def all_of(things: Sequence[T], call: Callable[[T], Awaitable[U]]) -> list[U]:
    """Calls for each of the things, some at a time."""
    done: list[U] = []
    for start in range(0, len(things), live.AT_ONCE):
        done += await asyncio.gather(*map(call, things[start : start + live.AT_ONCE]))
    return done


async def opened(
    path: Path, engine: str, url: str | None, many: int, stack: AsyncExitStack
) -> Town:
    """Makes people and rooms in a new database, and starts its servers."""
    settings = settings_from(data_dir=path / engine, database_url=url, detect=False)
    async with started(settings) as core:
        come = core.identity.new_guest
        tokens, people = zip(*await all_of(range(many), lambda n: come(f"Guest {n}")), strict=True)
        create = partial(core.rooms.create, people[0], agent=False)
        made = await all_of(range(many), lambda n: create(title=f"Parcel {n}"))
        rooms = [room.id for room in made]
        join = partial(core.rooms.join, people[0])
        await all_of(people[1:], partial(join, rooms[0]))
        await all_of(people[1:FEW], partial(join, rooms[1]))
        await all_of(rooms[1:FEW], lambda room: join(room, people[1]))
    places: list[Place] = []
    for name in (engine, f"{engine}, from another process") if url else (engine,):
        server = ServerProcess(path / name, database_url=url, environment=live.ENVIRONMENT)
        await server.start()
        stack.push_async_callback(server.kill)
        places.append(Place(name, server.url, server.pid, tokens, tuple(rooms[:2])))
    return Town(places[0], people, places[1] if url else None)


async def lists(bench: Bench, town: Town) -> None:
    """T23: the newest rooms, and pages of members, each beside the same of few."""
    place, many = town.place, len(town.people)
    owner, few = [await HttpClient.connected(place.url, token) for token in place.tokens[:2]]
    large, small = (f"/api/rooms/{room}/members?limit={FEW}" for room in place.rooms)
    cursor = ""
    for _ in range(many // FEW // 2):
        cursor = f"&cursor={(await owner.request('GET', large + cursor))['next']}"
    rooms, members = f"/api/rooms?limit={LISTED}", f"page of {FEW} members of"
    asked = {
        f"{LISTED} newest rooms of {many:,}": partial(owner.request, "GET", rooms),
        f"{LISTED} newest rooms of {FEW}": partial(few.request, "GET", rooms),
        f"first {members} {many:,}": partial(owner.request, "GET", large),
        f"middle {members} {many:,}": partial(owner.request, "GET", large + cursor),
        f"only {members} {FEW}": partial(owner.request, "GET", small),
    }
    sides = await warmed(asked, bench.sized(400, 150, 5))
    figures = await bench.compared(f"{place.name}, lists", sides)
    names = list(asked)
    for side, against in ((0, 1), (2, 4), (3, 4)):
        what, beside = f"{place.name}: {names[side]}", names[against]
        goals = [Goal(at_most=1.5, against=beside)]
        bench.add(figures, names[side], "p50_ms", what, "ms p50", target="T23", goals=goals)
        bench.add(figures, names[side], "p99_ms", what, "ms p99", beside=[beside])
    await asyncio.gather(owner.close(), few.close())


async def crowd(bench: Bench, town: Town, plain: Place) -> None:
    """T24: what is said in a room reaches a crowd of members, each of whom is somebody else."""
    readers, messages = bench.sized(1_000, 300, 10), bench.sized(200, 100, 5)
    place, one = town.place, "one person with as many sockets"
    said = partial(live.fan_out, readers=readers, messages=messages)
    sides: dict[str, Side] = {
        place.name: partial(said, place),
        one: partial(said, replace(place, tokens=place.tokens[:1])),
        FLOOR: partial(said, plain),
    }
    if town.second is not None:
        sides[town.second.name] = partial(said, town.second, said_at=place)
    figures = await bench.compared(f"{place.name}, {readers:,} members online", sides)
    for name in [side for side in sides if side not in {one, FLOOR}]:
        what = f"{name}: said to seen by the last of {readers:,} members"
        floors = Goal(at_most=2 if name == place.name else 3, against=FLOOR)
        goals = [floors, Goal(at_most=1.25, against=one)] if name == place.name else [floors]
        bench.add(figures, name, "p99_ms", what, "ms p99", target="T24", goals=goals)
        bench.add(figures, name, "p50_ms", what, "ms p50", beside=[one, FLOOR])


async def sign_ins(place: Place, attempts: int, addresses: "count[int]") -> Sample:
    """Attempts to sign in, as many at a time as the server lets wait; gives what became of them, and memory."""
    numbers, statuses, host = iter(range(attempts)), list[int](), urlsplit(place.url)
    before = most = resident_bytes(place.pid)

    async def attack() -> None:
        nonlocal most
        address = next(addresses)
        streams = await asyncio.open_connection(
            host.hostname, host.port, local_addr=(f"127.1.{address >> 8}.{address & 255}", 0)
        )
        client = HttpClient(place.url, None, streams)
        for number in numbers:
            body = b'{"handle":"nobody-%d-%d","password":"a wrong one"}' % (address, number)
            status, answer = await client.raw("POST", "/api/sign-in", body)
            assert status in {401, 403, 429, 503}, answer
            statuses.append(status)
            most = max(most, resident_bytes(place.pid))
        await client.close()

    await asyncio.gather(*(attack() for _ in range(1 + WAITING_MAX)))
    return {"mib": (most - before) / KIB**2, "hashed": float(sum(one < 429 for one in statuses))}


async def sends(place: Place, more: Callable[[int], bool]) -> Sample:
    """Sends one message after the other, while `more(sent)`."""
    sockets = await clients_of(place, 1)
    sample = await live.sending(sockets, place.rooms[1:], b"stored", more)
    await close_all(sockets)
    return sample


async def flooded(place: Place, attempts: int, addresses: "count[int]") -> Sample:
    """Sends while the attempts are made."""
    async with asyncio.TaskGroup() as tasks:
        flood = tasks.create_task(sign_ins(place, attempts, addresses))
        sample = await sends(place, lambda _: not flood.done())
    return sample | flood.result()


async def floods(bench: Bench, town: Town) -> None:
    """T25: sends beside 1,000 attempts to sign in."""
    place, messages = town.place, bench.sized(2_000, 500, 10)
    attempts = bench.sized(1_000, 300, 40)
    side, idle = f"{attempts:,} attempts to sign in", "nobody signs in"
    sides: dict[str, Side] = {
        side: partial(flooded, place, attempts, count(1)),
        idle: partial(sends, place, lambda sent: sent < messages),
    }
    figures = await bench.compared(f"{place.name}, sign-ins", sides)
    what, goals = f"{place.name}: send to stored beside {side}", [Goal(at_most=2, against=idle)]
    bench.add(figures, side, "p99_ms", what, "ms p99", target="T25", goals=goals)
    bench.add(figures, side, "p50_ms", what, "ms p50", beside=[idle])
    what, goals = f"{place.name}: memory of {side}", [Goal(at_most=64)]
    bench.add(figures, side, "mib", what, "MiB", target="T25", goals=goals)
    bench.add(figures, side, "hashed", f"{place.name}: hashes for {side}", "hashes")


class Listener:
    """When the last event came to a reader, and whether the room was taken from them."""

    def __init__(self, socket: Socket) -> None:
        self.came, self.out = asyncio.Event(), asyncio.Event()
        self.last = 0.0
        socket.on_frame = self._take

    def _take(self, frame: bytes) -> None:
        if frame.startswith(live.EVENT):
            self.last = time.perf_counter()
            self.came.set()
        elif frame.startswith(UNSUBSCRIBED):
            self.out.set()


async def taken_away(town: Town, reads_at: Place, times: int) -> Sample:
    """Removes a member who reads along while the owner talks: how long after the request an event still came."""
    place, member = town.place, FEW - 1
    members = f"/api/rooms/{place.rooms[1]}/members"
    owner = await HttpClient.connected(place.url, place.tokens[0])
    sockets = await clients_of(place, 1)
    talk = partial(live.sending, sockets, place.rooms[1:], b"stored")
    reading = replace(reads_at, tokens=place.tokens[member : member + 1])
    took: list[float] = []
    for _ in range(times):
        (reader,) = await clients_of(reading, 1, place.rooms[1])
        listener = Listener(reader)
        async with asyncio.timeout(OUT_SECONDS_MAX), asyncio.TaskGroup() as tasks:
            tasks.create_task(talk(lambda _, out=listener.out: not out.is_set()))
            await listener.came.wait()
            began = time.perf_counter()
            await owner.request("DELETE", f"{members}/{town.people[member].id}")
        await talk(lambda sent: sent < LATER)
        took.append(max(listener.last - began, 0.0))
        await owner.request("POST", members, {"actor": town.people[member].id})
        await reader.close()
    await asyncio.gather(owner.close(), close_all(sockets))
    return {"p50_ms": percentile(took, 50) * 1000, "most_ms": max(took) * 1000}


async def revocations(bench: Bench, town: Town) -> None:
    """T26: who is removed gets nothing more, wherever they read."""
    times, (place, second) = bench.sized(20, 10, 2), (town.place, town.second)
    places = (place,) if second is None else (place, second)
    sides: dict[str, Side] = {one.name: partial(taken_away, town, one, times) for one in places}
    figures = await bench.compared(f"{place.name}, removals", sides)
    for name in sides:
        what, goals = f"{name}: removed to the last event of {times}", [Goal(at_most=1_000)]
        bench.add(figures, name, "most_ms", what, "ms at most", target="T26", goals=goals)
        bench.add(figures, name, "p50_ms", what, "ms p50")


async def measure(bench: Bench) -> None:
    """T23 to T26."""
    many = bench.sized(10_000, 2_000, 2 * FEW)
    bench.report.parameters |= {"rooms": many, "members": many}
    async with AsyncExitStack() as stack:
        path, plain = stack.enter_context(folder()), stack.enter_context(live.floor())
        for engine in ENGINES if bench.options.engine == "both" else [bench.options.engine]:
            url = None
            if engine == "postgresql":
                postgres = stack.enter_context(running_postgres())
                url = postgres.url(postgres.create_database())
            town = await opened(path, engine, url, many, stack)
            await lists(bench, town)
            await crowd(bench, town, plain)
            await floods(bench, town)
            await revocations(bench, town)


if __name__ == "__main__":
    OPTIONS = parser("people", "What many people cost.")
    OPTIONS.add_argument("--engine", choices=["both", *ENGINES], default="both")
    main(measure, OPTIONS.parse_args())
