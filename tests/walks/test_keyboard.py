"""The page by keyboard: the stops of the Tab key, what leads from row to row, and where the focus goes back to."""

import pytest
from playwright.async_api import expect
from tests.support.browser import Browser
from tests.support.server import ServerProcess
from tests.walks.tab import Tab, arrive
from tests.walks.test_rooms import someone_with_rooms

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FOCUSED = """
() => {
  const { activeElement: here } = document
  const words = here.getAttribute('aria-label') ?? here.textContent.trim()
  const list = here.closest('[data-testid=room-list], [data-testid=message-list]')
  return here.closest('.actions') || !list ? words : `${list.dataset.testid}: ${words}`
}
"""


async def focused(tab: Tab) -> str:
    """The words of what has the focus."""
    return await tab.page.evaluate(FOCUSED)


async def test_the_tab_key_stops_once_in_each_list_and_first_at_the_way_past_them(
    browser: Browser, town: ServerProcess
) -> None:
    tab = await someone_with_rooms(browser, town, "Garden", "Tax")
    await tab.room_item("Tax").click()
    await tab.say("/long 3")
    await tab.say("/long 4")
    await tab.answered(2)
    first = "document.querySelector('a, button, input, textarea, [tabindex=\"0\"]')"
    await tab.page.evaluate(f"{first}.focus()")
    stops = [await focused(tab)]
    await browser.screenshot(tab.page, "skip")
    while stops[-1] != "Message":
        await tab.page.keyboard.press("Tab")
        stops.append(await focused(tab))
        assert len(stops) < 20, stops
    assert stops[0] == "Skip to the chat"
    for name in ("room-list", "message-list"):
        assert len([stop for stop in stops if stop.startswith(f"{name}: ")]) == 1, stops
    assert "Copy text" in stops, "what can be done with the newest message is reached"

    await tab.page.evaluate(f"{first}.focus()")
    await tab.page.keyboard.press("Enter")
    await expect(tab.page.locator("main")).to_be_focused()


async def test_arrows_lead_through_the_chats_and_to_what_can_be_done_with_one(
    browser: Browser, town: ServerProcess
) -> None:
    tab = await someone_with_rooms(browser, town, "Garden", "Holiday", "Tax")
    await tab.room_item("Tax").locator("a").focus()
    await tab.page.keyboard.press("ArrowDown")
    assert (await focused(tab)).startswith("room-list: Holiday")
    await tab.page.keyboard.press("ArrowRight")
    assert await focused(tab) == "room-list: More about Holiday"
    await tab.page.keyboard.press("Enter")
    await expect(tab.page.get_by_role("menuitem", name="Pin")).to_be_focused()
    await browser.screenshot(tab.page, "room-tools")
    await tab.page.keyboard.press("Escape")
    assert await focused(tab) == "room-list: More about Holiday"
    await tab.page.keyboard.press("Enter")
    await expect(tab.page.get_by_role("menuitem", name="Pin")).to_be_focused()
    await tab.page.keyboard.press("End")
    assert await focused(tab) == "Delete"
    await tab.page.keyboard.press("Enter")
    await expect(tab.room_item("Holiday")).to_have_count(0)
    assert (await focused(tab)).startswith("room-list: Garden"), "the next one has the focus"
    await tab.page.keyboard.press("Home")
    assert (await focused(tab)).startswith("room-list: Lobby")
    await tab.page.keyboard.press("End")
    assert (await focused(tab)).startswith("room-list: Garden")


async def test_arrows_lead_through_the_messages_and_a_long_one_is_scrolled_first(
    browser: Browser, town: ServerProcess
) -> None:
    tab = await arrive(browser, town.url)
    await tab.say("/long 3")
    await tab.answered()
    await tab.say("a line\n" * 80)
    await tab.answered(2)
    await tab.composer.press("Escape")
    await expect(tab.answers.last).to_be_focused()
    await expect(tab.answers.last.locator(".actions")).to_be_visible()
    top = "list => list.scrollTop"
    before: int = await tab.part("message-list").evaluate(top)
    await tab.part("message-list").evaluate(
        "list => { window.scrolled = new Promise(done => list.addEventListener('scrollend', done, { once: true })) }"
    )
    await tab.page.keyboard.press("ArrowUp")
    await tab.page.evaluate("() => window.scrolled.then(() => true)")
    assert await tab.part("message-list").evaluate(top) < before
    await expect(tab.answers.last).to_be_focused()
    await tab.page.keyboard.press("Home")
    await expect(tab.questions.first).to_be_focused()
    await tab.page.keyboard.press("ArrowDown")
    await expect(tab.answers.first).to_be_focused()
    await tab.page.keyboard.press("End")
    await expect(tab.answers.last).to_be_focused()
    await expect(tab.part("jump-newest")).to_have_count(0)


async def test_a_question_mark_lists_the_keys_but_is_itself_in_a_field(
    browser: Browser, town: ServerProcess
) -> None:
    tab = await arrive(browser, town.url)
    await tab.composer.press_sequentially("?")
    await expect(tab.composer).to_have_value("?")
    await tab.part("new-room").focus()
    await tab.page.keyboard.press("?")
    await expect(tab.part("shortcuts")).to_contain_text("New line")
    await tab.page.keyboard.press("Escape")
    await expect(tab.part("shortcuts")).to_have_count(0)
    await expect(tab.part("new-room")).to_be_focused()


@pytest.mark.parametrize("way", ["Escape", "cross", "back"])
async def test_settings_are_closed_in_every_way_and_the_focus_is_where_it_was(
    browser: Browser, town: ServerProcess, way: str
) -> None:
    tab = await someone_with_rooms(browser, town, "Garden")
    await tab.room_item("Garden").click()
    address = tab.page.url
    await tab.person("settings-open")
    await expect(tab.part("settings")).to_be_visible()
    match way:
        case "Escape":
            await tab.page.keyboard.press("Escape")
        case "cross":
            await tab.part("settings").get_by_test_id("close").click()
        case _:
            await tab.page.go_back()
    await expect(tab.part("settings")).to_have_count(0)
    await expect(tab.part("person")).to_be_focused()
    assert tab.page.url == address
    await tab.part("new-room").click()
    await expect(tab.part("home")).to_be_visible()
    await tab.page.go_back()
    await expect(tab.page).to_have_url(address)
    await tab.page.go_back()
    await expect(tab.part("home")).to_be_visible()


async def test_back_from_where_the_palette_led_is_where_one_was(
    browser: Browser, town: ServerProcess
) -> None:
    tab = await someone_with_rooms(browser, town, "Garden", "Tax")
    await tab.room_item("Garden").click()
    await tab.page.keyboard.press("Control+k")
    await tab.page.keyboard.type("Tax")
    await expect(tab.part("palette-item").first).to_contain_text("Tax")
    await tab.page.keyboard.press("Enter")
    await expect(tab.part("room-title")).to_have_text("Tax")
    await tab.page.go_back()
    await expect(tab.part("room-title")).to_have_text("Garden")
    await expect(tab.part("palette")).to_have_count(0)
    await tab.page.keyboard.press("Control+k")
    await tab.page.keyboard.type("settings")
    await expect(tab.part("palette-item").first).to_contain_text("Settings")
    await tab.page.keyboard.press("Enter")
    await expect(tab.part("settings")).to_be_visible()
    await tab.page.go_back()
    await expect(tab.part("settings")).to_have_count(0)
    await expect(tab.part("room-title")).to_have_text("Garden")


SAY = """
async text => {
  const { token } = await (await fetch('/api/keys', { method: 'POST' })).json()
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' }
  const body = JSON.stringify({ model: 'echo', messages: [{ role: 'user', content: text }] })
  await fetch('/v1/chat/completions', { method: 'POST', headers, body })
}
"""


async def said_by_a_program(tab: Tab, text: str) -> None:
    """Let a program with a key of this person's talk, and open the chat."""
    await tab.page.evaluate(SAY, text)
    await tab.room_item(text).click()
    await tab.answered()


async def test_a_notice_lies_over_a_dialog_can_be_pressed_there_and_waits_while_it_is_read(
    browser: Browser, town: ServerProcess
) -> None:
    tab = await someone_with_rooms(browser, town, "Garden")
    await said_by_a_program(tab, "Look here")
    await tab.page.clock.install()
    await tab.answers.hover()
    await tab.answers.get_by_test_id("message-more").click()
    await tab.part("inspect").click()
    await tab.part("inspector").get_by_test_id("copy-json").click()
    toast = tab.part("toast")
    await toast.hover()
    await tab.page.clock.fast_forward(60_000)
    await expect(toast).to_have_text("The request was copied.")
    await toast.get_by_label("Dismiss").click()
    await expect(toast).to_have_count(0)

    await tab.page.keyboard.press("Escape")
    await expect(tab.part("inspector")).to_have_count(0)
    await tab.choose(tab.room_item("Garden"), "room-delete")
    undo = tab.part("toast-undo")
    await tab.composer.focus()
    await undo.focus()
    await tab.page.clock.fast_forward(60_000)
    await expect(undo).to_be_focused()
    await tab.page.keyboard.press("Enter")
    await expect(tab.room_item("Garden")).to_be_visible()
    await expect(tab.composer).to_be_focused()

    await tab.choose(tab.room_item("Garden"), "room-delete")
    await expect(undo).to_be_visible()
    await tab.page.clock.fast_forward(60_000)
    await expect(undo).to_have_count(0)


async def test_the_palette_has_what_menus_have_in_the_same_words_and_order(
    browser: Browser, town: ServerProcess
) -> None:
    tab = await someone_with_rooms(browser, town, "Garden")
    await tab.room_item("Garden").click()
    await tab.page.keyboard.press("Control+k")
    await expect(tab.page.get_by_role("option", name="This chat", exact=True)).to_be_visible()
    found = await tab.part("palette-item").all_inner_texts()
    await browser.screenshot(tab.page, "palette-chat")
    await tab.page.keyboard.press("Escape")
    await expect(tab.part("palette")).to_have_count(0)
    for menu in ("room-menu", "person"):
        await tab.part(menu).click()
        await expect(tab.part("menu").get_by_role("menuitem").first).to_be_visible()
        named = await tab.part("menu").get_by_role("menuitem").all_inner_texts()
        place = found.index(named[0])
        assert found[place : place + len(named)] == named
        await tab.page.keyboard.press("Escape")
