"""PgBouncer in transaction mode, for the tests: the one of this machine, else a package's, unpacked below build/.

The package is Debian's, had by `apt-get download` and unpacked with `dpkg -x`, which needs no root and installs
nothing. Where neither can be had, `find_pgbouncer` says why, and the tests skip. Few connections serve everyone, so
that whatever a client leaves behind on one is found by another.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.postgres import PostgresServer, unprivileged_user

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / "build" / "pgbouncer"
PACKAGES = ("pgbouncer", "libc-ares2", "libevent-2.1-7")
CONNECTIONS = 3
START_SECONDS_MAX = 60
READY = "process up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """How to run it."""

    path: Path
    environment: Mapping[str, str]


def find_pgbouncer() -> Program | str:
    """Return the program, or the reason why there is none."""
    found = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is not None:
        return Program(path=Path(found), environment={})
    if not (CACHE / "usr").is_dir() and not _unpacked():
        return "there is no pgbouncer on this machine, and no Debian package of it can be had"
    libraries = ":".join(str(path) for path in (CACHE / "usr" / "lib").glob("*-linux-gnu*"))
    program = Program(
        path=CACHE / "usr" / "sbin" / "pgbouncer", environment={"LD_LIBRARY_PATH": libraries}
    )
    tried = _run([str(program.path), "--version"], CACHE, {**os.environ, **program.environment})
    return program if tried is not None else "the unpacked pgbouncer does not run on this machine"


class Pooler:
    """A PgBouncer before a PostgreSQL server. `url` is a database's address through it."""

    def __init__(self, folder: Path, program: Program, server: PostgresServer) -> None:
        self.log = ""
        self._folder = folder
        self._user, self._group = unprivileged_user()
        self._process: subprocess.Popen[str] | None = None
        # that user may not be allowed to look into the checkout
        self._path = Path(shutil.copy(program.path, folder / "pgbouncer"))
        self._environment = dict(program.environment)
        for name, value in program.environment.items():
            libraries = folder / "lib"
            for place in value.split(":"):
                shutil.copytree(place, libraries, symlinks=True, dirs_exist_ok=True)
            self._environment[name] = str(libraries)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "any",
            "pool_mode": "transaction",
            "default_pool_size": CONNECTIONS,
            "server_login_retry": 1,
        }
        (folder / "pgbouncer.ini").write_text(
            f"[databases]\n* = host=127.0.0.1 port={server.port} user=palaver\n[pgbouncer]\n"
            + "".join(f"{name} = {value}\n" for name, value in settings.items()),
            encoding="utf-8",
        )

    def url(self, direct: str) -> str:
        name = direct.rpartition("/")[2]
        address = f"postgresql://palaver@127.0.0.1:{self.port}/{name}"
        return f"{address}?prepared_statement_cache_size=0"

    def start(self) -> None:
        process = subprocess.Popen(
            [self._path, self._folder / "pgbouncer.ini"],
            cwd=self._folder,
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
        assert told.wait(START_SECONDS_MAX), f"PgBouncer did not start in time:\n{self.log}"
        assert process.poll() is None, f"PgBouncer ended at once:\n{self.log}"
        self._process = process

    def kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGKILL)
            process.wait(START_SECONDS_MAX)

    def _listen(self, process: "subprocess.Popen[str]", told: threading.Event) -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                self.log += line
                if READY in line:
                    told.set()
        process.wait()
        told.set()


@contextmanager
def running_pooler(program: Program, server: PostgresServer) -> Generator[Pooler]:
    """Give a started PgBouncer, and leave nothing of it behind."""
    folder = Path(tempfile.mkdtemp(prefix="palaver-pooler-"))
    try:
        folder.chmod(0o755)
        pooler = Pooler(folder, program, server)
        pooler.start()
        try:
            yield pooler
        finally:
            pooler.kill()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unpacked() -> bool:
    """Whether the packages could be had and unpacked."""
    CACHE.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE.parent) as temporary:
        folder = Path(temporary)
        if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
            return False
        for package in PACKAGES:  # those that the machine has already are no harm
            if _run(["apt-get", "--quiet", "download", package], folder, os.environ) is None:
                return False
        for file in folder.glob("*.deb"):
            if _run(["dpkg", "-x", file.name, "root"], folder, os.environ) is None:
                return False
        try:
            (folder / "root").rename(CACHE)
        except OSError:  # another worker was first
            return (CACHE / "usr").is_dir()
    return True


def _run(command: list[str], folder: Path, environment: Mapping[str, str]) -> str | None:
    """Return what a program printed, None when it failed."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
