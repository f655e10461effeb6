"""How the processes of one PostgreSQL database wake each other: NOTIFY on a connection of its own, after the commit.

A notice is a hint and may be lost, doubled or late; no correctness depends on it (the relay asks the log itself
once a second). A connection that breaks is made anew, and `lost` says that notices may be missing. Behind a pooler
in transaction mode, which cannot listen, `listen_url` names the server itself; empty, nothing is carried, and the
once-a-second question is all there is.
"""

# asyncpg gives its types in part only
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

import structlog

from palaver.clock import Clock
from palaver.settings import Settings
from palaver.store.engine.base import parsed

CHANNEL = "palaver"
NOTICE_BYTES_MAX = 7_900
"""PostgreSQL takes less than 8,000 bytes in one notice."""
AGAIN_SECONDS_MAX = 5.0
CHECK_SECONDS = 5

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

    async def send(self, notices: Sequence[str]) -> None:
        """See `Bus`."""
        import asyncpg  # noqa: PLC0415  a server on SQLite starts without it

        connection = self._connection
        if connection is None:
            return
        with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
            await connection.execute(
                "SELECT pg_notify($1, notice) FROM unnest($2::text[]) AS notice",
                CHANNEL,
                list(notices),
                timeout=CHECK_SECONDS,
            )

    async def run(self, heard: Callable[[str], None], lost: Callable[[], None]) -> None:
        """See `Bus`."""
        import asyncpg  # noqa: PLC0415  a server on SQLite starts without it

        wait = 0.1
        options = _options(self._settings, self._clock)

        def told(_connection: object, _pid: int, _channel: str, notice: object) -> None:
            heard(str(notice))

        while True:
            try:
                connection: Any = await asyncpg.connect(**options)
                try:
                    await connection.add_listener(CHANNEL, told)
                    self._connection = connection
                    lost()
                    wait = 0.1
                    while True:
                        await asyncio.sleep(CHECK_SECONDS)
                        await connection.execute("SELECT 1", timeout=CHECK_SECONDS)
                finally:
                    self._connection = None
                    connection.terminate()
                    await asyncio.sleep(
                        0
                    )  # the loop closes the socket now, before it may end itself
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as why:
                log.warning("bus.lost", why=type(why).__name__)
            await asyncio.sleep(wait * (0.5 + self._clock.chance()))
            wait = min(wait * 2, AGAIN_SECONDS_MAX)


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
