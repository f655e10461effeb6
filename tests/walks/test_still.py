"""Nothing moves under the eye: where things stand in every frame that is painted, from the first one on."""

import asyncio
import re
from typing import Any

import pytest
from playwright.async_api import Page, Route, expect
from tests.support.browser import Browser
from tests.support.server import ServerProcess
from tests.support.upstream import ScriptedUpstream, reply
from tests.walks.tab import Tab, forgive
from tests.walks.test_invite import ANSWERED, come, in_launch, make_link

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# Remembers each place that the field and the texts of messages had in a frame.
WATCH = """
window.places = {}
window.frames = 0
const look = () => {
  for (const one of document.querySelectorAll('[data-testid=composer], [data-testid=message-text]')) {
    const key = one.closest('[data-key]')?.dataset.key ?? location.pathname
    const place = one.getBoundingClientRect().top
    if (!(window.places[key] ??= []).includes(place)) window.places[key].push(place)
  }
  window.frames += 1
}
const next = () => requestAnimationFrame(() => {
  const channel = new MessageChannel()
  channel.port1.onmessage = () => { look(); next() }
  channel.port2.postMessage(null)
})
next()
"""
FRAMES_LATE = 4
JUMP_PX_MAX = 1


async def watched(browser: Browser, url: str, beside: Page | None = None, **how: Any) -> Tab:
    """A tab that remembers where everything stood."""
    page = await browser.open("about:blank", beside=beside, **how)
    await page.add_init_script(WATCH)
    await page.goto(url)
    return Tab(page)


async def places(tab: Tab) -> dict[str, list[float]]:
    """Where each thing stood, in every frame so far."""
    found: dict[str, list[float]] = await tab.page.evaluate("() => window.places")
    return found


async def later(tab: Tab) -> None:
    """Some frames later."""
    seen = await tab.page.evaluate("() => window.frames")
    await tab.page.wait_for_function(f"() => window.frames > {seen + FRAMES_LATE}")


def standing(places: dict[str, list[float]]) -> None:
    moved = {key: tops for key, tops in places.items() if max(tops) - min(tops) >= JUMP_PX_MAX}
    assert moved == {}


@pytest.mark.parametrize("phone", [False, True])
async def test_the_field_of_the_start_stays_whatever_comes_below_it(
    browser: Browser, town: ServerProcess, *, phone: bool
) -> None:
    go_on = asyncio.Event()

    async def hold(route: Route) -> None:
        await go_on.wait()
        await route.continue_()

    blank = await browser.open("about:blank", phone=phone)
    await blank.context.route(re.compile(r"/api/(me|models|rooms)\b"), hold)
    tab = await watched(browser, town.url, blank)
    await expect(tab.composer).to_be_visible()
    await later(tab)
    go_on.set()
    await expect(tab.part("guest")).to_be_visible()
    await expect(tab.part("model-hint")).to_be_visible()
    await later(tab)
    standing(await places(tab))
    await browser.screenshot(tab.page, f"start-{'phone' if phone else 'wide'}")


@pytest.mark.parametrize("phone", [False, True])
async def test_the_first_message_of_a_chat_is_drawn_where_it_stays(
    browser: Browser, city: ServerProcess, models: ScriptedUpstream, *, phone: bool
) -> None:
    words = "A title of " + "more words than a line has, " * 3
    models.to(words, reply("Yes."))
    tab = await watched(browser, city.url, phone=phone)
    await expect(tab.part("guest")).to_be_visible()
    await tab.say(words)
    await tab.answered()
    await expect(tab.part("start-of-room").locator("h2")).not_to_have_text("New chat")
    await later(tab)
    seen = await places(tab)
    assert len(seen) == 4, "the field at the start and in the chat, the question and the answer"
    standing(seen)


async def test_messages_are_drawn_below_what_happened_before_them(
    browser: Browser, town: ServerProcess
) -> None:
    ada = await in_launch(browser, town)
    bo = await come(browser, await make_link(ada), "Bo")
    await bo.say("Good evening")
    await expect(ada.questions).to_have_count(2)
    await ada.part("panel-close").click()

    async def late(route: Route) -> None:
        await later(tab)
        await route.continue_()

    blank = await browser.open("about:blank", beside=ada.page)
    await blank.context.route(re.compile("/notices"), late)
    tab = await watched(browser, ada.page.url, blank)
    await expect(tab.part("notice")).to_have_text(["Bo joined"])
    await later(tab)
    standing(await places(tab))
    forgive(browser, ANSWERED)
