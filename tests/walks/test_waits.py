"""What takes longer than usual says so, calmly, and can be asked for again; what was taken away is told at once."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Route, expect
from tests.support.browser import Browser
from tests.support.server import Serve, ServerProcess
from tests.support.upstream import DONE, ScriptedUpstream, chunk, stream
from tests.walks.tab import MISSING, Tab, arrive, forgive, words

from palaver.core.runtime import started
from palaver.model import Actor
from palaver.settings import settings_from
from palaver.store.read import actors
from palaver.store.write.rooms import RemoveMember

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SLOW = "This takes longer than usual."
PLACES = """() => ['[data-testid=composer]', '[data-role=user]', '[data-testid=thinking]', '.dots']
    .map(name => document.querySelector(name).getBoundingClientRect()).map(box => [box.left, box.top, box.height])"""


async def test_an_answer_that_lets_one_wait_says_so_and_moves_nothing(
    browser: Browser, city: ServerProcess, models: ScriptedUpstream
) -> None:
    go_on = asyncio.Event()
    models.to("Think hard.", stream(go_on, *words(0, 5), chunk(finish="stop"), DONE))
    tab = await arrive(browser, city.url)
    await tab.say("Think hard.")
    await expect(tab.part("thinking")).to_be_visible()
    await expect(tab.questions).to_have_count(1)
    assert SLOW not in await tab.part("thinking").inner_text()
    before = await tab.page.evaluate(PLACES)
    await expect(tab.part("thinking")).to_contain_text(SLOW)
    assert await tab.page.evaluate(PLACES) == before
    await browser.screenshot(tab.page, "slow-answer")
    go_on.set()
    await tab.answered()
    await expect(tab.part("slow")).to_have_count(0)


async def test_a_list_that_lets_one_wait_can_be_asked_for_again(
    browser: Browser, town: ServerProcess
) -> None:
    held: list[Route] = []

    async def hold(route: Route) -> None:
        if held:
            await route.continue_()
        else:
            held.append(route)

    tab = await arrive(browser, town.url)
    await tab.page.route("**/api/rooms?*deleted=true", hold)
    await tab.person("deleted-open")
    await expect(tab.part("slow")).to_have_text("")
    await expect(tab.part("slow")).to_contain_text(SLOW)
    await tab.part("slow-again").click()
    await expect(tab.part("deleted")).to_contain_text("Nothing is here.")
    await expect(tab.part("slow")).to_have_count(0)
    await held[0].continue_()


async def me(tab: Tab) -> Any:
    """Who sits before a tab."""
    return await tab.page.evaluate("async () => (await (await fetch('/api/me')).json()).id")


async def test_who_is_taken_out_of_a_chat_is_told_and_has_it_no_longer(
    browser: Browser, serve: Serve, postgres_url: str, tmp_path: Path
) -> None:
    server = await serve(database_url=postgres_url)
    ada, bo = await arrive(browser, server.url), await arrive(browser, server.url)
    for tab in (ada, bo):  # who has said something is known
        await tab.new_chat("a plan of my own")
        await tab.answered()
    own = settings_from(data_dir=tmp_path / "beside", database_url=postgres_url, detect=False)
    async with started(own) as beside:
        store = beside.chat._store
        people: list[Actor | None] = [
            await store.read(actors.get, await me(tab)) for tab in (ada, bo)
        ]
        owner, member = [one for one in people if one is not None]
        room = (await beside.rooms.create(owner, title="For two")).id
        await beside.rooms.join(owner, room, member)
        await bo.page.goto(f"{server.url}/r/{room}")
        await expect(bo.room_item("For two")).to_be_visible()
        await expect(bo.composer).to_be_visible()
        await expect(bo.part("room-title")).to_have_text("For two")
        await beside.chat.send(owner, room, text="Are you there?", cid=None, answers=False)
        await expect(bo.questions).to_contain_text("Are you there?")  # it is read live by now
        assert await store.write(RemoveMember(room=room, by=owner.id, actor=member.id))
        await expect(bo.part("room-problem")).to_contain_text("You are no longer in this chat.")
        await expect(bo.page.get_by_role("alert")).to_contain_text("no longer")
        await expect(bo.room_item("For two")).to_have_count(0)
        await expect(bo.composer).to_have_count(0)
        await browser.screenshot(bo.page, "removed")
        await bo.page.reload()
        await expect(bo.part("room-problem")).to_contain_text(
            "There is no such chat, or you are not in it."
        )
        await expect(bo.room_item("For two")).to_have_count(0)
    forgive(browser, MISSING)
