"""Somebody has a program told what happens: the secret is shown once, a test sent, and what was sent is looked at."""

import re

import pytest
from playwright.async_api import ViewportSize, expect
from standardwebhooks import Webhook
from tests.support.browser import Browser
from tests.support.receiver import Receiver, answers, receiving
from tests.support.server import Serve
from tests.walks.tab import Tab, forgive
from tests.walks.test_server import looked_at, owner_of
from tests.walks.test_sign import REFUSED

pytestmark = [pytest.mark.browser, pytest.mark.slow]


async def choose(tab: Tab, what: str) -> None:
    """Chooses what to do with the webhook."""
    await tab.part("webhook-more").click()
    await tab.part(what).click()


async def test_a_program_is_told_what_happens_in_the_chats_of_its_owner(
    browser: Browser, serve: Serve
) -> None:
    fresh = await serve(environment={"PALAVER_PROFILE_NETWORKS": "127.0.0.1"})
    async with receiving() as receiver:
        ada = await owner_of(browser, fresh)
        await ada.new_chat("Before")
        await ada.answered()
        secret = await made(browser, ada, receiver)
        await choose(ada, "webhook-test")
        await expect(ada.part("toast")).to_have_text(re.compile(r"It answered 204 in \d+ ms\."))
        (came,) = receiver.requests
        assert Webhook(secret).verify(came.body, came.headers)["type"] == "chat.palaver.ping"
        receiver.default = answers(500)
        await ada.new_chat(
            "Tell them of the train to Lisbon, of its sleeping cars and of all its stops"
        )
        await receiver.heard(2)
        await ada.answered()
        await tried_again(browser, ada, receiver)
        await choose(ada, "webhook-disable")
        await expect(ada.part("webhook")).to_contain_text("Off")
        await choose(ada, "webhook-rotate")
        await ada.agree()
        await expect(ada.part("webhook-secret")).not_to_have_text(secret)
        await choose(ada, "webhook-remove")
        await ada.agree()
        await expect(ada.part("webhook")).to_have_count(0)
    await ada.page.goto(f"{fresh.url}/admin/audit")
    await expect(ada.part("audited").first).to_contain_text("removed an address")
    forgive(browser, REFUSED)


async def made(browser: Browser, ada: Tab, receiver: Receiver) -> str:
    """Adds an address, first one without its beginning; its secret."""
    await ada.settings("programs")
    await ada.part("webhook-add").click()
    await ada.part("webhook-url").fill(receiver.url.removeprefix("http://"))
    await ada.part("webhook-save").click()
    await expect(ada.part("webhook-form")).to_contain_text("Begin the address with http://")
    await ada.part("webhook-url").fill("http://10.0.0.1:9000/hook")
    await ada.part("webhook-save").click()
    await expect(ada.part("webhook-form")).to_contain_text("PALAVER_PROFILE_NETWORKS")
    forgive(browser, REFUSED)
    await ada.part("webhook-url").fill(receiver.url)
    await ada.part("webhook-chats").select_option(label="Only of these")
    await expect(ada.part("webhook-save")).to_be_disabled()
    await ada.part("webhook-chat").first.check()
    await expect(ada.part("webhook-save")).to_be_enabled()
    await looked_at(browser, ada, "settings-webhook-form")
    await ada.part("webhook-chats").select_option(label="All that you may read")
    await ada.part("webhook-save").click()
    await expect(ada.part("webhook")).to_contain_text("New messages")
    await looked_at(browser, ada, "settings-webhook-secret")
    return await ada.part("webhook-secret").inner_text()


async def tried_again(browser: Browser, ada: Tab, receiver: Receiver) -> None:
    """Looks at what did not arrive, and has it sent at once."""
    await ada.settings("programs")
    await expect(ada.part("webhook-secret")).to_have_count(0)
    await choose(ada, "webhook-sent")
    await expect(ada.part("delivery")).to_have_count(3)
    await expect(ada.part("delivery").nth(1)).to_contain_text("waits, 500 in")
    await expect(ada.part("delivery").nth(1)).to_contain_text("A message, ")
    await expect(ada.part("delivery").last).to_contain_text("A test")
    wide = ada.page.viewport_size
    assert wide is not None
    await ada.page.set_viewport_size(ViewportSize(width=390, height=844))
    box = await ada.part("delivery").nth(1).locator("bdi").bounding_box()
    assert box is not None
    assert box["height"] < 30, "what it is stands in one line"
    await ada.part("deliveries-close").scroll_into_view_if_needed()
    await browser.screenshot(ada.page, "settings-webhook-deliveries-narrow")
    await ada.page.set_viewport_size(wide)
    await expect(ada.part("webhook")).to_contain_text("Nothing has arrived there since")
    await looked_at(browser, ada, "settings-webhook-deliveries")
    receiver.default = answers(200)
    before = len(receiver.requests)
    await ada.part("delivery").nth(1).get_by_test_id("delivery-again").click()
    await receiver.heard(before + 2)
    await choose(ada, "webhook-test")
    await expect(ada.part("webhook")).not_to_contain_text("Nothing has arrived")
    await ada.part("deliveries-close").click()
