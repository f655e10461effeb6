"""How fast a message is durable: T1 and T2 (rate and tail of 64 writers), T3 (a single writer's latency).

The sides of a round: the embedding door (`room.say`), the store below it (`AddMessage`: message, event, seq and client
id), the driver alone with one commit a message, and on SQLite a plain async ORM. All of them sync every commit.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import note_c, raw
from benchmarks.report import Goal
from benchmarks.rounds import Bench, Sample, Side, blocking, folder, main, of_latencies, parser
from tests.support.postgres import PostgresServer, running_postgres

import palaver
from palaver.clock import SystemClock
from palaver.model import Actor, ActorId, ActorKind, MessageId, RoomId, TitleSource, Visibility
from palaver.settings import Settings, settings_from
from palaver.store.store import Store
from palaver.store.write.actors import AddActor
from palaver.store.write.messages import AddMessage
from palaver.store.write.rooms import CreateRoom

TEXT = "All of this was said in one breath, and none of it will be forgotten again. ".ljust(
    200, "."
)
FACADE, STORE = "room.say", "store.write"
HOT = ", one room"
MANY = 64
Append = Callable[[int], Awaitable[object]]
Others = Callable[[int], dict[str, Side]]

new_id = SystemClock().new_id


@dataclass(frozen=True, slots=True)
class Engine:
    """Database engine with its goals, all of them against its driver alone."""

    name: str
    target: str
    driver: str
    rate: dict[str, float]
    p99: float
    alone_p50: float


SQLITE = Engine("sqlite", "T1", "raw sqlite3", {STORE: 5, FACADE: 4}, 0.15, 1.7)
POSTGRES = Engine("postgresql", "T2", "raw asyncpg", {STORE: 3, FACADE: 2.5}, 0.3, 2.5)


async def hammer(writers: int, seconds: float, append: Append) -> Sample:
    """Appends from `writers` tasks as fast as they can; gives rate and latency."""
    taken: list[float] = []
    began = time.perf_counter()
    until = began + seconds

    async def write(writer: int) -> None:
        start = time.perf_counter()
        while start < until:
            await append(writer)
            end = time.perf_counter()
            taken.append(end - start)
            start = end

    async with asyncio.TaskGroup() as tasks:
        for writer in range(writers):
            tasks.create_task(write(writer))
    return of_latencies(taken, time.perf_counter() - began)


async def facade(settings: Settings, writers: int, stack: AsyncExitStack) -> dict[str, Append]:
    """Opens the embedding door, with a person and a room for each writer; in the first room everyone has spoken."""
    chat = await stack.enter_async_context(palaver.open(settings=settings))
    people = [await chat.person(f"person-{number}") for number in range(writers)]
    rooms = [await chat.room(f"room {number}") for number in range(writers)]
    for person, room in zip(people, rooms, strict=True):
        await room.say(person, "hello")
        await rooms[0].say(person, "hello")

    async def append(writer: int) -> None:
        await rooms[writer].say(people[writer], TEXT, cid=new_id())

    async def append_hot(writer: int) -> None:
        await rooms[0].say(people[writer], TEXT, cid=new_id())

    return {FACADE: append, FACADE + HOT: append_hot}


async def below(settings: Settings, writers: int, stack: AsyncExitStack) -> dict[str, Append]:
    """Opens the store, with an author and a room for each writer, the first of them open to all."""
    opened = Store.opened(settings, SystemClock(), committed=lambda _: None)
    store = await stack.enter_async_context(opened)
    people = [await add_person(store) for _ in range(writers)]
    rooms = [await add_room(store, people[0], Visibility.OPEN)]
    rooms += [await add_room(store, person, Visibility.PRIVATE) for person in people[1:]]

    async def append(writer: int) -> None:
        await add_message(store, rooms[writer], people[writer], TEXT, new_id())

    async def append_hot(writer: int) -> None:
        await add_message(store, rooms[0], people[writer], TEXT, new_id())

    return {STORE: append, STORE + HOT: append_hot}


async def add_person(store: Store) -> ActorId:
    """Stores a person."""
    person = ActorId(f"u_{new_id()}")
    actor = Actor(id=person, kind=ActorKind.PERSON, name="Ada")
    await store.write(AddActor(actor=actor, handle=person))
    return person


async def add_room(store: Store, owner: ActorId, visibility: Visibility) -> RoomId:
    """Stores a room."""
    room = RoomId(f"r_{new_id()}")
    await store.write(
        CreateRoom(
            id=room,
            title="A room",
            title_source=TitleSource.USER,
            visibility=visibility,
            owner=owner,
        )
    )
    return room


async def add_message(store: Store, room: RoomId, author: ActorId, text: str, cid: str) -> None:
    """Stores a message."""
    message = MessageId(f"m_{new_id()}")
    await store.write(AddMessage(id=message, room=room, author=author, text=text, cid=cid))


async def ladder(
    bench: Bench, engine: Engine, counts: list[int], appends: dict[str, Append], others: Others
) -> None:
    """Measures each number of writers in rooms of their own, then many in one room."""
    seconds: float = bench.sized(1.5, 0.6, 0.05)
    many = min(MANY, max(counts))
    for writers in counts:
        sides: dict[str, Side] = {
            name: partial(hammer, writers, seconds, appends[name]) for name in (FACADE, STORE)
        }
        beside = others(writers)
        figures = await bench.compared(f"{engine.name}, {writers} writers", sides | beside)
        for name in sides:
            what = f"{engine.name}: {name}, {writers} writers"
            rate = Goal(at_least=engine.rate[name], against=engine.driver)
            tail = Goal(at_most=engine.p99, against=engine.driver)
            alone = Goal(at_most=engine.alone_p50, against=engine.driver)
            for target, key, unit, goals in (
                (engine.target, "rate", "messages/s", [rate] if writers == many else []),
                (engine.target, "p99_ms", "ms p99", [tail] if writers == many else []),
                ("T3", "p50_ms", "ms p50", [alone] if writers == 1 else []),
            ):
                bench.add(figures, name, key, what, unit, target=target, beside=beside, goals=goals)
    sides = {name: partial(hammer, many, seconds, append) for name, append in appends.items()}
    figures = await bench.compared(f"{engine.name}, {many} writers{HOT}", sides)
    for name in (FACADE, STORE):
        what = f"{engine.name}: {name}, {many} writers{HOT}"
        bench.add(figures, name + HOT, "rate", what, "messages/s", beside=[name])


async def sqlite(bench: Bench, path: Path, counts: list[int]) -> None:
    """T1 and T3 on SQLite."""
    most, seconds = max(counts), bench.sized(1.5, 0.6, 0.05)
    plain = raw.RawSqlite(path / "raw.db", most)
    design = await note_c.NoteC.opened(path / "note_c.db") if note_c.available() else None
    if design is None:
        bench.report.lacks(note_c.MISSING)

    def others(writers: int) -> dict[str, Side]:
        found: dict[str, Side] = {SQLITE.driver: blocking(plain.hammer, writers, seconds, TEXT)}
        if design is not None:
            append = partial(design.append, text=TEXT)
            found[note_c.NAME] = partial(hammer, writers, seconds, append)
        return found

    async with AsyncExitStack() as stack:
        appends = await facade(settings_of(path / "facade"), most, stack)
        appends |= await below(settings_of(path / "store"), most, stack)
        await ladder(bench, SQLITE, counts, appends, others)
    plain.close()
    if design is not None:
        await design.close()


async def postgres(bench: Bench, path: Path, server: PostgresServer, counts: list[int]) -> None:
    """T2 and T3 on PostgreSQL."""
    most, seconds = max(counts), bench.sized(1.5, 0.6, 0.05)
    urls = [server.url(server.create_database()) for _ in range(3)]
    plain = await raw.RawPostgres.opened(urls[0], most, most)

    def others(writers: int) -> dict[str, Side]:
        append = partial(plain.append, text=TEXT)
        return {POSTGRES.driver: partial(hammer, writers, seconds, append)}

    async with AsyncExitStack() as stack:
        appends = await facade(settings_of(path / "pg-facade", urls[1]), most, stack)
        appends |= await below(settings_of(path / "pg-store", urls[2]), most, stack)
        await ladder(bench, POSTGRES, counts, appends, others)
    await plain.close()


def settings_of(data: Path, url: str | None = None) -> Settings:
    """Settings of a database, without a search for model servers."""
    return settings_from(data_dir=data, database_url=url, detect=False)


async def measure(bench: Bench) -> None:
    """T1 to T3."""
    counts = bench.sized([1, 16, 64, 256], [1, 64], [1, 4])
    bench.report.parameters |= {"writers": counts, "text_chars": len(TEXT)}
    with folder() as path:
        if bench.options.engine in {"both", "sqlite"}:
            await sqlite(bench, path, counts)
        if bench.options.engine in {"both", "postgresql"}:
            with running_postgres() as server:
                await postgres(bench, path, server, counts)


if __name__ == "__main__":
    OPTIONS = parser("store", "How fast a message is durable.")
    OPTIONS.add_argument("--engine", choices=["both", "sqlite", "postgresql"], default="both")
    main(measure, OPTIONS.parse_args())
