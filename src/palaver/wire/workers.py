"""Several server processes behind one port: a parent that listens, and workers that accept.

The parent opens nothing but the socket. A worker that dies is started again, at most once a second each; what it had
under way is taken over by the others. On SIGTERM or SIGINT each worker stops gracefully, all at once. Needs
PostgreSQL: a SQLite file has one process.
"""

import contextlib
import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from multiprocessing.synchronize import Semaphore
from types import FrameType

import structlog

from palaver.errors import Code, Refused
from palaver.settings import Settings
from palaver.wire import logs
from palaver.wire.server import listening, noted, serve_on

AGAIN_SECONDS = 1.0
MERCY_SECONDS = 3.0

log = structlog.stdlib.get_logger()


def serve_with_workers(settings: Settings, count: int, ready: Callable[[str], None]) -> None:
    """Serves with `count` processes until told to stop. `ready` is given the URL once all of them accept.

    Refused: `settings_invalid` (SQLite), `bind_refused`, `port_taken`.
    """
    logs.configure(settings)
    if settings.url.startswith("sqlite"):
        raise Refused(
            Code.SETTINGS_INVALID,
            "Several workers need PostgreSQL: a SQLite file belongs to one process. Set DATABASE_URL, or leave"
            " --workers out.",
        )
    with listening(settings) as (listener, url), noted(settings.data_dir, url) as write_note:
        crew = _Crew(settings, listener, url)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, crew.stop)
        crew.start(1)  # which makes the tables where there are none
        if crew.all_ready(1):
            crew.start(count - 1)
        if crew.all_ready(count - 1):
            write_note()
            log.info("server.ready", url=url, workers=count)
            ready(url)
        crew.watch()
    log.info("server.stopped")


class _Crew:
    """The workers, and what is to be done about them."""

    def __init__(self, settings: Settings, listener: socket.socket, url: str) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._settings = settings
        self._listener = listener
        self._url = url
        self._ready = self._context.Semaphore(0)
        self._stopping = threading.Event()
        self._workers: list[SpawnProcess] = []

    def start(self, count: int) -> None:
        """Starts so many workers."""
        self._workers += [self._hired() for _ in range(count)]

    def all_ready(self, count: int) -> bool:
        """Waits until so many accept connections; False when one gave up or it is time to stop."""
        while count and not self._stopping.is_set():
            if self._ready.acquire(timeout=0.1):
                count -= 1
            elif any(worker.exitcode not in {None, 0} for worker in self._workers):
                self.stop()
        return not self._stopping.is_set()

    def stop(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        """Tells every worker to stop gracefully."""
        self._stopping.set()
        for worker in self._workers:
            if worker.is_alive():
                worker.terminate()

    def watch(self) -> None:
        """Replaces workers that die, until it is time to stop; then waits for them."""
        while not self._stopping.is_set():
            wait([worker.sentinel for worker in self._workers], timeout=AGAIN_SECONDS)
            for place, worker in enumerate(self._workers):
                if worker.exitcode is not None and not self._stopping.wait(AGAIN_SECONDS):
                    log.warning("worker.died", pid=worker.pid, exitcode=worker.exitcode)
                    self._workers[place] = self._hired()
        for worker in self._workers:
            worker.join(self._settings.stop_seconds + MERCY_SECONDS)
            if worker.is_alive():
                worker.kill()
                worker.join()

    def _hired(self) -> SpawnProcess:
        worker = self._context.Process(
            target=_work, args=(self._settings, self._listener, self._url, self._ready)
        )
        worker.start()
        return worker


def _work(settings: Settings, listener: socket.socket, url: str, ready: Semaphore) -> None:
    """One worker's life, which ends with its parent's."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker has a parent"

    def orphaned() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=orphaned, daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt):
        serve_on(settings, listener, url, ready.release)
