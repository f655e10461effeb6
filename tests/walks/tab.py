"""A tab of the page in the words of who sits before it.

It finds things by the names that ui/src/main.ts lists, and waits for what it asks for to be there.
"""

import asyncio
import json
import re
from typing import Any

from playwright.async_api import Locator, Page, expect
from tests.support.browser import Browser
from tests.support.clients import axe
from tests.support.upstream import DONE, Script, chunk, stream

MISSING = re.compile(r"status of 404")
PROBED = re.compile(r"status of 405")
"""A page that finds no connection asks why, by a call that always fails."""
# A menu and a toast lie over all landmarks.
BARRIERS = """
() => axe.run(document, { rules: { region: { enabled: false } } })
  .then(found => found.violations.map(one => `${one.id}: ${one.nodes.map(node => node.html.slice(0, 120)).join(', ')}`))
"""
OUTAGE = re.compile(r"net::ERR_(CONNECTION_\w+|EMPTY_RESPONSE|SOCKET_NOT_CONNECTED)|closed before")


class Tab:
    """One open page."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def part(self, name: str) -> Locator:
        return self.page.get_by_test_id(name)

    @property
    def composer(self) -> Locator:
        return self.part("composer")

    @property
    def banner(self) -> Locator:
        return self.part("banner")

    @property
    def stream(self) -> Locator:
        """Answers that are being written."""
        return self.part("streaming")

    @property
    def stored(self) -> Locator:
        """Messages that have their place in the room."""
        return self.page.locator('[data-testid="message"][data-seq]')

    @property
    def questions(self) -> Locator:
        return self.page.locator('[data-testid="message"][data-seq][data-role="user"]')

    @property
    def answers(self) -> Locator:
        return self.page.locator('[data-testid="message"][data-seq][data-role="assistant"]')

    def waiting(self, state: str) -> Locator:
        """Messages of one's own that are not stored yet."""
        return self.page.locator(f'[data-testid="message"][data-state="{state}"]')

    def room_item(self, title: str) -> Locator:
        return self.part("room-item").filter(has_text=title)

    @property
    def room(self) -> str:
        """The id of the room that is open."""
        return self.page.url.split("/r/")[1].split("/")[0]

    async def say(self, text: str) -> None:
        await self.composer.fill(text)
        await self.composer.press("Enter")

    async def answered(self, count: int = 1, status: str = "done") -> None:
        """Wait for so many answers, of which the last one ended with this status, and for no more to come."""
        await expect(self.answers).to_have_count(count)
        await expect(self.answers.last).to_have_attribute("data-status", status)
        await expect(self.stream).to_have_count(0)

    async def new_chat(self, text: str) -> None:
        """Begin a chat with a first message, and wait until it has its place."""
        await self.part("new-room").click()
        await expect(self.part("home")).to_be_visible()
        await self.say(text)
        await expect(self.questions).to_have_count(1)

    async def choose(self, of: Locator, what: str) -> None:
        """Choose something from the menu of a chat in the list."""
        await of.hover()
        await of.get_by_test_id("room-more").click()
        await self.part(what).click()

    async def person(self, what: str) -> None:
        """Choose something from one's own menu."""
        await self.part("person").click()
        await self.part(what).click()

    async def settings(self, section: str) -> None:
        """Open a part of the settings."""
        await self.person("settings-open")
        await self.part(f"settings-{section}").click()
        await expect(self.page).to_have_url(re.compile(f"/settings/{section}$"))

    async def agree(self) -> None:
        """Say yes to what the page asks; the focus is on the way out."""
        await expect(self.part("ask-cancel")).to_be_focused()
        await self.part("ask-yes").click()
        await expect(self.part("ask")).to_have_count(0)

    async def log(self) -> list[tuple[int, str, str]]:
        """What stands in the room: seq, role and text of every stored message, from top to bottom."""
        rows = await self.stored.evaluate_all(
            "rows => rows.map(row => [Number(row.dataset.seq), row.dataset.role,"
            " row.querySelector('[data-testid=message-text]')?.textContent.trim() ?? ''])"
        )
        return [(seq, role, text) for seq, role, text in rows]

    async def kept(self) -> list[dict[str, Any]]:
        """What this browser keeps because it is not known to be stored."""
        items = await self.page.evaluate(
            "() => Object.keys(localStorage).filter(key => key.startsWith('palaver.outbox.'))"
            ".map(key => localStorage.getItem(key))"
        )
        return [json.loads(item) for item in items]

    async def barriers(self) -> list[str]:
        """What keeps somebody out, as axe knows it: WCAG 2.2 A and AA, and what is known to be good."""
        await self.page.evaluate(axe())
        return await self.page.evaluate(BARRIERS)

    async def fits(self) -> bool:
        """Whether nothing sticks out at the side."""
        return await self.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def words(start: int, stop: int) -> list[str]:
    """Numbered words, which the offline agent would say by itself, as pieces of an answer."""
    return [f" w{number:03d}" if number else "w000" for number in range(start, stop)]


def held(count: int, until: asyncio.Event) -> Script:
    """An answer of so many words that stands still after its first twenty, until it may go on."""
    rest = (*words(20, count), chunk(finish="stop"), DONE)
    return stream(*words(0, 20), until, *rest)


async def arrive(browser: Browser, url: str, **how: Any) -> Tab:
    """Open the page as somebody new, and wait until the server has greeted them."""
    tab = Tab(await browser.open(url, **how))
    await expect(tab.part("person")).to_be_visible()
    await expect(tab.part("room-item").first).to_be_visible()
    return tab


def forgive(browser: Browser, expected: re.Pattern[str]) -> None:
    """Let pass what Chromium itself logs about answers that a walk asked for, early or late, and nothing else."""
    browser.forgiven.append(expected)
