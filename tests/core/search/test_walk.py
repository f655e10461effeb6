"""A walk that has to look at much ends in time, says so, and goes on where it ended."""

import asyncio
from typing import Any

import pytest
from tests.core.search.finding import Finding, finding

from palaver.core.search import walk
from palaver.core.search.match import match
from palaver.store import tokens
from palaver.store.read import feed


@pytest.fixture
async def here(database_url: str) -> Any:
    async with finding(database_url) as found:
        await found.indexed()
        yield found


async def filled(here: Finding, count: int) -> Any:
    ada = await here.world.person()
    room = await here.world.room(ada)
    await asyncio.gather(*[here.say(room, ada, f"word {number} =>") for number in range(count)])
    await here.indexed()
    return ada


async def test_a_search_that_takes_too_long_goes_on_with_its_cursor(
    here: Finding, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await filled(here, 130)
    monkeypatch.setattr(walk, "SECONDS_MAX", -1)
    found = await here.find(ada, "word -7", limit=100)
    assert (found.complete, found.indexed_until) == (False, None)
    texts = [hit.message.text for hit in found.hits]
    assert len(texts) < 100
    while found.cursor is not None:
        found = await here.find(ada, "word -7", limit=100, cursor=found.cursor)
        texts += [hit.message.text for hit in found.hits]
    assert found.complete
    assert len(texts) == len(set(texts)) == 129


async def test_without_a_word_only_the_newest_are_looked_at(
    here: Finding, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await filled(here, 130)
    monkeypatch.setattr(walk, "WALKED_MAX", walk.READ_FIRST)
    found = await here.find(ada, "=>", limit=100)
    assert len(found.hits) == walk.READ_FIRST
    assert not found.complete
    count = len(found.hits)
    while found.cursor is not None:
        found = await here.find(ada, "=>", limit=100, cursor=found.cursor)
        count += len(found.hits)
    assert count == 130


async def test_somebody_of_few_rooms_has_them_looked_at_alone(
    here: Finding, monkeypatch: pytest.MonkeyPatch
) -> None:
    bo = await here.world.person("Bo")
    mine = await here.world.room(bo)
    await here.say(mine, bo, "a word of mine")
    await filled(here, 130)
    asked: list[Any] = []
    propose = here.index.propose

    async def counted(wanted: Any, limit: int) -> Any:
        asked.append(wanted)
        return await propose(wanted, min(limit, 40))

    monkeypatch.setattr(here.index, "propose", counted)
    monkeypatch.setattr(walk, "READ_FIRST", 40)
    assert await here.texts(bo, "word") == ["a word of mine"]
    assert [bool(one.among) for one in asked] == [False, True]


async def test_no_more_texts_are_looked_at_than_a_page_takes(
    here: Finding, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await here.world.person()
    room = await here.world.room(ada)
    for number in range(60):
        await here.say(
            room, ada, f"once more {number}" if number % 2 == 0 else f"more once {number}"
        )
    await here.indexed()
    looked: list[str] = []

    def counted(query: Any, text: str, *facts: Any) -> Any:
        looked.append(text)
        return match(query, text, *facts)

    monkeypatch.setattr(walk, "match", counted)
    found = await here.find(ada, '"once more"', limit=5)
    texts = [hit.message.text for hit in found.hits]
    assert len(looked) == 2 * (5 + 1)
    while found.cursor is not None:
        found = await here.find(ada, '"once more"', limit=5, cursor=found.cursor)
        texts += [hit.message.text for hit in found.hits]
    assert texts == [f"once more {number}" for number in range(58, -1, -2)]


async def test_pages_lose_nothing_that_was_said_while_the_clock_stepped_back(
    here: Finding, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is said then gets one place while it is beyond the index, and another one within it."""
    ada = await here.world.person()
    room = await here.world.room(ada)
    now_ms = here.world.clock.now_ms()

    async def say(seconds: int, *names: str) -> None:
        monkeypatch.setattr(here.world.clock, "now_ms", lambda: now_ms + 1_000 * seconds)
        for name in names:
            await here.say(room, ada, f"word {name}")

    await say(0, *"abc")
    await say(10, "z")
    await here.indexed()
    await say(0, *"defghi")
    found = await here.find(ada, "word", limit=1)
    names = [hit.message.text[-1] for hit in found.hits]
    await here.indexed()
    while found.cursor is not None:
        found = await here.find(ada, "word", limit=2, cursor=found.cursor)
        assert found.complete
        names += [hit.message.text[-1] for hit in found.hits]
    assert sorted(names) == list("abcdefghiz")
    assert await here.texts(ada, "word") == [f"word {name}" for name in "zihgfedcba"]


async def test_beyond_its_bound_the_newest_of_what_is_not_indexed_are_found(
    here: Finding, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await filled(here, 3)
    room = await here.world.room(ada)
    for number in range(20):
        await here.say(room, ada, f"later {number}")
    await here.move()
    monkeypatch.setattr(walk, "BEYOND_MAX", 10)
    found = await here.find(ada, "later", limit=100)
    assert not found.complete
    assert found.indexed_until is not None
    texts = [hit.message.text for hit in found.hits]
    assert texts == [f"later {number}" for number in range(19, 19 - len(texts), -1)]
    assert texts
    first, last = await here.world.store.read(feed.ends)
    assert first <= last
    await here.indexed()
    assert len(await here.texts(ada, "later", limit=100)) == 20


async def test_what_is_indexed_takes_one_look_at_the_index_and_one_at_the_store(
    here: Finding, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await filled(here, 130)
    asked: list[str] = []

    def counted(owner: Any, name: str) -> None:
        call = getattr(owner, name)

        async def counting(*arguments: Any, **named: Any) -> Any:
            asked.append(name)
            return await call(*arguments, **named)

        monkeypatch.setattr(owner, name, counting)

    for owner, name in (
        (here.index, "progress"),
        (here.index, "propose"),
        (here.world.store, "read"),
    ):
        counted(owner, name)
    assert len(await here.texts(ada, "word")) == 20
    assert asked == ["propose", "read"]


async def test_time_is_looked_at_for_each_message(
    here: Finding, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message that takes long ends the search behind it, and each page comes further by one at least."""
    ada = await filled(here, 12)
    looked: list[str] = []

    def slow(query: Any, text: str, *facts: Any) -> Any:
        looked.append(text)
        monkeypatch.setattr(here.world.clock, "monotonic", lambda: 10.0**9 + len(looked))
        return match(query, text, *facts)

    monkeypatch.setattr(walk, "match", slow)
    found = await here.find(ada, "word")
    assert (len(looked), len(found.hits)) == (1, 1)
    assert (found.complete, found.indexed_until) == (False, None)
    texts = [hit.message.text for hit in found.hits]
    while found.cursor is not None:
        found = await here.find(ada, "word", cursor=found.cursor)
        texts += [hit.message.text for hit in found.hits]
    assert texts == sorted(texts, key=lambda one: int(one.split()[1]), reverse=True)
    assert len(texts) == 12


async def test_what_is_not_indexed_yet_is_looked_at_for_half_of_the_time(
    here: Finding, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await filled(here, 3)
    room = await here.world.room(ada)
    for number in range(3):
        await here.say(room, ada, f"later word {number}")
    looked: list[str] = []

    def slow(query: Any, text: str, *facts: Any) -> Any:
        looked.append(text)
        now_s = 10.0**9 + walk.SECONDS_MAX * 0.6 * len(looked)
        monkeypatch.setattr(here.world.clock, "monotonic", lambda: now_s)
        return match(query, text, *facts)

    monkeypatch.setattr(here.world.clock, "monotonic", lambda: 10.0**9)
    monkeypatch.setattr(walk, "match", slow)
    found = await here.find(ada, "word", limit=100)
    assert looked[0] == "later word 2", "the newest first"
    assert "later word 1" not in looked
    assert found.hits[0].message.text == "later word 2"
    assert not found.complete
    assert found.indexed_until is not None


async def test_the_first_search_has_the_time_of_any_other(
    here: Finding, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await here.world.person()
    room = await here.world.room(ada)
    for text in ("a wörd", "a word", "another wörd"):
        await here.say(room, ada, text)
    made = tokens._classes
    made.cache_clear()
    begun_s = here.world.clock.monotonic()
    monkeypatch.setattr(here.world.clock, "monotonic", lambda: begun_s + made.cache_info().currsize)
    assert await here.texts(ada, "word") == ["another wörd", "a word", "a wörd"]


async def test_a_slow_database_hides_nothing_that_was_just_said(
    here: Finding, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await filled(here, 3)
    room = await here.world.room(ada)
    await here.say(room, ada, "a later word")
    read, begun_s, reads = here.world.store.read, here.world.clock.monotonic(), list[Any]()

    async def slow(*asks: Any, **more: Any) -> Any:
        reads.append(asks)
        return await read(*asks, **more)

    monkeypatch.setattr(here.world.store, "read", slow)
    monkeypatch.setattr(here.world.clock, "monotonic", lambda: begun_s + len(reads))
    assert (await here.texts(ada, "word"))[0] == "a later word"
