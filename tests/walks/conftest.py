"""What the walks share: a server and a browser per file, and the demand that no page ever complains."""

import re
from collections.abc import AsyncIterator, Iterator

import pytest
from playwright.async_api import expect
from tests.support.browser import Browser, Executable, running_browser
from tests.support.server import Serve, ServerProcess, serving
from tests.support.upstream import ScriptedUpstream

STEP_SECONDS_MAX = 60


@pytest.fixture(autouse=True, scope="session")
def patience() -> Iterator[None]:
    """What is expected may take its time on a loaded machine; it is seen as soon as it is there."""
    expect.set_options(timeout=STEP_SECONDS_MAX * 1000)
    yield
    expect.set_options(timeout=None)


@pytest.fixture(scope="module")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServerProcess]:
    """A server for the walks that kill none. Every walk is a new guest there, so only the Lobby is shared."""
    async with serving(tmp_path_factory.mktemp("town")) as serve:
        yield await serve()


@pytest.fixture(scope="module")
async def city(
    tmp_path_factory: pytest.TempPathFactory, models: ScriptedUpstream
) -> AsyncIterator[ServerProcess]:
    """A server whose answers come from `models`."""
    async with serving(tmp_path_factory.mktemp("city")) as serve:
        yield await serve(environment=answering(models))


def answering(model: ScriptedUpstream) -> dict[str, str]:
    """The settings of a server that asks it."""
    return {"OPENAI_BASE_URL": model.base_url, "PALAVER_MODEL": "scripted"}


@pytest.fixture(scope="module")
async def one_browser(
    chromium: Executable, request: pytest.FixtureRequest
) -> AsyncIterator[Browser]:
    async with running_browser(chromium, request.node.nodeid) as running:
        yield running


@pytest.fixture
async def browser(
    one_browser: Browser,
    serve: Serve,  # noqa: ARG001  its servers end after the pages, which would complain
    request: pytest.FixtureRequest,
) -> AsyncIterator[Browser]:
    """As the browser of every test, but started once. No page may have logged an error when the walk ends."""
    yield one_browser
    name = re.sub(r"[^A-Za-z0-9]+", "-", request.node.name)
    for number, page in enumerate(one_browser.pages):
        if not page.is_closed():
            await one_browser.screenshot(page, f"last/{name}-{number}")
    for context in {page.context for page in one_browser.pages}:
        await context.close()
    problems = [
        text
        for text in one_browser.problems
        if not any(expected.search(text) for expected in one_browser.forgiven)
    ]
    one_browser.forgiven.clear()
    one_browser.pages.clear()
    one_browser.problems.clear()
    assert problems == []
