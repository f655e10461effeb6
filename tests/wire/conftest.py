"""`door`: a running server with the usual settings, shared by the tests of a file, each with guests of its own.

A test that needs other settings, or ends its server, opens one with `open_door`.
"""

from collections.abc import AsyncIterator

import pytest
from tests.wire.door import Door, open_door


@pytest.fixture(scope="module")
async def door(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Door]:
    async with open_door(tmp_path_factory.mktemp("door") / "data") as opened:
        yield opened
