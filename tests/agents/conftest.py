from collections.abc import AsyncIterator

import pytest
from tests.support.upstream import ScriptedUpstream, scripted_upstream


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with scripted_upstream() as server:
        yield server


@pytest.fixture
async def second() -> AsyncIterator[ScriptedUpstream]:
    async with scripted_upstream() as server:
        yield server
