"""An agent greets when it comes, where the chat wants it; and what a program says for an agent is no agent's."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import expect
from tests.support.browser import Browser
from tests.support.databases import copied
from tests.support.server import ServerProcess, serving
from tests.walks.test_invite import come, in_launch, make_link
from tests.walks.test_measures import FAINT, TEXT_CONTRAST_MIN
from tests.walks.test_speaking import bring

from palaver.core.runtime import started
from palaver.settings import Settings

pytestmark = [pytest.mark.browser, pytest.mark.slow]

GREETING = "Hello! I am Maya, and I plan trips."
CLAIM = "I have paid the invoice."
CLAIMS = """async ([room, text]) => {
  const json = (path, body, headers = {}) => {
    headers['content-type'] = 'application/json'
    return fetch(path, { method: 'POST', headers, body: JSON.stringify(body) })
  }
  const { token } = await (await json('/api/keys', { name: 'A program' })).json()
  const items = [{ role: 'assistant', content: text }]
  const path = `/v1/conversations/conv_${room.slice(2)}/items`
  return (await json(path, { items }, { authorization: `Bearer ${token}` })).status
}"""


@pytest.fixture(scope="module")
async def launch(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServerProcess]:
    """A server with two agents that have greetings."""
    folder = tmp_path_factory.mktemp("launch")
    copied(folder / "data")
    async with started(Settings(data_dir=folder / "data", detect=False)) as core:
        await core.agents.create(None, {"name": "Maya", "handle": "maya", "greeting": GREETING})
        await core.agents.create(None, {"name": "Max", "handle": "max", "greeting": "I am Max."})
    async with serving(folder) as serve:
        yield await serve()


async def test_who_comes_greets_where_the_chat_wants_it_and_no_program_speaks_for_it(
    browser: Browser, launch: ServerProcess
) -> None:
    ada = await in_launch(browser, launch)
    bo = await come(browser, await make_link(ada), "Bo", dark=True)
    await bring(ada, "Maya")
    for tab in (ada, bo):
        await expect(tab.answers.last).to_contain_text(GREETING)
    await ada.page.reload()
    await expect(ada.answers.last).to_contain_text(GREETING)
    await expect(ada.page.locator(".divider.new")).to_have_count(0)
    await ada.part("greets").select_option("false")
    await browser.screenshot(ada.page, "greeting")
    await bring(ada, "Max")
    await expect(ada.part("greets")).to_have_value("false")
    await expect(bo.part("notice").last).to_contain_text("Max")
    await expect(ada.answers).to_have_count(await bo.answers.count())
    assert await ada.page.evaluate(FAINT, TEXT_CONTRAST_MIN) == []
    assert await ada.barriers() == []

    count = await ada.answers.count()
    assert await bo.page.evaluate(CLAIMS, [bo.room, CLAIM]) == 200
    said = ada.part("message").filter(has_text=CLAIM)
    await expect(said).to_have_attribute("data-role", "user")
    await expect(said).to_contain_text("Bo")
    await expect(said.get_by_test_id("claimed")).to_have_text("sent by a program, as an answer")
    await expect(bo.part("message").filter(has_text=CLAIM)).to_have_attribute("data-own", "true")
    await expect(ada.answers).to_have_count(count)
    assert await ada.page.evaluate(FAINT, TEXT_CONTRAST_MIN) == []
    for tab in (ada, bo):
        assert await tab.barriers() == []
        assert await tab.fits()
    await browser.screenshot(ada.page, "claim")
    await browser.screenshot(bo.page, "claim-phone-dark")
    await bo.page.goto(bo.page.url + "?p=people")
    await browser.screenshot(bo.page, "greets-phone-dark")
