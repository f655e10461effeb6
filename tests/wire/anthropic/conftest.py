"""`relay`: a running server whose model server is `models`, which does what a test wrote; both serve a whole file."""

from collections.abc import AsyncIterator

import pytest
from tests.support.upstream import ScriptedUpstream
from tests.wire.door import Door, open_door


@pytest.fixture(scope="module")
async def relay(
    tmp_path_factory: pytest.TempPathFactory, models: ScriptedUpstream
) -> AsyncIterator[Door]:
    folder = tmp_path_factory.mktemp("relay") / "data"
    async with open_door(folder, openai_base_url=models.base_url, openai_api_key="sk-up") as opened:
        yield opened
