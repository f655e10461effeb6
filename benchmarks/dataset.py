"""A database with a long history, made in seconds: rows go into Palaver's own tables, past its writer.

Of so many messages a tenth lies in one room; the others lie in rooms of nine, so that there are a tenth as many rooms.
One guest owns them all; another one is a member of twenty, and others of as many as are asked for. The first thousand
small rooms have no agent: what is said there is answered by nobody. Each room's log is as Palaver writes it: seq 1 made
the room, no seq is missing, and its hash chain is whole.
"""

import json
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import repeat
from pathlib import Path
from typing import Any
from uuid import UUID

from benchmarks.report import tell
from sqlalchemy import Table

from palaver.clock import SystemClock
from palaver.core.runtime import started
from palaver.model import (
    Actor,
    Event,
    EventType,
    MemberRole,
    Message,
    MessageId,
    Role,
    RoomId,
    Speaks,
    Status,
    TitleSource,
    Visibility,
)
from palaver.settings import Settings
from palaver.store.hash_chain import digest_of_data, digest_of_message, linked
from palaver.store.schema import events, members, messages, rooms

TEXT = "The parcel left on Tuesday, and by Thursday it lay in front of the door of a neighbour. ".ljust(
    200, "."
)
SMALL_ROOM = 9
QUIET_ROOMS = 1_000
FEW_ROOMS = 20
FIRST_MS = 1_700_000_000_000
CHUNK = 20_000
COLUMNS = {
    rooms: (
        *("key", "id", "title", "title_folded", "title_source"),
        *("visibility", "seq", "chain", "created_ms", "active_ms"),
    ),
    members: ("room_key", "actor_key", "role", "speaks", "read_seq", "joined_ms"),
    messages: (
        *("room_key", "seq", "id", "author_key", "role", "status", "kind", "text"),
        *("created_ms", "cid", "branch", "salt"),
    ),
    events: (
        *("room_key", "seq", "type", "actor_key", "at_ms", "message_seq", "data", "chain"),
        "salt",
    ),
}
"""What is filled, in the order in which one may refer to another."""

Record = tuple[Any, ...]
Chunk = dict[Table, list[Record]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """Person with a token for the server."""

    token: str
    actor: Actor
    key: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Filled database. `big` is the long room, `big_seq` its last seq; `quiet` are small rooms without an agent.

    `circles`: the guests who are members of so many rooms as were asked for.
    """

    settings: Settings
    messages: int
    big: RoomId
    big_key: int
    big_seq: int
    quiet: tuple[RoomId, ...]
    owner: Guest
    few: Guest
    circles: tuple[Guest, ...]
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

    @property
    def title(self) -> str:
        return f"Parcel number {self.key}"


@dataclass(frozen=True, slots=True)
class _Crowd:
    """Who is in the rooms, by keys. `steps`: who is in every so-manyth one."""

    owner: Guest
    few: int
    agent: int
    steps: Mapping[int, int]


async def make(
    settings: Settings,
    count: int,
    *,
    texts: Iterator[str] | None = None,
    circles: Sequence[int] = (),
) -> Dataset:
    """Fills the database of these settings, which must be new.

    `texts`: of one message after the other; `circles`: for each number a guest in so many small rooms.
    """
    began = time.perf_counter()
    async with started(settings) as core:
        guests = [
            await core.identity.new_guest(f"Guest {number}") for number in range(2 + len(circles))
        ]
        assistant = core.assistant
    rows: Any = _postgres_rows if "postgres" in settings.url else _sqlite_rows
    keys: dict[bytes, int] = {bytes(identity): key for key, identity in await rows(settings.url)}
    owner, few, *others = (
        Guest(token=token, actor=actor, key=keys[bytes.fromhex(actor.id[2:])])
        for token, actor in guests
    )
    plans = _plans(count)
    steps = {
        other.key: max(1, (len(plans) - 1) // reach)
        for other, reach in zip(others, circles, strict=True)
    }
    crowd = _Crowd(owner, few.key, keys[bytes.fromhex(assistant[2:])], steps)
    chunks = _chunks(plans, texts or repeat(TEXT), crowd)
    if "postgres" in settings.url:
        await _fill_postgres(settings.url, chunks)
    else:
        _fill_sqlite(path_of(settings), chunks)
    tell(
        f"  {count:,} messages in {len(plans):,} rooms made in {time.perf_counter() - began:.0f} s"
    )
    big = plans[0]
    return Dataset(
        settings=settings,
        messages=count,
        big=big.public,
        big_key=big.key,
        big_seq=big.messages + 1,
        quiet=tuple(plan.public for plan in plans[1 : 1 + QUIET_ROOMS]),
        owner=owner,
        few=few,
        circles=tuple(others),
        rooms=len(plans),
    )


def path_of(settings: Settings) -> Path:
    """Path of the SQLite file."""
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


def _chunks(plans: list[_RoomPlan], texts: Iterator[str], crowd: _Crowd) -> Iterator[Chunk]:
    """Rows of some rooms at a time, by table, in the order in which they may be inserted."""
    chunk: Chunk = {table: [] for table in COLUMNS}
    for number, plan in enumerate(plans):
        chain = _say(plan, crowd.owner, texts, chunk[messages], chunk[events])
        chunk[rooms].append(_room_row(plan, chain))
        chunk[members] += _member_rows(plan, number, crowd)
        if len(chunk[messages]) >= CHUNK or plan is plans[-1]:
            yield chunk
            chunk = {table: [] for table in COLUMNS}


def _room_row(plan: _RoomPlan, chain: bytes) -> Record:
    seq, active_ms = plan.messages + 1, plan.first_ms + plan.messages
    return (
        *(plan.key, plan.id, plan.title, plan.title.casefold(), TitleSource.USER.value),
        *(Visibility.PRIVATE.value, seq, chain, plan.first_ms, active_ms),
    )


def _member_rows(plan: _RoomPlan, number: int, crowd: _Crowd) -> Iterator[Record]:
    member = MemberRole.MEMBER.value
    yield plan.key, crowd.owner.key, MemberRole.OWNER.value, None, plan.messages + 1, plan.first_ms
    if number > QUIET_ROOMS:
        yield plan.key, crowd.agent, member, Speaks.AUTO.value, 0, plan.first_ms
    if 0 < number <= FEW_ROOMS:
        yield plan.key, crowd.few, member, None, 1, plan.first_ms
    for key, step in crowd.steps.items():
        if number and number % step == 0:
            yield plan.key, key, member, None, 1, plan.first_ms


def _say(
    plan: _RoomPlan,
    owner: Guest,
    texts: Iterator[str],
    said: list[Record],
    happened: list[Record],
) -> bytes:
    """Appends the messages and events of a room; gives its chain at the end."""
    new_id, salt = SystemClock().new_id, SystemClock().salt()
    author, role, status = owner.actor.id, Role.USER.value, Status.DONE.value
    made, created = EventType.ROOM_CREATED.value, EventType.MESSAGE_CREATED.value
    data = {"title": plan.title}
    event = Event(
        room=plan.public, seq=1, type=EventType.ROOM_CREATED, actor=author, at_ms=plan.first_ms
    )
    chain = linked(plan.id, event, None, digest_of_data(data, salt))
    shown = json.dumps(data, separators=(",", ":"))
    happened.append((plan.key, 1, made, owner.key, plan.first_ms, None, shown, chain, salt))
    for seq in range(2, plan.messages + 2):
        identity, cid, at_ms = new_id(), new_id(), plan.first_ms + seq
        message = Message(
            id=MessageId(f"m_{identity}"),
            room=plan.public,
            seq=seq,
            author=author,
            name=owner.actor.name,
            role=Role.USER,
            status=Status.DONE,
            text=next(texts),
            created_ms=at_ms,
            cid=str(UUID(cid)),
        )
        event = Event(
            room=plan.public,
            seq=seq,
            type=EventType.MESSAGE_CREATED,
            actor=author,
            at_ms=at_ms,
            message=message,
        )
        chain = linked(chain, event, seq, digest_of_message(message, None, salt))
        said.append(
            (
                *(
                    plan.key,
                    seq,
                    bytes.fromhex(identity),
                    owner.key,
                    role,
                    status,
                    "text",
                    message.text,
                ),
                *(at_ms, bytes.fromhex(cid), 0, salt),
            )
        )
        happened.append((plan.key, seq, created, owner.key, at_ms, seq, None, chain, None))
    return chain


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


def _fill_sqlite(path: Path, chunks: Iterator[Chunk]) -> None:
    """Inserts without a sync: after a power cut the database is made again. The journal mode stays."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA cache_size = -262144")
    connection.execute("BEGIN")
    for chunk in chunks:
        for table, rows in chunk.items():
            names = COLUMNS[table]
            places = ", ".join("?" * len(names))
            statement = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({places})"
            connection.executemany(statement, rows)
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    os.sync()


async def _fill_postgres(url: str, chunks: Iterator[Chunk]) -> None:
    connection = await _connected(url)
    for chunk in chunks:
        for table, rows in chunk.items():
            names = COLUMNS[table]
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
