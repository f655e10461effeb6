"""Somebody makes an agent whose program answers, gives it a key, sees it speak, and that it is away."""

import re

import pytest
from playwright.async_api import expect
from tests.faults.test_bots import live
from tests.support.browser import Browser
from tests.support.server import Serve, ServerProcess
from tests.walks.tab import Tab
from tests.walks.test_agents import looked_at
from tests.walks.test_measures import WIDE
from tests.walks.test_sign import PASSWORD, enter

pytestmark = [pytest.mark.browser, pytest.mark.slow]


async def test_a_program_answers_by_a_key_and_is_away_without(
    browser: Browser, serve: Serve
) -> None:
    away = {"PALAVER_SIGN_UP": "open", "PALAVER_PROVIDER_IDLE_SECONDS": "10"}
    server = await serve(environment=away)
    tab = Tab(await browser.open(f"{server.url}/sign-up"))
    await tab.page.set_viewport_size(WIDE)
    await enter(tab, "ada", PASSWORD)
    await tab.person("agents-open")
    await tab.page.goto(f"{server.url}/agents/new")
    await tab.part("agent-name").fill("Maya")
    await expect(tab.part("agent-handle")).to_have_attribute("placeholder", "maya")
    await tab.part("agent-handle").fill("maya")
    await tab.part("agent-model").select_option(label="A program, by a key")
    await expect(tab.part("agent-persona")).to_have_count(0)
    await tab.part("agent-save").click()
    await expect(tab.page.get_by_text("It has no key yet, so its program is away.")).to_be_visible()
    await tab.part("agent-key-make").click()
    token = (await tab.part("agent-token").inner_text()).split()[0]
    assert token.startswith("plv_")
    command = f"python examples/bot.py {server.url} {token}"
    await expect(tab.part("agent-run")).to_have_text(command)
    await expect(tab.part("agent-key")).to_contain_text("not used yet")
    await looked_at(browser, tab, "agent-bot")

    await tab.part("agents-back").click()
    await tab.part("agent").filter(has_text="@maya").get_by_test_id("agent-chat").click()
    await expect(tab.composer).to_be_visible()
    await answered(browser, tab, server, token)
    await expect(tab.part("model")).to_have_count(0)
    await tab.answers.last.hover()
    await tab.part("message-more").click()
    await expect(tab.part("copy-link")).to_be_visible()
    await expect(tab.part("inspect")).to_have_count(0)
    await tab.page.keyboard.press("Escape")
    await tab.say("And now?")
    await expect(tab.answers).to_have_count(2)
    await expect(tab.answers.last).to_have_attribute("data-status", "failed")
    await expect(tab.answers.last).to_contain_text("Its program is away.")
    await looked_at(browser, tab, "bot-away")


async def answered(browser: Browser, tab: Tab, server: ServerProcess, token: str) -> None:
    """As long as no program has taken it up, nobody is answering; whoever comes later sees the same."""
    async with live(server, token) as bot:
        await tab.say("Are you there?")
        turn = (await bot.push("turn"))["turn"]
        for _ in range(2):
            untaken = re.compile("Maya.s program has not taken this up yet")
            await expect(tab.stream).to_have_text(untaken)
            await expect(tab.part("typing")).to_have_text("")
            await tab.page.reload()
        await looked_at(browser, tab, "bot-untaken")
        await bot.ask(t="turn.d", turn=turn, n=1, x="")
        await expect(tab.stream).not_to_contain_text("has not taken this up yet")
        await expect(tab.part("typing")).to_contain_text("is answering")
        await bot.ask(t="turn.d", turn=turn, n=2, x="Let me think …")
        await expect(tab.stream).to_contain_text("Let me think …")
        await bot.ask(t="turn.end", turn=turn, text="Yes, I am.")
        await tab.answered(1)
        await expect(tab.answers.last).to_contain_text("Yes, I am.")
