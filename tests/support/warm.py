"""Processes of `palaver` that begin warm: forked from one that has imported everything and run nothing.

Most of the time that a command or a server takes to start goes to imports, and the tests start hundreds. A forked
process has its own memory, environment, folder, streams and session, and is killed, paused and waited for like any
other; only its interpreter was not begun anew. What changes how an interpreter begins (`PYTHON…`, `LD_PRELOAD`) still
needs one of its own: see `can_be_warm`.

This file is both sides: `started` asks, and as a program it is what is asked, over the socket that is its input.
"""

import atexit
import contextlib
import gc
import json
import os
import queue
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

USED = (
    *("asyncpg", "alembic.command", "uvicorn", "uvloop", "fastapi", "rich.table", "nacl.pwhash"),
    *("palaver.wire.server.server", "palaver.wire.server.workers", "palaver.cli.main"),
    *("palaver.providers.openai.client", "palaver.providers.anthropic.client"),
)
REPLY_BYTES_MAX, ASKED_BYTES_MAX, START_SECONDS_MAX = 4_096, 1 << 20, 120.0
OURS = ("PALAVER_", "OPENAI_", "ANTHROPIC_")


def can_be_warm(environment: Mapping[str, str]) -> bool:
    """Whether these variables, beside those of the tests, say nothing to the interpreter itself."""
    return all(
        name.startswith(OURS) or name in {"DATABASE_URL", "COLUMNS", "NO_COLOR"}
        for name in environment
    )


class Warm:
    """A process as `subprocess.Popen` has them, so far as the tests use one."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._ended = threading.Event()

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float) -> int:
        if not self._ended.wait(timeout) or self.returncode is None:
            raise subprocess.TimeoutExpired("palaver", timeout)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def end(self, code: int) -> None:
        self.returncode = code
        self._ended.set()


class _Forking:
    """The process that forks, as those see it who ask. One for each process of the tests."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-P", __file__], stdin=theirs.fileno(), start_new_session=True
            )
        self._begun: queue.SimpleQueue[Warm] = queue.SimpleQueue()
        self._one_at_a_time = threading.Lock()
        threading.Thread(target=self._listen, daemon=True).start()
        atexit.register(process.kill)

    def start(self, said: bytes, streams: Sequence[int]) -> Warm:
        with self._one_at_a_time:
            socket.send_fds(self._socket, [said], streams)
            return self._begun.get(timeout=START_SECONDS_MAX)

    def _listen(self) -> None:
        """Hears who has begun, and who has ended and how."""
        living: dict[int, Warm] = {}
        while said := self._socket.recv(REPLY_BYTES_MAX):
            pid, code = json.loads(said)
            if code is None:
                living[pid] = Warm(pid)
                self._begun.put(living[pid])
            else:
                living.pop(pid).end(code)


@cache
def _forking() -> _Forking:
    return _Forking()


def started(
    arguments: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    out: int,
    err: int,
) -> Warm:
    """A `palaver` with these arguments and this whole environment, whose output goes to these descriptors."""
    said = json.dumps([list(arguments), str(folder), dict(environment)]).encode()
    with Path(os.devnull).open() as nothing:
        return _forking().start(said, [nothing.fileno(), out, err])


def _become(said: bytes, streams: Sequence[int]) -> None:
    """Makes this process, just forked, one as it would have been begun."""
    arguments, folder, environment = json.loads(said)
    for place, stream in enumerate(streams):
        os.dup2(stream, place)
        os.close(stream)
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["palaver", *arguments]


def _reap(control: socket.socket) -> None:
    """Tells of everyone who has ended."""
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            _tell(control, ended[0], os.waitstatus_to_exitcode(ended[1]))


def _tell(control: socket.socket, pid: int, code: int | None) -> None:
    control.send(json.dumps([pid, code]).encode())


def _fork() -> None:
    """Forks for as long as somebody may ask; returns in each process that was forked."""
    control = socket.socket(fileno=os.dup(0))
    woken, wakes = socket.socketpair()
    wakes.setblocking(False)  # noqa: FBT003  as a signal wants it
    signal.set_wakeup_fd(wakes.fileno())
    signal.signal(signal.SIGCHLD, _hear)
    gc.freeze()
    while True:
        ready, _, _ = select.select([control, woken], [], [])
        if woken in ready:
            woken.recv(REPLY_BYTES_MAX)
            _reap(control)
        if control not in ready:
            continue
        said, streams, _, _ = socket.recv_fds(control, ASKED_BYTES_MAX, 3)
        if not said:
            sys.exit()
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _become(said, streams)
            for one in (control, woken, wakes):
                one.close()
            return
        for stream in streams:
            os.close(stream)
        _tell(control, pid, None)


def _hear(*_: object) -> None:
    """What wakes the above is the signal itself."""


if __name__ == "__main__":
    for name in USED:
        __import__(name)
    _fork()
    runpy.run_module("palaver", run_name="__main__", alter_sys=True)
