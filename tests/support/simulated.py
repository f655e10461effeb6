"""What the processes of a simulated life stand on: machines with disks, one database, and a bus, all of which fail.

`Disk` takes the place of `os` in the journal: real files, whose writes and syncs fail as the life wants, and which
forget at a power cut what was not synced (each write whole, in part or not at all; what a sync that failed had taken is
not on the disk, and no later sync brings it there). `Server` is one SQLite database in memory that all processes share
as they would share a PostgreSQL server, leases included: it can be away, hang, refuse a transaction, and commit one
whose process never hears of it. `Air` carries notices: it loses, doubles, delays and reorders them.
"""

import asyncio
import errno
import gc
import os
import random
import sqlite3
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection
from tests.support.simulation import Process, SimulatedClock, current

from palaver.errors import Code, Unavailable
from palaver.store.engine.executors import Lane
from palaver.store.engine.sqlite import writing_engine
from palaver.store.engine.statement import Statement
from palaver.store.write import transaction as opening, turns

Resource = TypeVar("Resource")
T = TypeVar("T")

QUICK = (0, 0, 0.001, 0.02)
DATABASE_SECONDS = 10.0


def away() -> Unavailable:
    return Unavailable(Code.DATABASE_UNAVAILABLE, "away")


class Disk:
    """The disks of all machines, as the journal's `os`. `failing`: the chance that a call fails."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.failing = 0.0
        self.fallible: str | None = None
        self._open: dict[int, tuple[Process | None, str]] = {}
        self._unsynced: dict[str, list[tuple[int, bytes, bool]]] = {}
        self._born: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, path: Path | str, flags: int, mode: int = 0o777) -> int:
        self._alive()
        descriptor = os.open(path, flags, mode)
        self._open[descriptor] = (current(), str(path))
        if flags & os.O_CREAT:
            self._born.add(str(path))
        return descriptor

    def dup(self, descriptor: int) -> int:
        self._alive()
        copy = os.dup(descriptor)
        self._open[copy] = (current(), self._open[descriptor][1])
        return copy

    def close(self, descriptor: int) -> None:
        if self._open.get(descriptor, (None, ""))[0] is current():
            del self._open[descriptor]
            os.close(descriptor)

    def pwrite(self, descriptor: int, data: bytes, at: int) -> int:
        self._alive()
        path = self._open[descriptor][1]
        fails = self.chance.random() < self.failing
        if fails:
            data = data[: self.chance.randrange(len(data) + 1)]
        self._unsynced.setdefault(path, []).append((at, os.pread(descriptor, len(data), at), False))
        written = os.pwrite(descriptor, data, at)
        if fails and self.chance.random() < 0.5:
            raise OSError(errno.EIO, "the disk fails")
        return written

    def fdatasync(self, descriptor: int) -> None:
        self._alive()
        path = self._open[descriptor][1]
        writes = self._unsynced.pop(path, [])
        if self.chance.random() < self.failing:
            if writes:
                self._unsynced[path] = [(at, before, True) for at, before, _ in writes]
            raise OSError(errno.EIO, "the disk fails")
        lost = [write for write in writes if write[2]]
        if lost:
            self._unsynced[path] = lost
        self._born = {born for born in self._born if str(Path(born).parent) != path}

    fsync = fdatasync

    def posix_fallocate(self, descriptor: int, _at: int, size: int) -> None:
        self._alive()
        if self.chance.random() < self.failing:
            raise OSError(errno.ENOSPC, "the disk is full")
        os.ftruncate(descriptor, size)

    def killed(self, process: Process) -> None:
        """The system closes what a dead process had open."""
        for descriptor in [one for one, (owner, _) in self._open.items() if owner is process]:
            del self._open[descriptor]
            os.close(descriptor)

    def power_cut(self, directory: Path) -> None:
        """What was not synced in a directory is there, or in part, or not. All its processes are dead."""
        for path in [one for one in self._unsynced if one.startswith(str(directory))]:
            writes = self._unsynced.pop(path)
            if not Path(path).exists():
                continue
            if path in self._born and self.chance.random() < 0.5:
                Path(path).unlink()
                continue
            descriptor = os.open(path, os.O_RDWR)
            for at, before, _ in reversed(writes):
                kept = self.chance.choice([0, len(before), self.chance.randrange(len(before) + 1)])
                os.pwrite(descriptor, before[kept:], at + kept)
            os.close(descriptor)
        self._born = {one for one in self._born if not one.startswith(str(directory))}

    def _alive(self) -> None:
        process = current()
        if process is not None and process.dead:
            raise OSError(errno.EIO, "the process is dead")


class Lanes:
    """Blocking work that takes a while, and none of it once the process is dead."""

    shared = True

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance

    def lane(
        self,
        name: str,  # noqa: ARG002  as `Lanes.lane`
        threads: int,  # noqa: ARG002
        opened: Callable[[], Resource],
        closed: Callable[[Resource], None],  # noqa: ARG002
    ) -> Lane[Resource]:
        return _Lane(self.chance, opened)


class _Lane(Lane[Resource]):
    def __init__(self, chance: random.Random, opened: Callable[[], Resource]) -> None:
        self.chance = chance
        self.resource = opened()

    async def run(self, work: Callable[[Resource], T]) -> T:
        await asyncio.sleep(self.chance.choice(QUICK))
        result = work(self.resource)
        await asyncio.sleep(self.chance.choice(QUICK))
        return result

    async def close(self) -> None:
        return


class Server:
    """The database that all share. One connection for all lives of a test; `begin` makes it empty."""

    def __init__(self) -> None:
        self.conn = writing_engine(None).connect()
        self.raw: sqlite3.Connection = self.conn.connection.dbapi_connection  # pyright: ignore[reportAttributeAccessIssue]
        self.template = sqlite3.connect(":memory:")
        self.clock: SimulatedClock | None = None
        self.raw.create_function("simulated_now", 0, self._now)
        self.away: asyncio.Future[None] | None = None
        self.unclear = 0.0

    def keep(self) -> None:
        """What is there now is how lives begin."""
        self.raw.backup(self.template)

    def begin(self, clock: SimulatedClock) -> None:
        self.template.backup(self.raw)
        self.clock = clock
        self.away = None
        self.unclear = 0.0

    def go_away(self) -> None:
        if self.away is None:
            self.away = asyncio.get_running_loop().create_future()

    def come_back(self) -> None:
        if self.away is not None:
            self.away.set_result(None)
            self.away = None

    def rows(self, query: str) -> list[Any]:
        """For the life's own checks."""
        return self.raw.execute(query).fetchall()

    def _now(self) -> int | None:
        return None if self.clock is None else self.clock.now_ms()


class Session:
    """One process's way to the server. See `engine.base.Database`."""

    shared = True

    def __init__(self, server: Server, process: Process, chance: random.Random) -> None:
        self.server = server
        self.process = process
        self.chance = chance
        self.writers = chance.choice([1, 1, 3])

    async def writing(self, writer: int, work: Callable[[Connection], T]) -> T:  # noqa: ARG002
        await self._reached()
        unclear = self.chance.random() < self.server.unclear
        with self.server.conn.begin() as transaction:
            result = work(self.server.conn)
            if unclear and self.chance.random() < 0.5:  # the commit fails
                transaction.rollback()
                raise away()
        await asyncio.sleep(self.chance.choice(QUICK))
        if unclear or self.process.dead:  # it happened, and nobody hears of it
            raise away()
        return result

    async def reading(self, work: Callable[[Connection], T]) -> T:
        await self._reached()
        with self.server.conn.begin() as transaction:
            result = work(self.server.conn)
            transaction.rollback()
        await asyncio.sleep(self.chance.choice(QUICK))
        return result

    async def scrub(self) -> bool:
        return True

    async def close(self) -> None:
        return

    async def _reached(self) -> None:
        await asyncio.sleep(self.chance.choice(QUICK))
        if self.server.away is not None:
            if self.chance.random() < 0.3 and not self.process.dead:  # a black hole
                await asyncio.wait([self.server.away], timeout=DATABASE_SECONDS)
            raise away()
        if self.process.dead:
            raise away()


class Air:
    """What all processes of a life share: a bus that loses, doubles and reorders what it carries."""

    def __init__(self, chance: random.Random, loss: float) -> None:
        self.chance = chance
        self.loss = loss
        self.ears: dict[Process, Callable[[str], None]] = {}

    def carry(self, notice: str) -> None:
        for process, heard in list(self.ears.items()):
            if self.chance.random() >= self.loss:
                delay = self.chance.choice([0, 0.001, 0.05])
                process.loop.call_later(delay, heard, notice, context=process.context)


class Bus:
    """One process's end of it."""

    def __init__(self, air: Air, process: Process) -> None:
        self.air = air
        self.process = process

    async def send(self, notices: Sequence[str]) -> None:
        for notice in notices:
            for _ in range(self.air.chance.choice([1, 1, 2])):
                self.air.carry(notice)

    async def run(self, heard: Callable[[str], None], lost: Callable[[], None]) -> None:
        self.air.ears[self.process] = heard
        try:
            while True:
                lost()
                await asyncio.sleep(30)
        finally:
            self.air.ears.pop(self.process, None)


@contextmanager
def leases() -> Generator[None, None, None]:
    """SQLite knows no leases, because one process owns a file; here it keeps them, on the life's own clock."""
    with pytest.MonkeyPatch.context() as patch:
        spec: Any = getattr(opening.DatabaseNow, "_compiler_dispatcher")  # noqa: B009  SQLAlchemy's own name
        patch.setitem(spec.specs, "sqlite", _simulated_now)
        patch.setitem(turns._CLAIMABLE, "sqlite", turns._CLAIMABLE["postgresql"])
        _forget_forms()
        yield
    _forget_forms()


def _simulated_now(*_: object, **__: object) -> str:
    return "simulated_now()"


def _forget_forms() -> None:
    """Statements are compiled once; those in which there is a clock must be compiled again, wherever they are."""
    for one in gc.get_objects():
        if isinstance(one, Statement):
            one._forms.clear()
