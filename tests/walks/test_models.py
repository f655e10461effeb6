"""Whoever comes first pastes the address and the key of a model server, tests it, keeps it, and is answered at once.

Then they pick a model for a chat where they write, tell it something of its own, and ask two models at once.
"""

import asyncio
import re
from typing import Any

import pytest
from playwright.async_api import Locator, expect
from tests.support.browser import Browser
from tests.support.server import Serve, ServerProcess
from tests.support.upstream import ScriptedUpstream, refuse, reply, stream
from tests.walks.tab import Tab, arrive, forgive
from tests.walks.test_measures import FAINT, TEXT_CONTRAST_MIN
from tests.walks.test_server import WIDE, looked_at, printed
from tests.walks.test_sign import PASSWORD, enter

pytestmark = [pytest.mark.browser, pytest.mark.slow]

KEY = "sk-pasted-0123456789"
TEAM = "planted-header"
REFUSED = re.compile(r"status of 502")
CHATS = "fetch('/api/rooms').then((got) => got.json()).then(({ rooms }) => rooms.length)"


async def mistyped(tab: Tab, url: str) -> None:
    """An address, first without its beginning."""
    await tab.part("profile-url").fill(url.removeprefix("http://"))
    await tab.part("profile-test").click()
    wrong = "Begin the address with http:// or https://."
    await expect(tab.part("profile-found")).to_have_text(wrong)
    await tab.part("profile-url").fill(url)


async def test_a_newcomer_connects_a_model_and_is_answered_without_a_restart(
    browser: Browser, serve: Serve, models: ScriptedUpstream
) -> None:
    models.models = [{"id": f"model-{number}"} for number in range(42)]
    models.default = reply("Hello from there.")
    fresh = await serve()
    ada = Tab(await browser.open(await printed(fresh)))
    await ada.page.set_viewport_size(WIDE)
    await ada.part("sign-name").fill("Ada")
    await enter(ada, "ada", PASSWORD)
    await expect(ada.part("model-hint")).to_contain_text("No model is connected")
    await browser.screenshot(ada.page, "no-model")
    await ada.page.get_by_role("button", name="Connect a model").click()
    await ada.part("profile-connect").click()
    await mistyped(ada, models.base_url)
    await ada.part("profile-key").fill(KEY)
    models.models_script = refuse(401, "")
    await ada.part("profile-test").click()
    await expect(ada.part("profile-found")).to_have_text(
        "The model server does not accept this key."
    )
    models.models_script = None
    await ada.part("profile-test").click()
    await expect(ada.part("profile-found")).to_have_text("42 models")
    await looked_at(browser, ada, "settings-models-form")
    await ada.part("profile-save").click()
    await expect(ada.part("profile")).to_contain_text("for everyone")
    await expect(ada.part("model-hint")).to_have_count(0)
    await looked_at(browser, ada, "settings-models")
    assert KEY not in await ada.page.content()
    await ada.part("new-room").click()
    await ada.part("model").click()
    await ada.part("menu-find").fill("model-33")
    await ada.part("model-choice").click()
    await ada.new_chat("Hi?")
    await ada.answered()
    await expect(ada.answers).to_contain_text("Hello from there.")
    asked = next(one for one in models.asked if is_asked(one.json, "Hi?"))
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.json["model"] == "model-33"
    await become_an_agent(browser, ada)
    await look_after(browser, ada, models)
    forgive(browser, REFUSED)


async def become_an_agent(browser: Browser, ada: Tab) -> None:
    """What the chat has of its own is kept as an agent."""
    await ada.part("model").click()
    await ada.part("model-settings").click()
    await ada.part("own-instructions").fill("Answer in rhymes.")
    await ada.part("own-keep").click()
    await ada.part("own-name").fill("Poet")
    await browser.screenshot(ada.page, "chat-panel-agent")
    await ada.part("own-make").click()
    await expect(ada.part("agent-name")).to_have_value("Poet")
    await expect(ada.part("agent-persona")).to_have_value("Answer in rhymes.")
    await expect(ada.part("agent-model").locator("option:checked")).to_have_text("model-33")


async def look_after(browser: Browser, ada: Tab, models: ScriptedUpstream) -> None:
    """What is connected is tested without its key being entered again, gets a header, and is removed."""
    await ada.settings("models")
    await ada.page.emulate_media(color_scheme="dark")
    await ada.part("profile-more").click()
    await browser.screenshot(ada.page, "settings-models-menu-dark")
    await ada.part("profile-edit").click()
    await expect(ada.part("profile-key")).to_have_value("")
    await ada.part("profile-test").click()
    await expect(ada.part("profile-found")).to_have_text("42 models")
    await ada.page.get_by_text("More", exact=True).click()
    await ada.part("header-add").click()
    await ada.part("header-name").fill("X-Team")
    await ada.part("header-value").fill(TEAM)
    await looked_at(browser, ada, "settings-models-edit-dark")
    await ada.part("profile-save").click()
    await expect(ada.part("profile-form")).to_have_count(0)
    assert TEAM not in await ada.page.content()
    await ada.part("profile-more").click()
    await ada.part("profile-edit").click()
    await ada.page.get_by_text("More", exact=True).click()
    await expect(ada.part("profile-headers")).to_contain_text("X-Team")
    await expect(ada.part("header-value")).to_have_count(0)
    await looked_at(browser, ada, "settings-models-headers-dark")
    await ada.part("profile-test").click()
    await expect(ada.part("profile-found")).to_have_text("42 models")
    assert models.requests[-1].headers["x-team"] == TEAM
    await ada.part("headers-anew").click()
    await expect(ada.part("header-name")).to_have_value("X-Team")
    await ada.part("header-remove").click()
    await ada.part("profile-test").click()
    await expect(ada.part("profile-test")).to_be_enabled()
    await expect(ada.part("profile-found")).to_have_text("42 models")
    assert "x-team" not in models.requests[-1].headers
    await ada.part("profile-cancel").click()
    await ada.part("profile-more").click()
    await ada.part("profile-remove").click()
    await ada.agree()
    await expect(ada.part("profile")).to_have_count(0)


@pytest.mark.parametrize("phone", [False, True])
async def test_a_chat_has_a_model_instructions_and_a_temperature_of_its_own(
    browser: Browser, city: ServerProcess, models: ScriptedUpstream, *, phone: bool
) -> None:
    models.models = [{"id": f"model-{number}"} for number in range(1, 10)]
    models.by_model = {"model-7": reply("Seven here.")}
    ada = Tab(await browser.open(city.url, phone=phone))
    if not phone:
        await ada.page.set_viewport_size(WIDE)
    await expect(ada.part("model")).to_have_text("scripted")
    await ada.part("model").click()
    await ada.part("menu-find").fill("el-7")
    await ada.page.keyboard.press("Enter")
    await expect(ada.part("model")).to_be_focused()
    await expect(ada.part("model")).to_have_text("model-7")
    await ada.say("Hi?")
    await ada.answered()
    await expect(ada.answers).to_contain_text("Seven here.")
    await expect(ada.part("notice")).to_have_text("You chose model-7 for Assistant")
    await told_something(browser, ada, f"-{'390' if phone else '1440'}")
    asked = [one.json for one in models.asked if is_asked(one.json, "And now?")][-1]
    assert (asked["model"], asked["temperature"]) == ("model-7", 0.3)
    assert asked["messages"][0]["content"].startswith("Answer in rhymes.")
    await ada.page.reload()
    await expect(ada.part("model")).to_have_text("model-7, with instructions")
    await ada.page.emulate_media(color_scheme="dark")
    await ada.part("model").click()
    await expect(ada.part("model-choice").first).to_be_visible()
    await browser.screenshot(ada.page, f"model-menu-dark-{'390' if phone else '1440'}")


async def told_something(browser: Browser, ada: Tab, size: str) -> None:
    """A chat gets instructions and a temperature, and its next message is answered by them."""
    await ada.part("model").click()
    pressed = ada.page.locator("[data-testid=model-choice][aria-pressed=true]")
    await expect(pressed).to_have_text("model-7")
    assert await ada.barriers() == []
    assert await ada.page.evaluate(FAINT, TEXT_CONTRAST_MIN) == []
    assert await ada.fits()
    await browser.screenshot(ada.page, f"model-menu{size}")
    await ada.part("model-settings").click()
    await ada.part("own-instructions").fill("Answer in rhymes.")
    await ada.part("own-temperature").fill("3")
    await expect(ada.part("own-save")).to_be_disabled()
    await ada.part("own-temperature").fill("0,3")
    assert await ada.barriers() == []
    assert await ada.page.evaluate(FAINT, TEXT_CONTRAST_MIN) == []
    assert await ada.fits()
    await browser.screenshot(ada.page, f"chat-panel{size}")
    await ada.part("own-save").click()
    await expect(ada.part("panel")).to_have_count(0)
    await expect(ada.part("toast").last).to_contain_text("Saved for this chat.")
    await expect(ada.part("model")).to_contain_text(", with instructions")
    await expect(ada.part("notice").last).to_have_text("You changed what Assistant is told here")
    await ada.say("And now?")
    await ada.answered(2)


async def test_a_chat_is_told_something_before_its_first_message(
    browser: Browser, city: ServerProcess, models: ScriptedUpstream
) -> None:
    models.models = [{"id": f"model-{number}"} for number in range(1, 4)]
    models.by_model = {"model-2": reply("Two here.")}
    ada, words = Tab(await browser.open(city.url)), "What rhymes on this?"
    await ada.page.set_viewport_size(WIDE)
    await ada.composer.fill(words)
    await ada.part("model").click()
    await ada.part("model-choice").filter(has_text="model-2").click()
    await ada.part("model").click()
    await ada.part("model-settings").click()
    await expect(ada.part("own-model").locator("option:checked")).to_have_text("model-2")
    await ada.part("own-instructions").fill("Answer in rhymes.")
    await ada.part("own-temperature").fill("0.4")
    await expect(ada.part("panel").locator("section")).to_have_css("border-bottom-width", "0px")
    await looked_at(browser, ada, "start-panel")
    await ada.part("own-save").click()
    await expect(ada.part("panel")).to_have_count(0)
    await expect(ada.part("home")).not_to_contain_text("model-1")
    await expect(ada.part("model")).to_have_text("model-2, with instructions")
    await looked_at(browser, ada, "start-instructed")
    await expect(ada.composer).to_have_value(words)
    forgive(browser, re.compile("status of 403"))
    await ada.page.route("**/members/*/settings", lambda route: route.fulfill(status=403))
    chats = await ada.page.evaluate(CHATS)
    await ada.composer.press("Enter")
    await expect(ada.part("toast").last).to_contain_text("You may not do that here.")
    await expect(ada.composer).to_have_value(words)
    await expect(ada.part("home")).to_be_visible()
    assert await ada.page.evaluate(CHATS) == chats, "no empty chat is left"
    await ada.page.unroute("**/members/*/settings")
    await ada.composer.press("Enter")
    await ada.answered()
    assert await ada.page.evaluate(CHATS) == chats + 1
    await expect(ada.part("model")).to_have_text("model-2, with instructions")
    (asked,) = [one.json for one in models.asked if is_asked(one.json, words)]
    assert (asked["model"], asked["temperature"]) == ("model-2", 0.4)
    assert asked["messages"][0]["content"].startswith("Answer in rhymes.")
    await ada.page.goto(city.url)
    await expect(ada.part("model")).to_have_text("scripted")


def is_asked(request: Any, words: str) -> bool:
    return str(request["messages"][-1]["content"]).endswith(words)


async def test_two_models_are_asked_at_once_and_stand_side_by_side(
    browser: Browser, city: ServerProcess, models: ScriptedUpstream
) -> None:
    gate, second, ending = asyncio.Event(), asyncio.Event(), reply("")[-3:]
    models.models = [{"id": "model-1"}, {"id": "model-2"}]
    words = "Take the 9:04, it is the only train with a carriage for bicycles. " * 4
    models.by_model = {
        "model-1": (*stream(words, gate, "Then walk."), *ending),
        "model-2": (*stream("There is no train.", second), *ending),
    }
    ada = await arrive(browser, city.url)
    await ada.page.set_viewport_size(WIDE)
    await ada.new_chat("Good morning")
    await ada.answered()
    await choose_two(browser, ada)
    await ada.say("Which train?")
    await expect(ada.part("model")).to_have_text("model-1")
    await expect(ada.stream).to_have_count(2)
    await expect(ada.stream.get_by_test_id("answer-model")).to_have_text(["model-1", "model-2"])
    await looked_at(browser, ada, "compare-streaming")
    await side_by_side(ada.stream.nth(0), ada.stream.nth(1))
    await ada.part("stop").click()
    await expect(ada.part("menu").locator("button")).to_have_text(
        ["Stop all", "model-1", "model-2"]
    )
    await ada.page.keyboard.press("Escape")
    second.set()
    await expect(ada.stream).to_have_count(1)
    await expect(ada.part("answer-model")).to_have_text(["model-1", "model-2"])
    gate.set()
    await ada.answered(3)
    await expect(ada.part("answer-model")).to_have_text(["model-1", "model-2"])
    await looked_at(browser, ada, "compare")
    await ada.page.reload()
    await expect(ada.answers).to_have_count(3)
    await expect(ada.part("answer-model")).to_have_count(2)
    both = [ada.answers.filter(has_text=one) for one in ("Then walk.", "There is no train.")]
    await side_by_side(*both)
    await ada.page.emulate_media(color_scheme="dark")
    await looked_at(browser, ada, "compare-dark")
    await ada.say("Thanks")
    await ada.answered(4)
    (told,) = [one.json["messages"] for one in models.asked if is_asked(one.json, "Thanks")]
    said = [one["content"] for one in told]
    assert any("Then walk." in one for one in said)
    assert "There is no train." not in said


async def test_two_answers_take_one_place_on_a_phone_and_neither_moves_the_other(
    browser: Browser, city: ServerProcess, models: ScriptedUpstream
) -> None:
    first, second, ending = asyncio.Event(), asyncio.Event(), reply("")[-3:]
    models.models = [{"id": "model-1"}, {"id": "model-2"}]
    models.by_model = {
        "model-1": (*stream("Take the 9:04.", first, " It is the only train. " * 20), *ending),
        "model-2": (*stream("There is no train.", second), *ending),
    }
    ada = await arrive(browser, city.url, dark=True)
    await ada.new_chat("Good morning")
    await ada.answered()
    await ada.page.set_viewport_size({"width": 390, "height": 844})
    await choose_two(browser, ada)
    await ada.say("Which train?")
    left, right = ada.stream.nth(0), ada.stream.nth(1)
    await expect(left).to_contain_text("Take the 9:04.")
    await expect(right).to_contain_text("There is no train.")
    await expect(left.get_by_test_id("message-text")).to_be_visible()
    await expect(right.get_by_test_id("message-text")).to_be_hidden()
    await left.get_by_test_id("side-right").click()
    await expect(right.get_by_test_id("side-right")).to_be_focused()
    await expect(left.get_by_test_id("message-text")).to_be_hidden()
    text = right.get_by_test_id("message-text")
    place = await text.bounding_box()
    await browser.screenshot(ada.page, "compare-phone-dark")
    second.set()
    await expect(ada.stream).to_have_count(1)
    first.set()
    await ada.answered(3)
    said = ada.answers.filter(has_text="There is no train.").get_by_test_id("message-text")
    assert place == await said.bounding_box()
    await said.locator("xpath=ancestor::article").get_by_test_id("side-left").click()
    await expect(said).to_be_hidden()
    assert await ada.fits()
    assert await ada.barriers() == []
    assert await ada.page.evaluate(FAINT, TEXT_CONTRAST_MIN) == []
    await browser.screenshot(ada.page, "compare-phone-dark-done")


async def choose_two(browser: Browser, ada: Tab) -> None:
    await ada.part("model").click()
    await ada.part("model-choice").filter(has_text="model-1").click()
    await expect(ada.part("model")).to_have_text("model-1")
    await ada.part("model").click()
    await ada.part("model-two").click()
    await expect(ada.part("model-choice").filter(has_text="model-1")).to_have_count(0)
    await browser.screenshot(ada.page, "model-second")
    await ada.part("model-choice").filter(has_text="model-2").click()
    await expect(ada.part("model")).to_have_text("model-1 and model-2")


async def side_by_side(left: Locator, right: Locator) -> None:
    one, other = await left.bounding_box(), await right.bounding_box()
    assert one is not None
    assert other is not None
    assert (one["y"], one["width"]) == (other["y"], other["width"])
    assert other["x"] >= one["x"] + one["width"]
