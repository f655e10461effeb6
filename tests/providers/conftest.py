from collections.abc import AsyncIterator

import pytest
from tests.providers.support import upstream_at
from tests.support.upstream import ScriptedUpstream, scripted_upstream

from palaver.providers.openai.client import Upstream


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    async with scripted_upstream() as server:
        yield server


@pytest.fixture
async def second() -> AsyncIterator[ScriptedUpstream]:
    async with scripted_upstream() as server:
        yield server


@pytest.fixture
async def provider(upstream: ScriptedUpstream) -> AsyncIterator[Upstream]:
    made = upstream_at(upstream.base_url)
    yield made
    await made.close()
