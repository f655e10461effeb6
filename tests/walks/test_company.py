"""What one does with a chat that one shares: add somebody, give it away, keep it quiet or put it away."""

import re

import pytest
from playwright.async_api import expect
from tests.support.browser import Browser
from tests.support.server import ServerProcess
from tests.walks.tab import Tab, forgive
from tests.walks.test_invite import ANSWERED, come, do, in_launch, make_link, member
from tests.walks.test_measures import FAINT, TEXT_CONTRAST_MIN

pytestmark = [pytest.mark.browser, pytest.mark.slow]


async def test_a_shared_chat_is_muted_hidden_given_away_and_put_on_the_shelf(
    browser: Browser, town: ServerProcess
) -> None:
    ada = await in_launch(browser, town)
    bo = await come(browser, await make_link(ada), "Bo", dark=True)
    await expect(ada.part("notice")).to_have_text(["Bo joined"])
    await expect(bo.part("notice")).to_have_text(["You joined"])
    await ada.page.keyboard.press("Escape")

    await ada.part("room-menu").click()
    assert await ada.barriers() == []
    await browser.screenshot(ada.page, "menu-company")
    await ada.part("room-mute").click()
    await ada.part("new-room").click()
    await bo.say("@assistant, is anybody there?")
    await expect(ada.room_item("Launch").get_by_test_id("unread")).to_have_text("")
    await expect(ada.page).to_have_title("Palaver")
    assert await ada.page.evaluate(FAINT, TEXT_CONTRAST_MIN) == []
    await browser.screenshot(ada.page, "muted")
    await bo.answered(2)
    await ada.choose(ada.room_item("Launch"), "room-hide")
    await expect(ada.room_item("Launch")).to_have_count(0)
    await ada.person("archive-open")
    await expect(ada.part("hidden-room")).to_contain_text("Launch")
    await browser.screenshot(ada.page, "archive-hidden")
    await bo.say("I say something")
    await expect(ada.room_item("Launch")).to_be_visible()

    await given_away(browser, ada, bo)
    await put_away(browser, town, ada, bo)
    forgive(browser, ANSWERED)


async def given_away(browser: Browser, ada: Tab, bo: Tab) -> None:
    await ada.room_item("Launch").click()
    await ada.part("people").click()
    await do(ada, "Bo", "member-give")
    await expect(ada.part("ask")).to_contain_text("Give this chat to Bo?")
    await browser.screenshot(ada.page, "people-give")
    await ada.agree()
    await expect(member(ada, "Bo")).to_have_attribute("data-role", "owner")
    await expect(ada.part("notice").last).to_have_text("You gave this chat to Bo")
    await expect(bo.part("notice").last).to_have_text("Ada gave this chat to you")
    assert await ada.barriers() == []
    await browser.screenshot(ada.page, "notices")


async def put_away(browser: Browser, town: ServerProcess, ada: Tab, bo: Tab) -> None:
    await bo.part("room-menu").tap()
    await bo.part("room-archive").tap()
    await expect(ada.part("closed")).to_contain_text("This chat is archived")
    await expect(ada.room_item("Launch")).to_have_count(0)
    await expect(ada.part("notice").last).to_have_text("Bo archived this chat")
    await ada.page.reload()
    await expect(ada.part("notice")).to_have_text(
        ["Bo joined", "You gave this chat to Bo", "Bo archived this chat"]
    )
    await expect(ada.part("room-title")).to_have_text("Launch")
    await bo.page.goto(f"{town.url}/archive")
    await expect(bo.part("archived-room")).to_contain_text("Launch")
    assert await bo.fits()
    assert await bo.page.evaluate(FAINT, TEXT_CONTRAST_MIN) == []
    assert await bo.barriers() == []
    await browser.screenshot(bo.page, "archive-phone-dark")
    await bo.part("unarchive").tap()
    await expect(bo.part("archive")).to_contain_text("What you archive can still be read.")
    await expect(ada.composer).to_be_visible()
    await expect(ada.room_item("Launch")).to_be_visible()


async def test_whom_one_knows_is_added_by_name_or_gets_a_new_chat_without_the_past(
    browser: Browser, town: ServerProcess
) -> None:
    ada = await in_launch(browser, town)
    bo = await come(browser, await make_link(ada), "Bo")
    await bo.part("sidebar-toggle").tap()
    await ada.new_chat("a secret of mine")
    await ada.answered()
    first = ada.page.url
    await ada.part("invite").click()
    await ada.part("add-search").fill("nobody of this name")
    await expect(ada.part("panel")).to_contain_text("Nobody you know is called so.")
    await ada.part("add-search").fill("bo")
    await browser.screenshot(ada.page, "people-add")
    await ada.part("add-person").click()
    await expect(ada.part("ask")).to_contain_text("Until now only you and an agent are here.")
    assert await ada.page.evaluate(FAINT, TEXT_CONTRAST_MIN) == []
    assert await ada.barriers() == []
    await browser.screenshot(ada.page, "people-add-ask")
    await ada.part("ask-instead").click()
    await expect(ada.part("people")).to_have_text(re.compile("2 people"))
    assert ada.page.url != first
    await expect(bo.room_item("a secret of mine")).to_have_count(0)
    await ada.say("Just us two")
    await expect(bo.room_item("Just us two")).to_be_visible()

    await ada.page.goto(f"{first}?p=people")
    await ada.part("add-search").fill("Bo")
    await ada.part("add-person").click()
    await ada.agree()
    await expect(member(ada, "Bo")).to_be_visible()
    await expect(ada.part("notice")).to_have_text(["You added Bo"])
    await bo.room_item("a secret of mine").tap()
    await expect(bo.part("notice")).to_have_text(["Ada added you"])
    assert await bo.fits()
    await browser.screenshot(bo.page, "notices-phone")
    await ada.page.set_viewport_size({"width": 390, "height": 844})
    await browser.screenshot(ada.page, "people-add-phone")
    forgive(browser, ANSWERED)


async def test_who_came_stands_between_what_was_said_before_and_after(
    browser: Browser, town: ServerProcess
) -> None:
    ada = await in_launch(browser, town)
    bo = await come(browser, await make_link(ada), "Bo")
    await expect(ada.part("notice")).to_have_text(["Bo joined"])
    await bo.page.close()
    told = Tab(await browser.open(ada.page.url, beside=ada.page))
    await ada.say("@assistant, after he came")
    await ada.answered(2)
    rows = told.page.locator("[data-key]")
    await expect(rows.nth(2).get_by_test_id("notice")).to_have_text("Bo joined")
    await expect(told.part("notice")).to_have_count(1)
