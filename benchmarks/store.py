"""How fast a message is durable: T1 and T2 (rate and tail), T3 (a single writer's latency).

The sides of a round: the embedding door (`room.say`), the store below it (`AddMessage`: message, event, seq and client
id), the driver alone with one commit a message, and on SQLite a plain async ORM. All of them sync every commit.
"""

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from pathlib import Path

from benchmarks import note_c, raw
from benchmarks.report import Goal, Report, Row
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
from tests.support.postgres import PostgresServer, running_postgres

import palaver
from palaver.clock import SystemClock
from palaver.facade import Room
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
MANY = 64
Append = Callable[[int], Awaitable[object]]


async def hammer(writers: int, seconds: float, append: Append) -> Sample:
    """Rate and latency of so many tasks that append as fast as they can."""
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


class Facade:
    """The embedding door: a person and a room for each writer."""

    def __init__(self, people: list[Actor], rooms: list[Room]) -> None:
        self._people = people
        self._rooms = rooms
        self._new_id = SystemClock().new_id

    @classmethod
    async def opened(cls, settings: Settings, writers: int, stack: AsyncExitStack) -> "Facade":
        """Makes them; in the first room everyone has spoken."""
        chat = await stack.enter_async_context(palaver.open(settings=settings))
        people = [await chat.person(f"person-{number}") for number in range(writers)]
        rooms = [await chat.room(f"room {number}") for number in range(writers)]
        for person, room in zip(people, rooms, strict=True):
            await room.say(person, "hello")
            await rooms[0].say(person, "hello")
        return cls(people, rooms)

    async def append(self, writer: int) -> None:
        """Each into a room of its own."""
        await self._rooms[writer].say(self._people[writer], TEXT, cid=self._new_id())

    async def append_hot(self, writer: int) -> None:
        """All into one room."""
        await self._rooms[0].say(self._people[writer], TEXT, cid=self._new_id())


class Below:
    """The store itself: an author and a room for each writer, the first of them open to all."""

    def __init__(self, store: Store, people: list[ActorId], rooms: list[RoomId]) -> None:
        self._store = store
        self._people = people
        self._rooms = rooms
        self._new_id = SystemClock().new_id

    @classmethod
    async def opened(cls, settings: Settings, writers: int, stack: AsyncExitStack) -> "Below":
        """Makes them."""
        clock = SystemClock()
        opened = Store.opened(settings, clock, committed=lambda _: None)
        store = await stack.enter_async_context(opened)
        people = [ActorId(f"u_{clock.new_id()}") for _ in range(writers)]
        rooms = [RoomId(f"r_{clock.new_id()}") for _ in range(writers)]
        for person, room in zip(people, rooms, strict=True):
            actor = Actor(id=person, kind=ActorKind.PERSON, name="Ada")
            await store.write(AddActor(actor=actor, handle=person))
            await store.write(
                CreateRoom(
                    id=room,
                    title="A room",
                    title_source=TitleSource.USER,
                    visibility=Visibility.OPEN if room == rooms[0] else Visibility.PRIVATE,
                    owner=person,
                )
            )
        return cls(store, people, rooms)

    async def append(self, writer: int) -> None:
        """Each into a room of its own."""
        await self._add(self._rooms[writer], self._people[writer])

    async def append_hot(self, writer: int) -> None:
        """All into one room."""
        await self._add(self._rooms[0], self._people[writer])

    async def _add(self, room: RoomId, author: ActorId) -> None:
        await self._store.write(
            AddMessage(
                id=MessageId(f"m_{self._new_id()}"),
                room=room,
                author=author,
                text=TEXT,
                cid=self._new_id(),
            )
        )


class Engine:
    """One database engine, with all that is measured on it. `tag`: the target's number for many writers."""

    def __init__(
        self, name: str, tag: str, raw_name: str, report: Report, options: argparse.Namespace
    ) -> None:
        self.name = name
        self.tag = tag
        self.raw_name = raw_name
        self._report = report
        self._rounds = rounds_of(options)
        self._seconds: float = sized(options, 1.5, 0.6, 0.05)

    async def measure(
        self, writers: int, appends: dict[str, Append], others: dict[str, Side]
    ) -> Figures:
        """One row for each way to append."""
        sides: dict[str, Side] = {
            name: partial(hammer, writers, self._seconds, append)
            for name, append in appends.items()
        }
        what = f"{self.name}, {writers} writers"
        return await interleaved(what, {**sides, **others}, self._rounds)

    def tell(self, writers: int, figures: Figures) -> None:
        """The rows of one number of writers."""
        many, one = writers == MANY, writers == 1
        least = Goal(at_least=5 if self.tag == "T1" else 4, against=self.raw_name)
        most = Goal(at_most=8 if self.tag == "T1" else 10)
        quickly = Goal(at_most=1.7, against=self.raw_name)
        others = [name for name in figures if name not in {FACADE, STORE}]
        for name in (FACADE, STORE):
            what = f"{self.name}: {name}, {writers} writers"
            for target, key, unit, goal in (
                (self.tag if many else "", "rate", "messages/s", least if many else None),
                (self.tag if many else "", "p99_ms", "ms p99", most if many else None),
                ("T3" if one else "", "p50_ms", "ms p50", quickly if one else None),
            ):
                self._report.add(
                    Row(
                        target=target,
                        what=what,
                        unit=unit,
                        figure=figures[name][key],
                        baselines=of_key(figures, key, others),
                        goal=goal,
                    )
                )

    def tell_hot(self, writers: int, figures: Figures) -> None:
        """The rows of the one room that all write to."""
        for name in (FACADE, STORE):
            self._report.add(
                Row(
                    target=self.tag,
                    what=f"{self.name}: {name}, {writers} writers, one room",
                    unit="messages/s",
                    figure=figures[f"{name}, one room"]["rate"],
                    baselines={"many rooms": figures[name]["rate"]},
                    goal=Goal(at_least=0.7, against="many rooms"),
                )
            )


async def sqlite(
    path: Path, counts: list[int], report: Report, options: argparse.Namespace
) -> None:
    """T1 and T3 on SQLite."""
    engine = Engine("sqlite", "T1", "raw sqlite3", report, options)
    most = max(counts)
    plain = raw.RawSqlite(path / "raw.db", most)
    design = await note_c.NoteC.opened(path / "note_c.db") if note_c.available() else None
    if design is None:
        report.lacks(note_c.MISSING)

    def others(writers: int) -> dict[str, Side]:
        seconds: float = sized(options, 1.5, 0.6, 0.05)

        async def hammer_raw() -> Sample:
            return plain.hammer(writers, seconds, TEXT)

        found: dict[str, Side] = {"raw sqlite3": hammer_raw}
        if design is not None:
            append = partial(_append_design, design)
            found[note_c.NAME] = partial(hammer, writers, seconds, append)
        return found

    async with AsyncExitStack() as stack:
        facade = await Facade.opened(_settings(path / "facade"), most, stack)
        below = await Below.opened(_settings(path / "store"), most, stack)
        await _ladder(engine, counts, facade, below, others)
    plain.close()
    if design is not None:
        await design.close()


async def postgres(
    path: Path,
    server: PostgresServer,
    counts: list[int],
    report: Report,
    options: argparse.Namespace,
) -> None:
    """T2 and T3 on PostgreSQL."""
    engine = Engine("postgresql", "T2", "raw asyncpg", report, options)
    most = max(counts)
    plain = await raw.RawPostgres.opened(server.url(server.create_database()), most, most)

    def others(writers: int) -> dict[str, Side]:
        seconds: float = sized(options, 1.5, 0.6, 0.05)
        append = partial(_append_raw, plain)
        return {"raw asyncpg": partial(hammer, writers, seconds, append)}

    async with AsyncExitStack() as stack:
        urls = [server.url(server.create_database()) for _ in range(2)]
        facade = await Facade.opened(_settings(path / "pg-facade", urls[0]), most, stack)
        below = await Below.opened(_settings(path / "pg-store", urls[1]), most, stack)
        await _ladder(engine, counts, facade, below, others)
    await plain.close()


async def _append_raw(plain: raw.RawPostgres, writer: int) -> None:
    await plain.append(writer, TEXT)


async def _append_design(design: note_c.NoteC, writer: int) -> None:
    await design.append(writer, TEXT)


async def _ladder(
    engine: Engine,
    counts: list[int],
    facade: Facade,
    below: Below,
    others: Callable[[int], dict[str, Side]],
) -> None:
    """Every number of writers, then the hot room."""
    for writers in counts:
        appends: dict[str, Append] = {FACADE: facade.append, STORE: below.append}
        engine.tell(writers, await engine.measure(writers, appends, others(writers)))
    writers = MANY if MANY in counts else max(counts)
    appends = {
        FACADE: facade.append,
        STORE: below.append,
        f"{FACADE}, one room": facade.append_hot,
        f"{STORE}, one room": below.append_hot,
    }
    engine.tell_hot(writers, await engine.measure(writers, appends, {}))


def _settings(data: Path, url: str | None = None) -> Settings:
    return settings_from(data_dir=data, database_url=url, detect=False)


@contextmanager
def postgres_of(options: argparse.Namespace) -> Generator[PostgresServer | None]:
    """A server with fsync on, unless it is not wanted."""
    if options.engine == "sqlite":
        yield None
        return
    with running_postgres() as server:
        yield server


async def measure(options: argparse.Namespace) -> Report:
    """All of it."""
    counts: list[int] = sized(options, [1, 16, 64, 256], [1, 64], [1, 4])
    report = Report(
        "store", {"writers": counts, "text_chars": len(TEXT), "rounds": rounds_of(options)}
    )
    with folder() as path:
        if options.engine in {"both", "sqlite"}:
            await sqlite(path, counts, report, options)
        with postgres_of(options) as server:
            if server is not None:
                await postgres(path, server, counts, report, options)
    return report


if __name__ == "__main__":
    OPTIONS = parser("store", "How fast a message is durable.")
    OPTIONS.add_argument("--engine", choices=["both", "sqlite", "postgresql"], default="both")
    main(measure, OPTIONS.parse_args())
