"""The server process: takes the port, opens the core, serves its doors, and stops without losing anything.

Order of a start: the port first (so that a second server says at once that it is taken), then the store (see
`opening`), then the doors, then `server.json` in the data directory, which says that the server is ready and where.

Order of a stop (SIGTERM, SIGINT): no new connections; every live client is told when to come back and let go; running
answers may end for a while and are stored as interrupted after that; then the rest is cut. All of it within
`stop_seconds`.
"""

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
from collections.abc import Callable, Generator
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from pathlib import Path

import structlog
import uvicorn

from palaver.clock import SystemClock
from palaver.core.runtime import Core
from palaver.errors import Code, Refused
from palaver.settings import Settings
from palaver.wire.app import create_app
from palaver.wire.edge import logs
from palaver.wire.edge.limits import WILDCARDS
from palaver.wire.edge.protocols import EdgeConfig, EdgeTally, allow_files
from palaver.wire.edge.proxies import base_url
from palaver.wire.server.control import controlled, placed
from palaver.wire.server.note import noted
from palaver.wire.server.opening import opened

DRAIN_PART = 0.6
FORCE_SECONDS = 1.0
YOUNG_OBJECTS = 10_000
"""So many more objects than before are made between two looks of the garbage collector."""

log = structlog.stdlib.get_logger()


def serve(settings: Settings, ready: Callable[[str, str | None], None]) -> None:
    """Serves until the process is told to stop.

    `ready` is given the URL once connections are accepted, and the link that makes the owner, if there is none yet.

    Refused: `bind_refused`, `port_taken` and what the store refuses.
    """
    with (
        listening(settings) as (listener, url),
        placed(settings) as control,
        noted(settings.data_dir, url, control) as write_note,
    ):
        secret = SystemClock().secret()

        def told(ownerless: bool) -> None:  # noqa: FBT001  it is told by position to any worker's, too
            write_note()
            ready(url, setup_link(settings, url, secret) if ownerless else None)

        serve_on(settings, listener, url, secret, told, control=control)


def serve_on(
    settings: Settings,
    listener: socket.socket,
    url: str,
    setup: str,
    ready: Callable[[bool], None],
    *,
    control: Path | None = None,
) -> None:
    """Serves on a socket that listens already, and at the control socket, until the process is told to stop.

    `ready` is told whether `setup` is good as the token of the link that makes the owner, because there is none.
    """
    logs.configure(settings)
    allow_files(settings.connections_max)
    factory = None
    if sys.platform != "win32":
        import uvloop  # noqa: PLC0415  not there on Windows

        factory = uvloop.new_event_loop

    def told(ownerless: bool) -> None:  # noqa: FBT001  as above
        log.info("server.ready", url=url, pid=os.getpid())
        settle()
        ready(ownerless)

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_serve(settings, listener, control, setup, told))


async def _serve(
    settings: Settings,
    listener: socket.socket,
    control: Path | None,
    setup: str,
    ready: Callable[[bool], None],
) -> None:
    task = asyncio.current_task()
    assert task is not None
    async with AsyncExitStack() as ending:
        try:
            with _stopped_by_signals(task.cancel):
                core = await opened(ending, settings, listener)
        except asyncio.CancelledError:
            return  # told to stop before it began
        ownerless = await core.setup.begin(setup)
        await ending.enter_async_context(controlled(core, control))
        server = Server(core, settings)
        with _stopped_by_signals(server.stop):
            await server.run(listener, partial(ready, ownerless))
    log.info("server.stopped")


def settle() -> None:
    """Tells the garbage collector of this process that what was made until now stays.

    It would look through all of it whenever enough was made since, and everybody would wait for a tenth of a second.
    """
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
    gc.enable()


def setup_link(settings: Settings, url: str, token: str) -> str:
    """The link that makes the server's owner. The token is in the fragment, which no browser sends."""
    return f"{base_url(settings) if settings.public_url else f'{url}/'}setup#{token}"


class Server(uvicorn.Server):
    """uvicorn's server, stopped in our order."""

    def __init__(self, core: Core, settings: Settings) -> None:
        tally = EdgeTally()
        super().__init__(EdgeConfig(create_app(core, tally), settings, tally))
        self._core = core
        self._seconds = settings.stop_seconds
        self._ready: Callable[[], None] | None = None

    async def run(self, listener: socket.socket, ready: Callable[[], None]) -> None:  # type: ignore[override]
        """Serves on a socket until it is told to stop; calls `ready` once."""
        self._ready = ready
        await self._serve([listener])

    def stop(self) -> None:
        """Asks for a graceful stop; asked again, it waits for nobody."""
        self.force_exit = self.should_exit
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn."""
        await super().startup(sockets)
        if self._ready is not None:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn. It is the last of our steps."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._seconds
        for server in self.servers:
            server.close()
        await self._core.drain(self._seconds * DRAIN_PART)
        left = max(FORCE_SECONDS, end - loop.time() - FORCE_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(left):
                await super().shutdown(sockets)
        for task in set(self.server_state.tasks):
            task.cancel()
        for connection in set(self.server_state.connections):
            connection.transport.abort()
        if self.server_state.tasks:
            await asyncio.wait(set(self.server_state.tasks), timeout=FORCE_SECONDS)


@contextmanager
def listening(settings: Settings) -> Generator[tuple[socket.socket, str], None, None]:
    """The listening socket and the URL of the server. Refused: `bind_refused`, `port_taken`."""
    host, port = settings.host, settings.port
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as problem:
        raise Refused(
            Code.BIND_REFUSED, f"{host} is no address of this machine: {problem.strerror}."
        ) from None
    family, kind, protocol, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
    with socket.socket(family, kind, protocol) as listener:
        if sys.platform != "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(2048)
        except OSError as problem:
            raise Refused(
                Code.PORT_TAKEN,
                f"Port {port} of {host} cannot be used: {problem.strerror}. Is a server running there"
                " already? Another port: --port 8001, or --port 0 for any free one.",
            ) from None
        listener.setblocking(False)  # noqa: FBT003  the standard library's signature
        name = f"[{host}]" if ":" in host else host
        if host in WILDCARDS:
            name = "localhost"
        yield listener, f"http://{name}:{listener.getsockname()[1]}"


@contextmanager
def _stopped_by_signals(stop: Callable[[], object]) -> Generator[None, None, None]:
    """Signals call `stop`, where this is the main thread and the system has them."""
    loop = asyncio.get_running_loop()
    taken: list[signal.Signals] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(number, stop)
            taken.append(number)
    try:
        yield
    finally:
        for number in taken:
            loop.remove_signal_handler(number)
