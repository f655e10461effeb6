"""Connections for a command that works on whole databases: one transaction as long as it takes, and no deadline.

What is only read is one snapshot: nothing that a server writes meanwhile is seen, and no server waits. Nothing of this
is used inside a server.
"""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack, aclosing
from typing import Any, TypeVar

from msgspec import Struct
from sqlalchemy import URL, Connection
from sqlalchemy.pool import NullPool
from sqlalchemy.util import greenlet_spawn

from palaver.clock import SystemClock
from palaver.errors import Code, Refused
from palaver.settings import Settings
from palaver.store import files
from palaver.store.engine import errors
from palaver.store.engine.base import SQLITE, file_of, parsed
from palaver.store.engine.sqlite import reading_engine, writing_engine

T = TypeVar("T")

WAIT_MS = 5_000
"""How long a SQLite file may be busy."""
NAME = "palaver command"
"""What PostgreSQL shows of these connections."""


class Place(Struct, frozen=True):
    """A database, and whether it is written."""

    url: str
    writes: bool = False


def alone(work: Callable[..., T], *places: Place) -> T:
    """Runs `work` with a connection to each place. Blocks; may not be called where an event loop runs.

    Refused: `database_url_invalid`, `database_damaged`, `database_missing` for a file that is read and not there.
    """

    def begun(*connections: Connection) -> T:
        for place, connection in zip(places, connections, strict=True):
            if not place.writes:
                connection.begin()
        return work(*connections)

    async def connected() -> T:
        async with AsyncExitStack() as stack:
            connections = [await _connection(place, stack) for place in places]
            return await greenlet_spawn(begun, *connections)

    try:
        return asyncio.run(connected())
    except Exception as error:
        raise errors.damaged(error) or errors.temporary(error) or error from error


async def _connection(place: Place, stack: AsyncExitStack) -> Connection:
    url = parsed(place.url)
    if url.drivername == SQLITE:
        return _sqlite(url, stack, writes=place.writes)
    from palaver.store.engine.postgresql import (  # noqa: PLC0415  SQLite's start pays for no asyncpg
        address_of,
        connected,
    )

    address, options = address_of(url, SystemClock(), Settings())
    options["server_settings"]["application_name"] = NAME
    level: dict[str, Any] = {} if place.writes else {"isolation_level": "REPEATABLE READ"}
    from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415  not for SQLite

    engine = create_async_engine(address, connect_args=options, poolclass=NullPool, **level)
    stack.push_async_callback(engine.dispose)
    connection = await stack.enter_async_context(aclosing(await connected(engine)))
    assert connection.sync_connection is not None
    return connection.sync_connection


def _sqlite(url: URL, stack: AsyncExitStack, *, writes: bool) -> Connection:
    path = file_of(url)
    if path is None or not (files.there(path, writes=writes) or writes):
        raise Refused(Code.DATABASE_MISSING, f"There is no database at {url.database}.")
    engine = (
        writing_engine(path, wait_ms=WAIT_MS) if writes else reading_engine(path, wait_ms=WAIT_MS)
    )
    stack.callback(engine.dispose)
    return stack.enter_context(engine.connect())
