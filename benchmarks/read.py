"""How fast history is read from a long one: T5 (pages of a room, whatever the depth), T6 (room list), T4 (over HTTP).

T5 and T6 ask the store: T5 beside the driver alone doing the plain keyset query into dicts and, on SQLite, an async ORM
paging by OFFSET; T6 beside a database with a tenth of the rooms, and PostgreSQL beside SQLite. T4 (`benchmarks.calls`)
asks a real server over HTTP. `--messages` sets the size; a tenth of them lie in one room, and there are a tenth as many
rooms.
"""

import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks import calls, dataset, note_c
from benchmarks.dataset import Dataset, Guest
from benchmarks.report import Goal
from benchmarks.rounds import Bench, Side, folder, main, parser, repeat
from tests.support.postgres import running_postgres

from palaver.clock import SystemClock
from palaver.settings import settings_from
from palaver.store.read import messages, rooms
from palaver.store.store import Store

STORE = "store.read"
PAGE = 50
LISTED = 20
ALMOST_EMPTY = 2_000
DRIVERS = {"sqlite": ("raw sqlite3", 2.0), "postgresql": ("raw asyncpg", 2.5)}
"""Of each engine: the driver alone, and what a page may take of its time."""
COLUMNS = "seq, id, author_key, role, status, text, created_ms, cid, reply_to_seq, deleted_ms, meta"
KEYSET = f"SELECT {COLUMNS} FROM messages WHERE room_key = {{}} AND seq < {{}} ORDER BY seq DESC LIMIT 50"
NAMES = COLUMNS.split(", ")

Call = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Engine:
    """Database engine with three histories: the long one, one with a tenth of it, and next to none."""

    name: str
    driver: str
    page_at_most: float
    long: Dataset
    tenth: Dataset
    short: Dataset


async def filled(name: str, path: Path, urls: Sequence[str | None], count: int) -> Engine:
    """Makes the histories, each in a database of its own."""
    made: list[Dataset] = []
    for url, size in zip(urls, (count, count // 10, min(ALMOST_EMPTY, count)), strict=True):
        data = path / f"{name}-{len(made)}"
        settings = settings_from(data_dir=data, database_url=url, detect=False)
        made.append(await dataset.make(settings, size))
    return Engine(name, *DRIVERS[name], *made)


async def opened(made: Dataset, stack: AsyncExitStack) -> Store:
    """Opens the store of a history."""
    store = Store.opened(made.settings, SystemClock(), committed=lambda _: None)
    return await stack.enter_async_context(store)


def as_dicts(rows: Sequence[Any]) -> list[dict[str, Any]]:
    """Rows as a program would use them."""
    return [dict(zip(NAMES, row, strict=True)) for row in rows]


async def raw_pages(made: Dataset, stack: AsyncExitStack) -> Callable[[int], Call]:
    """Plain query at a depth, by the driver alone."""
    connection: Any
    if "postgres" in made.settings.url:
        asyncpg: Any = import_module("asyncpg")  # it brings no types
        connection = await asyncpg.connect(made.settings.url)
        stack.push_async_callback(connection.close)
        statement = KEYSET.format("$1", "$2")

        async def query(before: int) -> object:
            return as_dicts(await connection.fetch(statement, made.big_key, before))
    else:
        connection = sqlite3.connect(dataset.path_of(made.settings))
        stack.callback(connection.close)
        statement = KEYSET.format("?", "?")

        async def query(before: int) -> object:
            return as_dicts(connection.execute(statement, (made.big_key, before)).fetchall())

    return lambda before: partial(query, before)


async def design_pages(
    bench: Bench, path: Path, made: Dataset, stack: AsyncExitStack
) -> Callable[[int], Call] | None:
    """Same page by the async ORM, where it can run."""
    if not note_c.available():
        bench.report.lacks(note_c.MISSING)
        return None
    design = await note_c.NoteC.opened(path / "note_c.db")
    stack.push_async_callback(design.close)
    await design.fill(made.big_seq - 1, dataset.TEXT)
    return lambda before: partial(design.newest, PAGE, made.big_seq + 1 - before)


async def pages(bench: Bench, path: Path, engine: Engine) -> None:
    """T5: every depth and every side in one run."""
    made, last = engine.long, engine.long.big_seq + 1
    depths = {"last 50": last, "page 1,000": max(52, last - 1_000 * PAGE), "first 50": 52}
    async with AsyncExitStack() as stack:
        store = await opened(made, stack)

        def page(before: int) -> Call:
            return lambda: store.read(messages.page, made.big, before=before, limit=PAGE)

        by_name = {STORE: page, engine.driver: await raw_pages(made, stack)}
        if engine.name == "sqlite" and (design := await design_pages(bench, path, made, stack)):
            by_name[note_c.NAME] = design
        asked = {
            f"{name}, {where}": call(before)
            for where, before in depths.items()
            for name, call in by_name.items()
        }
        sides = await warmed(asked, bench.sized(300, 100, 10))
        figures = await bench.compared(f"{engine.name}, pages", sides)
    for where in depths:
        what = f"{engine.name}: {where} of a room of {made.big_seq - 1:,}"
        side, beside = (
            f"{STORE}, {where}",
            [f"{name}, {where}" for name in by_name if name != STORE],
        )
        goals = [Goal(at_most=engine.page_at_most, against=f"{engine.driver}, {where}")]
        if where != "last 50":
            goals.append(Goal(at_most=1.25, against=f"{STORE}, last 50"))
        bench.add(figures, side, "p50_ms", what, "ms p50", target="T5", beside=beside, goals=goals)
        bench.add(figures, side, "p99_ms", what, "ms p99", beside=beside)


async def lists(bench: Bench, engines: Sequence[Engine]) -> None:
    """T6, for who is in every room and for who is in a few: every engine and both sizes in one run."""
    async with AsyncExitStack() as stack:
        stores = {
            f"{engine.name}, {made.rooms:,} rooms": (await opened(made, stack), made)
            for engine in engines
            for made in (engine.long, engine.tenth)
        }

        def listing(store: Store, guest: Guest) -> Call:
            return lambda: store.read(rooms.listing, guest.actor.id, limit=LISTED)

        for who in ("all", "20"):
            asked = {
                name: listing(store, made.owner if who == "all" else made.few)
                for name, (store, made) in stores.items()
            }
            sides = await warmed(asked, bench.sized(300, 100, 10))
            figures = await bench.compared(f"room list of {who}", sides)
            for engine in engines:
                many, fewer = (
                    f"{engine.name}, {made.rooms:,} rooms" for made in (engine.long, engine.tenth)
                )
                goals = [Goal(at_most=1.5, against=fewer)]
                if engine.name != "sqlite":
                    goals.append(Goal(at_most=3, against=f"sqlite, {engine.long.rooms:,} rooms"))
                what = f"{engine.name}: 20 newest of {who} of {engine.long.rooms:,} rooms"
                bench.add(figures, many, "p50_ms", what, "ms p50", target="T6", goals=goals)
                bench.add(figures, many, "p99_ms", what, "ms p99", beside=[fewer])


async def warmed(asked: Mapping[str, Call], count: int) -> dict[str, Side]:
    """Sides that repeat a call, each asked a few times before."""
    for call in asked.values():
        await repeat(5, call)
    return {name: partial(repeat, count, call) for name, call in asked.items()}


async def measure(bench: Bench) -> None:
    """T4 to T6."""
    count: int = bench.options.messages or bench.sized(1_000_000, 100_000, 2_000)
    bench.report.parameters["messages"] = count
    with folder() as path, ExitStack() as stack:
        engines: list[Engine] = []
        if bench.options.engine in {"both", "sqlite"}:
            engines.append(await filled("sqlite", path, [None] * 3, count))
        if bench.options.engine in {"both", "postgresql"}:
            server = stack.enter_context(running_postgres())
            urls = [server.url(server.create_database()) for _ in range(3)]
            engines.append(await filled("postgresql", path, urls, count))
        for engine in engines:
            await pages(bench, path, engine)
        await lists(bench, engines)
        for engine in engines:
            await calls.measure(bench, engine.name, engine.long, engine.short)


if __name__ == "__main__":
    OPTIONS = parser("read", "How fast a long history is read.")
    OPTIONS.add_argument("--engine", choices=["both", "sqlite", "postgresql"], default="both")
    OPTIONS.add_argument("--messages", type=int, help="default 1,000,000, with --quick 100,000")
    main(measure, OPTIONS.parse_args())
