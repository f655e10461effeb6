"""A guest on two devices: the code that a phone scans, what the phone is asked, and the end of a session."""

import re

import pytest
from playwright.async_api import expect
from tests.support.browser import DESKTOP, Browser
from tests.support.server import ServerProcess
from tests.walks.tab import Tab, arrive, forgive
from tests.walks.test_measures import FAINT, TEXT_CONTRAST_MIN

pytestmark = [pytest.mark.browser, pytest.mark.slow]

ANSWERED = re.compile(r"status of 4(01|04|10)|closed before")


async def link_of(tab: Tab) -> str:
    """Asks the settings for a link to another device."""
    await tab.settings("devices")
    await tab.part("device-make").click()
    await expect(tab.part("device-code")).to_be_visible()
    return await tab.part("device-link").inner_text()


async def says_that_nobody_owns_it_and_covers_nothing(tab: Tab) -> None:
    """Looks on a small phone, which has to scroll."""
    said = tab.part("ownerless")
    await expect(said).to_contain_text("This server has no owner yet")
    await tab.page.set_viewport_size({"width": 375, "height": 667})
    top = await said.evaluate("one => one.getBoundingClientRect().top")
    assert top >= await tab.part("model-hint").evaluate("one => one.getBoundingClientRect().bottom")
    await tab.page.set_viewport_size(DESKTOP)


async def test_a_phone_takes_over_by_the_link_and_is_ended_again(
    browser: Browser, town: ServerProcess
) -> None:
    desktop = await arrive(browser, town.url)
    await expect(desktop.part("guest")).to_contain_text("your chats belong to this browser")
    await browser.screenshot(desktop.page, "devices-guest")
    await says_that_nobody_owns_it_and_covers_nothing(desktop)
    await desktop.new_chat("a chat to take along")
    await desktop.answered()
    link = await link_of(desktop)
    await expect(desktop.part("link-local")).to_be_visible()
    await browser.screenshot(desktop.page, "devices-link")
    phone = Tab(await browser.open(link, phone=True, dark=True))
    await expect(phone.part("device-words")).to_contain_text("adds this device")
    assert "#" not in phone.page.url, "the secret is out of the address"
    assert await phone.fits()
    await browser.screenshot(phone.page, "devices-phone")
    await phone.part("device-add").click()
    await expect(phone.part("home")).to_be_visible()
    await phone.part("sidebar-toggle").click()
    await phone.room_item("a chat to take along").click()
    await phone.answered()
    await expect(desktop.part("device-code")).to_have_count(0)
    await expect(desktop.part("toast")).to_contain_text("was added")
    await browser.screenshot(desktop.page, "devices-added")
    await desktop.part("settings-sessions").click()
    await expect(desktop.part("session")).to_have_count(2)
    await expect(desktop.part("session").first).to_contain_text("this one")
    await expect(desktop.part("session").last).to_contain_text("used just now")
    assert await desktop.page.evaluate(FAINT, TEXT_CONTRAST_MIN) == []
    assert await desktop.barriers() == []
    await browser.screenshot(desktop.page, "sessions")
    await desktop.part("session-end").click()
    await browser.screenshot(desktop.page, "sessions-ask")
    await desktop.agree()
    await expect(phone.banner).to_have_attribute("data-state", "stopped")
    await expect(desktop.page.locator("ul:focus").get_by_test_id("session")).to_have_count(1)
    await phone.page.reload()
    await phone.page.reload()
    await expect(phone.part("message-text")).to_have_count(0)
    await phone.page.goto(link)
    await expect(phone.part("device-words")).to_contain_text("was used or has ended")
    forgive(browser, ANSWERED)


async def test_who_is_somebody_is_asked_before_they_become_another(
    browser: Browser, town: ServerProcess
) -> None:
    desktop = await arrive(browser, town.url)
    link = await link_of(desktop)
    other = await arrive(browser, town.url, dark=True)
    await other.new_chat("a chat of the other one")
    await other.page.goto(link)
    await expect(other.part("device-words")).to_contain_text("it loses the chats of")
    await browser.screenshot(other.page, "devices-replace")
    await other.part("device-stay").click()
    await expect(other.room_item("a chat of the other one")).to_be_visible()
    own = Tab(await browser.open(link, beside=desktop.page))
    await expect(own.part("device-words")).to_contain_text("It has not been used up")
    await other.page.goto(link)
    await other.part("device-add").click()
    await expect(other.part("person")).to_be_visible()
    await expect(other.room_item("a chat of the other one")).to_have_count(0)
