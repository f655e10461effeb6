"""An owner invites somebody to the server by a link, who makes an account by it, is in a chat, and invites others."""

from pathlib import Path

import pytest
from playwright.async_api import expect
from tests.support.browser import Browser
from tests.support.server import Serve
from tests.walks.tab import Tab, forgive
from tests.walks.test_measures import FAINT, TEXT_CONTRAST_MIN
from tests.walks.test_server import WIDE, looked_at
from tests.walks.test_sign import PASSWORD, REFUSED, enter

pytestmark = [pytest.mark.browser, pytest.mark.slow]


# Titles of Bo's own chats, one more than a list shows without a search.
NINE = """
titles => Promise.all(titles.map(title => fetch('/api/rooms', {
  method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ title }),
})))
"""
SHOWN_AGAIN = "document.dispatchEvent(new Event('visibilitychange'))"


async def in_both_lights(browser: Browser, tab: Tab, name: str) -> None:
    for light in ("light", "dark"):
        await tab.page.emulate_media(color_scheme="light" if light == "light" else "dark")
        assert await tab.page.evaluate(FAINT, TEXT_CONTRAST_MIN) == []
        await browser.screenshot(tab.page, f"{name}-{light}")


async def owner_of(browser: Browser, serve: Serve, folder: Path) -> tuple[Tab, str]:
    """Ada, who owns a server where one needs an invitation and has a chat there."""
    secret = folder / "owner"
    secret.write_text(PASSWORD)
    own = {"PALAVER_OWNER": "ada", "PALAVER_OWNER_PASSWORD_FILE": str(secret)}
    shut = {"PALAVER_GUESTS": "off", "PALAVER_SIGN_UP": "invite", "PALAVER_INVITES": "people"}
    server = await serve(environment={**shut, **own})
    ada = Tab(await browser.open(f"{server.url}/sign-up"))
    await expect(ada.part("sign-words")).to_contain_text("An invitation is needed")
    await expect(ada.part("sign-enter")).to_have_count(0)
    await browser.screenshot(ada.page, "sign-up-invited-only")
    await ada.part("sign-in").click()
    await enter(ada, "ada", PASSWORD)
    await ada.page.set_viewport_size(WIDE)
    await ada.new_chat("Launch")
    await ada.answered()
    return ada, server.url


async def come_anew(browser: Browser, link: str) -> None:
    """Bo opens a link on another device of his, and says that he has an account."""
    home = Tab(await browser.open(link))
    await home.part("invite-have").click()
    await enter(home, "bo", PASSWORD)
    await expect(home.part("invite-words")).to_contain_text("Here you are Bo")
    assert "#" not in home.page.url, "the secret came along and is out of the address again"
    await browser.screenshot(home.page, "invite-server-known")
    await home.part("invite-join").click()
    await expect(home.part("room-title")).to_have_text("Launch")


async def invites_too(browser: Browser, bo: Tab, url: str) -> None:
    """Bo, who looks after nothing here, makes a link into two of his chats, and sees no link but his own."""
    await bo.page.evaluate(NINE, [f"Plan {number}" for number in range(1, 10)])
    await bo.page.goto(f"{url}/settings")
    await bo.part("settings-invitations").tap()
    await expect(bo.part("settings")).to_contain_text("No link is open.")
    await expect(bo.part("server-invite-role")).to_have_count(0)
    await bo.part("server-invite-rooms").tap()
    chats = bo.part("server-invite-room")
    await expect(chats).to_have_count(9)
    await bo.part("server-invite-find").fill("plan 7")
    await expect(chats).to_have_count(1)
    await chats.tap()
    await bo.part("server-invite-find").fill("")
    await chats.filter(has_text="Plan 2").tap()
    await expect(bo.part("server-invite-rooms")).to_have_text("Plan 7, Plan 2")
    await in_both_lights(browser, bo, "settings-invitations")
    assert await bo.barriers() == []
    assert await bo.fits()
    await bo.part("server-invite-rooms").tap()
    await bo.part("server-invite-make").tap()
    await expect(bo.part("server-invitation")).to_contain_text("Plan 7")
    await expect(bo.part("server-invitation")).to_contain_text("Plan 2")


async def test_who_is_invited_to_the_server_makes_an_account_by_the_link(
    browser: Browser, serve: Serve, tmp_path: Path
) -> None:
    ada, url = await owner_of(browser, serve, tmp_path)
    await ada.page.goto(f"{url}/admin/invitations")
    await expect(ada.part("admin")).to_contain_text("No link is open.")
    await ada.part("server-invite-rooms").click()
    await ada.part("server-invite-room").click()
    await ada.part("server-invite-make").click()
    await expect(ada.part("server-invite-make")).to_be_focused()
    link = await ada.part("server-invite-link").inner_text()
    await expect(ada.part("server-invitation")).to_contain_text("into Launch, until")
    await in_both_lights(browser, ada, "admin-invitations")
    await looked_at(browser, ada, "admin-invitations-dark")

    bo = Tab(await browser.open(link, phone=True))
    await expect(bo.part("invite-words")).to_contain_text("ada invites you to Palaver")
    await expect(bo.part("invite-words")).to_contain_text("Launch")
    assert "#" not in bo.page.url, "the secret is out of the address"
    await in_both_lights(browser, bo, "invite-server")
    assert await bo.barriers() == []
    assert await bo.fits()
    await bo.part("invite-name").fill("Bo")
    await bo.part("invite-handle").fill("bo")
    await bo.part("invite-password").fill(PASSWORD)
    await bo.part("invite-join").tap()
    await expect(bo.part("room-title")).to_have_text("Launch")

    await ada.page.evaluate(SHOWN_AGAIN)
    await expect(ada.part("admin")).to_contain_text("No link is open.")
    await expect(ada.part("server-invite-link")).to_have_count(0)
    await ada.part("server-invite-uses").select_option("5 people")
    await ada.part("server-invite-make").click()
    other = await ada.part("server-invite-link").inner_text()
    await come_anew(browser, other)
    await invites_too(browser, bo, url)
    await ada.part("server-invitation-revoke").click()
    await ada.agree()
    await expect(ada.part("server-invitation")).to_contain_text("by Bo")
    await expect(ada.part("server-invitation")).to_have_count(1)
    await bo.page.goto(other)
    await expect(bo.part("invite-words")).to_contain_text("was used or has ended")
    forgive(browser, REFUSED)
