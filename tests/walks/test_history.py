"""A room of 5,000 messages: scrolled upwards without a jump, with a bounded number of them in the document."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect
from tests.support.browser import Browser
from tests.support.server import ServerProcess, serving
from tests.walks.tab import Tab

from palaver.core.runtime import started
from palaver.model import RoomId
from palaver.settings import settings_from

pytestmark = [pytest.mark.browser, pytest.mark.slow]

MESSAGES = 5_000
AT_ONCE = 500
NODES_MAX = 200
JUMP_PX_MAX = 2
LOADS = 8

# One step upwards: scrolls, holds on to the first message in view, and watches it in every frame that is painted until
# enough stands above the view again and nothing changes any more.
STEP = """
async (distance) => {
  const list = document.querySelector('[data-testid=message-list]')
  const rows = () => [...list.querySelectorAll('[data-seq]')]
  const painted = () => new Promise(resolve => requestAnimationFrame(() => {
    const channel = new MessageChannel()
    channel.port1.onmessage = resolve
    channel.port2.postMessage(null)
  }))
  list.scrollTop -= distance
  const top = list.getBoundingClientRect().top
  const anchor = rows().find(row => row.getBoundingClientRect().bottom > top + 1)
  const before = anchor.getBoundingClientRect().top
  const started = performance.now()
  let moved = 0
  let most = 0
  let last = ''
  for (let quiet = 0; quiet < 4;) {
    await painted()
    moved = Math.max(moved, Math.abs(anchor.getBoundingClientRect().top - before))
    most = Math.max(most, rows().length)
    const now = `${rows()[0].dataset.seq} ${rows().length} ${list.scrollHeight}`
    quiet = now === last && list.scrollTop > MARGIN_PX ? quiet + 1 : 0
    last = now
    if (performance.now() - started > 90_000) throw new Error(`nothing more came: ${now}`)
  }
  return { moved, most, seqs: rows().map(row => Number(row.dataset.seq)) }
}
""".replace("MARGIN_PX", "1500")


@dataclass(frozen=True, slots=True, kw_only=True)
class LongRoom:
    server: ServerProcess
    token: str
    room: RoomId
    seqs: list[int]


def said(number: int) -> str:
    """Message number so-and-so: of very different heights, some of them Markdown that is drawn late."""
    match number % 7:
        case 0:
            return f"message {number}\n" + "a line of its own\n" * (number % 11)
        case 3:
            return f"message {number} " + "that goes on and on " * (number % 40)
        case _:
            return f"message {number}"


@pytest.fixture(scope="module")
async def long_room(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LongRoom]:
    folder = tmp_path_factory.mktemp("long")
    token, room, seqs = await filled(folder / "data")
    async with serving(folder) as serve:
        yield LongRoom(server=await serve(), token=token, room=room, seqs=seqs)


async def filled(data: Path) -> tuple[str, RoomId, list[int]]:
    async with started(settings_from(data_dir=data, detect=False)) as core:
        token, guest = await core.identity.new_guest("Ada")
        room = (await core.rooms.create(guest, title="Five thousand", agent=False)).id
        seqs: list[int] = []
        for start in range(0, MESSAGES, AT_ONCE):
            sent = await asyncio.gather(
                *(
                    core.chat.send(guest, room, text=said(number), cid=f"n-{number}", answers=False)
                    for number in range(start, start + AT_ONCE)
                )
            )
            seqs += [one.seq for one in sent if one.seq is not None]
        return token, room, sorted(seqs)


async def opened(browser: Browser, long: LongRoom, seq: int | None = None) -> Tab:
    blank = await browser.open("about:blank")
    await blank.context.add_cookies(
        [{"name": "palaver_session", "value": long.token, "url": long.server.url}]
    )
    path = f"/r/{long.room}" if seq is None else f"/r/{long.room}/{seq}"
    tab = Tab(await browser.open(f"{long.server.url}{path}", beside=blank))
    await expect(tab.stored.first).to_be_visible()
    return tab


async def test_scrolling_up_never_moves_what_is_being_read(
    browser: Browser, long_room: LongRoom
) -> None:
    tab = await opened(browser, long_room)
    await expect(tab.stored.last).to_contain_text(f"message {MESSAGES - 1}")
    await expect(tab.stored.last).to_be_in_viewport()
    pages: list[str] = []
    tab.page.on("request", lambda asked: pages.append(asked.url))
    seen: set[int] = set()
    steps = 0
    while sum("/messages?" in url and "before=" in url for url in pages) < LOADS:
        step: dict[str, Any] = await tab.page.evaluate(STEP, 700)
        seqs: list[int] = step["seqs"]
        assert step["moved"] < JUMP_PX_MAX, f"step {steps}: a jump of {step['moved']} px"
        assert step["most"] <= NODES_MAX
        assert seqs == list(range(seqs[0], seqs[-1] + 1)), "no message is missing on the page"
        assert not seen or seqs[-1] >= min(seen), "no message was passed over"
        seen.update(seqs)
        steps += 1
    assert len(seen) > 500
    await browser.screenshot(tab.page, "long-room")

    await tab.part("jump-newest").click()
    await expect(tab.stored.last).to_contain_text(f"message {MESSAGES - 1}")
    await expect(tab.stored.last).to_be_in_viewport()
    await tab.say("I am back")
    await expect(tab.stored.last).to_contain_text("I am back")
    await expect(tab.stored.last).to_be_in_viewport()


async def test_a_link_far_up_opens_there_and_both_ends_can_be_reached(
    browser: Browser, long_room: LongRoom
) -> None:
    wanted = long_room.seqs[2_500]
    tab = await opened(browser, long_room, wanted)
    target = tab.page.locator(f'[data-seq="{wanted}"]')
    await expect(target).to_be_in_viewport()
    await expect(target).to_contain_text("message 2500")
    assert await tab.stored.count() <= NODES_MAX
    step: dict[str, Any] = await tab.page.evaluate(STEP, 1_500)
    assert step["moved"] < JUMP_PX_MAX
    start = await opened(browser, long_room, long_room.seqs[3])
    await expect(start.part("start-of-room")).to_be_attached()
    await expect(start.stored.first).to_contain_text("message 0")
    await start.part("jump-newest").click()
    await expect(start.stored.last).to_be_in_viewport()
    assert await start.stored.count() <= NODES_MAX
