"""How much disk a message takes: T18, bytes for each message of 200 characters, with its event and all indexes.

Messages go in through the store, with a client id each, into many rooms. Beside it the raw tables of `benchmarks.raw`
and a plain async ORM. PostgreSQL's figure is that of the two tables with their indexes, after a VACUUM.
"""

import asyncio
from pathlib import Path
from uuid import UUID

from benchmarks import note_c, raw
from benchmarks.report import Figure, Goal
from benchmarks.rounds import Bench, Figures, folder, main, parser
from benchmarks.store import add_message, add_person, add_room, new_id
from tests.support.postgres import PostgresServer, running_postgres

from palaver.clock import SystemClock
from palaver.model import Visibility
from palaver.settings import Settings, settings_from
from palaver.store.store import Store

SQLITE, POSTGRES, THE_TEXT = "sqlite: file", "postgresql: tables and indexes", "the text"
CHARS = 200
TEXT = ("Words take less room than what is kept beside them; so it is with parcels. " * 3)[:CHARS]
A_ROOM = 100
AT_ONCE = 500


async def fill(settings: Settings, count: int) -> None:
    """Stores `count` messages, a hundred in each room."""
    opened = Store.opened(settings, SystemClock(), committed=lambda _: None)
    async with opened as store:
        author = await add_person(store)
        for start in range(0, count, AT_ONCE):
            rooms = [
                await add_room(store, author, Visibility.PRIVATE) for _ in range(AT_ONCE // A_ROOM)
            ]
            adds = [
                add_message(store, rooms[number % len(rooms)], author, TEXT, str(UUID(new_id())))
                for number in range(min(AT_ONCE, count - start))
            ]
            await asyncio.gather(*adds)


async def sqlite_bytes(data: Path, count: int) -> float:
    """Growth of the file for each message."""
    settings = settings_from(data_dir=data, detect=False)
    await fill(settings, 0)
    file = data / "palaver.db"
    empty = bytes_of(file)
    await fill(settings, count)
    return (bytes_of(file) - empty) / count


async def postgres_bytes(server: PostgresServer, data: Path, count: int) -> float:
    """Size of the tables for each message."""
    name = server.create_database()
    await fill(settings_from(data_dir=data, database_url=server.url(name), detect=False), count)
    server.execute("VACUUM FULL messages", name)
    server.execute("VACUUM FULL events", name)
    sizes = "pg_total_relation_size('messages') + pg_total_relation_size('events')"
    return int(server.execute(f"SELECT {sizes}", name)) / count


def bytes_of(path: Path) -> int:
    """Size of a file."""
    return path.stat().st_size


def raw_bytes(path: Path, count: int) -> float:
    """Size of the plain tables' file for each message."""
    plain = raw.RawSqlite(path, max(1, count // A_ROOM))
    for number in range(count):
        plain.append(number // A_ROOM % max(1, count // A_ROOM), TEXT)
    plain.close()
    return bytes_of(path) / count


async def design_bytes(path: Path, count: int) -> float:
    """Size of the async ORM's file for each message."""
    design = await note_c.NoteC.opened(path)
    await design.fill(count, TEXT)
    await design.close()
    return bytes_of(path) / count


async def measure(bench: Bench) -> None:
    """T18. Sizes do not vary: one round."""
    count = bench.sized(20_000, 5_000, 500)
    bench.report.parameters |= {"messages": count, "text_bytes": len(TEXT.encode())}
    with folder() as path, running_postgres() as server:
        sizes = {
            SQLITE: await sqlite_bytes(path / "sqlite", count),
            POSTGRES: await postgres_bytes(server, path / "pg", count),
            THE_TEXT: float(len(TEXT.encode())),
            "raw tables": raw_bytes(path / "raw.db", count),
        }
        if note_c.available():
            sizes[note_c.NAME] = await design_bytes(path / "note_c.db", count)
        else:
            bench.report.lacks(note_c.MISSING)
    figures: Figures = {name: {"bytes": Figure((size,))} for name, size in sizes.items()}
    for side, at_most in ((SQLITE, 2.5), (POSTGRES, 2.8)):
        what = f"{side}, a message of {CHARS} characters"
        goal = Goal(at_most=at_most, against=THE_TEXT)
        beside = sizes.keys() - {SQLITE, POSTGRES}
        bench.add(
            figures, side, "bytes", what, "bytes", target="T18", beside=sorted(beside), goals=[goal]
        )


if __name__ == "__main__":
    main(measure, parser("size", "How much disk a message takes.").parse_args())
