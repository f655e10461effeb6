"""T17: how fast a long history is searched, beside the index alone asked with SQL; what the index takes and costs.

Texts are words as frequent as those of a language, a twentieth of them with Chinese; some words are put into every
third, hundredth and thousandth message, one into three. The baseline asks the same index for the same tokens, and reads
the texts of the twenty newest in the same statement: without rights, phrases, highlights, or what is not indexed yet.
On SQLite it asks in a thread, as a server must, lest all others wait; beside it stands the same call without one.
"""

import asyncio
import random
import sqlite3
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from functools import partial
from importlib import import_module
from itertools import accumulate, count, repeat
from pathlib import Path
from typing import Any

from benchmarks import dataset
from benchmarks.dataset import Dataset
from benchmarks.report import Figure, Goal, percentile
from benchmarks.rounds import Bench, Sample, Side, folder, main, parser
from benchmarks.store import TEXT, facade, hammer, settings_of
from tests.support.postgres import running_postgres

import palaver
from palaver.core.runtime import Core, started
from palaver.core.search.indexer import Indexer
from palaver.settings import Settings
from palaver.store.search.index import Wanted
from palaver.store.search.postgresql import query_of
from palaver.store.search.sqlite import match_of

HAN = [chr(code) for code in range(0x4E00, 0x4E00 + 1_500)]
PAIR = HAN[5] + HAN[6]
PHRASE = '"once more beside"'
QUERIES = {
    "a word of 30 %": ("third", [("third", False)]),
    "of 1 %": ("hundredth", [("hundredth", False)]),
    "of 0.1 %": ("thousandth", [("thousandth", False)]),
    "of 3 hits": ("rarest", [("rarest", False)]),
    "a phrase": (PHRASE, [("once", False), ("more", False), ("beside", False)]),
    "two Han characters": (PAIR, [(PAIR, False)]),
    "a prefix of 3": ("tho*", [("tho", True)]),
}
"""By what is asked: the query, and what of it the index knows."""
CIRCLES = (50, 5_000)
RAW, ALONE = ", in SQL", ", in SQL alone"
INDEXER, NO_INDEXER = "with the indexer", "without it"
WRITERS = 64
RATE = 1_000
INDEX_AT_MOST = {"sqlite": 1, "postgresql": 4}
Ask = Callable[[], Awaitable[object]]
Place = tuple[Path, str | None]
"""Where the data of a database lie, and its URL where that is none of SQLite."""
SQLITE_RAW = """
SELECT docs.docid, messages.text FROM words JOIN docs ON docs.docid = words.rowid
JOIN messages ON messages.room_key = docs.room_key AND messages.seq = docs.seq
WHERE words MATCH ? ORDER BY words.rowid DESC LIMIT 20
"""
POSTGRESQL_RAW = """
SELECT docid, messages.text FROM search_index JOIN messages USING (room_key, seq)
WHERE words @@ CAST($1::text AS tsquery) ORDER BY docid DESC LIMIT 20
"""


def said(messages: int) -> Iterator[str]:
    """Gives texts, the same each time, some 200 characters each."""
    chance = random.Random(5)
    letters = "etaoinshrdlcumwfgypbvk"
    words = ["".join(chance.choices(letters, k=chance.randint(2, 10))) for _ in range(60_000)]
    weights = list(accumulate(1 / (rank + 3) for rank in range(len(words))))
    pool = [
        " ".join(chance.choices(words, cum_weights=weights, k=chance.randint(5, 25)))
        for _ in range(20_011)
    ]
    rare = {7, messages // 2, messages - 5}
    for number in count():
        parts = [pool[number % len(pool)], pool[number * 7 % 19_997]]
        parts += ["third"] * (number % 10 in {0, 3, 6}) + ["hundredth"] * (number % 100 == 1)
        if number % 1_000 == 2:
            parts.append("thousandth once more beside it")
        elif number % 500 == 3:
            parts.append("more beside, once")
        if number in rare:
            parts.append("rarest")
        if number % 20 == 0:
            parts.append("".join(chance.choices(HAN, k=20)) + PAIR * (number % 1_000 == 0))
        yield " ".join(parts)


@asynccontextmanager
async def sql(settings: Settings) -> AsyncGenerator[Callable[..., Awaitable[object]]]:
    """Opens a connection of its own that asks the index with SQL alone."""
    if "postgres" in settings.url:
        asyncpg: Any = import_module("asyncpg")  # it brings no types
        connection = await asyncpg.connect(settings.url)

        async def ask(wanted: Wanted) -> object:
            return await connection.fetch(POSTGRESQL_RAW, query_of(wanted))

        yield ask
        await connection.close()
        return
    path = dataset.path_of(settings)
    opened = sqlite3.connect(f"{path}-search.db", check_same_thread=False)
    opened.execute("ATTACH ? AS log", (str(path),))

    def fetch(wanted: Wanted) -> object:
        return opened.execute(SQLITE_RAW, (match_of(wanted),)).fetchall()

    async def ask_sqlite(wanted: Wanted, *, alone: bool = False) -> object:
        return fetch(wanted) if alone else await asyncio.to_thread(fetch, wanted)

    yield ask_sqlite
    opened.close()


async def sizes(settings: Settings) -> Sample:
    """Bytes of the texts, of the index, and of its parts."""
    if "postgres" in settings.url:
        asyncpg: Any = import_module("asyncpg")  # it brings no types
        connection = await asyncpg.connect(settings.url)
        row = await connection.fetchrow(
            "SELECT (SELECT sum(octet_length(text)) FROM messages) AS text,"
            " pg_total_relation_size('search_index') AS index,"
            " pg_table_size('search_index') AS rows, pg_relation_size('search_index_words') AS words,"
            " pg_relation_size('search_index_pkey') AS docids"
        )
        await connection.close()
        return {name: float(value) for name, value in row.items()}
    path = dataset.path_of(settings)
    connection = sqlite3.connect(f"{path}-search.db")
    connection.execute("ATTACH ? AS log", (str(path),))
    parts = {
        "text": "SELECT sum(length(CAST(text AS BLOB))) FROM messages",
        "index": "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
        "words": "SELECT sum(length(block)) FROM words_data",
    }
    found = {name: float(connection.execute(query).fetchone()[0]) for name, query in parts.items()}
    connection.close()
    return found


async def latency(times: int, ask: Ask) -> Sample:
    """Asks one time after the other; gives milliseconds."""
    taken: list[float] = []
    for _ in range(times):
        began = time.perf_counter()
        await ask()
        taken.append((time.perf_counter() - began) * 1000)
    return {"p50_ms": percentile(taken, 50), "p95_ms": percentile(taken, 95)}


async def rebuilt(bench: Bench, engine: str, core: Core, made: Dataset) -> None:
    """Makes the index, and measures how fast, and how large it is."""
    await core.indexer.renew()
    began = time.perf_counter()
    while await core.indexer.done() < 1:  # noqa: ASYNC110  nothing tells it
        await asyncio.sleep(0.05)
    rate = made.messages / (time.perf_counter() - began)
    figures = {"index": {name: Figure((it,)) for name, it in (await sizes(made.settings)).items()}}
    figures["index"]["rate"] = Figure((rate,))
    figures["text"] = {"index": figures["index"]["text"]}
    goals = [Goal(at_most=INDEX_AT_MOST[engine], against="text")]
    bench.add(figures, "index", "index", f"{engine}: the index", "bytes", target="T17", goals=goals)
    for part in figures["index"].keys() - {"index", "text", "rate"}:
        bench.add(figures, "index", part, f"{engine}: of it, {part}", "bytes")
    what, goals = f"{engine}: an index is made", [Goal(at_least=8_000)]
    bench.add(figures, "index", "rate", what, "messages/s", target="T17", goals=goals)


async def searched(bench: Bench, engine: str, made: Dataset) -> None:
    """Searches, for each who and what, in turns with SQL."""
    times = bench.sized(100, 30, 2)
    async with AsyncExitStack() as stack:
        core = await stack.enter_async_context(started(made.settings))
        await rebuilt(bench, engine, core, made)
        asked_sql = await stack.enter_async_context(sql(made.settings))
        owner, (some, many) = made.owner.actor, [one.actor for one in made.circles]
        find = core.search.find
        asked: dict[str, tuple[str, Ask]] = {}
        for name, (query, _) in QUERIES.items():
            asked[name] = name, partial(find, owner, query)
        for name in ("a word of 30 %", "of 0.1 %"):
            query = QUERIES[name][0]
            asked[f"{name}, in one room"] = name, partial(find, owner, query, room=made.big)
            asked[f"{name}, of 50 rooms"] = name, partial(find, some, query)
            asked[f"{name}, of 5,000 rooms"] = name, partial(find, many, query)
        sides: dict[str, Side] = {
            name: partial(latency, times, ask) for name, (_, ask) in asked.items()
        }
        for name, (_, words) in QUERIES.items():
            ask = partial(asked_sql, Wanted(words=words))
            sides[name + RAW] = partial(latency, times, ask)
            if engine == "sqlite":
                sides[name + ALONE] = partial(latency, times, partial(ask, alone=True))
        for side in sides.values():
            await side()
        figures = await bench.compared(f"{engine}, searches", sides)
    absolute = Goal(at_most=20 if made.messages <= 1_000_000 else 50)
    for name, (like, _) in asked.items():
        what = f"{engine}: {name}, {made.messages:,} messages"
        goals = [absolute, Goal(at_most=5, against=like + RAW)]
        bench.add(figures, name, "p95_ms", what, "ms p95", target="T17", goals=goals)
        bench.add(figures, name, "p50_ms", what, "ms p50", beside=[like + RAW, like + ALONE])


async def nothing(self: Indexer) -> bool:  # noqa: ARG001  it stands in for one of its methods
    """Works like an indexer that has nothing to do."""
    return False


async def written(places: Iterator[Place], seconds: float, *, indexed: bool) -> Sample:
    """Messages a second of many writers, with the indexer at work or not."""
    async with AsyncExitStack() as stack:
        if not indexed:
            stack.callback(setattr, Indexer, "work", Indexer.work)
            Indexer.work = nothing
        appends = await facade(settings_of(*next(places)), WRITERS, stack)
        return await hammer(WRITERS, seconds, appends["room.say"])


async def lagging(places: Iterator[Place], seconds: float) -> Sample:
    """How far the indexer is behind, looked at each 10 ms, while so many messages a second are written."""
    path, url = next(places)
    taken: list[float] = []
    async with AsyncExitStack() as stack:
        chat = await stack.enter_async_context(palaver.open(settings=settings_of(path, url)))
        ada, room = await chat.person("ada"), await chat.room("a room")
        began = time.perf_counter()

        async def write(number: int) -> None:
            while (at := number / RATE) < seconds:
                await asyncio.sleep(max(0, began + at - time.perf_counter()))
                await room.say(ada, TEXT)
                number += WRITERS

        async with asyncio.TaskGroup() as tasks:
            writers = [tasks.create_task(write(number)) for number in range(WRITERS)]
            while not all(one.done() for one in writers):
                taken.append(chat._core.indexer.lag_s)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
                await asyncio.sleep(0.01)
        rate = RATE * seconds / (time.perf_counter() - began)
    return {"p50_s": percentile(taken, 50), "p99_s": percentile(taken, 99), "rate": rate}


async def beside(bench: Bench, engine: str, places: Iterator[Place]) -> None:
    """What the indexer costs those who write, and how far it is behind."""
    seconds = bench.sized(5.0, 3.0, 0.3)
    sides: dict[str, Side] = {
        name: partial(written, places, seconds, indexed=name == INDEXER)
        for name in (INDEXER, NO_INDEXER)
    }
    figures = await bench.compared(f"{engine}, {WRITERS} writers", sides)
    what, goals = f"{engine}: room.say, {WRITERS} writers", [Goal(at_least=0.9, against=NO_INDEXER)]
    bench.add(figures, INDEXER, "rate", what, "messages/s", target="T17", goals=goals)
    bench.add(figures, INDEXER, "p99_ms", what, "ms p99", beside=[NO_INDEXER])
    figures = await bench.compared(f"{engine}, lag", {"lag": partial(lagging, places, seconds)})
    what = f"{engine}: the indexer is behind at {RATE:,} messages/s"
    bench.add(figures, "lag", "p99_s", what, "s p99", target="T17", goals=[Goal(at_most=1)])
    bench.add(figures, "lag", "rate", f"{engine}: of them written", "messages/s")


async def measure(bench: Bench) -> None:
    """T17."""
    messages: int = bench.options.messages or bench.sized(1_000_000, 100_000, 2_000)
    bench.report.parameters["messages"] = messages
    with folder() as path, ExitStack() as stack:
        for engine in ("sqlite", "postgresql"):
            if bench.options.engine not in {"both", engine}:
                continue
            urls: Iterator[str | None] = repeat(None)
            if engine == "postgresql":
                server = stack.enter_context(running_postgres())
                urls = (server.url(server.create_database()) for _ in count())
            places = ((path / f"{engine}-{number}", next(urls)) for number in count())
            await beside(bench, engine, places)
            made = await dataset.make(
                settings_of(*next(places)), messages, texts=said(messages), circles=CIRCLES
            )
            await searched(bench, engine, made)


if __name__ == "__main__":
    OPTIONS = parser("search", "How fast a long history is searched.")
    OPTIONS.add_argument("--engine", choices=["both", "sqlite", "postgresql"], default="both")
    OPTIONS.add_argument("--messages", type=int, help="default 1,000,000, with --quick 100,000")
    main(measure, OPTIONS.parse_args())
