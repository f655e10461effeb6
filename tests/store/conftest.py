"""What the store's tests share: a world on each engine, and one on SQLite alone."""

from collections.abc import AsyncIterator, Iterator

import pytest
from structlog.testing import capture_logs
from tests.store.world import World, opened


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Prints no logs: structlog's default would draw every local variable of a traceback."""
    with capture_logs():
        yield


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with opened(database_url) as found:
        yield found


@pytest.fixture
async def sqlite_world(sqlite_url: str) -> AsyncIterator[World]:
    async with opened(sqlite_url) as found:
        yield found
