"""What is asked again or written anew goes on beside what was there: nothing is lost, and one steps between them."""

import re

import pytest
from playwright.async_api import Locator, ViewportSize, expect
from tests.support.browser import Browser
from tests.support.server import ServerProcess
from tests.walks.tab import Tab, arrive, forgive
from tests.walks.test_invite import ANSWERED, come, in_launch, make_link
from tests.walks.test_measures import FAINT, PLACES, TEXT_CONTRAST_MIN

pytestmark = [pytest.mark.browser, pytest.mark.slow]

WIDE = ViewportSize(width=1440, height=900)
NARROW = ViewportSize(width=390, height=844)


async def version(tab: Tab, at: int, count: int) -> None:
    """Wait until the last fork says which version is shown."""
    label = f"Version {at} of {count}"
    await expect(tab.part("versions").last).to_have_attribute("aria-label", label)


async def seqs(tab: Tab) -> list[int]:
    return [seq for seq, _, _ in await tab.log()]


async def test_an_answer_asked_for_again_stands_beside_the_first(
    browser: Browser, town: ServerProcess
) -> None:
    tab = await arrive(browser, town.url)
    await tab.page.set_viewport_size(WIDE)
    await tab.new_chat("Take the train to Lisbon")
    await tab.answered()
    first = await seqs(tab)
    await expect(tab.part("versions")).to_have_count(0)
    await tab.answers.last.hover()
    await tab.part("message-again").click()
    await version(tab, 2, 2)
    await tab.answered()
    second = await seqs(tab)
    assert second[0] == first[0]
    assert second[1] > first[1]
    await tab.answers.last.hover()
    await browser.screenshot(tab.page, "branches-answer")
    assert await tab.barriers() == []
    assert await tab.page.evaluate(FAINT, TEXT_CONTRAST_MIN) == []
    await tab.part("version-previous").click()
    await version(tab, 1, 2)
    assert await seqs(tab) == first
    await expect(tab.part("version-next")).to_be_focused()
    await tab.page.keyboard.press("Enter")
    await version(tab, 2, 2)
    await tab.answers.last.focus()
    await tab.page.keyboard.press("ArrowLeft")
    await version(tab, 1, 2)
    await expect(tab.answers.last).to_be_focused()


async def test_one_goes_on_with_the_path_that_one_sees_on_all_devices(
    browser: Browser, town: ServerProcess
) -> None:
    tab = await arrive(browser, town.url)
    await tab.new_chat("Take the bus to Porto")
    await tab.answered()
    await tab.answers.last.hover()
    await tab.part("message-more").click()
    await tab.part("menu-again").click()
    await version(tab, 2, 2)
    await tab.answered()
    second = await seqs(tab)
    await tab.say("And back?")
    await tab.answered(2)
    other = Tab(await tab.page.context.new_page())
    await other.page.goto(tab.page.url)
    await expect(other.answers).to_have_count(2)
    await version(other, 2, 2)
    await other.part("version-previous").click()
    await version(tab, 1, 2)
    await expect(tab.answers).to_have_count(1)

    # Its address opens the path on which a message lies.
    await other.page.goto(f"{town.url}/r/{tab.room}/{second[1]}")
    await version(other, 2, 2)
    await version(tab, 2, 2)


async def test_words_written_anew_begin_a_path_that_can_be_named_chosen_and_deleted(
    browser: Browser, town: ServerProcess
) -> None:
    tab = await arrive(browser, town.url)
    await tab.page.set_viewport_size(WIDE)
    await tab.new_chat("Say one")
    await tab.answered()
    first = await seqs(tab)
    await tab.composer.press("ArrowUp")
    await tab.part("edit-text").fill("Say two")
    await tab.part("edit-again").click()
    await version(tab, 2, 2)
    await tab.answered()
    await expect(tab.questions).to_have_text(re.compile("Say two"))
    second = await seqs(tab)
    await tab.part("room-menu").click()
    await tab.part("branches-open").click()
    ways = tab.part("branch")
    await expect(ways).to_have_count(2)
    await expect(ways.first).to_contain_text("Say two")
    await expect(ways.last).to_contain_text("Say one")
    await browser.screenshot(tab.page, "branches-panel")
    assert await tab.barriers() == []
    await named(tab, "With two")
    await chosen(ways.first, "branch-delete")
    await expect(tab.questions).to_have_text(re.compile("Say one"))
    assert await seqs(tab) == first
    await expect(tab.part("versions")).to_have_count(0)
    await tab.part("toast-undo").click()
    await version(tab, 1, 2)
    await ways.first.get_by_test_id("branch-look").click()
    await version(tab, 2, 2)
    assert await seqs(tab) == second
    await tab.part("panel-close").click()
    await new_chat_from_here(tab)
    await tab.page.set_viewport_size(NARROW)
    assert await tab.fits()
    await browser.screenshot(tab.page, "branches-narrow")


async def new_chat_from_here(tab: Tab) -> None:
    """A chat that begins with what was said up to a question, and back to the one that it came from."""
    came_from = tab.page.url
    await tab.questions.last.hover()
    await tab.part("message-more").click()
    await tab.part("menu-new-chat").click()
    await expect(tab.page).not_to_have_url(came_from)
    await expect(tab.questions).to_have_text(re.compile("Say two"))
    await expect(tab.answers).to_have_count(0)
    await tab.page.go_back()
    await expect(tab.answers).to_have_count(1)


async def named(tab: Tab, name: str) -> None:
    """Name the newest way, and let everyone see it first for a while, in which it cannot be deleted."""
    ways = tab.part("branch")
    await chosen(ways.first, "branch-rename")
    await tab.part("branch-name").fill(name)
    await tab.part("branch-name").press("Enter")
    await expect(ways.first).to_contain_text(name)
    await chosen(ways.first, "branch-main")
    await expect(ways.first).to_contain_text("Seen first")
    await ways.first.get_by_test_id("branch-more").click()
    await expect(tab.part("branch-rename")).to_be_visible()
    await expect(tab.part("branch-delete")).to_have_count(0)
    await tab.page.keyboard.press("Escape")
    await chosen(ways.last, "branch-main")
    await expect(ways.last).to_contain_text("Seen first")


async def chosen(way: Locator, what: str) -> None:
    """Choose something from the menu of a way."""
    await way.get_by_test_id("branch-more").click()
    await way.page.get_by_test_id(what).click()


async def test_what_somebody_else_asks_anew_is_told_and_moves_nothing(
    browser: Browser, town: ServerProcess
) -> None:
    ada = await in_launch(browser, town)
    bo = await come(browser, await make_link(ada), "Bo", dark=True)
    await ada.page.keyboard.press("Escape")
    await ada.say("@assistant when do we leave?")
    await expect(bo.stream).to_have_count(0)
    await expect(bo.answers.last).to_contain_text("when do we leave?")
    await bo.say("At nine.")
    await expect(ada.questions.last).to_contain_text("At nine.")
    before, places = await seqs(bo), await bo.page.evaluate(PLACES)
    await ada.questions.filter(has_text="when do we leave").focus()
    await ada.page.keyboard.press("e")
    await ada.part("edit-text").fill("@assistant when do we come back?")
    await ada.part("edit-again").click()
    await version(ada, 2, 2)
    await expect(ada.answers.last).to_contain_text("when do we come back?")
    await expect(ada.stream).to_have_count(0)
    await version(bo, 1, 2)
    assert await seqs(bo) == before
    assert await bo.page.evaluate(PLACES) == places
    await bo.say("@assistant and how far is it?")
    await expect(bo.answers.last).to_contain_text("and how far is it?")
    await expect(ada.questions.filter(has_text="how far")).to_have_count(0)
    for tab, name in ((ada, "branches-company"), (bo, "branches-company-phone-dark")):
        await tab.part("versions").last.scroll_into_view_if_needed()
        assert await tab.fits()
        assert await tab.page.evaluate(FAINT, TEXT_CONTRAST_MIN) == []
        assert await tab.barriers() == []
        await browser.screenshot(tab.page, name)
    await bo.part("version-next").tap()
    await version(bo, 2, 2)
    await expect(bo.questions.last).to_contain_text("when do we come back?")
    forgive(browser, ANSWERED)
