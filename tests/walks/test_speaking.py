"""Two people and two agents in one chat: who will answer is said while one writes, and agents end where they must."""

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Locator, expect
from tests.support.browser import Browser
from tests.support.databases import copied
from tests.support.server import ServerProcess, serving
from tests.support.upstream import ScriptedUpstream, reply
from tests.walks.conftest import answering
from tests.walks.tab import Tab, forgive, held
from tests.walks.test_invite import ANSWERED, come, in_launch, make_link
from tests.walks.test_measures import FAINT, TEXT_CONTRAST_MIN

from palaver.core.runtime import started
from palaver.model.usage import BudgetKind, BudgetPeriod
from palaver.settings import Settings

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
async def launch(
    tmp_path_factory: pytest.TempPathFactory, models: ScriptedUpstream
) -> AsyncIterator[ServerProcess]:
    """A server with two agents that answer each other for ever, and two of whose budgets nothing or little is left."""
    folder = tmp_path_factory.mktemp("launch")
    copied(folder / "data")
    async with started(Settings(data_dir=folder / "data", detect=False)) as core:
        for name in ("Maya", "Max"):
            await core.agents.ensured(name.lower(), name)
        agents, day = BudgetKind.AGENT, BudgetPeriod.DAY
        for name, tokens in (("Cleo", 0), ("Cora", 5)):
            card = await core.agents.ensured(name.lower(), name)
            await core.usage.set_budget(None, agents, card.actor.id, day, tokens=tokens)
    models.to("are you ready?", reply("As soon as @max is."))
    models.to("As soon as @max is.", reply("Then begin, @maya."))
    models.to("Then begin, @maya.", reply("As soon as @max is."))
    async with serving(folder) as serve:
        yield await serve(environment=answering(models))


def agent(tab: Tab, name: str) -> Locator:
    return tab.part("agent").filter(has_text=name)


async def bring(tab: Tab, name: str) -> None:
    await tab.part("add-agent").click()
    await tab.part("agent-to-add").filter(has_text=name).click()
    await expect(agent(tab, name)).to_be_visible()


async def test_agents_are_asked_by_name_and_end_at_their_bound_before_two_people(
    browser: Browser, launch: ServerProcess, models: ScriptedUpstream
) -> None:
    ada = await in_launch(browser, launch)
    bo = await come(browser, await make_link(ada), "Bo", dark=True)
    await ada.part("add-agent").click()
    await expect(ada.part("agent-to-add")).to_have_count(4)
    assert await ada.barriers() == []
    await browser.screenshot(ada.page, "agents-add")
    await ada.page.keyboard.press("Escape")
    await expect(ada.part("add-agent")).to_be_focused()
    await bring(ada, "Maya")
    await bring(ada, "Max")
    await agent(ada, "Max").get_by_test_id("speaks").select_option("mentioned")
    await expect(bo.part("notice").last).to_have_text("Ada let Max answer when mentioned")
    assert await ada.page.evaluate(FAINT, TEXT_CONTRAST_MIN) == []
    await browser.screenshot(ada.page, "agents-panel")
    await agent(ada, "Max").get_by_test_id("agent-more").click()
    await browser.screenshot(ada.page, "agents-menu")
    await ada.page.keyboard.press("Escape")
    await ada.part("panel-close").click()

    await mentioned(browser, ada, bo)
    await stopped(browser, ada, models)

    await bo.say("@maya, are you ready?")
    bound = "Agents answered each other as often as they may. Say something to go on."
    for tab in (ada, bo):
        await expect(tab.part("notice").last).to_have_text(bound)
        await expect(tab.answers).to_have_count(3 + 6)
        await expect(tab.stream).to_have_count(0)
        assert await tab.barriers() == []
        assert await tab.fits()
    await browser.screenshot(ada.page, "agents-bound")
    await browser.screenshot(bo.page, "agents-bound-phone-dark")
    await used_up(browser, ada, bo)
    await bo.page.goto(bo.page.url + "?p=people")
    await expect(agent(bo, "Maya")).to_be_visible()
    await browser.screenshot(bo.page, "agents-panel-phone-dark")
    await ada.page.set_viewport_size({"width": 390, "height": 844})
    await ada.page.goto(ada.page.url + "?p=people")
    await expect(agent(ada, "Maya")).to_be_visible()
    await agent(ada, "Max").scroll_into_view_if_needed()
    await browser.screenshot(ada.page, "agents-panel-phone")
    forgive(browser, ANSWERED)


async def used_up(browser: Browser, ada: Tab, bo: Tab) -> None:
    """Agents of whose budgets nothing, or too little, is left: both are told so, and until when."""
    await ada.part("people").click()
    for name in ("Cleo", "Cora"):
        await bring(ada, name)
    await ada.part("panel-close").click()
    for name, how in (("Cleo", "is used up"), ("Cora", "has too little left for this question")):
        await bo.say(f"@{name.lower()}, and you?")
        told = re.compile(f"^{name}.s budget for today {how}. It begins anew at 00:00 UTC.$")
        for tab in (ada, bo):
            await expect(tab.part("notice").last).to_have_text(told)
    await browser.screenshot(bo.page, "budget-reached-phone-dark")
    await browser.screenshot(ada.page, "budget-reached")


async def mentioned(browser: Browser, ada: Tab, bo: Tab) -> None:
    """What one writes says who will answer; an @ offers whom it may mean."""
    line = ada.part("answer-line")
    await ada.composer.press_sequentially("ready")
    await expect(line).to_contain_text("Nobody will answer.")
    await browser.screenshot(ada.page, "answer-line-nobody")
    await ada.part("add-mention").click()
    await expect(line).to_have_text(re.compile("Assistant will answer"))
    await ada.composer.fill("")
    await ada.composer.press_sequentially("@ma")
    await expect(ada.part("mention")).to_have_text([re.compile("Maya"), re.compile("Max")])
    assert await ada.barriers() == []
    await browser.screenshot(ada.page, "mentions")
    await ada.composer.press("ArrowDown")
    await ada.composer.press("Tab")
    await expect(ada.composer).to_have_value("@max ")
    await ada.composer.press_sequentially("@b")
    await expect(ada.part("mentions")).to_have_count(0)
    await bo.composer.press_sequentially("@")
    await expect(bo.part("mention")).to_have_count(4)
    await browser.screenshot(bo.page, "mentions-phone-dark")
    await bo.composer.press("Escape")
    await expect(bo.part("mentions")).to_have_count(0)
    await bo.composer.fill("")


async def stopped(browser: Browser, ada: Tab, models: ScriptedUpstream) -> None:
    """Two at once: what is further down says what it answers, and Stop asks whom."""
    models.to("say it all", held(100, asyncio.Event()))
    await ada.composer.fill("@maya and @max, say it all")
    await expect(ada.part("answer-line")).to_have_text("Maya and Max will answer")
    await ada.composer.press("Enter")
    await expect(ada.stream).to_have_count(2)
    await expect(ada.stream.last.get_by_test_id("answers")).to_have_text("answers you")
    await ada.part("stop").click()
    await expect(ada.part("menu").get_by_role("menuitem")).to_have_text(["Stop all", "Maya", "Max"])
    await browser.screenshot(ada.page, "stop-menu")
    await ada.part("stop-all").click()
    await ada.answered(3, "stopped")
    await expect(ada.answers.last.get_by_test_id("answers")).to_have_text("answers you")


async def test_one_press_stops_the_only_answer_and_asks_where_one_waits_behind_it(
    browser: Browser, launch: ServerProcess, models: ScriptedUpstream
) -> None:
    models.to("say it all", held(100, asyncio.Event()))
    ada = await in_launch(browser, launch)
    await ada.part("invite").click()
    for name in ("Maya", "Max"):
        await bring(ada, name)
    for name in ("Maya", "Max", "Assistant"):
        await agent(ada, name).get_by_test_id("speaks").select_option("mentioned")
    await ada.part("order").select_option("in_turn")
    await ada.part("panel-close").click()
    await ada.say("@maya, say it all")
    await expect(ada.stream).to_contain_text("w019")
    await ada.part("stop").click()
    await ada.answered(2, "stopped")
    await ada.say("@maya and @max, say it all")
    await expect(ada.part("answer-line")).to_have_text(re.compile("Max.*, after .*Maya"))
    await expect(ada.stream).to_contain_text("w019")
    await ada.answers.last.hover()
    await ada.answers.last.get_by_test_id("message-copy").click()
    await expect(ada.part("toast").last).to_be_visible()
    await ada.part("stop").click()
    await expect(ada.part("menu").get_by_role("menuitem")).to_have_text(["Stop all", "Maya"])
    await expect(ada.part("toast")).to_have_count(0)
    await ada.page.keyboard.press("Escape")
    await expect(ada.part("toast").last).to_be_visible()
    await ada.part("stop").click()
    await ada.part("stop-all").click()
    await ada.answered(3, "stopped")


async def test_what_was_done_is_told_below_the_people_of_a_phone(
    browser: Browser, launch: ServerProcess
) -> None:
    ada = await in_launch(browser, launch)
    await ada.page.set_viewport_size({"width": 390, "height": 480})
    await ada.page.goto(f"{ada.page.url}?p=people")
    await make_link(ada)
    await ada.part("invite-link").scroll_into_view_if_needed()
    last = ada.part("panel").locator(".inside > *").last
    await last.evaluate("one => one.parentElement.scrollTo(0, one.parentElement.scrollHeight)")
    row, told = await last.bounding_box(), await ada.part("toast").last.bounding_box()
    assert row is not None
    assert told is not None
    assert row["y"] + row["height"] <= told["y"]
    await browser.screenshot(ada.page, "people-toast-phone")
