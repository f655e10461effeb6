"""A network that says everything twice. Playwright stands between page and server and repeats the frames."""

import json
import re

import pytest
from playwright.async_api import WebSocketRoute, expect
from tests.support.browser import Browser
from tests.support.server import ServerProcess
from tests.walks.tab import Tab, arrive

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LIVE = re.compile(r"/ws$")


def say_everything_twice(route: WebSocketRoute) -> None:
    server = route.connect_to_server()

    def to_server(frame: str | bytes) -> None:
        server.send(frame)
        if json.loads(frame)["t"] == "send":
            server.send(frame)

    def to_page(frame: str | bytes) -> None:
        route.send(frame)
        route.send(frame)

    route.on_message(to_server)
    server.on_message(to_page)


async def test_two_tabs_show_nothing_twice_when_every_frame_is_repeated(
    browser: Browser, town: ServerProcess
) -> None:
    blank = await browser.open("about:blank")
    await blank.context.route_web_socket(LIVE, say_everything_twice)
    first = await arrive(browser, town.url, beside=blank)
    await first.new_chat("/long 30")
    second = await arrive(browser, first.page.url, beside=first.page)
    await first.answered(1)
    await second.answered(1)
    await second.say("/long 40")
    await first.answered(2)
    await first.say("/long 50")
    for tab in (first, second):
        await tab.answered(3)
        await says_everything_once(tab)
    assert await first.log() == await second.log()
    await second.page.reload()
    await second.answered(3)
    await says_everything_once(second)


async def says_everything_once(tab: Tab) -> None:
    log = await tab.log()
    seqs = [seq for seq, _, _ in log]
    assert seqs == sorted(set(seqs))
    told = [text for _, role, text in log if role == "user"]
    assert told == ["/long 30", "/long 40", "/long 50"]
    words = sorted(len(text.split()) for _, role, text in log if role == "assistant")
    assert words == [30, 40, 50], "no word of an answer came twice"
    assert await tab.part("message").count() == len(log), "nothing waits beside what is stored"
    await expect(tab.stream).to_have_count(0)
    assert await tab.kept() == []
