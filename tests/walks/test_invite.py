"""Two people in one chat: the link that leads there, what each sees of the other, what they may do, and the end."""

import re

import pytest
from playwright.async_api import Locator, ViewportSize, expect
from tests.support.browser import Browser
from tests.support.server import ServerProcess
from tests.walks.tab import Tab, arrive, forgive
from tests.walks.test_measures import FAINT, TEXT_CONTRAST_MIN

pytestmark = [pytest.mark.browser, pytest.mark.slow]

ANSWERED = re.compile(r"status of 40[34]")
WIDE = ViewportSize(width=1440, height=900)


async def named(browser: Browser, server: ServerProcess, name: str, *, dark: bool = False) -> Tab:
    """Somebody new with a name, at a desk."""
    tab = await arrive(browser, server.url, dark=dark)
    await tab.page.set_viewport_size(WIDE)
    await tab.settings("profile")
    await tab.part("name-input").fill(name)
    await tab.part("name-input").press("Enter")
    await expect(tab.part("person")).to_contain_text(name)
    await tab.page.keyboard.press("Escape")
    return tab


async def in_launch(browser: Browser, server: ServerProcess, *, dark: bool = False) -> Tab:
    """Ada, in a chat of her own."""
    ada = await named(browser, server, "Ada", dark=dark)
    await ada.new_chat("Launch")
    await ada.answered()
    return ada


async def make_link(tab: Tab, **offer: str) -> str:
    """Opens the panel of people, if it is not, and makes a link there."""
    if await tab.part("panel").count() == 0:
        await tab.part("invite").or_(tab.part("people")).click()
    if offer:
        await tab.part("invite-offer").click()
    for what, choice in offer.items():
        await tab.part(f"invite-{what}").select_option(choice)
    await tab.part("invite-make").click()
    await expect(tab.part("toast").last).to_contain_text("was copied")
    return await tab.part("invite-link").inner_text()


async def come(browser: Browser, link: str, name: str, *, dark: bool = False) -> Tab:
    """Somebody who is nobody here yet opens a link on a phone and joins."""
    tab = Tab(await browser.open(link, phone=True, dark=dark))
    await tab.part("invite-name").fill(name)
    await tab.part("invite-join").tap()
    await expect(tab.part("message-list")).to_be_visible()
    return tab


def member(tab: Tab, name: str) -> Locator:
    return tab.part("member").filter(has=tab.page.get_by_text(name, exact=True))


async def do(tab: Tab, name: str, what: str) -> None:
    """Chooses from the menu of a member."""
    await member(tab, name).get_by_test_id("member-more").click()
    await tab.part(what).click()


@pytest.mark.parametrize("dark", [False, True])
async def test_two_meet_by_a_link_talk_and_part(
    browser: Browser, town: ServerProcess, *, dark: bool
) -> None:
    shade = "dark" if dark else "light"
    ada = await in_launch(browser, town, dark=dark)
    link = await invited(browser, ada, shade)
    bo = await joined(browser, ada, link, dark=dark)
    await talked(browser, ada, bo, shade)

    await bo.part("people").tap()
    await expect(member(bo, "Ada")).to_contain_text("owner")
    await expect(bo.part("invite-make")).to_have_count(0)
    await expect(bo.part("member-more")).to_have_count(0)
    assert await bo.fits()
    await browser.screenshot(bo.page, f"people-phone-{shade}")

    await do(ada, "Bo", "member-remove")
    await browser.screenshot(ada.page, f"people-remove-{shade}")
    await ada.agree()
    await expect(bo.part("room-problem")).to_contain_text("You are no longer in this chat.")
    await expect(bo.part("panel")).to_have_count(0)
    await browser.screenshot(bo.page, f"removed-{shade}")
    await expect(member(ada, "Bo")).to_have_count(0)
    await expect(ada.part("people")).to_have_count(0)
    await bo.part("sidebar-toggle").tap()
    await expect(bo.room_item("Launch")).to_have_count(0)
    await bo.page.goto(link)
    await expect(bo.part("invite-words")).to_contain_text("was used or has ended")
    forgive(browser, ANSWERED)


async def invited(browser: Browser, ada: Tab, shade: str) -> str:
    """Ada makes a link in a chat in which she is alone, and is told what it shows."""
    await expect(ada.part("people")).to_have_count(0)
    await ada.part("invite").click()
    await expect(ada.part("panel").locator("h2")).to_be_focused()
    await expect(ada.part("leave")).to_have_count(0)
    await browser.screenshot(ada.page, f"people-alone-{shade}")
    link = await make_link(ada)
    told = ada.part("invitations")
    await expect(told).to_contain_text("They will see all that was said here.")
    await expect(told).to_contain_text("for any number of people")
    await expect(told).to_contain_text("leads to this machine only")
    await browser.screenshot(ada.page, f"people-link-{shade}")
    assert await ada.page.evaluate(FAINT, TEXT_CONTRAST_MIN) == []
    return link


async def joined(browser: Browser, ada: Tab, link: str, *, dark: bool) -> Tab:
    """Bo opens the link on a phone, says a name, and is in; Ada sees it."""
    shade = "dark" if dark else "light"
    bo = Tab(await browser.open(link, phone=True, dark=dark))
    await expect(bo.part("invite-words")).to_contain_text("Ada invites you to Launch")
    await expect(bo.part("invite-words")).to_contain_text("You will see all that was said there.")
    assert "#" not in bo.page.url, "the secret is out of the address"
    assert await bo.fits()
    assert await bo.page.evaluate(FAINT, TEXT_CONTRAST_MIN) == []
    await browser.screenshot(bo.page, f"invite-door-{shade}")
    await bo.part("invite-join").tap()
    await expect(bo.part("invite-name")).to_be_focused()
    await bo.part("invite-name").fill("Bo")
    await bo.part("invite-join").tap()
    await expect(bo.questions).to_have_text([re.compile("Launch")])
    for tab in (ada, bo):
        await expect(tab.part("people")).to_have_text(re.compile("2 people"))
    await expect(ada.part("notice")).to_have_text("Bo joined")
    await expect(member(ada, "Bo")).to_have_attribute("data-role", "member")
    await browser.screenshot(ada.page, f"people-joined-{shade}")
    return bo


async def talked(browser: Browser, ada: Tab, bo: Tab, shade: str) -> None:
    """Each sees the other type, and what the other says under the other's name."""
    await bo.composer.press_sequentially("He")
    await expect(ada.part("typing")).to_contain_text("Bo is typing")
    await bo.say("Hello @assistant, I am here")
    await expect(ada.questions.last).to_contain_text("I am here")
    await expect(ada.questions.last.locator(".name")).to_have_text("Bo")
    for tab in (ada, bo):
        await tab.answered(2)
    await ada.composer.press_sequentially("And")
    await expect(bo.part("typing")).to_contain_text("Ada is typing")
    await browser.screenshot(bo.page, f"company-phone-{shade}")
    await browser.screenshot(ada.page, f"company-{shade}")


async def test_a_role_that_changes_changes_at_once_what_one_is_offered(
    browser: Browser, town: ServerProcess
) -> None:
    ada = await in_launch(browser, town)
    bo = await come(browser, await make_link(ada), "Bo")
    await expect(bo.composer).to_be_visible()
    await do(ada, "Bo", "make-reader")
    await expect(bo.part("composer")).to_have_count(0)
    await expect(bo.page.get_by_text("You may read here, but not write.")).to_be_visible()
    await browser.screenshot(bo.page, "reader-phone")
    await do(ada, "Bo", "make-moderator")
    await expect(bo.composer).to_be_visible()
    await bo.part("people").tap()
    await expect(bo.part("invite-make")).to_be_visible()
    await do(ada, "Bo", "make-owner")
    await ada.agree()
    await expect(member(ada, "Bo")).to_have_attribute("data-role", "owner")
    await ada.part("leave").click()
    await browser.screenshot(ada.page, "people-leave")
    await ada.agree()
    await expect(ada.part("home")).to_be_visible()
    await expect(ada.part("toast").last).to_contain_text("You left “Launch”.")
    await expect(ada.room_item("Launch")).to_have_count(0)
    await expect(member(bo, "Ada")).to_have_count(0)
    await expect(bo.part("leave")).to_have_count(0)
    await ada.page.wait_for_load_state("networkidle")
    forgive(browser, ANSWERED)


async def test_in_an_archived_chat_nothing_more_is_said_until_it_is_taken_out(
    browser: Browser, town: ServerProcess
) -> None:
    ada = await in_launch(browser, town)
    bo = await come(browser, await make_link(ada), "Bo")
    await expect(bo.composer).to_be_visible()
    await ada.part("room-menu").click()
    await ada.part("room-archive").click()
    for tab in (ada, bo):
        await expect(tab.part("closed")).to_contain_text("This chat is archived")
        await expect(tab.composer).to_have_count(0)
    await browser.screenshot(ada.page, "archived")
    await bo.part("room-menu").tap()
    await expect(bo.part("room-archive")).to_have_count(0)
    await bo.page.keyboard.press("Escape")
    await ada.part("toast-undo").click()
    for tab in (ada, bo):
        await expect(tab.composer).to_be_visible()


async def test_the_last_owner_is_told_why_they_cannot_leave(
    browser: Browser, town: ServerProcess
) -> None:
    ada = await in_launch(browser, town)
    await come(browser, await make_link(ada), "Bo")
    await ada.part("leave").click()
    await ada.agree()
    await expect(ada.part("toast").last).to_contain_text("Make somebody else an owner first.")
    await expect(ada.part("panel")).to_be_visible()
    forgive(browser, re.compile("status of 409"))


async def test_a_link_that_was_used_or_revoked_leads_nowhere_and_says_so(
    browser: Browser, town: ServerProcess
) -> None:
    ada = await in_launch(browser, town)
    once = await make_link(ada, uses="1", role="reader")
    await expect(ada.part("invitations")).to_contain_text("for one person")
    await expect(ada.part("invitations")).to_contain_text("may only read")
    bo = await come(browser, once, "Bo")
    await expect(bo.page.get_by_text("You may read here, but not write.")).to_be_visible()
    await expect(ada.part("invite-link")).to_have_count(0)
    late = Tab(await browser.open(once, phone=True))
    await expect(late.part("invite-words")).to_contain_text(
        "This link was used or has ended. Ask for a new one."
    )
    await expect(late.part("invite-join")).to_have_count(0)
    await browser.screenshot(late.page, "invite-ended")

    second = await make_link(ada)
    await ada.page.reload()
    await expect(ada.part("invitation")).to_have_count(1)
    await browser.screenshot(ada.page, "people-links")
    waiting = Tab(await browser.open(second, phone=True))
    await waiting.part("invite-name").fill("Cy")
    await ada.part("invitation-revoke").click()
    await ada.agree()
    await expect(ada.part("invitation")).to_have_count(0)
    await waiting.part("invite-join").tap()
    await expect(waiting.part("invite-words")).to_contain_text("was used or has ended")
    forgive(browser, ANSWERED)


async def test_who_is_somebody_already_joins_as_that_and_who_is_in_it_goes_there(
    browser: Browser, town: ServerProcess
) -> None:
    ada = await in_launch(browser, town)
    link = await make_link(ada)
    cy = await named(browser, town, "Cy")
    await cy.page.goto(link)
    await expect(cy.part("invite-words")).to_contain_text("Here you are Cy")
    await cy.part("invite-join").click()
    await expect(cy.room_item("Launch")).to_be_visible()
    await expect(member(ada, "Cy")).to_be_visible()
    await cy.page.goto(link)
    await expect(cy.part("room-title")).to_have_text("Launch")


async def test_a_new_chat_shows_nothing_of_what_was_said_before(
    browser: Browser, town: ServerProcess
) -> None:
    ada = await named(browser, town, "Ada")
    await ada.new_chat("a secret of mine")
    await ada.answered()
    before = ada.page.url
    link = await make_link(ada)
    await ada.part("invite-instead").click()
    await expect(ada.part("start-of-room")).to_contain_text("Only you are here.")
    assert ada.page.url != before
    await expect(ada.part("invite-make")).to_be_visible()
    await expect(ada.part("invite-link")).to_have_count(0)
    gone = Tab(await browser.open(link, phone=True))
    await expect(gone.part("invite-words")).to_contain_text("was used or has ended")
    bo = await come(browser, await make_link(ada), "Bo")
    assert "secret" not in await bo.page.content()
    forgive(browser, ANSWERED)


async def test_the_panel_of_people_is_reached_and_left_by_keys(
    browser: Browser, town: ServerProcess
) -> None:
    ada = await in_launch(browser, town)
    invite = ada.part("invite")
    await invite.focus()
    await ada.page.keyboard.press("Enter")
    await expect(ada.part("panel").locator("h2")).to_be_focused()
    await ada.page.keyboard.press("Escape")
    await expect(ada.part("panel")).to_have_count(0)
    await expect(invite).to_be_focused()
    await ada.page.keyboard.press("Enter")
    bo = await come(browser, await make_link(ada), "Bo")
    await bo.page.close()
    more = member(ada, "Bo").get_by_test_id("member-more")
    await more.focus()
    await ada.page.keyboard.press("Enter")
    await expect(ada.part("make-owner")).to_be_focused()
    await ada.page.keyboard.press("End")
    await ada.page.keyboard.press("Enter")
    await expect(ada.part("ask-cancel")).to_be_focused()
    await ada.page.keyboard.press("Tab")
    await ada.page.keyboard.press("Enter")
    await expect(member(ada, "Bo")).to_have_count(0)
    await expect(ada.part("invite-make")).to_be_focused()
    await ada.page.keyboard.press("Escape")
    await expect(ada.part("room-menu")).to_be_focused()


async def test_a_phone_finds_the_invitation_first_in_the_menu_of_the_chat(
    browser: Browser, town: ServerProcess
) -> None:
    tab = Tab(await browser.open(town.url, phone=True))
    await tab.say("Good morning")
    await tab.answered()
    await expect(tab.part("invite")).to_have_count(0)
    await tab.part("room-menu").tap()
    await expect(tab.part("menu").get_by_role("menuitem").first).to_have_text("Invite people")
    await tab.part("people-open").tap()
    await tab.part("invite-make").tap()
    await expect(tab.part("invite-link")).to_be_visible()
    assert await tab.fits()
    await browser.screenshot(tab.page, "people-phone-link")
