"""Who runs a server: its first owner comes by the link that it printed, and looks after people and what happened."""

import asyncio
import re

import pytest
from playwright.async_api import Locator, ViewportSize, expect
from tests.support.browser import Browser
from tests.support.server import LOOK_SECONDS, Serve, ServerProcess
from tests.support.upstream import ScriptedUpstream, reply
from tests.walks.conftest import STEP_SECONDS_MAX, answering
from tests.walks.tab import Tab, forgive
from tests.walks.test_invite import come, make_link
from tests.walks.test_measures import FAINT, TEXT_CONTRAST_MIN
from tests.walks.test_sign import PASSWORD, REFUSED, enter

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LINK = re.compile(r"http\S+/setup#\S+")
WIDE = ViewportSize(width=1440, height=900)
NARROW = ViewportSize(width=390, height=844)


def row(tab: Tab, name: str) -> Locator:
    return tab.part("person-row").filter(has=tab.page.get_by_text(name, exact=True))


async def looked_at(browser: Browser, tab: Tab, name: str) -> None:
    """As it is at a desk and on a phone, where nothing may stick out, and all can be read."""
    assert await tab.page.evaluate(FAINT, TEXT_CONTRAST_MIN) == []
    assert await tab.barriers() == []
    await browser.screenshot(tab.page, name)
    await tab.page.set_viewport_size(NARROW)
    assert await tab.fits()
    await browser.screenshot(tab.page, f"{name}-phone")
    await tab.page.set_viewport_size(WIDE)


async def printed(server: ServerProcess) -> str:
    """The link that the server prints, which is read a moment after it is ready."""
    async with asyncio.timeout(STEP_SECONDS_MAX):
        while True:
            if found := LINK.search("\n".join(server.log.copy())):
                return found[0]
            await asyncio.sleep(LOOK_SECONDS)  # a pipe of another process is looked at


async def owner_of(browser: Browser, server: ServerProcess) -> Tab:
    """Ada follows the link that the server printed."""
    link = await printed(server)
    early = Tab(await browser.open(f"{server.url}/setup"))
    await expect(early.part("sign-words")).to_contain_text("is printed where this server")
    await early.page.close()
    ada = Tab(await browser.open(link, dark=True))
    await ada.page.set_viewport_size(WIDE)
    assert "#" not in ada.page.url, "the secret is out of the address"
    await expect(ada.part("sign-words")).to_contain_text("Set up Palaver")
    await ada.part("sign-name").fill("Ada")
    await looked_at(browser, ada, "setup-dark")
    await enter(ada, "ada", PASSWORD)
    await expect(ada.part("person")).to_contain_text("@ada")
    late = Tab(await browser.open(link, phone=True))
    await expect(late.part("sign-words")).to_contain_text("was used or has ended")
    await expect(late.part("sign-enter")).to_have_count(0)
    await browser.screenshot(late.page, "setup-ended")
    return ada


async def test_the_first_owner_lets_somebody_in_and_out_and_reads_what_happened(
    browser: Browser, serve: Serve
) -> None:
    fresh = await serve(environment={"PALAVER_GUESTS": "off"})
    ada = await owner_of(browser, fresh)
    await ada.person("admin-open")
    await expect(row(ada, "Ada")).to_contain_text("@ada, you, owner")
    await expect(ada.part("admin")).to_contain_text("All who have an account.")
    await ada.part("person-add").click()
    await ada.part("person-handle").fill("bo")
    await ada.part("person-name").fill("Bo")
    await ada.part("person-make").click()
    link = await ada.part("person-link").inner_text()
    await looked_at(browser, ada, "admin-people-dark")
    bo = Tab(await browser.open(link, phone=True))
    await bo.part("sign-password").fill(PASSWORD)
    await bo.part("sign-enter").tap()
    await expect(bo.part("home")).to_be_visible()
    await bo.page.goto(f"{fresh.url}/admin/people")
    await expect(bo.part("admin")).to_contain_text("You may not do that here.")

    await ada.part("people-search").fill("bo")
    await expect(row(ada, "Ada")).to_have_count(0)
    await row(ada, "Bo").get_by_test_id("person-more").click()
    await browser.screenshot(ada.page, "admin-person-menu")
    await ada.part("person-admin").click()
    await expect(row(ada, "Bo")).to_have_attribute("data-role", "admin")
    await expect(bo.banner).to_have_attribute("data-state", "stopped")
    await bo.page.goto(f"{fresh.url}/sign-in")  # with another role everybody signs in anew
    await enter(bo, "bo", PASSWORD)
    await expect(bo.part("home")).to_be_visible()
    await bo.page.goto(f"{fresh.url}/admin/people")
    await expect(row(bo, "Ada")).to_be_visible()
    await expect(bo.part("person-more")).to_have_count(0)
    await browser.screenshot(bo.page, "admin-of-admin-phone")

    await let_out(browser, ada, bo)
    stranger = Tab(await browser.open(f"{fresh.url}/admin/people"))
    await expect(stranger.part("sign-words")).to_contain_text("Sign in")
    forgive(browser, REFUSED)


async def test_what_answers_used_is_seen_by_who_asked_and_by_who_looks_after_the_server(
    browser: Browser, serve: Serve, models: ScriptedUpstream
) -> None:
    prices = '{"scripted": {"input": 2000, "output": 90000}}'
    ada = await owner_of(
        browser, await serve(environment={**answering(models), "PALAVER_PRICES": prices})
    )
    models.to("How much is it?", reply(*(f"word{number} " for number in range(20))))
    await ada.say("How much is it?")
    await ada.answered()
    await ada.settings("usage")
    await expect(ada.part("usage-row")).to_contain_text("127.0.0.1/scripted")
    await expect(ada.part("usage")).to_contain_text("$1.81")
    await ada.page.goto(f"{ada.page.url.split('/settings')[0]}/admin/usage")
    await ada.part("usage-by").select_option("person")
    await expect(ada.part("usage-row")).to_contain_text("Ada")
    await looked_at(browser, ada, "admin-usage-dark")
    await ada.part("usage-days").select_option("1")
    await expect(ada.part("usage-row")).to_have_count(1)
    await bounded(browser, ada)
    forgive(browser, REFUSED)


async def bounded(browser: Browser, ada: Tab) -> None:
    """An admin sets budgets and takes one away; whom it bounds sees what is used of it."""
    await ada.part("budget-new").click()
    await ada.part("budget-kind").select_option("person")
    await ada.part("budget-handle").fill("nobody-so")
    await ada.part("budget-tokens").fill("100")
    await ada.part("budget-set").click()
    await expect(ada.part("budgets")).to_contain_text("Nobody has this handle.")
    await ada.part("budget-handle").fill("ada")
    await ada.part("budget-period").select_option("day")
    await ada.part("budget-set").click()
    await expect(ada.part("budget")).to_contain_text("Ada, a day")
    await expect(ada.part("budget")).to_contain_text(re.compile(r"\d+ % used"))
    await ada.part("budget-kind").select_option("server")
    await ada.part("budget-dollars").fill("1.50")
    await ada.part("budget-set").click()
    await expect(ada.part("budget")).to_have_count(2)
    await expect(ada.part("budget").last).to_contain_text("$1.81 of $1.50")
    await expect(ada.part("budget").last).to_contain_text("Used up")
    await looked_at(browser, ada, "admin-budgets-dark")
    await ada.settings("usage")
    await expect(ada.part("budget")).to_have_count(1)
    await expect(ada.part("budget")).to_contain_text("Today")
    await expect(ada.part("budget-remove")).to_have_count(0)
    await looked_at(browser, ada, "usage-budget")
    await ada.page.goto(f"{ada.page.url.split('/settings')[0]}/admin/usage")
    await ada.part("budget-remove").last.click()
    await ada.agree()
    await expect(ada.part("budget")).to_have_count(1)


async def test_who_was_invited_takes_a_password_in_mid_answer_and_finds_all_on_a_laptop(
    browser: Browser, serve: Serve
) -> None:
    fresh = await serve()
    ada = await owner_of(browser, fresh)
    await ada.new_chat("Launch")
    await ada.answered()
    bo = await come(browser, await make_link(ada), "Bo")
    await bo.say("@assistant /long 20000")
    await expect(ada.stream).to_have_count(1)
    await bo.page.goto(f"{fresh.url}/settings/profile")
    await bo.part("account-make").tap()
    await expect(bo.part("sign-words")).to_contain_text("The chats of this browser come along.")
    await enter(bo, "bo", PASSWORD)
    await expect(bo.part("person")).to_contain_text("@bo")
    await expect(ada.stream).to_have_count(1)
    laptop = Tab(await browser.open(f"{fresh.url}/sign-in"))
    await enter(laptop, "bo", PASSWORD)
    await laptop.room_item("Launch").click()
    await expect(laptop.stream).to_contain_text("w001")
    await laptop.part("stop").click()
    for tab in (ada, laptop):
        await tab.answered(2, "stopped")
    assert await laptop.answers.last.inner_text() == await ada.answers.last.inner_text()
    forgive(browser, REFUSED)


async def let_out(browser: Browser, ada: Tab, bo: Tab) -> None:
    """Ada disables Bo, who is out at once, and reads of it."""
    await row(ada, "Bo").get_by_test_id("person-more").click()
    await ada.part("person-disable").click()
    await browser.screenshot(ada.page, "admin-disable")
    await ada.agree()
    await expect(row(ada, "Bo")).to_have_attribute("data-status", "disabled")
    await expect(bo.banner).to_have_attribute("data-state", "stopped")

    await ada.part("admin-audit").click()
    await expect(ada.part("audited").first).to_contain_text("@ada disabled @bo")
    await expect(ada.part("audit")).to_contain_text("@ada made @bo an admin of the server")
    await expect(ada.part("audit")).not_to_contain_text("does not know")
    await looked_at(browser, ada, "admin-audit-dark")
