"""Several server processes behind one port: a parent that listens, and workers that accept.

The parent opens nothing but the socket. A worker that dies is started again, after a second; after longer and longer
while those in its place die before they accept anything. Until all have accepted, a few such deaths in a row end the
server, and so does what a worker is refused. What a dead one had under way is taken over by the others. On SIGTERM or
SIGINT each worker stops gracefully, all at once. Needs PostgreSQL: a SQLite file has one process.
"""

import contextlib
import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import FrameType

import structlog
from msgspec import Struct

from palaver.clock import SystemClock
from palaver.errors import Code, PalaverError, Refused, Unavailable
from palaver.settings import Settings
from palaver.wire.edge import logs
from palaver.wire.server.note import noted
from palaver.wire.server.server import listening, serve_on, setup_link

AGAIN_SECONDS = 1.0
DOUBLINGS_MAX = 5
EARLY_DEATHS_MAX = 3
MERCY_SECONDS = 3.0

log = structlog.stdlib.get_logger()


def serve_with_workers(
    settings: Settings, count: int, ready: Callable[[str, str | None], None]
) -> None:
    """Serves with `count` processes until told to stop. `ready` as of `serve`, once all of them accept.

    Refused: `settings_invalid` (SQLite), `bind_refused`, `port_taken`, and what a worker is refused before that.
    Unavailable: `internal` when worker after worker dies before it accepts.
    """
    logs.configure(settings)
    if settings.url.startswith("sqlite"):
        raise Refused(
            Code.SETTINGS_INVALID,
            "Several workers need PostgreSQL: a SQLite file belongs to one process. Set DATABASE_URL, or leave"
            " --workers out.",
        )
    with listening(settings) as (listener, url), noted(settings.data_dir, url) as write_note:
        secret = SystemClock().secret()

        def told() -> None:
            write_note()
            log.info("server.ready", url=url, workers=count)
            ready(url, setup_link(settings, url, secret) if crew.ownerless else None)

        crew = _Crew(settings, listener, url, secret)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, crew.stop)
        try:
            crew.serve(count, told)
        finally:
            crew.end()
    log.info("server.stopped")


class _Worker(Struct, eq=False):
    """`said`: where it tells that it accepts, and whether there is no owner, or why it ends."""

    process: SpawnProcess
    said: "Connection[None, PalaverError | bool]"
    accepts: bool = False


class _Crew:
    """The workers, and what is to be done about them."""

    def __init__(self, settings: Settings, listener: socket.socket, url: str, setup: str) -> None:
        """`setup`: the token of the link that makes the owner, which is one for all workers."""
        self._context = multiprocessing.get_context("spawn")
        self._settings = settings
        self._listener = listener
        self._url = url
        self._setup = setup
        self.ownerless = False
        self._stopping = threading.Event()
        self._workers: list[_Worker] = []
        self._early = 0  # so many in a row died before they accepted
        self._complete = False

    def serve(self, count: int, ready: Callable[[], None]) -> None:
        """Starts the workers, the first before the others, and replaces those that die, until it is time to stop."""
        self._start()  # makes the tables where there are none
        while not self._stopping.is_set():
            for one in wait([worker.said for worker in self._workers], timeout=AGAIN_SECONDS):
                self._hear(next(worker for worker in self._workers if worker.said is one))
            if self._complete or not all(worker.accepts for worker in self._workers):
                continue
            if len(self._workers) == count:
                self._complete = True
                ready()
            while len(self._workers) < count:
                self._start()

    def stop(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        """Tells every worker to stop gracefully."""
        self._stopping.set()
        for worker in self._workers:
            worker.process.terminate()

    def end(self) -> None:
        """Waits until every worker has stopped."""
        if not self._stopping.is_set():  # told twice, they would wait for nobody
            self.stop()
        for worker in self._workers:
            worker.process.join(self._settings.stop_seconds + MERCY_SECONDS)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()

    def _start(self) -> None:
        said, tell = self._context.Pipe(duplex=False)
        work = (self._settings, self._listener, self._url, self._setup, tell)
        process = self._context.Process(target=_work, args=work)
        process.start()
        tell.close()  # so that its end is heard
        self._workers.append(_Worker(process, said))
        if self._stopping.is_set():
            process.terminate()

    def _hear(self, worker: _Worker) -> None:
        try:
            told = worker.said.recv()
        except EOFError:
            self._replace(worker)
            return
        if isinstance(told, bool):
            worker.accepts, self.ownerless = True, told
            self._early = 0
        elif self._complete:
            log.error("worker.refused", code=told.code, detail=told.detail)
        else:
            raise told

    def _replace(self, worker: _Worker) -> None:
        worker.process.join()
        self._workers.remove(worker)
        if self._stopping.is_set():
            return
        code = worker.process.exitcode
        log.warning("worker.died", pid=worker.process.pid, exitcode=code)
        self._early += not worker.accepts
        if self._early >= EARLY_DEATHS_MAX and not self._complete:
            raise Unavailable(
                Code.INTERNAL,
                f"{self._early} workers in a row died before they accepted connections, the last one with exit code"
                f" {code}. What they said before tells why.",
            )
        doublings = min(max(0, self._early - 1), DOUBLINGS_MAX)
        if not self._stopping.wait(AGAIN_SECONDS * 2**doublings):
            self._start()


def _work(
    settings: Settings,
    listener: socket.socket,
    url: str,
    setup: str,
    tell: "Connection[PalaverError | bool, None]",
) -> None:
    """One worker's life, which ends with its parent's."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker has a parent"

    def orphaned() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=orphaned, daemon=True).start()
    try:
        with contextlib.suppress(KeyboardInterrupt):
            serve_on(settings, listener, url, setup, tell.send)
    except PalaverError as failure:
        tell.send(failure)
        sys.exit(1)
