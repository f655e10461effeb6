"""The list of rooms: make, rename, find, delete and take it back; the palette; links to a message."""

import re

import pytest
from playwright.async_api import expect
from tests.support.browser import Browser
from tests.support.server import ServerProcess
from tests.walks.tab import MISSING, Tab, arrive, forgive

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# It goes after a moment, which a slow machine may miss: the page itself notes which messages ever had it.
NOTE_HIGHLIGHTS = """
window.highlighted = new Set()
new MutationObserver(() => {
  for (const row of document.querySelectorAll('.highlighted')) window.highlighted.add(row.dataset.seq)
}).observe(document, { subtree: true, childList: true, attributes: true, attributeFilter: ['class'] })
"""


async def someone_with_rooms(browser: Browser, server: ServerProcess, *titles: str) -> Tab:
    """Somebody whose rooms were made by their own hand, through the page's own session."""
    tab = await arrive(browser, server.url)
    for title in titles:
        made = await tab.page.request.post(f"{server.url}/api/rooms", data={"title": title})
        assert made.status == 201
    for title in titles:
        await expect(tab.room_item(title)).to_be_visible()
    return tab


async def test_rooms_are_renamed_searched_deleted_and_brought_back(
    browser: Browser, town: ServerProcess
) -> None:
    tab = await someone_with_rooms(browser, town, "Garden", "Holiday plans", "Tax")
    beside = await arrive(browser, town.url, beside=tab.page)

    garden = tab.room_item("Garden")
    await tab.choose(garden, "room-rename")
    await tab.part("room-title-input").fill("Vegetable garden")
    await tab.part("room-title-input").press("Enter")
    await expect(tab.room_item("Vegetable garden")).to_be_visible()
    await expect(beside.room_item("Vegetable garden")).to_be_visible()
    await tab.room_item("Vegetable garden").click()
    await tab.part("room-title").click()
    await tab.part("room-title-input").fill("never mind")
    await tab.part("room-title-input").press("Escape")
    await expect(tab.part("room-title")).to_have_text("Vegetable garden")

    await tab.part("search-open").click()
    await tab.part("palette-input").fill("PLAN")
    await expect(tab.part("palette-item")).to_have_count(1)
    await expect(tab.part("palette-item")).to_contain_text("Holiday plans")
    await tab.part("palette-input").press("Escape")
    await expect(tab.part("palette")).to_have_count(0)
    await expect(tab.part("search-open")).to_be_focused()
    await expect(tab.part("room-item")).to_have_count(4)

    tax = tab.room_item("Tax")
    await beside.room_item("Tax").click()
    await expect(beside.composer).to_be_visible()
    await tab.choose(tax, "room-delete")
    await expect(tax).to_have_count(0)
    await expect(beside.room_item("Tax")).to_have_count(0)
    await expect(beside.part("room-problem")).to_contain_text("This chat was deleted.")
    await tab.part("toast-undo").click()
    await expect(tax).to_be_visible()
    await expect(beside.room_item("Tax")).to_be_visible()
    await expect(beside.part("room-problem")).to_have_count(0)
    await expect(beside.composer).to_be_visible()


async def test_a_message_that_is_too_long_is_told_with_both_numbers_and_stays(
    browser: Browser, town: ServerProcess
) -> None:
    tab = await someone_with_rooms(browser, town, "Log files")
    await tab.room_item("Log files").click()
    await tab.say("\U0001f600" * 100_005)
    await expect(tab.part("too-long")).to_contain_text("100,005 characters, and 100,000")
    await expect(tab.part("send")).to_be_disabled()
    assert await tab.fits()
    await tab.say("\U0001f600" * 100_000)
    await expect(tab.questions).to_have_count(1)
    await expect(tab.part("too-long")).to_have_count(0)


async def test_the_room_that_is_alive_comes_first(browser: Browser, town: ServerProcess) -> None:
    tab = await someone_with_rooms(browser, town, "First", "Second", "Third")
    own = tab.part("room-item").filter(has_not_text="Lobby")
    await expect(own).to_have_text([re.compile("Third"), re.compile("Second"), re.compile("First")])
    await tab.room_item("First").click()
    await tab.say("/long 2")
    await tab.answered()
    await expect(own).to_have_text([re.compile("First"), re.compile("Third"), re.compile("Second")])


async def test_deleting_the_open_room_leaves_it_and_undo_returns_to_it(
    browser: Browser, town: ServerProcess
) -> None:
    tab = await arrive(browser, town.url)
    await tab.new_chat("/long 5")
    await tab.answered()
    room = tab.room
    item = tab.page.locator(f'[data-testid="room-item"][data-room="{room}"]')
    await tab.choose(item, "room-delete")
    await expect(tab.part("home")).to_be_visible()
    await tab.part("toast-undo").click()
    await expect(tab.page).to_have_url(f"{town.url}/r/{room}")
    await tab.answered(1)


async def test_what_was_deleted_is_found_later_and_comes_back(
    browser: Browser, town: ServerProcess
) -> None:
    tab = await someone_with_rooms(browser, town, "Garden", "Tax", "Holiday")
    for title in ("Tax", "Holiday"):
        await tab.choose(tab.room_item(title), "room-delete")
        await expect(tab.room_item(title)).to_have_count(0)
    await tab.page.reload()
    await tab.person("deleted-open")
    await expect(tab.page).to_have_url(f"{town.url}/deleted")
    found = tab.part("deleted-room")
    await expect(found).to_contain_text(["Holiday", "Tax"])
    await browser.screenshot(tab.page, "deleted")
    await tab.page.reload()
    await expect(found).to_contain_text(["Holiday", "Tax"])
    await found.first.get_by_test_id("restore").focus()
    await tab.page.keyboard.press("Enter")
    await expect(tab.room_item("Holiday")).to_be_visible()
    await expect(found).to_contain_text(["Tax"])
    await expect(found.first.get_by_test_id("restore")).to_be_focused()
    await tab.page.keyboard.press("Enter")
    await expect(tab.room_item("Tax")).to_be_visible()
    await expect(tab.part("deleted")).to_contain_text("Nothing is here.")
    await tab.page.go_back()
    await expect(tab.part("home")).to_be_visible()


async def test_nothing_at_an_address_is_said_on_a_page_that_leads_to_the_start(
    browser: Browser, town: ServerProcess
) -> None:
    for path in ("/nothing/here", "/r/what ever/is"):
        tab = await arrive(browser, f"{town.url}{path}")
        await expect(tab.page.locator("main")).to_contain_text("Nothing is at this address.")
        await browser.screenshot(tab.page, "nothing")
        await tab.page.get_by_text("Go to the start").click()
        await expect(tab.part("home")).to_be_visible()
        assert tab.page.url == f"{town.url}/"
    forgive(browser, MISSING)


@pytest.mark.parametrize("shortcut", ["Control+k", "Meta+k"])
async def test_the_palette_goes_anywhere_by_keyboard(
    browser: Browser, town: ServerProcess, shortcut: str
) -> None:
    tab = await someone_with_rooms(browser, town, "Garden", "Holiday plans")
    await tab.page.keyboard.press(shortcut)
    await expect(tab.part("palette-input")).to_be_focused()
    await tab.page.keyboard.type("holi")
    await expect(tab.part("palette-item").first).to_contain_text("Holiday plans")
    await tab.page.keyboard.press("Enter")
    await expect(tab.part("palette")).to_have_count(0)
    await expect(tab.part("room-title")).to_have_text("Holiday plans")
    await tab.page.keyboard.press(shortcut)
    await expect(tab.part("palette")).to_be_visible()
    await tab.page.keyboard.press("Escape")
    await expect(tab.part("palette")).to_have_count(0)


async def test_a_link_to_a_message_goes_there_and_shows_which_one(
    browser: Browser, town: ServerProcess
) -> None:
    tab = await someone_with_rooms(browser, town, "Long talk")
    await tab.room_item("Long talk").click()
    room = tab.room
    seqs: list[int] = []
    for number in range(12):
        sent = await tab.page.request.post(
            f"{town.url}/api/rooms/{room}/messages",
            data={"cid": f"{room}-{number}", "text": f"/long {200 + number}"},
        )
        seqs.append((await sent.json())["seq"])
    wanted = seqs[4]
    await tab.page.context.add_init_script(NOTE_HIGHLIGHTS)
    there = await arrive(browser, f"{town.url}/r/{room}/{wanted}", beside=tab.page)
    target = there.page.locator(f'[data-seq="{wanted}"]')
    await expect(target).to_be_in_viewport()
    await there.page.wait_for_function("seq => window.highlighted.has(`${seq}`)", arg=wanted)
    await expect(target).to_contain_text("/long 204")
    await tab.answered(12)
    await expect(target).to_be_in_viewport()
    await there.part("jump-newest").click()
    await expect(there.stored.last).to_be_in_viewport()
    await expect(there.page).to_have_url(f"{town.url}/r/{room}")


async def fits_a_phone_at_night(browser: Browser, tab: Tab, name: str) -> None:
    await tab.page.set_viewport_size({"width": 390, "height": 844})
    await tab.page.emulate_media(color_scheme="dark")
    assert await tab.fits()
    await browser.screenshot(tab.page, name)
    await tab.page.set_viewport_size({"width": 1440, "height": 900})


async def test_a_chat_is_moved_under_another_one(browser: Browser, town: ServerProcess) -> None:
    ada = await someone_with_rooms(browser, town, "House", "Terrace")
    await ada.choose(ada.room_item("Terrace"), "room-move")
    await expect(ada.part("move-find")).to_be_focused()
    await ada.part("move-find").fill("hou")
    await expect(ada.part("move-place")).to_have_count(1)
    await browser.screenshot(ada.page, "move")
    await ada.part("move-place").click()
    await expect(ada.part("room-parent")).to_have_text("House")
    await expect(ada.part("move")).to_be_focused()
    await expect(
        ada.part("room-item").filter(has_text="House").get_by_test_id("runs")
    ).to_be_visible()
    await browser.screenshot(ada.page, "moved")
    await ada.part("move").click()
    await ada.part("move-top").click()
    await expect(ada.part("room-parent")).to_have_count(0)


async def may_come_in_on_a_phone(tab: Tab) -> None:
    await tab.page.set_viewport_size({"width": 390, "height": 844})
    await expect(tab.part("people")).to_be_visible()
    await tab.part("come-in").click(trial=True)


async def test_a_chat_is_opened_found_and_joined(browser: Browser, town: ServerProcess) -> None:
    ada = await someone_with_rooms(browser, town, "Terrace")
    bo = await arrive(browser, town.url)
    await ada.room_item("Terrace").click()
    await ada.part("room-menu").click()
    await ada.part("panel-open").click()
    await ada.part("seen-by").select_option("everyone member")
    await ada.agree()
    await expect(ada.part("seen-by")).to_have_value("everyone member")
    await expect(ada.part("notice").last).to_contain_text("everybody here may write in it")
    await ada.say("Which plants?")
    await expect(ada.questions).to_have_count(1)

    await expect(bo.room_item("Terrace")).to_have_count(0)
    await bo.part("search-open").click()
    await bo.part("palette-input").fill("terr")
    await expect(bo.part("palette-item")).to_have_count(1)
    await browser.screenshot(bo.page, "open-chats")
    await bo.part("palette-item").click()
    await expect(bo.questions).to_contain_text("Which plants?")
    await expect(bo.room_item("Terrace")).to_have_count(0)
    await bo.say("Lavender")
    await expect(ada.questions).to_have_count(2)
    await bo.part("come-in").click()
    await browser.screenshot(bo.page, "join")
    await bo.part("join").click()
    await expect(bo.room_item("Terrace")).to_be_visible()
    await expect(bo.part("come-in")).to_have_count(0)
    assert await bo.barriers() == await ada.barriers() == []
    await fits_a_phone_at_night(browser, ada, "opened-phone-dark")

    cy = await arrive(browser, town.url)
    await cy.page.goto(ada.page.url.split("?")[0])
    await expect(cy.questions).to_have_count(2)
    await may_come_in_on_a_phone(cy)
    await ada.part("seen-by").select_option("private")
    await expect(cy.part("room-problem")).to_be_visible()
    await expect(cy.part("message")).to_have_count(0)
    await bo.say("still here")
    await expect(ada.questions).to_have_count(3)
    await cy.page.close()
    forgive(browser, MISSING)
