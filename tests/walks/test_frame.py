"""The frame of the page: its addresses, the panel, menus, questions, keys, and the page as an app."""

import json
import re
from typing import Any

import pytest
from playwright.async_api import expect
from tests.support.browser import Browser
from tests.support.server import ServerProcess
from tests.walks.tab import Tab, arrive
from tests.walks.test_rooms import someone_with_rooms

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SECTIONS = ("profile", "appearance", "sessions", "devices", "keys", "models", "usage", "programs")
CHATS = 120
ROWS_MAX = 80
FETCHED = "() => performance.getEntriesByType('resource').map(entry => entry.name)"
MAKE = """
count => Promise.all(Array.from({ length: count }, (_, number) => fetch('/api/rooms', {
  method: 'POST', headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ title: `Chat ${String(number).padStart(3, '0')}` }),
}).then(made => { if (!made.ok) throw new Error(made.status) }))).then(() => true)
"""
# Scrolls to the end until this chat is there; the most rows that were in the document on the way.
SCROLL = """
async title => {
  const list = document.querySelector('[data-testid=room-list]')
  const rows = () => [...list.querySelectorAll('[data-testid=room-item]')]
  let most = 0
  for (const started = performance.now(); performance.now() - started < 60_000;) {
    list.scrollTop = list.scrollHeight
    await new Promise(requestAnimationFrame)
    most = Math.max(most, rows().length)
    if (rows().some(row => row.textContent.includes(title))) return most
  }
  throw new Error('it never came')
}
"""
PLACE = "element => [element.offsetLeft, element.offsetWidth]"  # also while it comes
# A browser tells of a scroll at the next frame, also when its element has left the document meanwhile.
KEEP = "() => { window.left = [...document.querySelectorAll('[data-testid=message-list], [data-testid=room-list]')] }"
SCROLL_LATE = "() => window.left.map(element => element.dispatchEvent(new Event('scroll'))).length"
THEME_COLOURS = (
    "() => [...document.querySelectorAll('meta[name=theme-color]')].map(meta => meta.content)"
)


async def test_each_part_of_the_settings_has_an_address_and_is_fetched_when_it_is_used(
    browser: Browser, town: ServerProcess
) -> None:
    tab = await arrive(browser, town.url)
    assert not any("Settings" in name for name in await tab.page.evaluate(FETCHED))
    for section in SECTIONS:
        await tab.page.goto(f"{town.url}/settings/{section}")
        link = tab.part(f"settings-{section}")
        await expect(link).to_have_attribute("aria-current", "page")
        await expect(tab.part("settings").locator("h1")).to_be_focused()
    assert any("Settings" in name for name in await tab.page.evaluate(FETCHED))
    await expect(tab.part("settings-invitations")).to_have_count(0)
    await tab.page.goto(f"{town.url}/settings/invitations")
    await expect(tab.part("settings")).to_contain_text("You may not do that here.")
    await tab.page.keyboard.press("Escape")
    await expect(tab.part("home")).to_be_visible()
    assert tab.page.url == f"{town.url}/", "who came by the address goes to the start"


async def test_back_leads_out_of_the_settings_however_much_one_looked_at(
    browser: Browser, town: ServerProcess
) -> None:
    tab = await someone_with_rooms(browser, town, "Garden")
    await tab.room_item("Garden").click()
    await tab.settings("keys")
    await tab.part("settings-models").click()
    await tab.page.go_back()
    await expect(tab.part("room-title")).to_have_text("Garden")
    await expect(tab.part("person")).to_be_focused()
    await tab.settings("keys")
    await tab.room_item("Lobby").click()
    await expect(tab.composer).to_be_focused()


@pytest.mark.parametrize("dark", [False, True])
async def test_a_phone_shows_the_list_of_settings_or_one_of_them(
    browser: Browser, town: ServerProcess, *, dark: bool
) -> None:
    tab = Tab(await browser.open(town.url, phone=True, dark=dark))
    await tab.part("sidebar-toggle").tap()
    await tab.person("settings-open")
    await expect(tab.part("settings-profile")).to_be_visible()
    await browser.screenshot(tab.page, f"phone-settings-{'dark' if dark else 'light'}")
    await tab.part("settings-appearance").tap()
    await expect(tab.part("theme-dark")).to_be_visible()
    await expect(tab.part("settings-profile")).to_have_count(0)
    assert await tab.fits()
    await tab.page.go_back()
    await expect(tab.part("settings-profile")).to_be_visible()
    await tab.part("settings-profile").tap()
    await tab.part("settings-back").tap()
    await expect(tab.part("settings-models")).to_be_visible()
    await tab.part("close").tap()
    await expect(tab.part("home")).to_be_visible()
    await tab.page.goto(f"{town.url}/settings/profile")
    await tab.part("settings-back").tap()
    await expect(tab.part("settings-models")).to_be_visible()


@pytest.mark.parametrize("way", ["Escape", "cross", "back"])
async def test_the_panel_stands_beside_the_talk_and_is_closed_in_every_way(
    browser: Browser, town: ServerProcess, way: str
) -> None:
    tab = await someone_with_rooms(browser, town, "Garden")
    await tab.page.set_viewport_size({"width": 1440, "height": 900})
    await tab.room_item("Garden").click()
    address = tab.page.url
    await tab.part("room-menu").click()
    await tab.part("panel-open").click()
    await expect(tab.part("panel")).to_contain_text("Assistant")
    assert tab.page.url == f"{address}?p=chat"
    assert await tab.part("panel").evaluate(PLACE) == [1080, 360]
    assert await tab.page.locator("main").evaluate(PLACE) == [288, 1080 - 288]
    await tab.page.reload()
    await expect(tab.part("panel")).to_be_visible()
    await browser.screenshot(tab.page, "panel")
    match way:
        case "Escape":
            await tab.page.keyboard.press("Escape")
        case "cross":
            await tab.part("panel-close").click()
        case _:
            await tab.page.go_back()
    await expect(tab.part("panel")).to_have_count(0)
    await expect(tab.part("room-menu")).to_be_focused()
    assert tab.page.url == address


async def test_on_a_phone_the_panel_is_a_sheet_and_the_way_to_the_list_says_that_something_is_new(
    browser: Browser, town: ServerProcess
) -> None:
    tab = Tab(await browser.open(town.url, phone=True))
    await tab.part("sidebar-toggle").tap()
    await tab.room_item("Lobby").tap()
    await expect(tab.part("sidebar-toggle")).to_have_accessible_name("Open the list of chats")
    await tab.part("sidebar-toggle").tap()
    await tab.new_chat("Good morning")
    await tab.answered()
    await tab.part("room-menu").tap()
    await tab.part("panel-open").tap()
    assert await tab.part("panel").evaluate(PLACE) == [0, 390]
    await expect(tab.page.locator("main")).to_have_attribute("inert", "")
    await browser.screenshot(tab.page, "phone-panel")
    await tab.part("panel-close").tap()
    await expect(tab.part("panel")).to_have_count(0)
    other = await arrive(browser, town.url)
    await other.room_item("Lobby").click()
    await other.say("Is somebody here?")
    await expect(tab.part("sidebar-toggle")).to_have_accessible_name(re.compile("something new"))
    await browser.screenshot(tab.page, "phone-unread")


async def test_a_menu_is_led_through_by_keys_and_a_second_press_closes_it(
    browser: Browser, town: ServerProcess
) -> None:
    tab = await someone_with_rooms(browser, town, "Garden")
    await tab.room_item("Garden").click()
    menu = tab.part("room-menu")
    await menu.focus()
    await tab.page.keyboard.press("Enter")
    await expect(tab.part("panel-open")).to_be_focused()
    for key, at in (
        ("ArrowDown", "people-open"),
        ("ArrowDown", "find-open"),
        ("ArrowDown", "pins-open"),
        ("ArrowDown", "then-open"),
        ("ArrowDown", "room-pin"),
        ("ArrowDown", "room-rename"),
        ("End", "room-delete"),
        ("ArrowDown", "panel-open"),
        ("ArrowUp", "room-delete"),
        ("c", "room-copy-link"),
        ("Home", "panel-open"),
    ):
        await tab.page.keyboard.press(key)
        await expect(tab.part(at)).to_be_focused()
    await tab.page.keyboard.press("Escape")
    await expect(tab.part("menu")).to_have_count(0)
    await expect(menu).to_be_focused()
    for count in (1, 0, 1):
        await menu.click()
        await expect(tab.part("menu")).to_have_count(count)
    await tab.part("message-list").click()
    await expect(tab.part("menu")).to_have_count(0)


async def test_keys_lead_from_chat_to_chat_and_act_on_a_message_unless_they_are_ended(
    browser: Browser, town: ServerProcess
) -> None:
    tab = await someone_with_rooms(browser, town, "First", "Second")
    title = tab.part("room-title")
    await tab.room_item("Second").click()
    await expect(title).to_have_text("Second")
    await tab.page.keyboard.press("Alt+ArrowDown")
    await expect(title).to_have_text("First")
    await tab.page.keyboard.press("Alt+ArrowUp")
    await expect(title).to_have_text("Second")
    await tab.say("/long 3")
    await tab.answered()
    await tab.page.keyboard.press("F2")
    await tab.part("room-title-input").fill("Renamed")
    await tab.page.keyboard.press("Enter")
    await expect(title).to_have_text("Renamed")
    await tab.answers.focus()
    await tab.page.keyboard.press("c")
    await expect(tab.part("toast")).to_contain_text("copied")
    await tab.answers.focus()
    await tab.page.keyboard.press("Enter")
    await expect(tab.part("menu-react")).to_be_focused()
    await tab.page.keyboard.press("Escape")

    await tab.settings("appearance")
    await tab.part("single-keys").click()
    await tab.part("settings").locator("h1").focus()
    await tab.page.keyboard.press("?")
    await tab.page.keyboard.press("Escape")
    await expect(title).to_have_text("Renamed")
    await expect(tab.part("shortcuts")).to_have_count(0)
    await tab.page.reload()
    await tab.answers.focus()
    await tab.page.keyboard.press("?")
    await tab.person("shortcuts-open")
    await expect(tab.part("shortcuts")).not_to_contain_text("Copy its text")


async def test_of_many_chats_only_those_near_the_view_are_made_and_all_are_reached(
    browser: Browser, town: ServerProcess
) -> None:
    tab = await arrive(browser, town.url)
    await tab.page.evaluate(MAKE, CHATS)
    await tab.page.reload()
    await expect(tab.room_item(f"Chat {CHATS - 1:03}")).to_be_visible()
    await expect(tab.room_item("Lobby")).to_be_visible()  # though it comes on the last page
    assert 20 < await tab.page.evaluate(SCROLL, "Chat 000") <= ROWS_MAX
    await expect(tab.room_item(f"Chat {CHATS - 1:03}")).to_have_count(0)
    await tab.room_item("Chat 000").locator("a").focus()
    await tab.page.keyboard.press("Home")
    await expect(tab.room_item("Lobby").locator("a")).to_be_focused()


async def test_it_can_be_installed_and_wears_what_is_unread(
    browser: Browser, town: ServerProcess
) -> None:
    tab = await arrive(browser, town.url)
    icon = tab.page.locator("link[rel=icon]")
    address = await tab.page.locator("link[rel=manifest]").get_attribute("href")
    answer = await tab.page.request.get(f"{town.url}{address}")
    assert answer.headers["content-type"].startswith("application/manifest+json")
    manifest: dict[str, Any] = json.loads(await answer.text())
    wanted = [
        *(one["src"] for one in manifest["icons"]),
        "icons/apple-touch-icon.png",
        "favicon-unread.svg",
    ]
    for src in wanted:
        got = await tab.page.request.get(f"{town.url}/{src}")
        assert (got.status, got.headers["content-type"].split("/")[0]) == (200, "image"), src
    assert {one.get("purpose") for one in manifest["icons"]} == {None, "maskable"}
    assert {one["sizes"] for one in manifest["icons"]} == {"any", "192x192", "512x512"}

    await tab.room_item("Lobby").click()
    await expect(icon).to_have_attribute("href", re.compile(r"favicon\.svg$"))
    await tab.part("new-room").click()
    other = await arrive(browser, town.url)
    await other.room_item("Lobby").click()
    await other.say("Good morning")
    await expect(icon).to_have_attribute("href", re.compile(r"favicon-unread\.svg$"))
    await tab.room_item("Lobby").click()
    await expect(icon).to_have_attribute("href", re.compile(r"favicon\.svg$"))
    await tab.page.goto(f"{town.url}/{manifest['start_url'].removeprefix('./')}")
    await expect(tab.part("room-title")).to_have_text("Lobby")

    assert await tab.page.evaluate(THEME_COLOURS) == ["#fdfcfa", "#191816"]
    await tab.settings("appearance")
    await tab.part("theme-dark").click()
    assert await tab.page.evaluate(THEME_COLOURS) == ["#191816", "#191816"]
    await tab.page.reload()
    assert await tab.page.evaluate(THEME_COLOURS) == ["#191816", "#191816"], (
        "before the page's code"
    )
    await tab.part("theme-system").click()
    assert await tab.page.evaluate(THEME_COLOURS) == ["#fdfcfa", "#191816"]


async def test_what_is_told_of_a_view_after_it_is_gone_is_no_error(
    browser: Browser, town: ServerProcess
) -> None:
    tab = await arrive(browser, town.url)
    await tab.room_item("Lobby").click()
    await expect(tab.part("message-list")).to_be_visible()
    await tab.page.evaluate(KEEP)
    await tab.settings("appearance")
    await expect(tab.part("message-list")).to_have_count(0)
    assert await tab.page.evaluate(SCROLL_LATE) == 2


async def test_who_may_not_stop_an_answer_is_not_offered_to(
    browser: Browser, town: ServerProcess
) -> None:
    ada, bo = await arrive(browser, town.url), await arrive(browser, town.url)
    for tab in (ada, bo):
        await tab.room_item("Lobby").click()
        await expect(tab.composer).to_be_visible()
    await ada.say("@assistant /long 5000")
    for tab in (ada, bo):
        await expect(tab.stream.get_by_test_id("message-text")).to_contain_text("w005")
    await expect(ada.part("stop")).to_be_visible()
    await expect(bo.part("stop")).to_have_count(0)
    await ada.part("stop").click()
    for tab in (ada, bo):
        await expect(tab.answers.last).to_have_attribute("data-status", "stopped")
    await expect(ada.answers.last.get_by_test_id("retry")).to_be_visible()
    await expect(bo.answers.last.get_by_test_id("answer-status")).to_be_visible()
    await expect(bo.answers.last.get_by_test_id("retry")).to_have_count(0)
    await ada.page.reload()
    await bo.page.reload()  # which saw nothing of it being written
    copies = ["React", "Copy text", "Copy link"]
    others = ["Pin", "Star", "New chat from here", "What the agent was told"]
    assert await offered(ada) == [*copies, "Try again", "Continue", *others]
    assert await offered(bo) == [*copies, *others]
    await expect(bo.answers.last.get_by_test_id("retry")).to_have_count(0)


async def offered(tab: Tab) -> list[str]:
    """What the menu of the last answer has."""
    await expect(tab.answers.last.get_by_test_id("answer-status")).to_be_visible()
    await tab.answers.last.hover()
    await tab.answers.last.get_by_test_id("message-more").click()
    await expect(tab.part("menu")).to_be_visible()
    return await tab.part("menu").get_by_role("menuitem").all_inner_texts()
