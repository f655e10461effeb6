"""Who is who: who is here, whose names look alike, pictures, and who comes in where somebody must let them in."""

import asyncio
import re
from pathlib import Path

import pytest
from playwright.async_api import Route, expect
from tests.support.browser import Browser
from tests.support.server import Serve, ServerProcess
from tests.walks.tab import Tab, forgive
from tests.walks.test_invite import ANSWERED, come, in_launch, make_link, member
from tests.walks.test_server import looked_at, printed
from tests.walks.test_sign import PASSWORD, REFUSED, enter

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PICTURE = Path(__file__).parents[2] / "docs" / "screenshot.png"
LIKE_ADA = "\u0410d\u0430"
"""Ada, in Cyrillic but for one letter."""
LATE_SECONDS = 2


async def rename(tab: Tab, server: ServerProcess, name: str) -> None:
    got = await tab.page.request.patch(f"{server.url}/api/me", data={"name": name})
    assert got.ok, await got.text()


async def test_who_is_here_is_seen_and_who_looks_like_another_is_told_apart(
    browser: Browser, town: ServerProcess
) -> None:
    ada = await in_launch(browser, town)
    bo = await come(browser, await make_link(ada), "Bo", dark=True)
    await expect(ada.part("people")).to_have_text(re.compile("2 people, 2 here"))
    await expect(bo.part("people")).to_have_text(re.compile("2 people, 2 here"))
    await expect(ada.part("presence")).to_contain_text(["Bo"])
    assert await bo.fits()
    assert await bo.barriers() == []
    await browser.screenshot(bo.page, "here-phone-dark")
    await bo.part("people").tap()
    await expect(bo.part("presence")).to_have_count(1)
    await browser.screenshot(bo.page, "here-panel-phone-dark")
    await bo.page.keyboard.press("Escape")

    await rename(bo, town, LIKE_ADA)
    await bo.say("It is me, Ada.")
    said = ada.questions.filter(has_text="It is me, Ada.")
    await expect(said.get_by_test_id("mark")).to_have_text(re.compile("^guest [0-9a-f]{4}$"))
    await expect(member(ada, LIKE_ADA)).to_contain_text("guest")
    await ada.page.get_by_test_id("panel-close").click()
    await looked_at(browser, ada, "alike")

    await ada.settings("profile")
    await ada.part("picture-file").set_input_files(
        {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no picture"}
    )
    await expect(ada.part("picture-problem")).to_contain_text("notes.txt is not a picture")
    await ada.part("picture-file").set_input_files(PICTURE)
    await expect(ada.part("person").locator("img")).to_be_visible()
    await looked_at(browser, ada, "picture")
    await expect(bo.questions.first.locator("img")).to_be_visible()
    await browser.screenshot(bo.page, "picture-of-another-phone-dark")
    await ada.part("picture-remove").click()
    await expect(ada.part("person").locator("img")).to_have_count(0)

    await bo.part("sidebar-toggle").tap()
    await bo.settings("appearance")
    await bo.part("show-here").click()
    await browser.screenshot(bo.page, "appearance-phone-dark")
    await ada.room_item("Launch").click()
    await bo.page.go_back()
    await expect(ada.part("people")).to_have_text(re.compile("2 people *$"))
    forgive(browser, ANSWERED)


async def test_who_writes_before_they_are_greeted_is_no_second_guest(
    browser: Browser, town: ServerProcess
) -> None:
    async def late(route: Route) -> None:
        greeted = await route.fetch(headers={"accept": "*/*"})
        await blank.context.clear_cookies()  # the page has none before it has read its answer
        await asyncio.sleep(LATE_SECONDS)  # meanwhile the page may do what it will
        await route.fulfill(response=greeted)

    blank = await browser.open("about:blank")
    await blank.context.route(re.compile("/api/me$"), late, times=1)
    tab = Tab(await browser.open(town.url, beside=blank))
    await tab.say("At once")
    await tab.answered()
    await expect(tab.questions).to_have_text(re.compile("At once"))
    await tab.page.reload()
    await tab.answered()


async def reads(browser: Browser, guest: Tab, url: str) -> None:
    """That they wait, where they look after themselves."""
    await guest.page.goto(f"{url}/settings/profile")
    await expect(guest.part("profile-waits")).to_contain_text("waits until somebody")
    assert await guest.fits()
    assert await guest.barriers() == []
    await browser.screenshot(guest.page, "profile-waits-phone")


async def test_who_waits_is_let_in_and_finds_their_wishes_on_another_device(
    browser: Browser, serve: Serve
) -> None:
    server = await serve(environment={"PALAVER_SIGN_UP": "approve"})
    owner = Tab(await browser.open(await printed(server), dark=True))
    await owner.part("sign-name").fill("Ada")
    await enter(owner, "ada", PASSWORD)
    await expect(owner.part("person")).to_contain_text("@ada")
    guest = Tab(await browser.open(server.url, phone=True))
    await guest.say("A word before")
    await expect(guest.questions).to_have_count(1)
    await guest.page.goto(f"{server.url}/sign-up")
    await enter(guest, "bo", PASSWORD)
    await expect(guest.part("sign-waits")).to_contain_text("@bo")
    await expect(guest.part("sign-words")).to_contain_text("you go on as a guest")
    await expect(guest.part("sign-stay")).to_have_text("Go to your chats")
    assert await guest.fits()
    assert await guest.barriers() == []
    await browser.screenshot(guest.page, "sign-waits-phone")
    await reads(browser, guest, server.url)
    await owner.page.reload()
    await expect(owner.part("waits")).to_be_visible()
    await owner.person("admin-open")
    await expect(owner.part("person-row").first).to_have_attribute("data-status", "pending")
    await looked_at(browser, owner, "admin-waiting-dark")
    await owner.part("person-let-in").click()
    await expect(owner.part("waits")).to_have_count(0)
    await expect(owner.part("person-let-in")).to_have_count(0)

    await guest.page.goto(f"{server.url}/sign-in")
    await enter(guest, "bo", PASSWORD)
    await expect(guest.part("home")).to_be_visible()
    await guest.page.goto(f"{server.url}/settings/appearance")
    await guest.part("theme-dark").tap()
    await expect(guest.part("theme-dark")).to_have_attribute("aria-pressed", "true")
    other = Tab(await browser.open(f"{server.url}/sign-in"))
    await enter(other, "bo", PASSWORD)
    await expect(other.page.locator("html")).to_have_attribute("data-theme", "dark")
    forgive(browser, REFUSED)
