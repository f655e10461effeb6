"""People pin and star what was said, find it again, and have chats on top of their list."""

import re

import pytest
from playwright.async_api import Locator, expect
from tests.support.browser import Browser
from tests.support.server import ServerProcess
from tests.walks.tab import Tab, forgive
from tests.walks.test_invite import ANSWERED, come, in_launch, make_link
from tests.walks.test_measures import FAINT, TEXT_CONTRAST_MIN

pytestmark = [pytest.mark.browser, pytest.mark.slow]

STILL = """
Promise.all(document.getAnimations().filter(one => one.effect.getTiming().iterations === 1).map(one => one.finished))
"""


async def test_what_is_pinned_is_seen_by_all_and_what_is_starred_by_one(
    browser: Browser, town: ServerProcess
) -> None:
    ada = await in_launch(browser, town)
    bo = await come(browser, await make_link(ada), "Bo", dark=True)
    await ada.page.keyboard.press("Escape")
    await ada.say("The door code is 42.")
    await bo.say("Thank you! I will be there at nine.")
    await expect(ada.questions.last).to_contain_text("at nine")
    code = ada.questions.filter(has_text="door code")
    await marked(ada, code, "menu-pin")
    await marked(ada, ada.questions.last, "menu-star")
    pin = bo.questions.filter(has_text="door code").get_by_role("img", name="pinned")
    await expect(pin).to_be_visible()
    await expect(bo.page.get_by_role("img", name="starred")).to_have_count(0)
    await expect(ada.page.get_by_role("img", name="starred")).to_have_count(1)
    await looked_at(browser, ada, "marks")
    await looked_at(browser, bo, "marks-phone-dark")
    for tab, name in ((ada, "pins"), (bo, "pins-phone-dark")):
        await tab.part("room-menu").click()
        await tab.part("pins-open").click()
        await expect(tab.part("said")).to_have_count(1)
        await expect(tab.part("said")).to_contain_text("The door code is 42.")
        await looked_at(browser, tab, name)
    await bo.part("said").locator("a").tap()
    await expect(bo.page).to_have_url(re.compile(r"/r/[^/]+/\d+$"))
    await expect(bo.part("panel")).to_have_count(0)
    if await ada.part(
        "jump-newest"
    ).is_visible():  # as what stands beside the chat made room, or not
        await ada.part("jump-newest").click()
    await marked(ada, ada.questions.last, "menu-pin")
    await expect(ada.part("said")).to_have_count(2)
    await ada.part("mark-off").last.click()
    await expect(ada.part("said")).to_have_count(1)
    await expect(pin).to_have_count(0)
    await ada.page.keyboard.press("Escape")
    await ada.person("starred-open")
    await expect(ada.part("said")).to_contain_text("I will be there at nine.")
    await looked_at(browser, ada, "starred")
    await ada.part("said").locator("a").click()
    await expect(ada.questions.last).to_be_visible()
    await ada.person("starred-open")
    await ada.part("mark-off").click()
    await expect(ada.part("said")).to_have_count(0)
    forgive(browser, ANSWERED)


async def test_a_chat_is_pinned_on_top_of_the_list_on_each_device(
    browser: Browser, town: ServerProcess
) -> None:
    ada = await in_launch(browser, town)
    other = Tab(await ada.page.context.new_page())
    await other.page.goto(ada.page.url)
    await ada.new_chat("Groceries")
    await ada.choose(ada.room_item("Launch"), "room-pin")
    for tab in (ada, other):
        await expect(tab.part("room-list").locator("h2").first).to_have_text("Pinned")
        await expect(tab.part("room-item").first).to_contain_text("Launch")
    await looked_at(browser, ada, "sidebar-pinned")
    await other.choose(other.room_item("Launch"), "room-pin")
    await expect(ada.part("room-list").get_by_text("Pinned", exact=True)).to_have_count(0)


async def marked(tab: Tab, row: Locator, what: str) -> None:
    await row.hover()
    await row.get_by_test_id("message-more").click()
    await tab.part(what).click()


async def looked_at(browser: Browser, tab: Tab, name: str) -> None:
    await tab.page.evaluate(STILL)
    assert await tab.fits()
    assert await tab.page.evaluate(FAINT, TEXT_CONTRAST_MIN) == []
    assert await tab.barriers() == []
    await browser.screenshot(tab.page, name)
