"""How the processes of one PostgreSQL database wake each other: NOTIFY on a connection of its own, after the commit.

A notice is a hint and may be lost, doubled or late; no correctness depends on it (the relay asks the log itself
once a second). A connection that breaks is made anew, and `lost` says that notices may be missing. Behind a pooler
in transaction mode, which cannot listen, `listen_url` names the server itself; empty, nothing is carried, and the
once-a-second question is all there is.
"""

# asyncpg gives its types in part only
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol

import structlog
from sqlalchemy import Connection, bindparam, func, select

from palaver.clock import Clock
from palaver.model import AccessChange, Event
from palaver.model.access import ended_by, taken_from
from palaver.settings import Settings
from palaver.store.engine.base import POSTGRESQL, parsed
from palaver.store.engine.statement import Statement

CHANNEL = "palaver"
SENDER_CHARS = 12
"""So much of an owner's name says in a notice whose it is."""
AGAIN_SECONDS_MAX = 5.0
CHECK_SECONDS = 5

_NOTIFY = Statement(
    select(func.pg_notify(bindparam("channel"), bindparam("notice"))), "channel", "notice"
)

log = structlog.stdlib.get_logger()


class Bus(Protocol):
    """Carries notices between processes, as well as it can."""

    async def send(self, notices: Sequence[str]) -> None:
        """Tells every process, this one too. What cannot be sent is lost."""
        ...

    async def run(self, heard: Callable[[str], None], lost: Callable[[], None]) -> None:
        """Listens for ever. `lost` is called whenever notices may have been missed, and at the beginning."""
        ...


class Silence:
    """Carries nothing: what others wrote is found by asking, and running answers are seen where they run."""

    async def send(self, notices: Sequence[str]) -> None:
        """See `Bus`."""

    async def run(self, heard: Callable[[str], None], lost: Callable[[], None]) -> None:  # noqa: ARG002  as `Bus`
        """See `Bus`."""
        await asyncio.get_running_loop().create_future()


class PostgresqlBus:
    """LISTEN and NOTIFY on one connection."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._connection: Any = None  # asyncpg's own types are partial
        self._using = asyncio.Lock()  # one operation at a time

    async def send(self, notices: Sequence[str]) -> None:
        """See `Bus`."""
        connection = self._connection
        if connection is None:
            return
        try:
            async with self._using:
                await connection.execute(
                    "SELECT pg_notify($1, notice) FROM unnest($2::text[]) AS notice",
                    CHANNEL,
                    list(notices),
                    timeout=CHECK_SECONDS,
                )
        except _troubles():
            connection.terminate()

    async def run(self, heard: Callable[[str], None], lost: Callable[[], None]) -> None:
        """See `Bus`."""
        wait = 0.1
        while True:
            try:
                async with self._connected(heard) as ended:
                    lost()
                    wait = 0.1
                    while not ended.is_set():
                        await self._check(ended)
                    log.warning("bus.lost", why="it was closed")
            except _troubles() as why:
                log.warning("bus.lost", why=type(why).__name__)
            await asyncio.sleep(wait * (0.5 + self._clock.chance()))
            wait = min(wait * 2, AGAIN_SECONDS_MAX)

    @asynccontextmanager
    async def _connected(self, heard: Callable[[str], None]) -> AsyncGenerator[asyncio.Event]:
        """A connection that listens; the event is set when it has ended."""
        import asyncpg  # noqa: PLC0415  a server on SQLite starts without it

        from palaver.store.engine.postgresql import whole  # noqa: PLC0415  nor does it need this

        ended = asyncio.Event()

        def told(_connection: object, _pid: int, _channel: str, notice: object) -> None:
            heard(str(notice))

        def over(_connection: object) -> None:
            ended.set()

        def dropped(connection: Any) -> None:
            connection.terminate()

        connecting: Any = asyncpg.connect(**_options(self._settings, self._clock))
        connection: Any = await whole(connecting, dropped)
        try:
            connection.add_termination_listener(over)
            await connection.add_listener(CHANNEL, told)
            self._connection = connection
            yield ended
        finally:
            self._connection = None
            connection.terminate()
            await asyncio.sleep(0)  # the loop closes the socket now, before it may end itself

    async def _check(self, ended: asyncio.Event) -> None:
        """Waits, and asks whether the connection is still there."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CHECK_SECONDS):
                await ended.wait()
        if not ended.is_set():
            async with self._using:
                await self._connection.execute("SELECT 1", timeout=CHECK_SECONDS)


def tell_taken(conn: Connection, owner: str, events: Sequence[Event]) -> None:
    """Tells other processes with the commit itself whose access its events may take, and which sessions and keys end.

    See `core.live.cluster`.

    PostgreSQL gives everyone the notices of all transactions in the order of their commits, so that what another
    process sends later is heard later. In each transaction that would cost too much; access is seldom taken.
    """
    for event in events if conn.dialect.name == POSTGRESQL else ():
        if event.type.access is AccessChange.TAKEN:
            notice = [owner[:SENDER_CHARS], "c", event.room, event.seq, taken_from(event)]
            _NOTIFY.all(conn, CHANNEL, json.dumps(notice))
            continue
        for ended in ended_by(event):
            _NOTIFY.all(conn, CHANNEL, json.dumps([owner[:SENDER_CHARS], "g", ended]))


def _troubles() -> tuple[type[Exception], ...]:
    """What a connection may die of."""
    import asyncpg  # noqa: PLC0415  a server on SQLite starts without it

    return (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


def bus_of(settings: Settings, clock: Clock) -> Bus | None:
    """The bus for these settings; None where there is one process only."""
    if not parsed(settings.url).drivername.startswith("postgresql"):
        return None
    return Silence() if settings.listen_url == "" else PostgresqlBus(settings, clock)


def _options(settings: Settings, clock: Clock) -> dict[str, Any]:
    """What asyncpg is to connect to, with the same options of a URL as for the rest."""
    from palaver.store.engine.postgresql import (  # noqa: PLC0415  a server on SQLite starts without it
        CACHE_OPTION,
        address_of,
    )

    address, arguments = address_of(parsed(settings.listen_url or settings.url), clock, settings)
    _, options = address.get_dialect()().create_connect_args(address)
    options.pop(CACHE_OPTION, None)
    begun = arguments["server_settings"]
    return {**options, "server_settings": begun, "timeout": CHECK_SECONDS}
