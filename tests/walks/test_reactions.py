"""People react to what was said: by the button, by one that is there, by the keyboard, and see it live."""

import pytest
from playwright.async_api import Locator, expect
from tests.support.browser import Browser
from tests.support.server import ServerProcess
from tests.walks.tab import Tab, forgive
from tests.walks.test_invite import ANSWERED, come, in_launch, make_link
from tests.walks.test_measures import FAINT, TEXT_CONTRAST_MIN

pytestmark = [pytest.mark.browser, pytest.mark.slow]


async def test_a_reaction_is_seen_live_joined_told_and_taken_back(
    browser: Browser, town: ServerProcess
) -> None:
    ada = await in_launch(browser, town)
    bo = await come(browser, await make_link(ada), "Bo", dark=True)
    await ada.page.keyboard.press("Escape")
    await ada.say("We are live!")
    await expect(bo.questions.last).to_contain_text("We are live!")
    await chosen(browser, ada)
    party, heart = reaction(bo, "party popper"), reaction(bo, "red heart")
    await expect(party).to_have_attribute("aria-label", "party popper, 1, Ada")
    await party.tap()
    await expect(party).to_have_attribute("aria-pressed", "true")
    await expect(reaction(ada, "party popper")).to_have_attribute(
        "aria-label", "party popper, 2, You and Bo"
    )
    await expect(heart).to_have_attribute("aria-pressed", "false")
    await ada.say("Thank you all for the weeks before.")
    await bo.say("And now we sleep.")
    for tab, name in ((ada, "reactions"), (bo, "reactions-phone-dark")):
        await expect(tab.questions.last).to_contain_text("And now we sleep.")
        assert await tab.fits()
        assert await tab.page.evaluate(FAINT, TEXT_CONTRAST_MIN) == []
        assert await tab.barriers() == []
        await browser.screenshot(tab.page, name)
    await ada.page.reload()
    await expect(reaction(ada, "party popper")).to_have_attribute("aria-pressed", "true")
    await reaction(ada, "party popper").click()
    await expect(party).to_have_attribute("aria-label", "party popper, 1, You")
    await bo.part("reaction-add").tap()
    await expect(bo.part("emoji-🎉")).to_be_visible()
    await browser.screenshot(bo.page, "reaction-picker-phone-dark")
    await bo.part("emoji-👀").tap()
    await expect(reaction(ada, "eyes")).to_have_attribute("aria-pressed", "false")
    forgive(browser, ANSWERED)


async def chosen(browser: Browser, ada: Tab) -> None:
    """One by the button, one by the keyboard alone."""
    row = ada.questions.filter(has_text="We are live!")
    await row.hover()
    await row.get_by_test_id("message-react").click()
    await expect(ada.part("emoji-👍")).to_be_visible()
    await browser.screenshot(ada.page, "reaction-picker")
    await ada.part("menu-find").fill("party pop")
    await expect(ada.part("menu").locator("[role=group] button")).to_have_count(1)
    await ada.page.keyboard.press("Enter")
    await expect(reaction(ada, "party popper")).to_have_attribute("aria-pressed", "true")
    await row.focus()
    await ada.page.keyboard.press("Enter")
    await expect(ada.part("menu-react")).to_be_focused()
    await ada.page.keyboard.press("Enter")
    await expect(ada.part("emoji-👍")).to_be_visible()
    await expect(ada.part("menu-find")).to_be_focused()
    await ada.page.keyboard.press("ArrowDown")
    await ada.page.keyboard.press("ArrowDown")  # from the lately used into the common ones
    await expect(ada.part("emoji-👍")).to_be_focused()
    for _ in range(2):
        await ada.page.keyboard.press("ArrowRight")
    await expect(ada.part("emoji-❤️")).to_be_focused()
    await ada.page.keyboard.press("Enter")
    await expect(reaction(ada, "red heart")).to_have_attribute("aria-pressed", "true")


def reaction(tab: Tab, name: str) -> Locator:
    return tab.page.get_by_role("button", name=name)
