from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr
from tests.providers.support import KEY, settings_with
from tests.support.anthropic import ScriptedAnthropic, scripted_anthropic

from palaver.clock import SystemClock
from palaver.providers.anthropic.client import Anthropic


@pytest.fixture
async def server() -> AsyncIterator[ScriptedAnthropic]:
    async with scripted_anthropic() as running:
        yield running


@pytest.fixture
async def provider(server: ScriptedAnthropic) -> AsyncIterator[Anthropic]:
    made = Anthropic(
        settings_with(model="claude-test"),
        SystemClock(),
        base_url=server.base_url,
        key=SecretStr(KEY),
        retry_seconds=0.001,
    )
    yield made
    await made.close()
