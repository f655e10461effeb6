"""A chat as it was: found by its menu, moved through by slider and keys, kept in the address, and left by Back."""

import re

import pytest
from playwright.async_api import Locator, ViewportSize, expect
from tests.support.browser import Browser
from tests.support.server import ServerProcess
from tests.walks.tab import Tab, arrive

pytestmark = [pytest.mark.browser, pytest.mark.slow]

WIDE = ViewportSize(width=1440, height=900)


def shown(tab: Tab) -> Locator:
    """The messages of the chat as it was."""
    return tab.part("then").locator('[data-testid="message"][data-seq]')


async def lived(browser: Browser, server: ServerProcess, *, dark: bool = False) -> Tab:
    """Somebody whose chat was given another name, and whose answer was asked for again, which deletes the first."""
    tab = await arrive(browser, server.url, dark=dark)
    await tab.page.set_viewport_size(WIDE)
    await tab.new_chat("/long 5000")
    await stopped(tab)
    await tab.part("room-title").click()
    await tab.part("room-title-input").fill("Lisbon by train")
    await tab.part("room-title-input").press("Enter")
    await expect(tab.part("room-title")).to_have_text("Lisbon by train")
    await tab.part("retry").click()
    await stopped(tab)
    return tab


async def press(tab: Tab, key: str) -> tuple[int, str]:
    """Where the slider stands after a key, and what is told of that moment."""
    slider = tab.part("then-slider")
    await slider.press(key)
    await expect(tab.part("then")).to_have_attribute("aria-busy", "false")
    return int(await slider.input_value()), await tab.part("then-what").inner_text()


async def stopped(tab: Tab) -> None:
    await tab.part("stop").click()
    await tab.answered(status="stopped")


async def test_a_chat_is_seen_as_it_was_moment_by_moment(
    browser: Browser, town: ServerProcess
) -> None:
    tab = await lived(browser, town)
    await tab.part("room-menu").click()
    await tab.part("then-open").click()
    slider = tab.part("then-slider")
    await expect(tab.part("then-title")).to_have_text("Lisbon by train")
    await expect(tab.part("then-bar")).to_contain_text("As it was on")
    await expect(shown(tab)).to_have_count(2)
    newest = int(await slider.input_value())
    await expect(tab.page).to_have_url(re.compile(rf"\?p=asof:{newest}$"))
    await expect(tab.part("then").get_by_test_id("composer")).to_have_count(0)
    await expect(tab.page.locator("main")).to_have_attribute("inert", "")
    await expect(tab.part("then-place")).to_have_text(f"{newest} of {newest}")
    await expect(slider).to_be_focused()
    await tab.page.keyboard.press("ArrowLeft")
    await expect(tab.part("then-place")).to_have_text(f"{newest - 1} of {newest}")
    await tab.page.keyboard.press("ArrowRight")
    await expect(tab.part("then-place")).to_have_text(f"{newest} of {newest}")
    assert await tab.barriers() == []
    await browser.screenshot(tab.page, "as-it-was")

    assert await press(tab, "Home") == (1, "You began this chat")
    await expect(tab.part("then-title")).to_have_text("New chat")
    await expect(shown(tab)).to_have_count(0)
    await expect(tab.part("then")).to_contain_text("Nothing was said yet.")
    await expect(tab.part("then-members")).to_contain_text("owner")
    assert await press(tab, "ArrowRight") == (2, "You said something")
    await expect(shown(tab)).to_have_count(1)
    assert (await press(tab, "End"))[0] == newest
    assert (await press(tab, "PageDown"))[0] < newest
    assert await press(tab, "PageUp") == (newest, "Assistant said something")
    deletion = (newest - 1, "You deleted a message")
    assert await press(tab, "ArrowLeft") == deletion
    await expect(shown(tab)).to_have_count(1)
    await press(tab, "ArrowLeft")
    await expect(shown(tab)).to_have_count(2)
    await expect(shown(tab).last).to_contain_text("w000")


async def test_a_moment_is_dragged_to_and_linked_and_three_ways_lead_back_to_now(
    browser: Browser, town: ServerProcess
) -> None:
    tab = await lived(browser, town, dark=True)
    await tab.part("room-menu").click()
    await tab.part("then-open").click()
    slider, what = tab.part("then-slider"), tab.part("then-what")
    box = await slider.bounding_box()
    assert box is not None
    await tab.page.mouse.move(box["x"] + box["width"] - 8, box["y"] + box["height"] / 2)
    await tab.page.mouse.down()
    await tab.page.mouse.move(box["x"] + 8, box["y"] + box["height"] / 2, steps=5)
    await tab.page.mouse.up()
    await expect(what).to_have_text("You began this chat")
    await slider.press("ArrowRight")
    await expect(tab.page).to_have_url(re.compile(r"\?p=asof:2$"))

    for nowhere, nearest in ((0, r"1"), (99_999, r"\d{1,2}")):
        await tab.page.goto(tab.page.url.partition("?")[0] + f"?p=asof:{nowhere}")
        await expect(tab.page).to_have_url(re.compile(rf"\?p=asof:{nearest}$"))
    await slider.press("Home")
    await slider.press("ArrowRight")
    await expect(tab.page).to_have_url(re.compile(r"\?p=asof:2$"))
    await tab.page.reload()
    await expect(what).to_have_text("You said something")
    await expect(shown(tab)).to_have_count(1)
    await tab.part("then-back").click()
    await expect(tab.part("then")).to_have_count(0)
    await expect(tab.page).to_have_url(re.compile(r"/r/r_\w+$"))
    await expect(tab.stored).to_have_count(2)
    for closes in ("Escape", "Back"):
        await tab.part("room-menu").click()
        await tab.part("then-open").click()
        await tab.part("then-slider").press("Home")
        await expect(tab.page).to_have_url(re.compile(r"\?p=asof:1$"))
        if closes == "Escape":
            await browser.screenshot(tab.page, "as-it-was-dark")
            await tab.page.keyboard.press("Escape")
        else:
            await tab.page.go_back()
        await expect(tab.part("then")).to_have_count(0)
        await expect(tab.page).to_have_url(re.compile(r"/r/r_\w+$"))
        await expect(tab.part("room-menu")).to_be_focused()
    await tab.say("And back?")
    await tab.answered(2)


@pytest.mark.parametrize("dark", [False, True])
async def test_on_a_phone_the_slider_lies_below_what_it_shows(
    browser: Browser, town: ServerProcess, *, dark: bool
) -> None:
    tab = Tab(await browser.open(town.url, phone=True, dark=dark))
    await tab.say("How do we get to Lisbon?")
    await tab.answered()
    await tab.page.goto(f"{tab.page.url}?p=asof:999999")
    await expect(shown(tab)).to_have_count(2)
    await expect(tab.part("then-slider")).to_be_visible()
    chat, panel = await tab.part("then").bounding_box(), await tab.part("panel").bounding_box()
    assert chat is not None
    assert panel is not None
    assert chat["y"] + chat["height"] <= panel["y"] + 1
    assert await tab.fits()
    await tab.page.evaluate("Promise.all(document.getAnimations().map(one => one.finished))")
    assert await tab.barriers() == []
    await browser.screenshot(tab.page, "as-it-was-phone" + ("-dark" if dark else ""))
    await tab.part("panel-close").tap()
    await expect(tab.part("then")).to_have_count(0)
