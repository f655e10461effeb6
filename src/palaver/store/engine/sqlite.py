"""SQLite: one writing connection, reading connections beside it, each on its own thread.

Rules. Only the writing connection writes and checkpoints (see `lock`). WAL with `synchronous=FULL`: a commit is on the
disk when it returns. Transactions are explicit: `BEGIN IMMEDIATE` for the writer, so that it waits for its turn at the
start and never in the middle; a read is one transaction, so that it sees one moment.

After an I/O error a connection is closed, and the next use opens another. The writing one begins by writing the
write-ahead log over itself and syncing it: after a sync that failed, or a crash, the system's memory may hold commits
that are not on the disk and that no later sync would put there (docs/decisions/0007).
"""

import asyncio
import math
import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar, cast
from urllib.parse import quote

import structlog
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool, StaticPool

from palaver.clock import Clock
from palaver.errors import Code, Refused
from palaver.settings import Settings
from palaver.store import files
from palaver.store.engine import errors
from palaver.store.engine.base import MEMORY
from palaver.store.engine.executors import Lanes
from palaver.store.engine.statement import WATCH, Watch

T = TypeVar("T")

WAL_CHECKPOINT_PAGES = 4_000
WRITER_CACHE_KIB = 65_536
READER_CACHE_KIB = 16_384
STATEMENTS_CACHED = 256
ANEW_BYTES = 1024 * 1024
VACUUM_BYTES_MAX = 256 * 1024 * 1024
"""A file of this size is made anew in a second or two, for which the writers wait."""
SCRUB_SECONDS = 60.0
"""So far apart that is, at least, however many leave."""
OLDEST = (3, 35, 0)
"""RETURNING, and what else we use."""
WAL_SAFE = (3, 51, 3)
"""The first version whose WAL no second checkpointer can damage."""


class SqliteDatabase:
    """One file, or one database in memory (with lanes that share a thread)."""

    writers = 1
    shared = False

    def __init__(self, path: Path | None, settings: Settings, clock: Clock, lanes: Lanes) -> None:
        if path is None and not lanes.shared:
            raise Refused(
                Code.DATABASE_URL_INVALID, "A database in memory is for one thread, in tests."
            )
        _check_version()
        self._seconds = settings.database_seconds
        self._clock, self._scrub_from = clock, -math.inf
        watch = Watch(clock, settings.slow_query_ms / 1000)
        wait_ms = int(settings.database_seconds * 500)
        engine = writing_engine(path, wait_ms=wait_ms)
        self._writer = lanes.lane(
            "writer", 1, lambda: _Kept(lambda: _writing(engine, path, watch)), _Kept.close
        )
        if lanes.shared:
            self._reader = self._writer
        else:
            assert path is not None
            readers = reading_engine(path, wait_ms=wait_ms)
            self._reader = lanes.lane(
                "reader",
                settings.reader_threads,
                lambda: _Kept(lambda: _opened(readers, watch)),
                _Kept.close,
            )

    async def writing(self, writer: int, work: Callable[[Connection], T]) -> T:
        """As `Database.writing`. No deadline: what was begun goes on to its end, and its events must be told."""
        assert writer == 0
        return await self._writer.run(
            lambda kept: kept.run(lambda conn: _in_transaction(conn, work))
        )

    async def reading(self, work: Callable[[Connection], T]) -> T:
        """As `Database.reading`, within the deadline."""
        call = _Read(work)
        try:
            async with asyncio.timeout(self._seconds):
                return await self._reader.run(lambda kept: kept.run(call))
        except TimeoutError:
            call.give_up()
            raise errors.away() from None

    async def scrub(self) -> bool:
        """As `Database.scrub`. A page that was split may keep what was moved: a file that is not large is made anew."""
        if self._clock.monotonic() < self._scrub_from:
            return False
        self._scrub_from = self._clock.monotonic() + SCRUB_SECONDS
        return await self._writer.run(lambda kept: kept.run(_scrubbed))

    async def close(self) -> None:
        """Readers first: the last connection to close, which clears the WAL away, must be the writer."""
        if self._reader is not self._writer:
            await self._reader.close()
        await self._writer.close()


class _Kept:
    """A connection that is opened anew after an error that may have spoiled it."""

    def __init__(self, opened: Callable[[], Connection]) -> None:
        self._opened = opened
        self._conn: Connection | None = None

    def run(self, work: Callable[[Connection], T]) -> T:
        if self._conn is None:
            self._conn = self._opened()
        try:
            return work(self._conn)
        except Exception as error:
            if errors.spoils(error):
                cause = str(errors.cause_of(error))
                structlog.get_logger("palaver.store").error("the database failed", error=cause)
                with suppress(DBAPIError, sqlite3.Error):  # it is given up in any case
                    self.close()
            raise

    def close(self) -> None:
        conn, self._conn = self._conn, None
        if conn is not None:
            _closed(conn)


class _Read:
    """One read, which can be given up from another thread."""

    def __init__(self, work: Callable[[Connection], Any]) -> None:
        self._work = work
        self._lock = Lock()
        self._running: sqlite3.Connection | None = None
        self._given_up = False

    def __call__(self, conn: Connection) -> Any:
        with self._lock:
            if self._given_up:
                raise errors.away()
            self._running = cast(sqlite3.Connection, conn.connection.dbapi_connection)
        try:
            with conn.begin() as transaction:
                result = self._work(conn)
                transaction.rollback()
                return result
        finally:
            with self._lock:
                self._running = None

    def give_up(self) -> None:
        with self._lock:
            self._given_up = True
            if self._running is not None:
                self._running.interrupt()


def writing_engine(path: Path | None, *, wait_ms: int = 0) -> Engine:
    """An engine for the one connection that writes."""
    pragmas = (
        f"busy_timeout = {wait_ms}",
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        "secure_delete = ON",  # what is taken out of a row is overwritten in its page
        f"wal_autocheckpoint = {WAL_CHECKPOINT_PAGES}",
        f"cache_size = -{WRITER_CACHE_KIB}",
        "temp_store = FILE",  # what a statement of a migration can undo would fill the memory
    )
    return _engine(path or MEMORY, "BEGIN IMMEDIATE", pragmas)


def reading_engine(path: Path, *, wait_ms: int) -> Engine:
    """An engine for connections that only read."""
    pragmas = (
        f"busy_timeout = {wait_ms}",
        "query_only = ON",
        f"cache_size = -{READER_CACHE_KIB}",
        "temp_store = MEMORY",
    )
    return _engine(f"file:{quote(str(path.absolute()))}?mode=ro", "BEGIN", pragmas)


def _engine(name: Path | str, begin: str, pragmas: Sequence[str]) -> Engine:
    def connect() -> sqlite3.Connection:
        if isinstance(name, Path) and not name.exists():
            files.new_file(name)  # SQLite would let others read it
        connection = sqlite3.connect(
            name,
            uri=isinstance(name, str),
            isolation_level=None,
            check_same_thread=False,
            cached_statements=STATEMENTS_CACHED,
        )
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
        return connection

    def begin_explicitly(conn: Connection) -> None:
        raw: Any = conn.connection.dbapi_connection
        raw.execute(begin)

    engine = create_engine(
        "sqlite://",
        creator=connect,
        poolclass=StaticPool if name == MEMORY else NullPool,
        hide_parameters=True,  # an error's text must hold no content
    )
    event.listen(engine, "begin", begin_explicitly)
    return engine


def _writing(engine: Engine, path: Path | None, watch: Watch) -> Connection:
    conn = _opened(engine, watch)
    try:
        if path is not None:
            with conn.begin():  # nobody else may write meanwhile
                _written_anew(Path(f"{path.resolve()}-wal"))
    except BaseException:
        _closed(conn)
        raise
    return conn


def _written_anew(file: Path) -> None:
    """Writes a file over itself and syncs it, so that what the system reads of it is on the disk."""
    descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    try:
        at = 0
        while data := os.pread(descriptor, ANEW_BYTES, at):
            at += os.pwrite(descriptor, data, at)
        if at:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _opened(engine: Engine, watch: Watch) -> Connection:
    return engine.connect().execution_options(**{WATCH: watch})


def _closed(conn: Connection) -> None:
    conn.close()
    conn.engine.dispose()


def _in_transaction(conn: Connection, work: Callable[[Connection], T]) -> T:
    with conn.begin():
        return work(conn)


def _scrubbed(conn: Connection) -> bool:
    raw = cast(sqlite3.Connection, conn.connection.dbapi_connection)
    size = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
    if raw.execute(size).fetchone()[0] <= VACUUM_BYTES_MAX:
        raw.execute("VACUUM")
    busy, _, _ = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return not busy


def _check_version() -> None:
    if sqlite3.sqlite_version_info < OLDEST:
        raise Refused(
            Code.DATABASE_URL_INVALID,
            f"SQLite {sqlite3.sqlite_version} is too old; {'.'.join(map(str, OLDEST))} is needed.",
        )
