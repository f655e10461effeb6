"""Two people who know nothing of each other meet in the Lobby."""

import re

import pytest
from playwright.async_api import expect
from tests.support.browser import Browser
from tests.support.server import ServerProcess
from tests.walks.tab import MISSING, arrive, forgive

pytestmark = [pytest.mark.browser, pytest.mark.slow]


async def test_people_in_the_lobby_see_each_other_live_and_what_is_unread(
    browser: Browser, town: ServerProcess
) -> None:
    ada = await arrive(browser, town.url)
    bo = await arrive(browser, town.url)
    await ada.settings("profile")
    await ada.part("name-input").fill("Ada")
    await ada.part("name-input").press("Enter")
    await expect(ada.part("toast")).to_be_visible()
    await ada.page.keyboard.press("Escape")
    await expect(ada.part("person")).to_contain_text("Ada")
    await ada.room_item("Lobby").click()
    await expect(ada.part("room-title")).to_have_text("Lobby")

    await ada.composer.press_sequentially("Is anybody here?")
    await expect(ada.part("answer-line")).to_contain_text("Nobody will answer.")
    await ada.part("add-mention").click()
    await expect(ada.part("answer-line")).to_have_text(re.compile("Assistant will answer"))
    await ada.composer.press("Enter")
    await expect(ada.questions).to_have_count(1)
    await ada.answered(1)
    await expect(bo.room_item("Lobby").get_by_test_id("unread")).to_have_text("2")
    await expect(bo.page).to_have_title("(2) Palaver")
    await browser.screenshot(bo.page, "unread")
    await bo.room_item("Lobby").click()
    await expect(bo.stored).to_have_count(2)
    await expect(bo.stored.first).to_contain_text("Ada")
    await expect(bo.room_item("Lobby").get_by_test_id("unread")).to_have_count(0)

    await bo.composer.press_sequentially("Me")
    await expect(ada.part("typing")).to_contain_text("is typing")
    await bo.say("@assistant /long 5000")
    await expect(ada.stream.get_by_test_id("message-text")).to_contain_text("w005")
    await bo.part("stop").click()
    for tab in (ada, bo):
        await expect(tab.questions).to_have_count(2)
        await tab.answered(2, status="stopped")
    assert await ada.log() == await bo.log()
    own = '[data-testid="message"][data-own="true"]'
    assert await ada.page.locator(own).count() == await bo.page.locator(own).count() == 1
    await browser.screenshot(ada.page, "lobby")


async def test_what_is_private_is_nobody_elses(browser: Browser, town: ServerProcess) -> None:
    ada = await arrive(browser, town.url)
    await ada.new_chat("my secret plan")
    await ada.answered()
    bo = await arrive(browser, town.url)
    await expect(bo.room_item("my secret plan")).to_have_count(0)
    await bo.page.goto(ada.page.url)
    await expect(bo.part("room-problem")).to_be_visible()
    await expect(bo.part("room-title")).to_have_text("Palaver")
    await expect(bo.part("message")).to_have_count(0)
    assert "secret" not in await bo.page.content()
    forgive(browser, MISSING)
