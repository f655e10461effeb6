"""Whoever comes first pastes the address and the key of a model server, tests it, keeps it, and is answered at once."""

import re

import pytest
from playwright.async_api import expect
from tests.support.browser import Browser
from tests.support.server import Serve
from tests.support.upstream import ScriptedUpstream, refuse, reply
from tests.walks.tab import Tab, forgive
from tests.walks.test_server import WIDE, looked_at, printed
from tests.walks.test_sign import PASSWORD, enter

pytestmark = [pytest.mark.browser, pytest.mark.slow]

KEY = "sk-pasted-0123456789"
TEAM = "planted-header"
REFUSED = re.compile(r"status of 502")


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
    await ada.part("profile-url").fill(models.base_url)
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
    await ada.new_chat("Hi?")
    await ada.answered()
    await expect(ada.answers).to_contain_text("Hello from there.")
    assert models.asked[-1].headers["authorization"] == f"Bearer {KEY}"
    await look_after(browser, ada, models)
    forgive(browser, REFUSED)


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
