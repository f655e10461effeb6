"""Asks a database about its own health, for `palaver doctor`; writes nothing.

A SQLite file that no process has open is examined under the lock, because opening it may replay its write-ahead log;
one that a server has open is only read beside it. A file that is not there is not made.
"""

import asyncio
import sqlite3
from collections.abc import Mapping
from contextlib import ExitStack, aclosing, closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from msgspec import Struct
from sqlalchemy import URL, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from palaver.clock import SystemClock
from palaver.errors import Code, Refused, Unavailable
from palaver.settings import Settings
from palaver.store import files
from palaver.store.engine.base import SQLITE, file_of, parsed
from palaver.store.engine.lock import FileLock
from palaver.store.engine.sqlite import WAL_SAFE

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 10.0
FAULTS_SHOWN_MAX = 5
_SETTINGS = text(
    "SELECT name, current_setting(name) FROM pg_settings WHERE name IN ('server_version', 'fsync',"
    " 'full_page_writes', 'synchronous_commit', 'synchronous_standby_names') UNION ALL"
    " SELECT 'standbys', count(*)::text FROM pg_stat_replication"
)


class SqliteHealth(Struct, frozen=True, kw_only=True):
    """`held`: who has the file open, in words. `faults`: what a quick check found, None when it was not made."""

    version: str
    wal_safe: bool
    path: Path | None
    exists: bool
    held: str | None
    faults: tuple[str, ...] | None


class PostgresHealth(Struct, frozen=True, kw_only=True):
    """The server's version and the settings that decide whether a commit is on the disk when it returns.

    `standbys` is how many servers follow it. `pooled`: a pooler stands before it, and what the URL says suits one that
    gives connections to a client for a transaction only.
    """

    settings: Mapping[str, str]
    pooled: bool
    suits_pooler: bool


async def health(url: str, *, integrity: bool) -> SqliteHealth | PostgresHealth:
    """Looks at the database. Refused: `database_url_invalid`. Unavailable: `database_unavailable`."""
    found = parsed(url)
    if found.drivername == SQLITE:
        return _sqlite(file_of(found), integrity=integrity)
    return await _postgresql(found)


async def _postgresql(url: URL) -> PostgresHealth:
    from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415  not for SQLite

    from palaver.store.engine.postgresql import address_of, connected  # noqa: PLC0415  nor asyncpg

    address, arguments = address_of(url, SystemClock(), Settings())
    engine = create_async_engine(
        address, poolclass=NullPool, connect_args=arguments | {"timeout": CONNECT_SECONDS}
    )
    try:
        async with asyncio.timeout(ANSWER_SECONDS), aclosing(await connected(engine)) as connection:
            rows = await connection.execute(_SETTINGS)
            told = {str(name): str(value) for name, value in rows}
            pid = await connection.scalar(text("SELECT pg_backend_pid()"))
            driver: Any = (await connection.get_raw_connection()).driver_connection
            pooled = driver.get_server_pid() != pid  # a pooler gives a number of its own
    except (OSError, TimeoutError, DBAPIError) as error:
        raise Unavailable(
            Code.DATABASE_UNAVAILABLE,
            f"The PostgreSQL server does not answer at {url.host}:{url.port or 5432}.",
        ) from error
    finally:
        await engine.dispose()
    suits = "statement_cache_size" in arguments
    return PostgresHealth(settings=told, pooled=pooled, suits_pooler=suits)


def _sqlite(path: Path | None, *, integrity: bool) -> SqliteHealth:
    exists = path is not None and files.there(path)
    held: str | None = None
    faults: tuple[str, ...] | None = None
    if path is not None and exists:
        with ExitStack() as ending:
            try:
                with files.usable(path):
                    ending.callback(FileLock(path).release)
            except Refused as refusal:
                held = refusal.detail
            if integrity:
                faults = _faults(path, "rw" if held is None else "ro")
    return SqliteHealth(
        version=sqlite3.sqlite_version,
        wal_safe=sqlite3.sqlite_version_info >= WAL_SAFE,
        path=path,
        exists=exists,
        held=held,
        faults=faults,
    )


def _faults(path: Path, mode: str) -> tuple[str, ...]:
    """What SQLite's quick check finds; empty when all is well."""
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode={mode}", uri=True)) as db:
            rows = db.execute(f"PRAGMA quick_check({FAULTS_SHOWN_MAX})").fetchall()
    except sqlite3.Error as error:
        return (str(error),)
    return tuple(str(row[0]) for row in rows if row[0] != "ok")
