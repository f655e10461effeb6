"""How the page looks: on a phone, in the dark, and on the picture in the README."""

import base64

import pytest
from playwright.async_api import expect
from tests.support.browser import SCREENSHOTS, Browser
from tests.support.server import ServerProcess
from tests.support.upstream import ScriptedUpstream, reply
from tests.walks.tab import Tab, arrive

pytestmark = [pytest.mark.browser, pytest.mark.slow]

WIDE = "a" * 300 + " https://example.org/" + "b" * 200


async def brightness(tab: Tab) -> int:
    """Of the page's ground, 0 to 255."""
    rgb: list[int] = await tab.page.evaluate(
        "() => getComputedStyle(document.querySelector('main')).backgroundColor.match(/\\d+/g)"
        ".slice(0, 3).map(Number)"
    )
    return sum(rgb) // 3


async def test_a_phone_has_everything_within_its_width(
    browser: Browser, town: ServerProcess
) -> None:
    tab = await arrive_by_phone(browser, town)
    assert await tab.fits()
    await browser.screenshot(tab.page, "phone-home")
    await tab.say("/markdown")
    await tab.answered()
    await expect(tab.answers.last.locator("math").first).to_be_visible()
    await tab.part("message-list").evaluate("list => list.scrollTo(0, 0)")
    await tab.part("jump-newest").tap()
    await expect(tab.part("jump-newest")).to_have_count(0)
    await tab.say(WIDE)
    await tab.answered(2)
    assert await tab.fits()
    await browser.screenshot(tab.page, "phone-room")

    drawer = tab.part("room-list")
    await expect(drawer).not_to_be_visible()
    await tab.part("sidebar-toggle").tap()
    await expect(drawer).to_be_visible()
    assert await tab.fits()
    await browser.screenshot(tab.page, "phone-drawer")
    await tab.room_item("Lobby").tap()
    await expect(tab.part("room-title")).to_have_text("Lobby")
    await expect(drawer).not_to_be_visible()
    await tab.part("sidebar-toggle").tap()
    await expect(drawer).to_be_visible()
    await tab.page.keyboard.press("Escape")
    await expect(drawer).not_to_be_visible()
    await expect(tab.part("sidebar-toggle")).to_be_focused()


# How much darker or lighter each edge of the table is than its middle, between the lines of its rows.
SHADES = """
async picture => {
  const image = new Image()
  image.src = `data:image/png;base64,${picture}`
  await image.decode()
  const canvas = document.createElement('canvas')
  ;[canvas.width, canvas.height] = [image.width, image.height]
  const view = canvas.getContext('2d')
  view.drawImage(image, 0, 0)
  const light = x => view.getImageData(x, image.height - 5, 1, 1).data.slice(0, 3).reduce((sum, value) => sum + value)
  const middle = light(image.width >> 1)
  return [Math.abs(light(3) - middle), Math.abs(light(image.width - 4) - middle)]
}
"""


@pytest.mark.parametrize("dark", [False, True])
async def test_a_table_that_is_wider_than_a_phone_shows_where_it_goes_on(
    browser: Browser, city: ServerProcess, models: ScriptedUpstream, *, dark: bool
) -> None:
    row = "|" + " a cell of words |" * 6 + "\n"
    models.to("a wide table", reply(row, "|---" * 6, "|\n", row * 3))
    tab = Tab(await browser.open(city.url, phone=True, dark=dark))
    await tab.say("a wide table")
    await tab.answered()
    table = tab.answers.locator(".md-table")

    async def shades() -> list[int]:
        picture = base64.b64encode(await table.screenshot(animations="disabled")).decode()
        return await tab.page.evaluate(SHADES, picture)

    start, end = await shades()
    assert (start < 6, end > 20) == (True, True), "it goes on to the right"
    await browser.screenshot(tab.page, f"phone-table-{'dark' if dark else 'light'}")
    await table.evaluate("table => table.scrollTo(1e6, 0)")
    start, end = await shades()
    assert (start > 20, end < 6) == (True, True), "and now to the left"
    assert await tab.fits()


async def arrive_by_phone(browser: Browser, server: ServerProcess, *, dark: bool = False) -> Tab:
    tab = Tab(await browser.open(server.url, phone=True, dark=dark))
    await expect(tab.part("home")).to_be_visible()
    await expect(tab.part("model-hint")).to_be_visible()
    return tab


async def test_the_dark_is_dark_and_can_be_chosen(browser: Browser, town: ServerProcess) -> None:
    tab = await arrive(browser, town.url, dark=True)
    assert await brightness(tab) < 60
    await tab.say("/markdown")
    await tab.answered()
    await expect(tab.answers.last.locator("pre code .hljs-keyword").first).to_be_visible()
    await expect(tab.answers.last.locator("math").first).to_be_visible()
    await browser.screenshot(tab.page, "room-dark")
    await tab.settings("appearance")
    await tab.part("theme-light").click()
    assert await brightness(tab) > 200
    await browser.screenshot(tab.page, "settings-light")
    await tab.page.keyboard.press("Escape")
    await tab.page.reload()
    await tab.answered()
    assert await brightness(tab) > 200, "the choice is kept"
    await tab.settings("appearance")
    await tab.part("theme-system").click()
    assert await brightness(tab) < 60


async def test_a_phone_in_the_dark(browser: Browser, town: ServerProcess) -> None:
    tab = await arrive_by_phone(browser, town, dark=True)
    await tab.say("/help")
    await tab.answered()
    assert await brightness(tab) < 60
    assert await tab.fits()
    picture = await browser.screenshot(tab.page, "phone-dark")
    assert picture.parent == SCREENSHOTS
