"""The page behind a real reverse proxy with TLS: at the root, below a path, and with settings that are missing."""

from pathlib import Path

import httpx2
import pytest
from playwright.async_api import expect
from tests.support.browser import Browser
from tests.support.reverse import caddy, free_port, nginx
from tests.support.server import Serve
from tests.walks.tab import Tab

TRUSTED = {"PALAVER_TRUSTED_PROXIES": "127.0.0.1", "PALAVER_GUESTS": "open"}


@pytest.mark.parametrize("path", ["/", "/chat/"])
async def test_the_page_works_behind_nginx(
    browser: Browser, serve: Serve, tmp_path: Path, path: str
) -> None:
    port = free_port()
    url = f"https://localhost:{port}{path}"
    server = await serve(environment=TRUSTED | {"PALAVER_PUBLIC_URL": url})
    async with nginx(tmp_path / "nginx", port, server.url.removeprefix("http://"), path=path):
        tab = Tab(await browser.open(url, trusting=True))
        await tab.new_chat("Hello from behind a proxy")
        await tab.answered()
        assert tab.page.url.startswith(f"{url}r/")
        (cookie,) = await tab.page.context.cookies()
        name = "__Host-palaver_session" if path == "/" else "__Secure-palaver_session"
        assert (cookie["name"], cookie["path"], cookie["secure"]) == (name, path, True)
        await tab.page.reload()
        await tab.answered()
        async with httpx2.AsyncClient(verify=False, trust_env=False, timeout=60) as http:
            for address, status in (("v1/models", 401), ("docs", 200), ("health", 200)):
                assert (await http.get(url + address)).status_code == status, address
        await tab.page.close()


async def test_the_page_says_at_once_that_its_address_is_not_accepted(
    browser: Browser, serve: Serve, tmp_path: Path
) -> None:
    port = free_port()
    server = await serve()
    async with nginx(tmp_path / "nginx", port, server.url.removeprefix("http://"), bare=True):
        tab = Tab(await browser.open(f"https://localhost:{port}/", trusting=True))
        await expect(tab.banner).to_have_attribute("data-state", "refused")
        await expect(tab.banner).to_contain_text(
            "The server does not accept this address. Its log names the setting."
        )
        await browser.screenshot(tab.page, "proxy-refused")
        await tab.page.close()
    browser.problems.clear()  # the browser says, too, that it was refused
    assert f"https://localhost:{port}" in server.tail()
    assert "PALAVER_PUBLIC_URL" in server.tail()


async def test_caddy_passes_on_who_asks(serve: Serve, tmp_path: Path) -> None:
    port = free_port()
    url = f"https://localhost:{port}"
    server = await serve(
        environment=TRUSTED | {"PALAVER_PUBLIC_URL": url, "PALAVER_GUESTS_PER_HOUR": "1"}
    )
    async with (
        caddy(tmp_path / "caddy", port, server.url.removeprefix("http://")),
        httpx2.AsyncClient(verify=False, trust_env=False, base_url=url) as http,
    ):
        got = await http.get("/api/me")
        assert got.headers["set-cookie"].startswith("__Host-palaver_session=")
        assert (await http.get("/v1/models")).status_code == 401
        assert (await http.get("/")).status_code == 200
