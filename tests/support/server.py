"""A server as a user has one: a `palaver serve` process, found by the file that says it is ready.

Its output is kept; a test that fails shows it. It is never reached into: a test talks to it through
its doors, or kills it.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol, TextIO

from tests.support.databases import copied
from tests.support.postgres import children_of
from tests.support.warm import Warm, can_be_warm, started

START_SECONDS_MAX = 90.0
STOP_SECONDS_MAX = 60.0
LOOK_SECONDS = 0.01
PALAVER = (sys.executable, "-P", "-m", "palaver")


class Serve(Protocol):
    """Starts one more server. The same name is the same data directory again."""

    async def __call__(
        self,
        *,
        name: str = "data",
        database_url: str | None = None,
        environment: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
        program: Sequence[str] = PALAVER,
    ) -> "ServerProcess": ...


class ServerProcess:
    """One `palaver serve`, on a data directory of its own. `start` again after it has ended."""

    def __init__(
        self,
        data: Path,
        *,
        database_url: str | None = None,
        environment: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
        program: Sequence[str] = PALAVER,
        warm: bool = False,
    ) -> None:
        """`warm`: forked from a process that has imported everything, where that makes no difference to the test."""
        self.data = data
        self.log: deque[str] = deque(maxlen=5_000)
        self.url = ""
        self._command = [*program, "serve", *arguments]
        self._warm = warm and program == PALAVER and can_be_warm(environment or {})
        self._environment = clean_environment(environment or {})
        if database_url is not None:
            self._environment["DATABASE_URL"] = database_url
        self._process: subprocess.Popen[bytes] | Warm | None = None
        self._listener: threading.Thread | None = None

    @property
    def ws_url(self) -> str:
        return self.url.replace("http://", "ws://", 1)

    @property
    def pid(self) -> int:
        return self._running().pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return None if self._process is None else self._process.poll()

    async def start(self) -> None:
        """Start, and return when it is ready; fail with what it said when it is not."""
        self.launch()
        await self.ready()

    def launch(self) -> None:
        """Start, and do not wait."""
        assert not self.alive, "it runs already"
        if not self.data.exists() and "DATABASE_URL" not in self._environment:
            copied(self.data)
        self.data.mkdir(parents=True, exist_ok=True)
        (self.data / "server.json").unlink(missing_ok=True)
        # A port that was given to it before is asked for again, so that clients can reconnect.
        port = self.url.rpartition(":")[2] or "0"
        command = [*self._command, "--port", port]
        environment = {**self._environment, "PALAVER_DATA_DIR": str(self.data)}
        reads, writes = os.pipe()
        if self._warm:
            words = command[len(PALAVER) :]
            self._process = started(
                words, folder=self.data, environment=environment, out=writes, err=writes
            )
        else:
            self._process = subprocess.Popen(
                command,
                cwd=self.data,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=writes,
                stderr=writes,
                start_new_session=True,
            )
        os.close(writes)
        said = os.fdopen(reads, errors="replace")
        self._listener = threading.Thread(target=self._listen, args=(said,), daemon=True)
        self._listener.start()

    async def ready(self) -> None:
        """Wait for the file that the server writes when it accepts connections."""
        process, note = self._running(), self.data / "server.json"
        try:
            async with asyncio.timeout(START_SECONDS_MAX):
                while True:
                    said = read_note(note)
                    if said is not None and said["pid"] == process.pid:
                        self.url = str(said["url"]).rstrip("/")
                        return
                    assert process.poll() is None, f"the server ended at once:\n{self.tail()}"
                    await asyncio.sleep(LOOK_SECONDS)  # a file of another process is looked for
        except TimeoutError:
            raise AssertionError(f"the server was not ready in time:\n{self.tail()}") from None

    async def kill(self) -> None:
        """End it as a power cut would, but for what the disk has."""
        self._running().send_signal(signal.SIGKILL)
        await self.ended()

    async def term(self) -> int:
        """Ask it to stop, and return its exit code."""
        self._running().send_signal(signal.SIGTERM)
        return await self.ended()

    async def ended(self) -> int:
        """Wait until it has ended by itself, and return its exit code."""
        process, listener = self._process, self._listener
        assert process is not None, "it was never started"
        assert listener is not None
        try:
            code = await asyncio.to_thread(process.wait, STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the server did not end in time:\n{self.tail()}") from None
        await asyncio.to_thread(listener.join, STOP_SECONDS_MAX)
        return code

    async def restart(self) -> None:
        """Stop it if it runs, and start it on the same data and port."""
        if self.alive:
            await self.term()
        await self.start()

    def pause(self) -> None:
        """Freeze it: its connections stay open, and nothing answers."""
        self._running().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._running().send_signal(signal.SIGCONT)

    def tail(self) -> str:
        """What it said last."""
        return "".join(self.log)

    def _running(self) -> "subprocess.Popen[bytes] | Warm":
        assert self._process is not None, "it was never started"
        assert self.alive, f"the server has ended:\n{self.tail()}"
        return self._process

    def _listen(self, said: TextIO) -> None:
        with said as lines:
            self.log.extend(lines)


@asynccontextmanager
async def serving(folder: Path) -> AsyncGenerator[Serve]:
    """Give what starts servers below a folder; show what they said, and end them, at the end."""
    servers: list[ServerProcess] = []

    async def serve(
        *,
        name: str = "data",
        database_url: str | None = None,
        environment: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
        program: Sequence[str] = PALAVER,
    ) -> ServerProcess:
        server = ServerProcess(
            folder / name,
            database_url=database_url,
            environment=environment,
            arguments=arguments,
            program=program,
            warm=True,
        )
        servers.append(server)
        await server.start()
        return server

    try:
        yield serve
    finally:
        for server in servers:
            await put_away(server)


@asynccontextmanager
async def launched(
    folder: Path, database_url: str, *arguments: str, **environment: str
) -> AsyncGenerator[ServerProcess]:
    """A server that may never be ready, at an address that is known before."""
    server = ServerProcess(
        folder, database_url=database_url, environment=environment, arguments=arguments
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        server.url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    server.launch()
    try:
        yield server
    finally:
        await put_away(server)


async def put_away(server: ServerProcess) -> None:
    """End it, and have what it said shown with a test that fails, and only then."""
    if server.alive:
        server.resume()
        await server.kill()
    sys.stdout.write(f"--- {server.data.name} said:\n{server.tail()}")


def workers_of(server: ServerProcess) -> list[int]:
    """The pids of a server's worker processes."""
    return sorted(pid for pid in children_of(server.pid) if "spawn_main" in command_of(pid))


def command_of(pid: int) -> str:
    """The command of a process; nothing, when it has ended meanwhile."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def clean_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which no setting of the developer's own machine is left."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PALAVER_", "OPENAI_", "ANTHROPIC_", "PYTEST_"))
        and name != "DATABASE_URL"
    }
    # No other program of this machine may answer in place of the one that the test means.
    return {**kept, "PALAVER_DETECT": "0", "PYTHONUNBUFFERED": "1", **extra}


def read_note(note: Path) -> dict[str, object] | None:
    """Return what server.json says, None while it is not (wholly) there."""
    try:
        return json.loads(note.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
