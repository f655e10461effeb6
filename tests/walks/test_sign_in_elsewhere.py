"""A person signs in at a certified OpenID provider, signs out, in again, and out there; in a real browser."""

import re
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page, expect
from tests.support.browser import Browser
from tests.support.openid import certified
from tests.support.reverse import free_port
from tests.support.server import ServerProcess, serving
from tests.walks.tab import arrive, forgive

pytestmark = [pytest.mark.browser, pytest.mark.slow]

ENDED = re.compile(
    r"status of 4\d\d|closed before|NAME_NOT_RESOLVED"
)  # a font of the provider's page


@pytest.fixture(scope="module")
async def village(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServerProcess]:
    """A server whose people the certified provider signs in."""
    port = free_port()
    told = {
        "PALAVER_OIDC_ISSUER": f"http://127.0.0.1:{port}",
        "PALAVER_OIDC_CLIENT_ID": "palaver",
        "PALAVER_OIDC_CLIENT_SECRET": "secret",
        "PALAVER_OIDC_NAME": "Acme",
    }
    async with serving(tmp_path_factory.mktemp("village")) as serve:
        server = await serve(environment=told)
        async with certified(server.url, port):
            yield server


async def prove(page: Page, who: str) -> None:
    """What the provider asks: who it is, and whether the server may know."""
    await page.locator('input[name="login"]').fill(who)
    await page.locator('input[name="password"]').fill("any")
    await page.locator('button[type="submit"]').click()
    await page.locator('button[type="submit"]').click()


async def test_a_guest_signs_in_out_and_in_again_and_out_at_the_provider(
    browser: Browser, village: ServerProcess
) -> None:
    tab = await arrive(browser, village.url)
    await tab.new_chat("a chat of a guest")
    await tab.answered()
    await tab.page.goto(f"{village.url}/sign-in")
    await expect(tab.part("sign-elsewhere")).to_have_text("Sign in with Acme")
    await browser.screenshot(tab.page, "sign-in-elsewhere")
    await tab.part("sign-elsewhere").click()
    await prove(tab.page, "alice")
    await expect(tab.part("person")).to_contain_text("@alice")
    await expect(tab.room_item("a chat of a guest")).to_be_visible()
    assert tab.page.url == f"{village.url}/"
    await tab.settings("profile")
    await expect(tab.part("identity")).to_contain_text("alice")
    await expect(tab.part("identity-link")).to_have_text("Add another way in with Acme")
    await browser.screenshot(tab.page, "identities")
    await tab.part("identity-end").click()
    await tab.part("ask-yes").click()
    await expect(tab.part("toast")).to_contain_text("You may not do that here.")
    await expect(tab.part("identity")).to_have_count(1)
    await tab.part("identity-link").click()
    await expect(tab.part("identity")).to_have_count(1)
    await tab.part("close").click()
    await tab.person("sign-out")
    await tab.part("sign-elsewhere").click()
    await expect(tab.part("person")).to_contain_text("@alice")
    await expect(tab.room_item("a chat of a guest")).to_be_visible()

    await tab.settings("profile")
    await expect(tab.part("identity-leave")).to_have_text("Sign out here and at Acme")
    await tab.part("identity-leave").click()
    await tab.page.locator('button[value="yes"]').click()
    await expect(tab.page).to_have_url(f"{village.url}/")
    await expect(tab.part("person")).to_contain_text("Guest")
    await tab.page.goto(f"{village.url}/sign-in")
    await tab.part("sign-elsewhere").click()
    await expect(tab.page.locator('input[name="login"]')).to_be_visible()
    forgive(browser, ENDED)


async def test_who_does_not_go_through_with_it_is_told_so_on_the_page(
    browser: Browser, village: ServerProcess
) -> None:
    tab = await arrive(browser, village.url)
    await tab.page.goto(f"{village.url}/sign-in")
    await tab.part("sign-elsewhere").click()
    await tab.page.get_by_text("Cancel").click()
    await expect(tab.part("sign-refused")).to_have_text(
        "Signing in there did not work. Please try again."
    )
    assert "#" not in tab.page.url
    forgive(browser, ENDED)
