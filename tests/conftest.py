"""What every test may ask for. Each fixture stands in tests/support with the thing it makes.

`sqlite_url`, `postgres_url` and `database_url` (both, one after the other) name a fresh database with
nothing in it, `empty_url` and the like one without tables; `serve` starts `palaver serve` processes and
`server` is one; `models` is a model server that does what a test wrote; `browser` opens pages in a real
Chromium. `effort` is how hard a seeded test shall try.
"""

import logging
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings
from sqlalchemy import Engine
from tests.support.browser import Browser, Executable, find_chromium, running_browser
from tests.support.databases import copied, copied_on
from tests.support.postgres import PostgresServer, running_postgres
from tests.support.server import Serve, ServerProcess, serving
from tests.support.upstream import ScriptedUpstream, scripted_upstream

from palaver.core.identity import passwords
from palaver.store.engine import sqlite

# What a test asks for says what it needs, so that `./test quick` leaves it out by itself.
NEEDS = {"postgres_server": "postgres", "chromium": "browser", "serve": "slow"}
ENGINES = ("sqlite", pytest.param("postgres", marks=pytest.mark.postgres))
TIMED_BY_THE_MACHINE = ("browser", "fault")
"""What waits for other programs. One that fails in CI is tried once more, and told of: a race to be found."""
LONGEST_FIRST = ("seeded", "package", "fault", "browser", "slow")


def tried() -> float:
    return float(os.environ.get("PALAVER_TEST_EFFORT", "1"))


def pytest_configure() -> None:
    """Hypothesis judges no machine by its speed, and tries other examples each time only in `torture`.

    A key of the developer's own machine is not used.
    """
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"):
        os.environ.pop(name, None)
    settings.register_profile(
        "palaver",
        deadline=None,
        derandomize=tried() <= 1,
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile("palaver")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what needs a server or a browser, and puts first the files that take longest: none is left for the end."""
    place: dict[Path, int] = {}
    for item in items:
        for fixture, mark in NEEDS.items():
            if fixture in getattr(item, "fixturenames", ()):
                item.add_marker(mark)
        if os.environ.get("CI") and any(map(item.get_closest_marker, TIMED_BY_THE_MACHINE)):
            item.add_marker(pytest.mark.flaky(reruns=1))
        marks = [at for at, mark in enumerate(LONGEST_FIRST) if item.get_closest_marker(mark)]
        place[item.path] = min([*marks, place.get(item.path, len(LONGEST_FIRST))])
    items.sort(key=lambda item: place[item.path])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says how a test failed that was tried again."""
    for report in terminalreporter.getreports("rerun"):
        terminalreporter.write_sep("_", f"tried again: {report.nodeid}")
        terminalreporter.write_line(report.longreprtext)
        for title, told in report.sections:
            terminalreporter.write_line(f"--- {title}\n{told}")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def effort() -> float:
    """By how much a seeded test multiplies its lives: little in `./test quick`, much in `torture`."""
    return tried()


@pytest.fixture(autouse=True, scope="session")
def hashing_in_its_turn() -> Iterator[None]:
    """Passwords are hashed by a thread like others: the last of all would wait for seconds while others test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "NICE", 0)
        yield


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A SQLite file that another program has locked is away at once, and not after half of `database_seconds`.

    So a test need not make that short, which a slow disk would fail.
    """
    opened = sqlite.writing_engine

    def impatiently(path: Path | None, *, wait_ms: int = 0) -> Engine:
        assert wait_ms > 0
        return opened(path)

    monkeypatch.setattr(sqlite, "writing_engine", impatiently)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{copied(tmp_path)}"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    name = copied_on(postgres_server)
    yield postgres_server.url(name)
    postgres_server.drop_database(name)


@pytest.fixture
def empty_sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'palaver.db'}"


@pytest.fixture
def empty_postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    name = postgres_server.create_database()
    yield postgres_server.url(name)
    postgres_server.drop_database(name)


@pytest.fixture(params=ENGINES)
def database_url(request: pytest.FixtureRequest) -> str:
    """A test that asks for this runs twice, once on each engine."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(params=ENGINES)
def empty_url(request: pytest.FixtureRequest) -> str:
    """The same for a test of how a database is made."""
    url: str = request.getfixturevalue(f"empty_{request.param}_url")
    return url


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Serve]:
    """`await serve(...)` starts a server process; those that still run at the end are killed."""
    async with serving(tmp_path) as start:
        yield start


@pytest.fixture(autouse=True)
def unchanged_logging() -> Iterator[None]:
    """Logging as it was before a test, which may have set it up in this process, as an embedded Palaver does.

    A logger that is cached keeps for good how it was set up when it first said something, so none is.
    """
    root, configure = logging.getLogger(), structlog.configure
    handlers, level = root.handlers[:], root.level

    def uncached(**given: Any) -> None:
        given["cache_logger_on_first_use"] = False
        configure(**given)

    structlog.configure = uncached
    yield
    structlog.configure = configure
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


@pytest.fixture
async def server(serve: Serve) -> ServerProcess:
    return await serve()


@pytest.fixture(scope="module")
async def models() -> AsyncIterator[ScriptedUpstream]:
    """A model server that says what a file's tests want, and waits where it is told to."""
    async with scripted_upstream() as upstream:
        yield upstream


@pytest.fixture(scope="session")
def chromium() -> Executable:
    return find_chromium()


@pytest.fixture
async def browser(chromium: Executable, request: pytest.FixtureRequest) -> AsyncIterator[Browser]:
    """`await browser.open(url)` opens a page; what it logs and how it looks are kept as artifacts."""
    async with running_browser(chromium, request.node.nodeid) as running:
        yield running
