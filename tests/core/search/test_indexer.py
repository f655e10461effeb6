"""The indexer follows the feed, reads what was there before, and begins anew where the index does not fit."""

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs
from tests.core.search.finding import Finding, finding

from palaver.core.search import indexer, walk
from palaver.store.read import feed
from palaver.store.write.consumers import NoteConsumer, PruneFeed

FAR = 10_000_000_000_000


@pytest.fixture
async def here(database_url: str) -> Any:
    async with finding(database_url) as found:
        yield found


async def test_what_was_there_before_is_read_in_pieces_beside_what_is_new(
    here: Finding, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexer, "MESSAGES_AT_ONCE", 7)
    ada = await here.world.person()
    rooms = [await here.world.room(ada) for _ in range(3)]
    for number in range(10):
        await asyncio.gather(*[here.say(room, ada, f"word {number}") for room in rooms])
    await here.move()
    for _ in range(4):
        await asyncio.gather(*[here.say(room, ada, "word between") for room in rooms * 12])
        for _ in range(2):
            await here.indexer.work()
        await here.move()
    await here.indexed()
    found: list[str] = []
    cursor = None
    while True:
        page = await here.find(ada, "word", limit=50, cursor=cursor)
        assert page.indexed_until is None
        found += [hit.message.id for hit in page.hits]
        if (cursor := page.cursor) is None:
            break
    said = [one.id for room in rooms for one in await here.world.said(room)]
    assert sorted(found) == sorted(said)


async def test_where_the_feed_does_not_reach_back_the_index_is_made_anew(here: Finding) -> None:
    ada = await here.world.person()
    room = await here.world.room(ada)
    await here.say(room, ada, "early word")
    await here.indexed()
    for _ in range(3):
        await here.say(room, ada, "late word")
        await here.move()
    here.indexer._noted_s = FAR  # its position is not noted beside the feed, as of an old copy
    await here.world.store.write(NoteConsumer(name="search", position=None))
    await here.world.store.write(PruneFeed(before_ms=FAR))
    with capture_logs() as logs:
        await here.indexed()
    assert [one["event"] for one in logs] == ["search.begun", "search.whole"]
    assert len(await here.texts(ada, "word")) == 4


async def test_how_far_it_is_behind_is_told(here: Finding, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexer, "ROWS_AT_ONCE", 1)
    ada = await here.world.person()
    room = await here.world.room(ada)
    await here.indexed()
    assert here.indexer.lag_s == 0
    for _ in range(3):
        await here.say(room, ada, "word")
        await here.move()
    moved_ms = here.world.clock.now_ms()
    while here.world.clock.now_ms() < moved_ms + 20:  # noqa: ASYNC110  it is a clock
        await asyncio.sleep(0.001)
    await here.indexer.work()
    assert here.indexer.lag_s >= 0.02, "since the first of those that were not indexed"
    await here.indexed()
    assert here.indexer.lag_s == 0


async def test_it_is_made_anew_by_hand_beside_the_indexer_at_work(here: Finding) -> None:
    ada = await here.world.person()
    room = await here.world.room(ada)
    for number in range(5):
        await here.say(room, ada, f"word {number}")
        await here.move()
        works = [here.indexer.work() for _ in range(3)]
        await asyncio.gather(*works, here.indexer.renew(), here.indexer.renew())
    await here.indexed()
    assert len(await here.texts(ada, "word")) == 5


async def test_another_version_of_tokens_makes_it_anew(
    here: Finding, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await here.world.person()
    room = await here.world.room(ada)
    await here.say(room, ada, "word")
    await here.indexed()
    monkeypatch.setattr(indexer, "VERSION", "another")
    monkeypatch.setattr(walk, "VERSION", "another")
    assert not (await here.find(ada, "word")).complete, "of the older one nothing is taken"
    with capture_logs() as logs:
        await here.indexed()
    assert [one["event"] for one in logs] == ["search.begun", "search.whole"]
    assert await here.texts(ada, "word") == ["word"]


async def test_the_feed_is_kept_from_where_the_index_is(here: Finding) -> None:
    ada = await here.world.person()
    room = await here.world.room(ada)
    await here.say(room, ada, "word")
    await here.indexed()
    before = await here.world.store.read(feed.ends)
    for _ in range(2):
        await here.say(room, ada, "word")
        await here.move()
    await here.indexer.work()
    await here.world.store.write(PruneFeed(before_ms=FAR))
    first, last = await here.world.store.read(feed.ends)
    assert before[1] < last
    assert first <= last
    await here.indexed()
    assert len(await here.texts(ada, "word")) == 3


async def test_it_rests_while_much_is_written_and_only_then(
    here: Finding, monkeypatch: pytest.MonkeyPatch
) -> None:
    rests: list[float] = []

    async def rested(seconds: float) -> None:
        rests.append(seconds)

    ada = await here.world.person()
    room = await here.world.room(ada)
    await here.indexed()
    monkeypatch.setattr(indexer, "BUSY_ROWS", 10**9)
    monkeypatch.setattr(indexer.asyncio, "sleep", rested)
    await here.say(room, ada, "word")
    await here.move()
    assert await here.indexer.work()
    assert rests == []
    monkeypatch.setattr(indexer, "BUSY_ROWS", 0)
    await here.say(room, ada, "word")
    await here.move()
    assert await here.indexer.work()
    assert len(rests) == 1
    assert 0 < rests[0] <= indexer.GIVE_WAY_SECONDS_MAX
