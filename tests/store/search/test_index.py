"""The index proposes every message that has the tokens, newest first, whatever is added in whatever order."""

import random
from collections.abc import AsyncGenerator

import pytest
from msgspec.structs import replace
from sqlalchemy import Connection

from palaver.clock import SystemClock
from palaver.settings import Settings
from palaver.store.search.index import (
    ROOM,
    Indexed,
    Progress,
    SearchIndex,
    Wanted,
    docid_of,
    token_of,
)
from palaver.store.search.opened import opened

SECOND = 1_000
NEW = Progress(epoch="e_1", version="1", position=0)


@pytest.fixture
async def index(database_url: str) -> AsyncGenerator[SearchIndex]:
    found = opened(Settings(database_url=database_url), SystemClock(), None, "me")
    await found.start()
    assert await found.progress() is None
    await found.begin(NEW, None)
    yield found
    await found.close()


async def proposed(index: SearchIndex, wanted: Wanted, limit: int = 7) -> list[tuple[int, int]]:
    """All proposals, page by page."""
    found: list[tuple[int, int, int]] = []
    high = wanted.high
    while high > wanted.low:
        asked = replace(wanted, high=high)
        _, page, high = await index.propose(asked, limit)
        found += page
    assert found == sorted(found, reverse=True)
    return [(key, seq) for _, key, seq in found]


async def test_what_was_added_is_proposed_by_its_tokens_newest_first(index: SearchIndex) -> None:
    chance = random.Random(1)
    words = ["alpha", "beta", "gamma", "火车", "and", "near", "é", "名"]
    entries = [
        Indexed(
            chance.choice([0, 5, 5_000, 5_000, 1_700_000_000_000, chance.randrange(10**12)]),
            *(room, seq),
            [token_of(ROOM, room), *chance.sample(words, 3)],
        )
        for room in (1, 2, 40)
        for seq in range(1, 60)
    ]
    chance.shuffle(entries)
    progress = NEW
    for start in range(0, len(entries), 25):
        after = Progress(epoch="e_1", version="1", position=start + 25)
        assert await index.add(entries[start : start + 25], after, progress)
        progress = await index.progress() or NEW
        assert progress.position == start + 25
    by_time = sorted(entries, key=lambda one: one.created_ms // SECOND, reverse=True)
    for word in words:
        wanted = {(one.room_key, one.seq) for one in by_time if word in one.words}
        found = await proposed(index, Wanted(words=[(word, False)]))
        assert set(found) == wanted
        assert len(found) == len(wanted)
        here = Wanted(words=[(word, False)], among=[[token_of(ROOM, 2), token_of(ROOM, 40)]])
        assert set(await proposed(index, here)) == {place for place in wanted if place[0] != 1}
    both = {(one.room_key, one.seq) for one in entries if {"alpha", "beta"} <= set(one.words)}
    assert set(await proposed(index, Wanted(words=[("alpha", False), ("beta", False)]))) == both
    begun = {(one.room_key, one.seq) for one in entries if "火车" in one.words}
    assert set(await proposed(index, Wanted(words=[("火", True)]))) == begun
    assert len(await proposed(index, Wanted())) == len(entries)
    late = Wanted(low=docid_of(1_700_000_000_000))
    assert set(await proposed(index, late)) == {
        (one.room_key, one.seq) for one in entries if one.created_ms >= 1_700_000_000_000
    }


async def test_the_messages_of_one_second_are_in_the_order_in_which_they_came(
    index: SearchIndex,
) -> None:
    progress = NEW
    for first in range(0, 300, 50):
        entries = [Indexed(5_000, 1, first + seq, ["x"]) for seq in range(50)]
        await index.add(entries, Progress(epoch="e_1", version="1", position=first + 1), progress)
        progress = await index.progress() or NEW
    assert [seq for _, seq in await proposed(index, Wanted())] == list(range(299, -1, -1))
    assert progress.spill == 299
    assert (progress.top, progress.top_base) == (docid_of(5_000) + 299, docid_of(5_000))
    before_the_next = Wanted(until=docid_of(5_000) + 8)
    assert len(await proposed(index, before_the_next)) == 300, (
        "those that lie behind their time, too"
    )
    assert await proposed(index, Wanted(until=docid_of(5_000) - 300)) == []
    # what comes later, of a time that others have reached already, goes behind them
    await index.add([Indexed(6_000, 2, 1, ["x"])], NEW, progress)
    assert (await proposed(index, Wanted()))[0] == (2, 1)


async def test_of_those_who_add_at_once_the_faster_one_does(index: SearchIndex) -> None:
    one, two = Indexed(5_000, 1, 1, ["x"]), Indexed(5_000, 1, 2, ["x"])
    after = Progress(epoch="e_1", version="1", position=1)
    assert await index.add([one], after, NEW)
    assert not await index.add([two], after, NEW), "it is not where it was any more"
    known = await index.progress()
    assert known is not None
    assert await index.add([two], after, known)
    assert await proposed(index, Wanted(words=[("x", False)])) == [(1, 2), (1, 1)]


async def test_it_is_begun_anew_only_in_place_of_the_known_one(index: SearchIndex) -> None:
    await index.add([Indexed(5_000, 1, 1, ["x"])], NEW, NEW)
    known = await index.progress()
    other = Progress(epoch="e_2", version="1", position=0)
    await index.begin(other, None)
    assert await index.progress() == known
    await index.begin(other, known)
    assert await index.progress() == other
    assert await proposed(index, Wanted()) == []


@pytest.mark.postgres
async def test_one_process_at_a_time_works_on_it(postgres_url: str) -> None:
    settings = Settings(database_url=postgres_url)
    mine, other = [opened(settings, SystemClock(), None, name) for name in ("me", "other")]
    await mine.begin(NEW, None)
    assert await mine.claim()
    assert await mine.claim()
    assert not await other.claim()
    await mine.close()
    await other.close()


async def test_many_messages_of_a_second_cost_no_walk_each(
    index: SearchIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    walked: list[int] = []
    free_from = index._engine.free_from

    def counted(conn: Connection, docid: int) -> int:
        walked.append(docid)
        return free_from(conn, docid)

    monkeypatch.setattr(index._engine, "free_from", counted)
    progress, seconds = NEW, 20
    for part in range(10):
        entries = [
            Indexed(second * SECOND, 1, part * 10_000 + second * 100 + number, ["x"])
            for second in range(1, seconds + 1)
            for number in range(10)
        ]
        await index.add(entries, Progress(epoch="e_1", version="1", position=part + 1), progress)
        progress = await index.progress() or NEW
    assert len(walked) <= 10 * seconds, "one for each second and batch, not for each message"
    found = await proposed(index, Wanted(), limit=500)
    assert len(found) == len(set(found)) == 10 * 10 * seconds
