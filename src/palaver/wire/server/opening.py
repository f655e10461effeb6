"""Opens the core; while a PostgreSQL server is away, whoever asks is answered 503 at once.

Theory of operation. A start that was told that the database is away, or hears nothing of it for some seconds, serves a
door of its own on the same port: it answers everything with `database_unavailable`, and `/health` with `degraded`. The
core is tried again and again, at longer and longer intervals, and each reason is logged once. When the core is there
the door closes, and clients queue in the listening socket for the moment until the real ones open. A SQLite file that
cannot be opened is not waited for: nobody else will bring it.
"""

import asyncio
import socket
from contextlib import AsyncExitStack, suppress

import structlog
import uvicorn
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

import palaver
from palaver.core.runtime import Core, started
from palaver.errors import Code, Unavailable
from palaver.settings import Settings
from palaver.wire import problems
from palaver.wire.anthropic.problems import told_as
from palaver.wire.edge.protocols import EdgeConfig, EdgeTally
from palaver.wire.live import frames
from palaver.wire.openai import problems as openai
from palaver.wire.webhooks import teller

SILENT_SECONDS = 5.0
AGAIN_SECONDS_MIN, AGAIN_SECONDS_MAX = 0.25, 5.0
AWAY = Unavailable(
    Code.DATABASE_UNAVAILABLE,
    "The database is not open yet; this server waits for it.",
    retry_ms=round(AGAIN_SECONDS_MAX * 1000),
)
HEALTH = {"status": "degraded", "service": "palaver", "db": "down", "version": palaver.__version__}

log = structlog.stdlib.get_logger()


async def opened(ending: AsyncExitStack, settings: Settings, listener: socket.socket) -> Core:
    """The core, which ends with `ending`. Raises what `core.runtime.started` raises, but waits for PostgreSQL."""
    server = uvicorn.Server(EdgeConfig(_away, settings, EdgeTally()))
    over, away = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_answer(server, listener, over, away))
        try:
            return await _tried(ending, settings, away)
        except Exception as error:  # noqa: BLE001  raised again below, outside of the group
            failure = error
        finally:
            over.set()
            away.set()
            server.should_exit = True
    raise failure


async def _tried(ending: AsyncExitStack, settings: Settings, away: asyncio.Event) -> Core:
    wait, why, tell = AGAIN_SECONDS_MIN, "", teller(settings)
    while True:
        try:
            return await ending.enter_async_context(
                started(settings, encode=frames.encode, tell=tell)
            )
        except Unavailable as failure:
            if settings.url.startswith("sqlite"):
                raise
            away.set()
            if why != (why := str(failure.__cause__ or failure.detail)):
                log.warning("database.awaited", code=failure.code, why=why)
        await asyncio.sleep(wait)
        wait = min(2 * wait, AGAIN_SECONDS_MAX)


async def _answer(
    server: uvicorn.Server, listener: socket.socket, over: asyncio.Event, away: asyncio.Event
) -> None:
    """Answers for the core while the database is away; one that only takes its time to start keeps clients waiting."""
    with suppress(TimeoutError):
        await asyncio.wait_for(away.wait(), SILENT_SECONDS)
    if not over.is_set():
        await server._serve([listener.dup()])  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  `serve` takes the signals


async def _away(scope: Scope, receive: Receive, send: Send) -> None:
    """ASGI: the answer of a server without its database."""
    of_health = scope["path"] == "/health"
    of_programs = scope["path"].startswith(openai.PREFIX)
    response = told_as(AWAY, {}, scope) if of_programs else problems.response(AWAY)
    response = JSONResponse(HEALTH, AWAY.status) if of_health else response
    await response(scope, receive, send)
