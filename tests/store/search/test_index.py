"""The index proposes every message that has the tokens, newest first, whatever is added in whatever order."""

import random
from collections.abc import AsyncGenerator, Collection

import pytest
from msgspec.structs import replace
from sqlalchemy import Connection

from palaver.clock import SystemClock
from palaver.settings import Settings
from palaver.store.search.index import (
    PLACES,
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
    before_the_next = Wanted(until=docid_of(5_000) + PLACES)
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


@pytest.mark.parametrize("many", [PLACES + 50, 20 * PLACES])
async def test_a_second_of_more_messages_than_it_has_places_goes_on_behind(
    index: SearchIndex, monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    asked: list[int] = []
    lasts = index._engine.lasts

    def counted(conn: Connection, seconds: Collection[int]) -> dict[int, int]:
        asked.append(len(seconds))
        return lasts(conn, seconds)

    monkeypatch.setattr(index._engine, "lasts", counted)
    progress = NEW
    for second in (7, 5, 6):
        for start in range(0, many, 500):
            end = min(start + 500, many)
            entries = [Indexed(second * SECOND, second, seq, ["x"]) for seq in range(start, end)]
            after = Progress(epoch="e_1", version="1", position=second * many + end)
            assert await index.add(entries, replace(after, spill=progress.spill), progress)
            progress = await index.progress() or NEW
    found = await proposed(index, Wanted(), limit=500)
    assert len(found) == len(set(found)) == 3 * many, "each has a place of its own"
    for second in (5, 6, 7):
        in_order = [seq for key, seq in found if key == second]
        assert in_order == sorted(in_order, reverse=True), "in the order in which they came"
    assert {seq for key, seq in found[-PLACES:] if key == 5} == set(range(PLACES))
    before_7 = await proposed(index, Wanted(until=docid_of(7 * SECOND)), limit=500)
    assert {one for one in found if one[0] != 7} <= set(before_7)
    batches = 3 * -(-many // 500)
    assert len(asked) <= 10 * batches, "few questions a batch, not one a message"


async def test_a_burst_does_not_lie_behind_what_came_after_it(index: SearchIndex) -> None:
    """As when an index is made anew: room by room, each with its part of the burst."""
    progress = NEW
    for room, count in ((1, PLACES - 20), (2, 20), (3, 1)):
        created_ms = 5_000 if room < 3 else 6_000
        entries = [Indexed(created_ms, room, seq, ["x"]) for seq in range(count)]
        after = Progress(epoch="e_1", version="1", position=room)
        assert await index.add(entries, after, progress)
        progress = await index.progress() or NEW
    assert (await proposed(index, Wanted()))[0] == (3, 0)
    assert progress.spill < PLACES
