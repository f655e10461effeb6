"""Somebody brings an agent of their own into a chat with others, who hear that it is not for them, and shares it."""

import re

import pytest
from playwright.async_api import expect
from tests.support.browser import Browser
from tests.support.server import Serve, ServerProcess
from tests.support.upstream import ScriptedUpstream
from tests.walks.conftest import answering
from tests.walks.tab import Tab, forgive
from tests.walks.test_agents import looked_at
from tests.walks.test_invite import ANSWERED, come, make_link
from tests.walks.test_measures import WIDE
from tests.walks.test_sign import PASSWORD, enter
from tests.walks.test_speaking import bring

pytestmark = [pytest.mark.browser, pytest.mark.slow]
NOT_FOR_BO = "Maya answers only those it is shared with."


async def test_ones_own_agent_is_shared_where_one_brings_it_to_others(
    browser: Browser, serve: Serve, models: ScriptedUpstream
) -> None:
    server = await serve(environment={"PALAVER_SIGN_UP": "open", **answering(models)})
    ada = await with_an_agent(browser, server)
    link = await make_link(ada)
    await bring(ada, "Maya")
    await expect(ada.part("agent-share")).to_have_count(0)
    bo = await come(browser, link, "Bo", dark=True)
    await expect(ada.part("agent-share")).to_contain_text("Only you can ask Maya.")
    for _ in range(2):  # once more where it stands by then
        await ada.part("agent-share").scroll_into_view_if_needed()
        await looked_at(browser, ada, "agent-share")
    await ada.composer.fill("@maya, hello")
    await expect(ada.part("answer-line")).to_have_text("Maya will answer")
    await not_for(browser, bo)

    await ada.part("panel-close").click()
    yours = "Maya was not asked: it is yours, and not shared with everyone here."
    await expect(ada.part("notice").filter(has_text=yours).last).to_be_visible()
    await expect(bo.part("notice-share")).to_have_count(0)
    await looked_at(browser, ada, "notice-share")
    await ada.part("notice-share").last.click()
    await ada.part("share-these").click()
    await expect(ada.part("toast").last).to_contain_text("These people can ask Maya now.")
    await expect(ada.part("agent-share")).to_have_count(0)
    await expect(bo.part("answer-line")).to_have_text("Maya will answer")

    cy = await come(browser, link, "Cy")
    await expect(ada.part("agent-share")).to_contain_text("Not everybody here can ask Maya.")
    await cy.page.goto(cy.page.url + "?p=people")
    await expect(cy.part("not-for-me")).to_have_text("answers only those it is shared with")
    assert await cy.barriers() == []
    await browser.screenshot(cy.page, "agent-not-for-me-phone")
    await ada.part("share-everyone").click()
    await expect(ada.part("toast").last).to_contain_text("Everyone can ask Maya now.")
    await expect(cy.part("not-for-me")).to_have_count(0)
    assert await ada.barriers() == []
    forgive(browser, ANSWERED)


async def with_an_agent(browser: Browser, server: ServerProcess) -> Tab:
    """Somebody with an account and an agent of their own, in a chat."""
    ada = Tab(await browser.open(f"{server.url}/sign-up"))
    await ada.page.set_viewport_size(WIDE)
    await enter(ada, "ada", PASSWORD)
    await expect(ada.part("person")).to_contain_text("@ada")
    await ada.page.goto(f"{server.url}/agents/new")
    await ada.part("agent-name").fill("Maya")
    await ada.part("agent-handle").fill("maya")
    await ada.part("agent-save").click()
    await expect(ada.page).to_have_url(re.compile("/agents/a_[0-9a-f]{32}$"))
    await ada.page.goto(server.url)
    await ada.new_chat("Launch")
    await ada.answered()
    return ada


async def not_for(browser: Browser, bo: Tab) -> None:
    """Whom it is not for is told so before they write, and after."""
    await bo.composer.fill("@maya, hello")
    await expect(bo.part("answer-line")).to_have_text(NOT_FOR_BO)
    assert await bo.fits()
    await browser.screenshot(bo.page, "answer-line-not-for-me-phone-dark")
    await bo.composer.fill("@assistant and @maya, hello")
    await expect(bo.part("answer-line")).to_have_text("Assistant will answer, but not Maya")
    await bo.composer.fill("well")
    await expect(bo.part("answer-line")).to_contain_text("Nobody will answer.")
    await expect(bo.part("add-mention")).to_have_text("Add @assistant")
    await bo.say("@maya, hello")
    await expect(bo.part("notice").last).to_contain_text("Maya was not asked: it is not shared")

    await bo.composer.fill("@maya, hello")
    await expect(bo.part("answer-line")).to_have_text(NOT_FOR_BO)
