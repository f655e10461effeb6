"""Somebody makes an agent of a template, changes it, goes back, takes it along as a file, and talks to it."""

import re
from typing import Any

import orjson
import pytest
from playwright.async_api import FilePayload, Locator, ViewportSize, expect
from tests.support.browser import Browser
from tests.support.server import Serve
from tests.walks.tab import Tab, forgive
from tests.walks.test_measures import FAINT, TEXT_CONTRAST_MIN, WIDE
from tests.walks.test_sign import PASSWORD, REFUSED, enter

pytestmark = [pytest.mark.browser, pytest.mark.slow]

NARROW = ViewportSize(width=390, height=844)
FRENCH = "\n\nUnless another language is asked for, say it in French."


async def looked_at(browser: Browser, tab: Tab, name: str) -> None:
    """At a desk in the light and on a phone in the dark: nothing sticks out, and all can be read."""
    assert await tab.barriers() == []
    for size, light in ((WIDE, "light"), (NARROW, "dark")):
        await tab.page.emulate_media(color_scheme="light" if light == "light" else "dark")
        await tab.page.set_viewport_size(size)
        assert await tab.fits()
        assert await tab.page.evaluate(FAINT, TEXT_CONTRAST_MIN) == []
        await browser.screenshot(tab.page, f"{name}-{light}")
    await tab.page.set_viewport_size(WIDE)
    await tab.page.emulate_media(color_scheme="light")


def agent(tab: Tab, name: str) -> Locator:
    return tab.part("agent").filter(has_text=name)


async def row(tab: Tab, name: str, choice: str) -> None:
    """Choose something from the menu of an agent."""
    await agent(tab, name).get_by_test_id("agent-more").click()
    await tab.part(choice).click()


async def make(browser: Browser, tab: Tab) -> None:
    """Of a template, after a handle that somebody has."""
    await tab.part("agent-template").filter(has_text="Translator").click()
    await expect(tab.page).to_have_url(re.compile("/agents/new$"))
    await expect(tab.part("agent-name")).to_have_value("Translator")
    await tab.part("agent-handle").fill("ada")
    await tab.part("agent-save").click()
    await expect(tab.part("field-error")).to_have_text(re.compile("Somebody has this handle"))
    await expect(tab.part("agent-handle")).to_be_focused()
    await expect(tab.part("agent-name")).to_have_value("Translator")
    await browser.screenshot(tab.page, "agent-refused")
    await tab.part("agent-handle").fill("maya")
    await tab.part("agent-name").fill("Maya")
    await tab.part("agent-save").click()
    await expect(tab.page).to_have_url(re.compile("/agents/a_[0-9a-f]{32}$"))
    await expect(tab.part("agent-versions")).to_have_text("Version 1, compare")


async def edit(browser: Browser, tab: Tab) -> str:
    """With a mistake at first; what the instructions were. What is written stays, wherever one goes."""
    persona = await tab.part("agent-persona").input_value() + FRENCH
    await tab.part("agent-persona").fill(persona)
    await tab.page.go_back()
    await expect(agent(tab, "@maya")).to_be_visible()
    await tab.page.go_forward()
    await expect(tab.part("agent-persona")).to_have_value(persona)
    await tab.part("agent-more-fields").click()
    await tab.part("agent-temperature").fill("3")
    await tab.part("agent-save").click()
    await expect(tab.part("field-error")).to_have_text("A number from 0 to 2.")
    await tab.part("agent-temperature").fill("0.4")
    await looked_at(browser, tab, "agent-edit")
    await tab.part("agent-save").click()
    await expect(tab.part("agent-versions")).to_have_text("Version 2, compare")
    await expect(tab.part("agent-discard")).to_have_count(0)
    return persona.removesuffix(FRENCH)


async def go_back(browser: Browser, tab: Tab, persona: str) -> None:
    """To the first version, after a look at what is different."""
    await tab.part("agent-versions").click()
    await expect(tab.part("agent-version")).to_have_count(2)
    differences = tab.part("agent-difference")
    await expect(differences.locator("ins").first).to_have_text(FRENCH)
    await expect(differences.last.locator("del")).to_have_text("0.2")
    await looked_at(browser, tab, "agent-versions")
    await tab.part("agent-version").last.click()
    await tab.part("agent-restore").click()
    await expect(tab.part("agent-versions")).to_have_text("Version 3, compare")
    await expect(tab.part("agent-persona")).to_have_value(persona)


async def take_along(tab: Tab) -> None:
    """As a file, out and in again; what is no agent's is not taken."""
    chosen = tab.part("agent-file")
    nothing = FilePayload(name="sun.json", mimeType="application/json", buffer=b"{}")
    await chosen.set_input_files(nothing)
    await expect(tab.part("agent-refused")).to_contain_text("No agent could be read from sun.json.")
    await row(tab, "@maya", "agent-export")
    async with tab.page.expect_download() as coming:
        await tab.part("agent-export-palaver").click()
    assert (await coming.value).suggested_filename == "maya.palaver.json"
    file = await (await coming.value).path()
    await chosen.set_input_files({**nothing, "buffer": file.read_bytes()})
    await expect(tab.part("agent-handle")).to_have_value("maya-2")
    await expect(tab.part("agent-name")).to_have_value("Maya")
    await tab.part("agents-back").click()


async def take_in(browser: Browser, tab: Tab) -> None:
    """A card of another program: what is told to the model can be changed, and what is not used here is named."""
    told: dict[str, Any] = {"name": "Bo", "mes_example": "Bo: Ahoy!"}
    told["post_history_instructions"] = "Be brief."
    told |= {"character_book": {"entries": [{}]}, "extensions": {"depth": 4, "voice": "low"}}
    card = orjson.dumps({"spec": "chara_card_v2", "spec_version": "2.0", "data": told})
    file = FilePayload(name="bo.json", mimeType="application/json", buffer=card)
    await tab.part("agent-file").set_input_files(file)
    await expect(tab.part("agent-name")).to_have_value("Bo")
    await tab.part("agent-more-fields").click()
    await expect(tab.part("agent-kept")).to_have_text(
        "Also kept from the file: a lorebook, 2 extensions."
    )
    await expect(tab.part("agent-examples")).to_have_value("Bo: Ahoy!")
    await tab.part("agent-post_history").fill("Be very brief.")
    await tab.part("agent-save").click()
    await expect(tab.part("agent-versions")).to_have_text("Version 2, compare")
    await tab.page.reload()
    await tab.part("agent-more-fields").click()
    await expect(tab.part("agent-post_history")).to_have_value("Be very brief.")
    await tab.part("agent-kept").scroll_into_view_if_needed()
    await looked_at(browser, tab, "agent-kept")
    await tab.part("agents-back").click()


async def test_an_agent_is_made_of_a_template_changed_brought_back_and_taken_along(
    browser: Browser, serve: Serve
) -> None:
    server = await serve(environment={"PALAVER_SIGN_UP": "open"})
    tab = Tab(await browser.open(f"{server.url}/sign-up"))
    await tab.page.set_viewport_size(WIDE)
    await enter(tab, "ada", PASSWORD)
    await expect(tab.part("person")).to_contain_text("@ada")
    await tab.person("agents-open")
    await expect(tab.part("agent-template")).to_have_count(8)
    await make(browser, tab)
    await go_back(browser, tab, await edit(browser, tab))

    await tab.part("agents-back").click()
    await take_along(tab)
    await take_in(browser, tab)
    await row(tab, "@maya-2", "agent-archive")
    await expect(agent(tab, "@maya-2")).to_have_count(0)
    await tab.part("agents-others").click()
    await expect(agent(tab, "@maya-2")).to_contain_text("archived")
    await looked_at(browser, tab, "agents")
    await tab.part("toast").get_by_role("button", name="Undo").click()
    await agent(tab, "@maya-2").get_by_test_id("agent-chat").click()
    await tab.answered()
    await expect(tab.answers).to_contain_text("Maya")  # as it greets
    await expect(tab.page.locator(".divider.new")).to_have_count(0)
    await tab.say("hi")
    await tab.answered(2)
    await expect(tab.answers.last).to_contain_text("Maya")
    forgive(browser, REFUSED)
