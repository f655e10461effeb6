"""How fast history is read from a long one: T5 (pages of a room, whatever the depth), T6 (room list), T4 (over HTTP).

T5 and T6 ask the store, beside the driver alone doing the plain keyset query into dicts and, on SQLite, an async ORM
paging by OFFSET. T4 (in `benchmarks.calls`) asks a real server over HTTP, beside one with a short history.
`--messages` sets the size; a tenth of them lie in one room, and there are a tenth as many rooms.
"""

import argparse
import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks import calls, dataset, note_c
from benchmarks.dataset import Dataset, Guest
from benchmarks.report import Figure, Goal, Report, Row
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
from tests.support.postgres import running_postgres

from palaver.clock import SystemClock
from palaver.settings import Settings, settings_from
from palaver.store.read import messages, rooms
from palaver.store.store import Store

STORE = "store.read"
PAGE = 50
LISTED = 20
COLUMNS = "seq, id, author_key, role, status, text, created_ms, cid, reply_to_seq, deleted_ms, meta"
KEYSET = f"SELECT {COLUMNS} FROM messages WHERE room_key = {{}} AND seq < {{}} ORDER BY seq DESC LIMIT 50"
NAMES = COLUMNS.split(", ")

Call = Callable[[], Awaitable[object]]
Raw = Callable[[int], Call]


async def repeat(count: int, call: Call) -> Sample:
    """Latency of one call after the other."""
    taken: list[float] = []
    began = time.perf_counter()
    for _ in range(count):
        start = time.perf_counter()
        await call()
        taken.append(time.perf_counter() - start)
    return of_latencies(taken, time.perf_counter() - began)


def depths(made: Dataset) -> dict[str, int]:
    """Where a page ends, in the long room."""
    last = made.big_seq + 1
    return {"last 50": last, "page 1,000": max(52, last - 1_000 * PAGE), "first 50": 52}


class Reading:
    """One engine with a long history, opened."""

    def __init__(
        self, name: str, store: Store, made: Dataset, report: Report, options: argparse.Namespace
    ) -> None:
        self.name = name
        self.made = made
        self.report = report
        self.rounds = rounds_of(options)
        self.count: int = sized(options, 300, 100, 10)
        self._store = store

    async def pages(self, raw_name: str, raw: Raw, more: dict[str, Call]) -> None:
        """T5. `raw` gives the plain query at a depth; `more` other designs by the name of the depth."""
        last: Figures = {}
        for where, before in depths(self.made).items():
            sides = {STORE: self._page(before), raw_name: raw(before)}
            if where in more:
                sides[note_c.NAME] = more[where]
            figures = await self._measure(f"{self.name}, {where}", sides)
            last = last or figures
            what = f"{self.name}: {where} of a room of {self.made.big_seq - 1:,}"
            beside = [name for name in sides if name != STORE]
            goal = Goal(at_most=2, against=raw_name)
            self._add(
                what, "p50_ms", figures, of_key(figures, "p50_ms", beside), target="T5", goal=goal
            )
            self._add(what, "p99_ms", figures, of_key(figures, "p99_ms", beside))
            if figures is not last:
                flat = {"last 50": last[STORE]["p50_ms"]}
                self._add(
                    what,
                    "p50_ms",
                    figures,
                    flat,
                    target="T5",
                    goal=Goal(at_most=1.25, against="last 50"),
                )

    async def lists(self) -> None:
        """T6, for who is in every room and for who is in a few."""
        for who, guest in (("all", self.made.owner), ("20", self.made.few)):
            sides = {STORE: self._list(guest)}
            figures = await self._measure(f"{self.name}, room list", sides)
            what = f"{self.name}: 20 newest of {who} of {self.made.rooms:,} rooms"
            self._add(what, "p50_ms", figures, {})
            self._add(what, "p99_ms", figures, {}, target="T6", goal=Goal(at_most=5))

    def _page(self, before: int) -> Call:
        async def page() -> object:
            return await self._store.read(messages.page, self.made.big, before=before, limit=PAGE)

        return page

    def _list(self, guest: Guest) -> Call:
        async def listing() -> object:
            return await self._store.read(rooms.listing, guest.actor.id, limit=LISTED)

        return listing

    async def _measure(self, what: str, calls: dict[str, Call]) -> Figures:
        sides: dict[str, Side] = {}
        for name, call in calls.items():
            await repeat(5, call)
            sides[name] = partial(repeat, self.count, call)
        return await interleaved(what, sides, self.rounds)

    def _add(
        self,
        what: str,
        key: str,
        figures: Figures,
        baselines: dict[str, Figure],
        *,
        target: str = "",
        goal: Goal | None = None,
    ) -> None:
        self.report.add(
            Row(
                target=target,
                what=what,
                unit=f"ms {key.removesuffix('_ms')}",
                figure=figures[STORE][key],
                baselines=baselines,
                goal=goal,
            )
        )


def as_dicts(rows: Sequence[Any]) -> list[dict[str, Any]]:
    """What a program would do with the rows."""
    return [dict(zip(NAMES, row, strict=True)) for row in rows]


async def sqlite(path: Path, report: Report, options: argparse.Namespace) -> None:
    """On SQLite."""
    settings = settings_from(data_dir=path / "sqlite", detect=False)
    made = await dataset.make(settings, options.messages)
    connection = sqlite3.connect(dataset.path_of(settings))
    design = await note_c.NoteC.opened(path / "note_c.db") if note_c.available() else None
    more: dict[str, Call] = {}
    if design is None:
        report.lacks(note_c.MISSING)
    else:
        await design.fill(made.big_seq - 1, dataset.TEXT)
        for where, before in depths(made).items():
            more[where] = partial(design.newest, PAGE, made.big_seq + 1 - before)

    def raw(before: int) -> Call:
        async def query() -> object:
            statement = KEYSET.format("?", "?")
            return as_dicts(connection.execute(statement, (made.big_key, before)).fetchall())

        return query

    async with opened(settings) as store:
        reading = Reading("sqlite", store, made, report, options)
        await reading.pages("raw sqlite3", raw, more)
        await reading.lists()
    connection.close()
    if design is not None:
        await design.close()
    await calls.measure("sqlite", settings, made, report, options)


async def postgres(
    path: Path, url: str, small_url: str, report: Report, options: argparse.Namespace
) -> None:
    """On PostgreSQL."""
    settings = settings_from(data_dir=path / "postgresql", database_url=url, detect=False)
    made = await dataset.make(settings, options.messages)
    asyncpg: Any = import_module("asyncpg")  # it brings no types
    connection = await asyncpg.connect(url)

    def raw(before: int) -> Call:
        async def query() -> object:
            statement = KEYSET.format("$1", "$2")
            return as_dicts(await connection.fetch(statement, made.big_key, before))

        return query

    async with opened(settings) as store:
        reading = Reading("postgresql", store, made, report, options)
        await reading.pages("raw asyncpg", raw, {})
        await reading.lists()
    await connection.close()
    await calls.measure("postgresql", settings, made, report, options, small_url=small_url)


def opened(settings: Settings) -> Any:
    """The store of these settings."""
    return Store.opened(settings, SystemClock(), committed=lambda _: None)


async def measure(options: argparse.Namespace) -> Report:
    """All of it."""
    if options.messages is None:
        options.messages = sized(options, 1_000_000, 100_000, 2_000)
    parameters = {"messages": options.messages, "rounds": rounds_of(options)}
    report = Report("read", parameters)
    with folder() as path:
        if options.engine in {"both", "sqlite"}:
            await sqlite(path, report, options)
        if options.engine in {"both", "postgresql"}:
            with running_postgres() as server:
                urls = [server.url(server.create_database()) for _ in range(2)]
                await postgres(path, urls[0], urls[1], report, options)
    return report


if __name__ == "__main__":
    OPTIONS = parser("read", "How fast a long history is read.")
    OPTIONS.add_argument("--engine", choices=["both", "sqlite", "postgresql"], default="both")
    OPTIONS.add_argument("--messages", type=int, help="default 1,000,000, with --quick 100,000")
    main(measure, OPTIONS.parse_args())
