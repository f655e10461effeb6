"""A guest makes an account and finds their chats on another device; what is said to who cannot come in."""

import re
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import expect
from tests.support.browser import Browser
from tests.support.server import ServerProcess, serving
from tests.walks.tab import Tab, arrive, forgive
from tests.walks.test_measures import FAINT, TEXT_CONTRAST_MIN

pytestmark = [pytest.mark.browser, pytest.mark.slow]

REFUSED = re.compile(r"status of 4\d\d|closed before")
PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
async def village(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServerProcess]:
    """A server where any guest may make an account."""
    async with serving(tmp_path_factory.mktemp("village")) as serve:
        yield await serve(environment={"PALAVER_SIGN_UP": "open"})


async def enter(tab: Tab, handle: str, password: str) -> None:
    await tab.part("sign-handle").fill(handle)
    await tab.part("sign-password").fill(password)
    await tab.part("sign-enter").click()


async def someone_with_an_account(browser: Browser, server: ServerProcess, handle: str) -> Tab:
    """A guest with a chat, who makes an account on the way that is shown where a chat begins."""
    tab = await arrive(browser, server.url)
    await tab.new_chat(f"a chat of {handle}")
    await tab.answered()
    await tab.part("new-room").click()
    await tab.part("guest").get_by_role("button").click()
    await tab.part("account-make").click()
    await expect(tab.part("sign-words")).to_contain_text("The chats of this browser come along.")
    await expect(tab.part("sign-handle")).to_have_accessible_name("Handle")
    await expect(tab.part("sign-handle")).to_have_accessible_description(
        re.compile("small letters")
    )
    await enter(tab, handle, PASSWORD)
    await expect(tab.part("person")).to_contain_text(f"@{handle}")
    return tab


@pytest.mark.parametrize("dark", [False, True])
async def test_a_guest_makes_an_account_and_finds_their_chats_on_a_phone(
    browser: Browser, village: ServerProcess, *, dark: bool
) -> None:
    shade = "dark" if dark else "light"
    handle = f"ada.{shade}"
    desk = await someone_with_an_account(browser, village, handle)
    await expect(desk.room_item(f"a chat of {handle}")).to_be_visible()
    phone = Tab(await browser.open(f"{village.url}/sign-in", phone=True, dark=dark))
    await enter(phone, handle, "a wrong password")
    await expect(phone.part("sign-words")).to_contain_text("Handle or password is wrong.")
    assert await phone.fits()
    assert await phone.page.evaluate(FAINT, TEXT_CONTRAST_MIN) == []
    assert await phone.barriers() == []
    await browser.screenshot(phone.page, f"sign-in-{shade}")
    await enter(phone, handle, PASSWORD)
    await expect(phone.part("home")).to_be_visible()
    await phone.part("sidebar-toggle").tap()
    await expect(phone.room_item(f"a chat of {handle}")).to_be_visible()
    await phone.person("sign-out")
    await expect(phone.part("sign-words")).to_contain_text("Sign in")
    await phone.part("sign-stay").tap()
    await phone.part("sidebar-toggle").tap()
    await expect(phone.part("person")).to_contain_text("Guest")
    await expect(phone.room_item(f"a chat of {handle}")).to_have_count(0)
    forgive(browser, REFUSED)


async def test_a_guest_who_wrote_something_is_asked_before_they_become_another(
    browser: Browser, village: ServerProcess
) -> None:
    await someone_with_an_account(browser, village, "bo")
    guest = await arrive(browser, village.url)
    await guest.new_chat("a chat of a guest")
    await guest.answered()
    await guest.person("sign-in")
    await enter(guest, "bo", PASSWORD)
    await expect(guest.part("sign-words")).to_contain_text("Otherwise this browser loses them.")
    await browser.screenshot(guest.page, "sign-in-guest")
    await guest.part("sign-anyway").click()
    await expect(guest.room_item("a chat of bo")).to_be_visible()
    await expect(guest.room_item("a chat of a guest")).to_have_count(0)
    other = await arrive(browser, village.url)
    await other.new_chat("a chat to bring along")
    await other.answered()
    await other.person("sign-in")
    await enter(other, "bo", PASSWORD)
    await other.part("sign-bring").click()
    await expect(other.room_item("a chat of bo")).to_be_visible()
    await other.room_item("a chat to bring along").click()
    await expect(other.questions.locator(".name")).to_contain_text(", as guest")
    await expect(guest.room_item("a chat to bring along")).to_be_visible()
    forgive(browser, REFUSED)


async def test_who_leaves_for_good_is_nobody_here_any_more(
    browser: Browser, village: ServerProcess
) -> None:
    eve = await someone_with_an_account(browser, village, "eve")
    other = Tab(await browser.open(f"{village.url}/sign-in", phone=True, dark=True))
    await enter(other, "eve", PASSWORD)
    await expect(other.part("home")).to_be_visible()
    await other.page.goto(f"{village.url}/settings/profile")
    await other.part("profile-leave").tap()
    await expect(other.part("ask")).to_contain_text("What you said stays, without your name.")
    await browser.screenshot(other.page, "leave-phone-dark")
    await other.part("ask-secret").fill("not the one")
    await other.part("ask-yes").tap()
    await expect(other.part("ask-refusal")).to_have_text("Handle or password is wrong.")
    await expect(other.part("ask-secret")).to_have_value("not the one")
    assert await other.fits()
    await browser.screenshot(other.page, "leave-refused-phone-dark")
    await other.part("ask-cancel").tap()
    await expect(other.part("ask")).to_have_count(0)
    await eve.settings("profile")
    await eve.part("profile-leave").click()
    await expect(eve.part("ask-secret")).to_have_accessible_name("Your password")
    assert await eve.barriers() == []
    await browser.screenshot(eve.page, "leave")
    await eve.part("ask-secret").fill(PASSWORD)
    await eve.part("ask-cancel").focus()
    await eve.agree()
    await expect(eve.part("home")).to_be_visible()
    await expect(eve.part("person")).not_to_contain_text("@eve")
    await expect(eve.room_item("a chat of eve")).to_have_count(0)
    await expect(other.banner).to_have_attribute("data-state", "stopped")
    await eve.page.goto(f"{village.url}/sign-in")
    await enter(eve, "eve", PASSWORD)
    await expect(eve.part("sign-words")).to_contain_text("Handle or password is wrong.")
    forgive(browser, REFUSED)


async def test_another_password_is_good_from_then_on_and_the_one_before_is_not(
    browser: Browser, village: ServerProcess
) -> None:
    cy = await someone_with_an_account(browser, village, "cy")
    await cy.settings("profile")
    await cy.part("password-before").fill(PASSWORD)
    await cy.part("password-after").fill("a better one of mine")
    assert await cy.barriers() == []
    await browser.screenshot(cy.page, "settings-password")
    await cy.part("password-change").click()
    await expect(cy.part("toast")).to_contain_text("Your password was changed.")
    other = Tab(await browser.open(f"{village.url}/sign-in", phone=True, dark=True))
    await enter(other, "cy", PASSWORD)
    await expect(other.part("sign-words")).to_contain_text("Handle or password is wrong.")
    await enter(other, "cy", "a better one of mine")
    await expect(other.part("home")).to_be_visible()
    await other.page.goto(f"{village.url}/settings/profile")
    await expect(other.part("own-handle")).to_have_text("@cy")
    await browser.screenshot(other.page, "profile-phone-dark")
    await other.page.goto(f"{village.url}/settings/sessions")
    await expect(other.part("session")).to_have_count(2)
    await browser.screenshot(other.page, "sessions-phone-dark")
    await other.part("sessions-end").tap()
    await other.agree()
    await expect(other.part("session")).to_have_count(1)
    await expect(cy.banner).to_have_attribute("data-state", "stopped")
    await other.page.goto(f"{village.url}/settings/profile")
    await other.part("profile-sign-out").tap()
    await expect(other.part("sign-words")).to_contain_text("Sign in")
    forgive(browser, REFUSED)


async def test_a_name_that_is_taken_a_weak_password_and_a_closed_server_say_what_is_wrong(
    browser: Browser, village: ServerProcess, town: ServerProcess
) -> None:
    await someone_with_an_account(browser, village, "dora")
    late = Tab(await browser.open(f"{village.url}/sign-up"))
    await enter(late, "d0ra", PASSWORD)
    await expect(late.part("sign-words")).to_contain_text("or one that looks like it")
    await enter(late, "another", "short")
    await expect(late.part("sign-words")).to_contain_text("A password has 10 to 256 characters.")
    await browser.screenshot(late.page, "sign-up")
    closed = Tab(await browser.open(f"{town.url}/sign-up"))
    await expect(closed.part("sign-words")).to_contain_text("An invitation is needed")
    await expect(closed.part("sign-enter")).to_have_count(0)
    lost = Tab(await browser.open(f"{village.url}/reset#{'x' * 43}", phone=True))
    assert "#" not in lost.page.url
    await lost.part("sign-password").fill(PASSWORD)
    await lost.part("sign-enter").tap()
    await expect(lost.part("sign-words")).to_contain_text("was used or has ended")
    await browser.screenshot(lost.page, "reset-phone")
    forgive(browser, REFUSED)
