"""Deleting a message, or all that was said, and bringing it back: at once, and from what was recently deleted."""

import pytest
from playwright.async_api import ViewportSize, expect
from tests.support.browser import Browser
from tests.support.server import ServerProcess
from tests.walks.tab import Tab, arrive

pytestmark = [pytest.mark.browser, pytest.mark.slow]

NARROW = ViewportSize(width=390, height=844)


async def test_a_message_goes_and_comes_back_by_undo_in_its_place_and_from_the_shelf(
    browser: Browser, town: ServerProcess
) -> None:
    tab = await arrive(browser, town.url)
    await tab.new_chat("By train, please")
    await tab.answered()
    text, restore = tab.questions.get_by_test_id("message-text"), tab.part("message-restore")

    async def remove() -> None:
        await tab.questions.last.hover()
        await tab.questions.last.get_by_test_id("message-more").click()
        await tab.part("message-delete").click()
        await expect(restore).to_have_count(1)

    await remove()
    await browser.screenshot(tab.page, "deleted-message")
    assert await tab.barriers() == []
    await tab.part("toast-undo").click()
    await expect(text).to_have_text("By train, please")
    await remove()
    await restore.click()
    await expect(text).to_have_text("By train, please")
    await remove()
    await tab.person("deleted-open")
    await expect(tab.part("deleted-message")).to_contain_text("By train, please")
    await tab.page.set_viewport_size(NARROW)
    assert await tab.fits()
    assert await tab.barriers() == []
    await browser.screenshot(tab.page, "deleted-messages")
    await tab.part("bring-back").click()
    await expect(tab.part("deleted-message")).to_have_count(0)
    await tab.page.go_back()
    await expect(text).to_have_text("By train, please")


async def test_a_history_is_cleared_for_everyone_who_reads_along_and_comes_back(
    browser: Browser, town: ServerProcess
) -> None:
    tab = await arrive(browser, town.url, dark=True)
    await tab.new_chat("first")
    await tab.answered()
    other = Tab(await tab.page.context.new_page())
    await other.page.goto(tab.page.url)
    await expect(other.answers).to_have_count(1)
    await tab.part("room-menu").click()
    await tab.part("room-clear").click()
    for one in (tab, other):
        await expect(one.stored).to_have_count(0)
        await expect(one.part("notice")).to_have_text("You cleared the history")
    await browser.screenshot(tab.page, "cleared")
    assert await tab.barriers() == []
    await other.page.reload()
    await expect(other.part("notice")).to_have_text("You cleared the history")
    await expect(other.stored).to_have_count(0)
    await tab.part("toast-undo").click()
    for one in (tab, other):
        await expect(one.questions.get_by_test_id("message-text")).to_have_text("first")
        await expect(one.answers).to_have_count(1)
