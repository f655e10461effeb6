"""How much disk a message takes: T18, bytes for each message of 200 characters, with its event and all indexes.

Messages go in through the store, with a client id each, into many rooms. Beside it the raw tables of `benchmarks.raw`
and a plain async ORM. PostgreSQL's figure is that of the two tables with their indexes, after a VACUUM.
"""

import argparse
import asyncio
from pathlib import Path
from typing import Any

from benchmarks import note_c, raw
from benchmarks.report import Figure, Goal, Report, Row
from benchmarks.rounds import folder, main, parser, sized
from tests.support.postgres import PostgresServer, running_postgres

from palaver.clock import SystemClock
from palaver.model import Actor, ActorId, ActorKind, MessageId, RoomId, TitleSource, Visibility
from palaver.settings import Settings, settings_from
from palaver.store.store import Store
from palaver.store.write.actors import AddActor
from palaver.store.write.messages import AddMessage
from palaver.store.write.rooms import CreateRoom

CHARS = 200
TEXT = ("Words take less room than what is kept beside them; so it is with parcels. " * 3)[:CHARS]
A_ROOM = 100
AT_ONCE = 500


async def fill(settings: Settings, count: int) -> None:
    """So many messages, a hundred in each room."""
    clock = SystemClock()
    async with Store.opened(settings, clock, committed=lambda _: None) as store:
        author = ActorId(f"u_{clock.new_id()}")
        actor = Actor(id=author, kind=ActorKind.PERSON, name="Ada")
        await store.write(AddActor(actor=actor, handle=author))
        for start in range(0, count, AT_ONCE):
            rooms = [RoomId(f"r_{clock.new_id()}") for _ in range(AT_ONCE // A_ROOM)]
            for room in rooms:
                create = CreateRoom(
                    id=room,
                    title="A room",
                    title_source=TitleSource.USER,
                    visibility=Visibility.PRIVATE,
                    owner=author,
                )
                await store.write(create)
            adds = [
                AddMessage(
                    id=MessageId(f"m_{clock.new_id()}"),
                    room=rooms[number % len(rooms)],
                    author=author,
                    text=TEXT,
                    cid=cid_of(clock),
                )
                for number in range(min(AT_ONCE, count - start))
            ]
            await asyncio.gather(*(store.write(add) for add in adds))


def cid_of(clock: SystemClock) -> str:
    """A UUID in its usual form, as clients make them."""
    digits = clock.new_id()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


async def sqlite_bytes(data: Path, count: int) -> float:
    """The file's growth for each message."""
    settings = settings_from(data_dir=data, detect=False)
    await fill(settings, 0)
    file = data / "palaver.db"
    empty = bytes_of(file)
    await fill(settings, count)
    return (bytes_of(file) - empty) / count


async def postgres_bytes(server: PostgresServer, data: Path, count: int) -> float:
    """The tables' size for each message."""
    name = server.create_database()
    await fill(settings_from(data_dir=data, database_url=server.url(name), detect=False), count)
    server.execute("VACUUM FULL messages", name)
    server.execute("VACUUM FULL events", name)
    sizes = "pg_total_relation_size('messages') + pg_total_relation_size('events')"
    return int(server.execute(f"SELECT {sizes}", name)) / count


def bytes_of(path: Path) -> int:
    """A file's size."""
    return path.stat().st_size


def raw_bytes(path: Path, count: int) -> float:
    """The plain tables' file for each message."""
    plain = raw.RawSqlite(path, max(1, count // A_ROOM))
    for number in range(count):
        plain.append(number // A_ROOM % max(1, count // A_ROOM), TEXT)
    plain.close()
    return bytes_of(path) / count


async def design_bytes(path: Path, count: int) -> float:
    """The async ORM's file for each message."""
    design = await note_c.NoteC.opened(path)
    await design.fill(count, TEXT)
    await design.close()
    return bytes_of(path) / count


async def measure(options: argparse.Namespace) -> Report:
    """T18. Sizes do not vary: one round."""
    count: int = sized(options, 20_000, 5_000, 500)
    report = Report("size", {"messages": count, "text_bytes": len(TEXT.encode())})
    figures: dict[str, float] = {}
    baselines: dict[str, Any] = {}
    with folder() as path, running_postgres() as server:
        figures["sqlite: file"] = await sqlite_bytes(path / "sqlite", count)
        figures["postgresql: tables and indexes"] = await postgres_bytes(server, path / "pg", count)
        baselines["the text"] = Figure((float(len(TEXT.encode())),))
        baselines["raw tables"] = Figure((raw_bytes(path / "raw.db", count),))
        if note_c.available():
            baselines[note_c.NAME] = Figure((await design_bytes(path / "note_c.db", count),))
        else:
            report.lacks(note_c.MISSING)
    for what, value in figures.items():
        report.add(
            Row(
                target="T18",
                what=f"{what}, a message of {CHARS} characters",
                unit="bytes",
                figure=Figure((value,)),
                baselines=baselines,
                goal=Goal(at_most=2.5, against="the text"),
            )
        )
    return report


if __name__ == "__main__":
    main(measure, parser("size", "How much disk a message takes.").parse_args())
