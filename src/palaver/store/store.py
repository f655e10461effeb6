"""The store: the one truth. Commands in, values out, on SQLite or PostgreSQL.

What it promises, on both engines (tests/store asks each):

1. A result of `write` means committed and synced. An `Unavailable` means unknown: the same command may come again.
2. A room's events have the seqs 1, 2, 3 … without a hole, in the order in which their commands came.
3. A client's id stores one message, for ever.
4. `committed` is told every event of this process' writes, per room in the order of seq, before the writers know.
5. A refused command writes nothing, and neither it nor a failing one hurts the others that share its commit.
6. Reads see whole transactions only, and never wait for the writers on SQLite.
7. Any well-formed text comes back as it was, but for what the setting `redact` takes out of it.

It does not decide who may do what beyond what a command says of itself, and it publishes to nobody but `committed`.
"""

import asyncio
import zlib
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Concatenate, ParamSpec, TypeVar

import structlog
from msgspec.structs import replace
from sqlalchemy import Connection

from palaver.clock import Clock
from palaver.errors import PalaverError
from palaver.redact import Redaction
from palaver.settings import Settings
from palaver.store import files, migrate as migrations
from palaver.store.engine import errors
from palaver.store.engine.base import Database, file_of, parsed
from palaver.store.engine.connect import connect
from palaver.store.engine.executors import Lanes, ThreadLanes
from palaver.store.engine.lock import taken
from palaver.store.write.command import Command, RoomCommand
from palaver.store.write.transaction import Transaction
from palaver.store.write.writer import Committed, Tally, Writer

T = TypeVar("T")
P = ParamSpec("P")


class RenewEpoch(Command[str], frozen=True, kw_only=True):
    """Gives the database a new epoch, unless it is not `known` any more; the one that it has then."""

    known: str

    def apply(self, tx: Transaction) -> str:
        """Writes nothing where another process has renewed it."""
        return migrations.renew_epoch(tx.conn, f"e_{tx.clock.new_id()}", known=self.known)


class Store:
    """An open database. Made by `opened`.

    `epoch` names this database, `owner` this process as the holder of turns; `shared` says whether other processes may
    write to the same database. `redaction`, where something is to be, is done to all that is written.
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        clock: Clock,
        *,
        epoch: str,
        committed: Committed,
    ) -> None:
        self.epoch = epoch
        self.owner = clock.new_id()
        self.shared = database.shared
        self.redaction = Redaction(settings.redact) if settings.redact else None
        self._database = database
        self._tally = Tally()
        several = database.writers > 1
        turns = [asyncio.Lock() for _ in range(database.writers)] if several else []
        self._writers = [
            Writer(
                database=database,
                number=number,
                settings=settings,
                clock=clock,
                owner=self.owner,
                committed=committed,
                tally=self._tally,
                turns=turns,
            )
            for number in range(database.writers)
        ]

    @classmethod
    @asynccontextmanager
    async def opened(
        cls,
        settings: Settings,
        clock: Clock,
        *,
        committed: Committed,
        migrate: bool = True,
        lanes: Lanes | None = None,
        database: Database | None = None,
    ) -> AsyncGenerator["Store", None]:
        """The database of `settings.url`, or the one given; migrated where that is safe, drained and closed at the end.

        Refused: `database_locked`, `database_newer`, `database_older`, `database_url_invalid`, `place_unusable`.
        """
        url = parsed(settings.url)
        path = file_of(url) if database is None else None
        async with AsyncExitStack() as ending:
            if path is not None:
                ending.callback(taken(path).release)
            files.made_private(path, settings.data_dir)
            database = database or connect(url, settings, clock, lanes or ThreadLanes())
            ending.push_async_callback(database.close)
            epoch = await _guarded(migrations.prepare(database, path, clock, migrate=migrate))
            store = cls(database, settings, clock, epoch=epoch, committed=committed)
            async with store._running():
                yield store

    async def write(self, command: Command[T]) -> T:
        """Has the command applied and committed, together with others.

        Raises `Refused` as the command says, and `Unavailable` when the database is away or full.
        """
        command = self.redacted(command)
        if len(self._writers) == 1:
            return await self._writers[0].put(command)
        writer = await self._writer_of(command)
        return await writer.put(command)

    def redacted(self, value: T) -> T:
        """A command, or what one will be made of, as it may be stored."""
        return value if self.redaction is None else self.redaction.said(value)

    async def read(
        self, query: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Runs one of the query functions, as `await store.read(messages.page, room, limit=50)`."""
        try:
            return await self._database.reading(lambda conn: query(conn, *args, **kwargs))
        except PalaverError:
            raise
        except Exception as error:
            fault = errors.temporary(error)
            if fault is None:
                structlog.get_logger("palaver.store").exception("a read failed")
                fault = errors.internal()
            raise fault from error

    async def scrub(self) -> bool:
        """Takes what is stored no more out of the database's files; False: it is to be tried again later.

        Unavailable: as `write`.
        """
        return await _guarded(self._database.scrub())

    async def renew_epoch(self) -> None:
        """Another epoch, or the one that another process gave the database meanwhile."""
        self.epoch = await self.write(RenewEpoch(known=self.epoch))

    def take_epoch(self, epoch: str) -> None:
        """Goes on under the epoch that the database was found to have."""
        self.epoch = epoch

    @property
    def counters(self) -> Tally:
        """What it has done so far."""
        return replace(self._tally)

    @property
    def queued(self) -> int:
        """Commands that wait for their batch."""
        return sum(writer.queued for writer in self._writers)

    async def _writer_of(self, command: Command[Any]) -> Writer:
        """A room's commands always go to the same writer, so that its events are told in order."""
        if isinstance(command, RoomCommand):
            room: str = command.room
        else:
            room = next(iter(await self.read(command.rooms)), "")
        return self._writers[zlib.crc32(room.encode()) % len(self._writers)]

    @asynccontextmanager
    async def _running(self) -> AsyncGenerator[None, None]:
        """Runs the writers; at the end they write what still waits. An error of the body goes on as it is."""
        failure: BaseException | None = None
        async with asyncio.TaskGroup() as tasks:
            for writer in self._writers:
                tasks.create_task(writer.run())
            try:
                yield
            except BaseException as error:  # noqa: BLE001  raised again below, outside of the group
                failure = error
            finally:
                for writer in self._writers:
                    writer.stop()
        if failure is not None:
            raise failure


async def _guarded(work: Coroutine[Any, Any, T]) -> T:
    """Opening or scrubbing the database, with its errors as ours."""
    try:
        return await work
    except PalaverError:
        raise
    except Exception as error:
        raise errors.damaged(error) or errors.temporary(error) or error from error
