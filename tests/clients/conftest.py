"""What the clients need.

`javascript` and `python` are the clients in those languages and `codex` is that program, installed once; where they
cannot be had, what asks for them is skipped and says why. `relay` is a server process whose model server is `models`,
which does what a test wrote; `real` is one over
llama.cpp's server. They serve a whole file.
"""

from collections.abc import AsyncIterator

import pytest
from tests.support import clients
from tests.support.clients import Installed, Missing
from tests.support.llama import running_llama
from tests.support.server import ServerProcess, serving
from tests.support.upstream import ScriptedUpstream


@pytest.fixture(scope="session")
def javascript() -> Installed:
    try:
        return clients.javascript()
    except Missing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def codex() -> Installed:
    try:
        return clients.codex()
    except Missing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def python() -> Installed:
    try:
        return clients.python()
    except Missing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
async def relay(
    tmp_path_factory: pytest.TempPathFactory, models: ScriptedUpstream
) -> AsyncIterator[ServerProcess]:
    async with serving(tmp_path_factory.mktemp("relay")) as serve:
        yield await serve(environment={"OPENAI_BASE_URL": models.base_url})


@pytest.fixture(scope="module")
async def real(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServerProcess]:
    folder = tmp_path_factory.mktemp("real")
    with running_llama(folder) as llama:
        async with serving(folder) as serve:
            yield await serve(environment={"OPENAI_BASE_URL": llama.base_url})
