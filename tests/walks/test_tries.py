"""Somebody tries an agent that is not saved yet, and beside it how it was, at a desk and on a phone."""

import pytest
from playwright.async_api import expect
from tests.support.browser import Browser
from tests.support.server import Serve
from tests.support.upstream import STALL, Received, ScriptedUpstream, refuse, reply, stream
from tests.walks.conftest import answering
from tests.walks.tab import Tab
from tests.walks.test_agents import NARROW, looked_at
from tests.walks.test_measures import WIDE
from tests.walks.test_sign import PASSWORD, enter

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LONG = "The **moon** is a lantern\nthat nobody lit.\n\nIt hangs above the harbour, and the boats nod to it."


def told(asked: Received) -> list[tuple[str, str]]:
    return [(one["role"], one["content"]) for one in asked.json["messages"]]


async def ask(tab: Tab, words: str) -> None:
    await tab.part("try-words").fill(words)
    await tab.part("try-words").press("Enter")


async def draft(tab: Tab, models: ScriptedUpstream) -> None:
    """Asked before it is there, then saved."""
    await tab.part("agent-persona").fill("Rhyme.")
    models.will(reply("Once ", "upon."))
    await ask(tab, "A line?")
    await expect(tab.part("try-answer")).to_contain_text("Once upon.")
    assert told(models.asked[-1]) == [("system", "Rhyme."), ("user", "A line?")]
    await tab.part("agent-name").fill("Maya")
    await tab.part("agent-save").click()
    await expect(tab.part("agent-versions")).to_have_text("Version 1, compare")


async def beside(browser: Browser, tab: Tab, models: ScriptedUpstream) -> None:
    """As it is written now, and as it was saved."""
    answers = tab.part("try-answer")
    await tab.part("agent-persona").fill("Haiku.")
    await tab.part("try-beside").select_option(label="Version 1, as saved")
    models.default = reply(LONG)
    await ask(tab, "And the moon?")
    await expect(answers).to_have_count(2)
    for place, name in enumerate(("As written here", "Version 1")):
        await expect(answers.nth(place)).to_contain_text(name)
        await expect(answers.nth(place)).to_contain_text("nod to it.")
        await expect(answers.nth(place)).to_contain_text("8 tokens")
    assert {told(one)[0][1] for one in models.asked[-2:]} == {"Haiku.", "Rhyme."}
    left, right = [await answers.nth(place).bounding_box() for place in (0, 1)]
    assert left is not None
    assert right is not None
    assert left["y"] == right["y"]
    assert left["x"] + left["width"] <= right["x"]
    await looked_at(browser, tab, "agent-try")


async def stop(tab: Tab, models: ScriptedUpstream) -> None:
    """One that does not end, while the other fails; what came of it is said again."""
    answers = tab.part("try-answer")
    models.will(stream("It was ", STALL))
    models.will(refuse(401, {"error": {"message": "no"}}))
    await ask(tab, "More")
    await expect(tab.part("agent-try")).to_contain_text("refused the key")
    await tab.part("try-stop").click()
    await expect(tab.part("agent-try")).to_contain_text("Stopped.")
    await models.hung_up.wait()
    await ask(tab, "Go on")
    await expect(answers).to_have_count(6)
    await expect(answers.last).to_contain_text("nod to it.")
    kept = [told(one) for one in models.asked[-2:]]
    assert all(("user", "And the moon?") in one for one in kept)
    assert any(("assistant", "It was ") in one for one in kept)


async def test_an_agent_is_tried_before_it_is_saved_and_beside_what_it_was(
    browser: Browser, serve: Serve, models: ScriptedUpstream
) -> None:
    server = await serve(environment={"PALAVER_SIGN_UP": "open", **answering(models)})
    tab = Tab(await browser.open(f"{server.url}/sign-up"))
    await tab.page.set_viewport_size(WIDE)
    await enter(tab, "ada", PASSWORD)
    await expect(tab.part("person")).to_contain_text("@ada")
    await tab.page.goto(f"{server.url}/agents/new")
    await draft(tab, models)
    await beside(browser, tab, models)
    await stop(tab, models)

    answers = tab.part("try-answer")
    await tab.page.set_viewport_size(NARROW)
    await expect(tab.part("try-words")).to_be_hidden()
    await tab.part("agent-side-try").click()
    await expect(answers.last).to_be_visible()
    await looked_at(browser, tab, "agent-try-phone")
    await tab.page.set_viewport_size(NARROW)
    await browser.screenshot(tab.page, "agent-try-light")
    await tab.part("try-over").click()
    await expect(answers).to_have_count(0)
    await tab.page.goto(f"{server.url}/")
    await expect(tab.part("room").filter(has_text="moon")).to_have_count(0)
