"""PostgreSQL: asyncpg through SQLAlchemy, the same functions of a `Connection` as on SQLite.

Each writer holds one connection; readers share a pool and read without transactions, which saves two round trips. Every
call has our own deadline, because a connection into a black hole hangs beyond any of the server's timeouts: then the
connection is ended on our side, without a farewell that nobody would answer. A connection that fails is thrown away.
What fails before its COMMIT was sent, because its connection had died of old age, is tried once more on a new one;
after that nobody knows, and the caller is told so.

A writer that falls asleep or off the network in the middle of a transaction holds the locks of its rooms, and every
other process waits for it. So the server is told to end a transaction in which nothing happens for half our deadline,
and, from PostgreSQL 17 on, one that outlives it: half a message may be the last that the server hears.

Names of prepared statements are unique, so that a pooler such as PgBouncer may share connections; one that does not
follow prepared statements needs `?prepared_statement_cache_size=0` in the URL, and then nothing is kept for longer than
a transaction. A server whose `synchronous_commit` is `off` is asked for `on` in each: stored means stored.
"""

import asyncio
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from typing import Any, TypeVar

import structlog
from sqlalchemy import URL, Connection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from palaver.clock import Clock
from palaver.errors import Code, Refused
from palaver.settings import Settings
from palaver.store.engine import errors
from palaver.store.engine.statement import WATCH, Watch

T = TypeVar("T")

CLOSE_SECONDS = 3.0
"""How long closing a connection may take before it is dropped."""
LEFT_SECONDS = 1.0
"""How long a connect that nobody waits for any more may take to end by itself."""
IDLE_LIMIT = "idle_in_transaction_session_timeout"
WHOLE_LIMIT, LIMITED_FROM = "transaction_timeout", 170_000
SYNC = "synchronous_commit"
CACHE_OPTION = "prepared_statement_cache_size"
PASSED_ON = frozenset({"host", "port", "ssl", "passfile", "target_session_attrs", CACHE_OPTION})
WITHOUT_MEANING = frozenset({"channel_binding", "connect_timeout", "gssencmode"})
"""Options of libpq in many providers' URLs that asyncpg does not know and does not need."""


class PostgresqlDatabase:
    """One PostgreSQL database."""

    shared = True

    def __init__(self, url: URL, settings: Settings, clock: Clock) -> None:
        self._seconds = settings.database_seconds
        self._asked_for: dict[str, str] = {}  # in each writing transaction
        self._pooled = _uncached(url)
        address, arguments = address_of(url, clock, settings)
        engine = partial(
            create_async_engine,
            address,
            connect_args=arguments,
            execution_options={WATCH: Watch(clock, settings.slow_query_ms / 1000)},
            hide_parameters=True,  # an error's text must hold no content
        )
        options: dict[str, Any] = {} if self._pooled else {"isolation_level": "AUTOCOMMIT"}
        self._writing = engine(poolclass=NullPool)  # we hold them ourselves
        self._reading = engine(poolclass=NullPool, **options)
        self._held: list[AsyncConnection | None] = [None] * settings.writer_connections
        self._readers = asyncio.Semaphore(settings.reader_threads)
        self._idle: list[AsyncConnection] = []

    @property
    def writers(self) -> int:
        """As `Database.writers`."""
        return len(self._held)

    async def writing(self, writer: int, work: Callable[[Connection], T]) -> T:
        """As `Database.writing`, within the deadline."""
        fresh = self._held[writer] is None
        attempt = _Attempt()
        try:
            return await self._write(writer, work, attempt)
        except Exception as error:
            if fresh or attempt.committing or attempt.late or not _lost(error):
                raise
            return await self._write(writer, work, _Attempt())

    async def reading(self, work: Callable[[Connection], T]) -> T:
        """As `Database.reading`, within the deadline."""
        attempt = _Attempt()
        try:
            return await self._read(work, attempt)
        except Exception as error:
            if attempt.late or not _lost(error):
                raise
            await self._drop_readers(broken=True)  # they have died with it
            return await self._read(work, _Attempt())

    async def scrub(self) -> bool:
        """As `Database.scrub`: its own vacuum does so."""
        return True

    async def close(self) -> None:
        """As `Database.close`. All connections at once: a server that is frozen answers none of them."""
        writers = [self._drop(writer, broken=False) for writer in range(len(self._held))]
        await asyncio.gather(*writers, self._drop_readers(broken=False))
        await _disposed(self._writing)
        await _disposed(self._reading)

    async def _write(self, writer: int, work: Callable[[Connection], T], attempt: "_Attempt") -> T:
        end = asyncio.get_running_loop().time() + self._seconds
        try:
            async with asyncio.timeout_at(end):
                conn = self._held[writer] or await self._connected()
            self._held[writer] = conn
            with attempt.until(end, conn):
                return await conn.run_sync(self._in_transaction, work, attempt)
        except BaseException as error:
            if not isinstance(error, Exception) or (
                errors.temporary(error) is not None and not errors.crossed(error)
            ):
                await self._drop(writer, broken=True)
            raise

    def _in_transaction(
        self, conn: Connection, work: Callable[[Connection], T], attempt: "_Attempt"
    ) -> T:
        transaction = conn.begin()
        try:
            if self._asked_for:
                conn.exec_driver_sql(_asking_for(self._asked_for, local=True))
            result = work(conn)
        except Exception:
            transaction.rollback()
            raise
        attempt.committing = True
        transaction.commit()
        return result

    async def _connected(self) -> AsyncConnection:
        conn = await connected(self._writing)
        try:
            found = await conn.exec_driver_sql(
                "SELECT current_setting('synchronous_commit'),"
                " current_setting('server_version_num')::int"
            )
            sync, version = tuple(found.one())
            limits = {IDLE_LIMIT: str(round(self._seconds * 500))}
            if version >= LIMITED_FROM:
                limits[WHOLE_LIMIT] = str(round(self._seconds * 1_000))
            if self._pooled:
                self._asked_for |= limits  # a pooler keeps no settings of a connection
            else:
                await conn.exec_driver_sql(_asking_for(limits, local=False))
            if sync == "off" and SYNC not in self._asked_for:
                self._asked_for[SYNC] = "on"
                structlog.get_logger("palaver.store").warning(
                    "synchronous_commit is off on the server; it is asked for in each write"
                )
            await conn.commit()
        except BaseException:
            await conn.invalidate()
            raise
        return conn

    async def _drop(self, writer: int, *, broken: bool) -> None:
        conn, self._held[writer] = self._held[writer], None
        if conn is not None:
            await _closed(conn, broken=broken)

    async def _drop_readers(self, *, broken: bool) -> None:
        idle, self._idle = self._idle, []
        await asyncio.gather(*[_closed(conn, broken=broken) for conn in idle])

    async def _read(self, work: Callable[[Connection], T], attempt: "_Attempt") -> T:
        end = asyncio.get_running_loop().time() + self._seconds
        async with AsyncExitStack() as stack:
            async with asyncio.timeout_at(end):
                await stack.enter_async_context(self._readers)
                conn = self._idle.pop() if self._idle else await connected(self._reading)
            try:
                with attempt.until(end, conn):
                    result = await conn.run_sync(_read_only, work)
            except BaseException as error:
                if isinstance(error, Refused):
                    self._idle.append(conn)
                else:
                    await _closed(conn, broken=True)
                raise
            self._idle.append(conn)
            return result


def _read_only(conn: Connection, work: Callable[[Connection], T]) -> T:
    with conn.begin() as transaction:
        result = work(conn)
        transaction.rollback()
        return result


class _Attempt:
    """Whether COMMIT may have been sent, and whether our deadline ended it."""

    committing = False
    late = False

    @contextmanager
    def until(self, end: float, conn: AsyncConnection) -> Generator[None]:
        """Ends the connection at a time, so that whoever waits for it gets an error at once.

        Whatever the driver says of a connection that is closed: the database is away.
        """
        driver = _driver(conn)

        def too_late() -> None:
            self.late = True
            driver.terminate()  # cancelling a query, or a farewell, would wait for the server

        deadline = asyncio.get_running_loop().call_at(end, too_late)
        try:
            yield
        except Exception as error:
            if errors.temporary(error) is None and driver.is_closed():
                raise errors.away() from error
            raise
        finally:
            deadline.cancel()


async def connected(engine: AsyncEngine) -> AsyncConnection:
    """A new connection, `whole`."""

    def dropped(conn: AsyncConnection) -> None:
        assert conn.sync_connection is not None
        conn.sync_connection.invalidate()  # outside of a greenlet: at once, without a farewell
        conn.sync_connection.close()

    return await whole(engine.connect(), dropped)


async def whole(connecting: Awaitable[T], drop: Callable[[T], None]) -> T:
    """A connection of which nothing is left when whoever waits for it is cancelled.

    asyncpg, and SQLAlchemy over it, leave what was half made: a connection, or an error that nobody reads. So a connect
    that has begun ends by itself, within `LEFT_SECONDS`, and is dropped before the cancelled one goes on.
    """

    def ended(task: asyncio.Future[T]) -> None:
        if not task.cancelled() and task.exception() is None:
            drop(task.result())

    task = asyncio.ensure_future(connecting)  # noqa: TID251  it ends below, in every case
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        asyncio.get_running_loop().call_later(LEFT_SECONDS, task.cancel)
        task.add_done_callback(ended)
        await asyncio.wait([task])
        raise


def _driver(conn: AsyncConnection) -> Any:
    assert conn.sync_connection is not None
    return conn.sync_connection.connection.driver_connection


async def _closed(conn: AsyncConnection, *, broken: bool) -> None:
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            if broken and not conn.invalidated:
                _driver(conn).terminate()  # a farewell would wait for the server
                await conn.invalidate()
            await conn.close()
    except Exception:  # noqa: BLE001  it is broken: how it says so does not matter
        structlog.get_logger("palaver.store").debug("a connection did not close")


def _lost(error: Exception) -> bool:
    """Whether a connection was found dead, so that the same may go through on a new one."""
    fault = errors.temporary(error)
    return (
        fault is not None
        and fault.code is Code.DATABASE_UNAVAILABLE
        and not isinstance(error, TimeoutError)
    )


async def _disposed(engine: AsyncEngine) -> None:
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await engine.dispose()
    except Exception:  # noqa: BLE001  the server may be gone: nothing is left to close then
        structlog.get_logger("palaver.store").debug("connections did not close")


def _asking_for(settings: Mapping[str, str], *, local: bool) -> str:
    """The statement that sets them, for the connection or for this transaction."""
    asked = ", ".join(f"set_config('{name}', '{to}', {local})" for name, to in settings.items())
    return f"SELECT {asked}"


def _uncached(url: URL) -> bool:
    return url.query.get(CACHE_OPTION) == "0"


def address_of(url: URL, clock: Clock, settings: Settings) -> tuple[URL, dict[str, Any]]:
    """The address and asyncpg's own arguments. Refused: `database_url_invalid`."""
    query = dict(url.query)
    arguments: dict[str, Any] = {
        "timeout": settings.database_seconds,
        "prepared_statement_name_func": lambda: f"palaver_{clock.new_id()}",
        "server_settings": {"application_name": query.pop("application_name", "palaver")},
    }
    if _uncached(url):
        arguments["statement_cache_size"] = 0  # asyncpg has another cache, of its own statements
    if "sslmode" in query:
        query["ssl"] = query.pop("sslmode")
    for option in WITHOUT_MEANING & query.keys():
        del query[option]
    strange = sorted(query.keys() - PASSED_ON)
    if strange:
        raise Refused(
            Code.DATABASE_URL_INVALID,
            f"The database URL has options that are not known: {', '.join(strange)}.",
        )
    return url.set(query=query), arguments
