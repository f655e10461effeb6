"""The server dies, at the worst moment, and comes back on the same port and data: the page loses nothing."""

import asyncio
import re

import pytest
from playwright.async_api import Error as PlaywrightError, Request, expect
from tests.support.browser import Browser
from tests.support.server import Serve
from tests.support.upstream import ScriptedUpstream, reply, stream
from tests.walks.conftest import answering
from tests.walks.tab import OUTAGE, arrive, forgive, held, words

ENDINGS = re.compile(r"/MessageStatus-[^/]+\.js$")
"""The part of the page that says how an answer ended, and offers to ask again."""
HAS_ENDINGS = """() => performance.getEntriesByType("resource")
    .some(one => one.name.includes("/MessageStatus-") && one.responseStatus === 200)"""
QUESTION = "Say three hundred words."

pytestmark = [pytest.mark.browser, pytest.mark.fault, pytest.mark.slow]


async def test_what_is_written_during_an_outage_is_stored_once_and_answered_once(
    browser: Browser, serve: Serve
) -> None:
    server = await serve()
    tab = await arrive(browser, server.url)
    await tab.new_chat("/long 3")
    await tab.answered(1)
    address = tab.page.url
    await expect(tab.banner).to_have_count(0)

    await tab.composer.press_sequentially("/lo")
    await server.kill()
    await tab.composer.press_sequentially("ng 4")
    await tab.composer.press("Enter")
    await expect(tab.waiting("sending")).to_have_count(1)
    await expect(tab.banner).to_have_attribute("data-state", "reconnecting")
    await expect(tab.banner).to_contain_text("kept")
    await browser.screenshot(tab.page, "outage")
    # A part of the page that is wanted meanwhile is asked for when that has a chance: a browser asks once.
    await tab.page.get_by_role("main").focus()
    await tab.page.keyboard.press("?")
    await expect(tab.part("toast")).to_be_visible()
    await server.start()
    await expect(tab.banner).to_have_count(0)
    await tab.answered(2)
    await tab.page.get_by_role("main").focus()
    await tab.page.keyboard.press("?")
    await expect(tab.page.get_by_role("dialog")).to_be_visible()
    await tab.page.keyboard.press("Escape")

    await server.kill()
    await tab.say("/long 5")
    await expect(tab.waiting("sending")).to_have_count(1)
    assert [entry["text"] for entry in await tab.kept()] == ["/long 5"]
    with pytest.raises(PlaywrightError, match="ERR_CONNECTION_REFUSED"):
        await tab.page.reload()
    await server.start()
    await tab.page.goto(address)
    await tab.answered(3)
    log = await tab.log()
    assert [text for _, role, text in log if role == "user"] == ["/long 3", "/long 4", "/long 5"]
    await expect(tab.banner).to_have_count(0)
    assert await tab.kept() == []
    forgive(browser, OUTAGE)


async def test_an_answer_that_the_death_of_the_server_cut_is_kept_and_can_be_tried_again(
    browser: Browser, serve: Serve, models: ScriptedUpstream
) -> None:
    models.to(QUESTION, held(300, asyncio.Event()))
    server = await serve(environment=answering(models))
    tab = await arrive(browser, server.url)
    await tab.page.wait_for_function(HAS_ENDINGS)
    await tab.say(QUESTION)
    text = tab.stream.get_by_test_id("message-text")
    await expect(text).to_contain_text("w019")
    await server.kill()
    seen = (await text.inner_text()).strip()
    assert "w299" not in seen

    await server.start()
    await tab.answered(1, status="interrupted")
    seq, _, kept = (await tab.log())[-1]
    assert kept.startswith(seen)
    assert "w299" not in kept
    await browser.screenshot(tab.page, "interrupted")

    models.to(QUESTION, reply(*words(0, 300)))
    await tab.part("retry").click()
    await expect(tab.page.locator(f'[data-seq="{seq}"]')).to_have_count(0)
    await tab.answered(1)
    assert (await tab.log())[-1][2] == " ".join(f"w{number:03d}" for number in range(300))
    forgive(browser, OUTAGE)


async def test_what_is_written_while_the_server_is_dead_stays_below_the_answer_that_died_with_it(
    browser: Browser, serve: Serve, models: ScriptedUpstream
) -> None:
    models.to(QUESTION, held(300, asyncio.Event()))
    models.to("Meanwhile", stream(asyncio.Event()))
    server = await serve(environment=answering(models))
    tab = await arrive(browser, server.url)
    await tab.say(QUESTION)
    await expect(tab.stream).to_contain_text("w019")
    await expect(tab.part("typing")).to_contain_text("Assistant is answering")
    await server.kill()
    await expect(tab.banner).to_be_visible()
    await expect(tab.part("typing")).to_have_text("")
    await tab.say("Meanwhile")
    await expect(tab.waiting("sending")).to_have_count(1)
    keys = "rows => rows.slice(0, 3).map(row => row.dataset.key)"
    rows = tab.page.locator("[data-key]")
    places = await rows.evaluate_all(keys)
    assert len(places) == 3
    await server.start()
    await expect(tab.part("thinking")).to_be_visible()
    await expect(tab.waiting("sending")).to_have_count(0)
    await expect(tab.part("thinking").locator(".dots")).to_be_visible()
    assert [role for _, role, _ in await tab.log()] == ["user", "assistant", "user"]
    assert await rows.evaluate_all(keys) == places
    await server.kill()
    await expect(tab.banner).to_be_visible()
    await expect(tab.part("thinking").locator(".dots")).to_be_hidden()
    await browser.screenshot(tab.page, "outage-thinking")
    await tab.page.close()  # it would go on looking for the server
    forgive(browser, OUTAGE)


def of_endings(asked: Request) -> bool:
    return ENDINGS.search(asked.url) is not None


async def test_a_planned_stop_keeps_a_running_answer_and_the_page_comes_back(
    browser: Browser, serve: Serve
) -> None:
    server = await serve(environment={"PALAVER_STOP_SECONDS": "2"})
    tab = await arrive(browser, server.url)
    await tab.page.route(ENDINGS, lambda route: route.abort("connectionrefused"))
    async with tab.page.expect_event("requestfailed", of_endings):
        await tab.page.reload()
    await tab.say("/long 5000")
    text = tab.stream.get_by_test_id("message-text")
    await expect(text).to_contain_text("w020")
    assert await server.term() == 0
    seen = (await text.last.inner_text()).strip() if await text.count() else ""
    await server.start()
    await tab.answered(1, status="interrupted")
    kept = (await tab.log())[-1][2]
    assert kept.startswith(seen or "w000 w001")

    # What the page could not get when the server was there is not here by its coming back, and it says so.
    await tab.page.unroute(ENDINGS)
    await expect(tab.banner).to_have_attribute("data-state", "outdated")
    await expect(tab.part("retry")).to_have_count(0)
    await browser.screenshot(tab.page, "outage-outdated")
    await tab.banner.get_by_role("button").click()
    await expect(tab.part("retry")).to_be_visible()
    await expect(tab.banner).to_have_count(0)
    forgive(browser, OUTAGE)
