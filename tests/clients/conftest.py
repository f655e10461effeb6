"""`relay`: a server process whose model server is `models`, which does what a test wrote; both serve a whole file."""

from collections.abc import AsyncIterator

import pytest
from tests.support.server import ServerProcess, serving
from tests.support.upstream import ScriptedUpstream, scripted_upstream


@pytest.fixture(scope="module")
async def models() -> AsyncIterator[ScriptedUpstream]:
    async with scripted_upstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
async def relay(
    tmp_path_factory: pytest.TempPathFactory, models: ScriptedUpstream
) -> AsyncIterator[ServerProcess]:
    async with serving(tmp_path_factory.mktemp("relay")) as serve:
        yield await serve(environment={"OPENAI_BASE_URL": models.base_url})
