"""Editing one's words: in their place, kept while one writes, told to who edits as well, and asked about again."""

import re

import pytest
from playwright.async_api import ViewportSize, expect
from tests.support.browser import Browser
from tests.support.server import ServerProcess
from tests.walks.tab import Tab, arrive, forgive

pytestmark = [pytest.mark.browser, pytest.mark.slow]

WIDE = ViewportSize(width=1440, height=900)
NARROW = ViewportSize(width=390, height=844)


async def said(tab: Tab, text: str) -> None:
    await expect(tab.questions.last.get_by_test_id("message-text")).to_have_text(text)


async def test_words_are_edited_in_their_place_and_their_history_is_seen(
    browser: Browser, town: ServerProcess
) -> None:
    tab = await arrive(browser, town.url)
    await tab.page.set_viewport_size(WIDE)
    await tab.new_chat("Take the train to Lisbon")
    await tab.answered()
    await tab.composer.press("ArrowUp")
    field = tab.part("edit-text")
    await expect(field).to_be_focused()
    await expect(field).to_have_value("Take the train to Lisbon")
    await expect(tab.part("edit-again")).to_be_visible()
    assert await tab.barriers() == []
    await browser.screenshot(tab.page, "edit")
    await field.press("Escape")
    await expect(field).to_have_count(0)
    await said(tab, "Take the train to Lisbon")

    await tab.questions.last.hover()
    await tab.part("edit-open").click()
    await field.fill("Take the night train to Porto")
    await field.press("Enter")
    await said(tab, "Take the night train to Porto")
    await tab.answered()
    await tab.part("edited").click()
    version = tab.part("history-version")
    await expect(version).to_have_count(2)
    await expect(version.first.locator("ins")).to_have_text(["night ", "Porto"])
    await expect(version.first.locator("del")).to_have_text("Lisbon")
    await expect(version.last).to_contain_text("Take the train to Lisbon")
    assert await tab.barriers() == []
    await browser.screenshot(tab.page, "edit-history")
    await tab.page.keyboard.press("Escape")
    await expect(version).to_have_count(0)


async def test_what_is_asked_again_with_other_words_stands_beside_what_there_was(
    browser: Browser, town: ServerProcess
) -> None:
    tab = await arrive(browser, town.url)
    await tab.new_chat("Say one")
    await tab.answered()
    await tab.page.set_viewport_size(NARROW)
    first = await tab.answers.last.get_attribute("data-seq")
    await tab.composer.press("ArrowUp")
    await tab.part("edit-text").fill("Say two")
    assert await tab.fits()
    await browser.screenshot(tab.page, "edit-narrow")
    await tab.part("edit-text").press("Control+Enter")
    await said(tab, "Say two")
    await expect(tab.page.locator(f'[data-role="assistant"][data-seq="{first}"]')).to_have_count(0)
    await tab.answered()
    await expect(tab.answers.last.get_by_test_id("message-text")).to_contain_text("Say two")
    await tab.questions.last.get_by_test_id("message-text").click()
    await tab.part(
        "version-previous"
    ).click()  # what one can do with the message does not lie over it
    await said(tab, "Say one")
    await expect(tab.page.locator(f'[data-role="assistant"][data-seq="{first}"]')).to_have_count(1)
    assert await tab.fits()


async def test_of_two_who_edit_at_once_the_second_sees_it_and_decides(
    browser: Browser, town: ServerProcess
) -> None:
    forgive(browser, re.compile(r"status of 409"))
    tab = await arrive(browser, town.url, dark=True)
    await tab.page.set_viewport_size(WIDE)
    await tab.new_chat("first")
    await tab.answered()
    other = Tab(await tab.page.context.new_page())
    await other.page.goto(tab.page.url)
    await expect(other.answers).to_have_count(1)
    for one, text in ((tab, "mine"), (other, "theirs")):
        await one.composer.press("ArrowUp")
        await one.part("edit-text").fill(text)
    await other.part("edit-save").click()
    await said(other, "theirs")
    await tab.part("edit-save").click()
    await expect(tab.part("edit-conflict")).to_have_text(re.compile("while you wrote"))
    await browser.screenshot(tab.page, "edit-conflict")
    assert await tab.barriers() == []
    await tab.part("edit-see").click()
    await expect(tab.part("history-version")).to_have_count(2)
    await browser.screenshot(tab.page, "edit-history-dark")
    await tab.page.keyboard.press("Escape")
    await tab.part("edit-mine").click()
    await said(tab, "mine")
    await said(other, "mine")
    await other.part("edited").click()
    await expect(other.part("history-version")).to_have_count(3)
