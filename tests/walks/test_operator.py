"""Who runs a server looks at all chats, at what happens in them, at models and at use, and reads only their own."""

import re

import pytest
from playwright.async_api import Locator, expect
from tests.support.browser import Browser
from tests.support.server import Serve
from tests.support.upstream import ScriptedUpstream, refuse, reply
from tests.walks.conftest import answering
from tests.walks.tab import Tab, forgive
from tests.walks.test_invite import come, make_link
from tests.walks.test_server import looked_at, owner_of
from tests.walks.test_sign import REFUSED

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SECRET = "My secret plan"
COUNTED = re.compile("^[68]$")
"""What is said within a minute after it was counted is counted later."""


RENAME = """
room => fetch(`/api/rooms/${room}`, {
  method: 'PATCH', headers: { 'Content-Type': 'application/json' }, body: '{"title": "Launch"}'
})
"""


def private(tab: Tab) -> Locator:
    return tab.part("overseen-row").filter(has_text="Private chat")


async def menu_of(tab: Tab, row: Locator, what: str) -> None:
    await row.get_by_test_id("overseen-more").click()
    await tab.part(what).click()


async def test_an_owner_sees_all_chats_and_what_happens_and_reads_what_is_theirs(
    browser: Browser, serve: Serve, models: ScriptedUpstream
) -> None:
    models.default = reply("Yes.")
    models.to("Break it?", refuse(400, {"error": {"message": "no"}}))
    fresh = await serve(environment=answering(models))
    ada = await owner_of(browser, fresh)
    await ada.new_chat("Launch")
    await ada.answered()
    await ada.page.evaluate(RENAME, ada.room)
    bo = await come(browser, await make_link(ada), "Bo")
    await bo.page.goto(fresh.url)
    await bo.say(SECRET)
    await bo.answered()
    await chats(browser, ada)
    await events(browser, ada, bo)
    await ada.page.goto(f"{fresh.url}/admin/profiles")
    await expect(ada.part("operator-profile")).to_contain_text("1 model, set where the server runs")
    await expect(ada.part("operator-agent")).to_contain_text("@assistant, the server")
    await bo.say("Break it?")
    await bo.answered(3, "failed")
    await ada.page.reload()
    await expect(ada.part("operator-profile")).to_contain_text("1 answer failed today")
    await looked_at(browser, ada, "admin-models-dark")
    await ada.part("operator-agent").get_by_role("link").click()
    await expect(ada.page).to_have_url(f"{fresh.url}/agents/{await agent_of(ada)}")
    await ada.page.goto(f"{fresh.url}/admin/usage")
    await expect(ada.part("usage-figure").first).to_have_text(COUNTED)
    await expect(ada.part("usage")).to_contain_text("One answer failed.")
    await expect(ada.part("usage")).to_contain_text("Half of the answers began within")
    await ada.part("usage-chart-table").click()
    await expect(ada.part("usage-chart").get_by_role("row").first).to_have_text(
        re.compile(r".*\d{4}\s*[68]$")
    )
    await looked_at(browser, ada, "admin-usage-chart-dark")
    forgive(browser, REFUSED)


async def agent_of(tab: Tab) -> str:
    return await tab.page.evaluate(
        "async () => (await (await fetch('/api/agents')).json()).agents[0].id"
    )


async def chats(browser: Browser, ada: Tab) -> None:
    """Nothing that Bo said is told, not even by a title, until Ada joins for Bo to see."""
    await ada.page.goto(f"{ada.page.url.split('/r/')[0]}/admin/rooms")
    await expect(ada.part("overseen-row")).to_have_count(3)
    await expect(private(ada)).to_contain_text("of Bo, 1 person, 1 agent")
    await expect(ada.part("overseen")).not_to_contain_text("secret")
    await looked_at(browser, ada, "admin-chats-dark")
    await ada.part("overseen-search").fill("secret")
    await expect(ada.part("overseen")).to_contain_text("No chat whose title you may see")
    await ada.part("overseen-search").fill("laun")
    await expect(ada.part("overseen-row")).to_have_count(1)
    await ada.part("overseen-search").fill("")
    await menu_of(ada, private(ada), "overseen-archive")
    await expect(private(ada)).to_contain_text("archived")
    await menu_of(ada, private(ada), "overseen-archive")
    await expect(private(ada)).not_to_contain_text("archived")
    await menu_of(ada, private(ada), "overseen-delete")
    await ada.agree()
    await expect(ada.part("overseen-row")).to_have_count(2)
    await ada.part("overseen-which").select_option(label="Deleted chats")
    await expect(private(ada)).to_have_count(1)
    await menu_of(ada, private(ada), "overseen-restore")
    await expect(private(ada)).to_have_count(0)
    await expect(ada.part("overseen")).to_contain_text("There are none.")
    await ada.part("overseen-which").select_option(label="Chats")
    await private(ada).get_by_test_id("overseen-more").click()
    await browser.screenshot(ada.page, "admin-chat-menu")
    await ada.page.keyboard.press("Escape")


async def events(browser: Browser, ada: Tab, bo: Tab) -> None:
    """What Bo says shows as it happens, without what it was; and stays where it is while Ada looks."""
    await menu_of(ada, private(ada), "overseen-events")
    seen = ada.part("seen-event")
    await expect(ada.part("events")).to_contain_text("In Private chat")
    await expect(seen.last).to_contain_text("room.created")
    await ada.part("events-all").click()
    await expect(seen.filter(has_text="Launch").first).to_be_visible()
    await bo.page.goto(f"{bo.page.url.split('/r/')[0]}/r/{await private_id(ada)}")
    await bo.say("And more")
    await bo.answered(2)
    await expect(seen.first).to_contain_text("message.created")
    await expect(seen.first).to_contain_text("Private chat")
    await looked_at(browser, ada, "admin-events-dark")
    await seen.first.get_by_role("button").click()
    await expect(ada.part("events")).to_have_attribute("data-live", "false")
    await expect(seen.first).to_contain_text("You are not in this chat")
    await ada.part("events-type").select_option("message.created")
    mine = seen.filter(has_text="Launch").last
    await mine.get_by_role("button").click()
    await expect(ada.part("event-raw")).to_contain_text('"text": "Launch"')
    assert "secret" not in await ada.page.content()
    await looked_at(browser, ada, "admin-event-dark")
    await ada.part("events-only").click()
    await expect(seen).to_have_count(2)
    await ada.part("events-pause").click()
    await expect(ada.part("events")).to_have_attribute("data-live", "false")


async def private_id(tab: Tab) -> str:
    found = await tab.page.evaluate(
        """async () => (await (await fetch('/api/admin/rooms')).json()).rooms
        .find(({ title, role }) => role === null && title === '').id"""
    )
    assert isinstance(found, str)
    return found
