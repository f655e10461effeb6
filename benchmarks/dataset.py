"""A database with a long history, made in seconds: rows go into Palaver's own tables, past its writer.

Of so many messages a tenth lies in one room; the others lie in rooms of nine, so that there are a tenth as many rooms.
One guest owns them all; another one is a member of twenty. The first thousand small rooms have no agent: what is said
there is answered by nobody. Each room's log is as Palaver writes it: seq 1 made the room, and no seq is missing.
"""

import os
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.report import tell
from sqlalchemy import Table

from palaver.clock import SystemClock
from palaver.core.start import started
from palaver.model import (
    Actor,
    EventType,
    MemberRole,
    Role,
    RoomId,
    Status,
    TitleSource,
    Visibility,
)
from palaver.settings import Settings
from palaver.store.schema import events, members, messages, rooms

TEXT = "The parcel left on Tuesday, and by Thursday it lay in front of the door of a neighbour. ".ljust(
    200, "."
)
SMALL_ROOM = 9
QUIET_ROOMS = 1_000
FEW_ROOMS = 20
FIRST_MS = 1_700_000_000_000

Record = tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """Somebody who can ask the server."""

    token: str
    actor: Actor
    key: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """What was made. `big` is the long room, `big_seq` its last seq; `quiet` are small rooms without an agent."""

    messages: int
    big: RoomId
    big_key: int
    big_seq: int
    quiet: tuple[RoomId, ...]
    owner: Guest
    few: Guest
    rooms: int


@dataclass(frozen=True, slots=True)
class _RoomPlan:
    key: int
    id: bytes
    messages: int
    first_ms: int

    @property
    def public(self) -> RoomId:
        return RoomId(f"r_{self.id.hex()}")


async def make(settings: Settings, count: int) -> Dataset:
    """Fills the database of these settings, which must be new."""
    began = time.perf_counter()
    async with started(settings) as core:
        guests = [await core.access.new_guest(f"Guest {number}") for number in range(2)]
        assistant = core.assistant
    rows: Any = _postgres_rows if "postgres" in settings.url else _sqlite_rows
    keys: dict[bytes, int] = {bytes(identity): key for key, identity in await rows(settings.url)}
    owner, few = (
        Guest(token=token, actor=actor, key=keys[bytes.fromhex(actor.id[2:])])
        for token, actor in guests
    )
    plans = _plans(count)
    agent_key = keys[bytes.fromhex(assistant[2:])]
    tables = {
        rooms: _room_rows(plans),
        members: _member_rows(plans, owner.key, few.key, agent_key),
        messages: _message_rows(plans, owner.key),
        events: _event_rows(plans, owner.key),
    }
    if "postgres" in settings.url:
        await _fill_postgres(settings.url, tables)
    else:
        _fill_sqlite(path_of(settings), tables)
    tell(
        f"  {count:,} messages in {len(plans):,} rooms made in {time.perf_counter() - began:.0f} s"
    )
    big = plans[0]
    return Dataset(
        messages=count,
        big=big.public,
        big_key=big.key,
        big_seq=big.messages + 1,
        quiet=tuple(plan.public for plan in plans[1 : 1 + QUIET_ROOMS]),
        owner=owner,
        few=few,
        rooms=len(plans),
    )


def path_of(settings: Settings) -> Path:
    """The SQLite file."""
    return Path(settings.url.removeprefix("sqlite:///"))


def _plans(count: int) -> list[_RoomPlan]:
    new_id = SystemClock().new_id
    small = max(
        QUIET_ROOMS if count >= 100_000 else FEW_ROOMS + 1, (count - count // 10) // SMALL_ROOM
    )
    sizes = [count // 10] + [SMALL_ROOM] * small
    return [
        _RoomPlan(
            key=key, id=bytes.fromhex(new_id()), messages=size, first_ms=FIRST_MS + key * 1000
        )
        for key, size in enumerate(sizes, start=1_000)
    ]


def _room_rows(plans: list[_RoomPlan]) -> Iterator[Record]:
    for plan in plans:
        title = f"Parcel number {plan.key}"
        seq, active = plan.messages + 1, plan.first_ms + plan.messages
        source, visibility = TitleSource.USER.value, Visibility.PRIVATE.value
        yield (
            *(plan.key, plan.id, title, title.casefold(), source, visibility),
            *(seq, plan.first_ms, active, None, None),
        )


def _member_rows(plans: list[_RoomPlan], owner: int, few: int, agent: int) -> Iterator[Record]:
    member = MemberRole.MEMBER.value
    for number, plan in enumerate(plans):
        seq, at_ms = plan.messages + 1, plan.first_ms
        yield plan.key, owner, MemberRole.OWNER.value, None, seq, at_ms
        if number > QUIET_ROOMS:
            yield plan.key, agent, member, True, 0, at_ms
        if 0 < number <= FEW_ROOMS:
            yield plan.key, few, member, None, 1, at_ms


def _message_rows(plans: list[_RoomPlan], author: int) -> Iterator[Record]:
    new_id = SystemClock().new_id
    role, status = Role.USER.value, Status.DONE.value
    for plan in plans:
        key, at_ms = plan.key, plan.first_ms
        for seq in range(2, plan.messages + 2):
            identity, cid = bytes.fromhex(new_id()), bytes.fromhex(new_id())
            yield (
                *(key, seq, identity, author, role, status, "text", TEXT, at_ms + seq, cid),
                *(None, 0, None, None, None),
            )


def _event_rows(plans: list[_RoomPlan], actor: int) -> Iterator[Record]:
    made, said = EventType.ROOM_CREATED.value, EventType.MESSAGE_CREATED.value
    for plan in plans:
        key, at_ms = plan.key, plan.first_ms
        yield key, 1, made, actor, at_ms, None, f'{{"title":"Parcel number {key}"}}'
        for seq in range(2, plan.messages + 2):
            yield key, seq, said, actor, at_ms + seq, seq, None


async def _sqlite_rows(url: str) -> list[Record]:
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    found = connection.execute("SELECT key, id FROM actors").fetchall()
    connection.close()
    return found


async def _postgres_rows(url: str) -> list[Record]:
    connection = await _connected(url)
    found = await connection.fetch("SELECT key, id FROM actors")
    await connection.close()
    return [tuple(one) for one in found]


def _fill_sqlite(path: Path, tables: dict[Table, Iterator[Record]]) -> None:
    """No sync: what a power cut would take is made again. The journal mode stays."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA cache_size = -262144")
    connection.execute("BEGIN")
    for table, rows in tables.items():
        names = [column.name for column in table.columns]
        places = ", ".join("?" * len(names))
        statement = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({places})"
        connection.executemany(statement, rows)
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.execute("ANALYZE")
    connection.close()
    os.sync()


async def _fill_postgres(url: str, tables: dict[Table, Iterator[Record]]) -> None:
    connection = await _connected(url)
    for table, rows in tables.items():
        names = [column.name for column in table.columns]
        await connection.copy_records_to_table(table.name, columns=names, records=rows)
    await connection.execute(
        "SELECT setval(pg_get_serial_sequence('rooms', 'key'), (SELECT max(key) FROM rooms))"
    )
    await connection.execute("VACUUM ANALYZE")
    await connection.execute("CHECKPOINT")
    await connection.close()


async def _connected(url: str) -> Any:
    asyncpg: Any = import_module("asyncpg")  # it brings no types
    return await asyncpg.connect(url)
