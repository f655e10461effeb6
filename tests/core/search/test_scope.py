"""Names in a query mean rooms and people whom the asker may know."""

from typing import Any

import pytest
from tests.core.search.finding import Finding, finding

from palaver.core.access import Access
from palaver.core.search import scope
from palaver.core.search.query import Query
from palaver.core.search.scope import ROOMS_FEW, Scope
from palaver.model import Visibility
from palaver.store.read import search


@pytest.fixture
async def here(database_url: str) -> Any:
    async with finding(database_url) as found:
        yield found


async def test_rooms_are_named_by_their_titles_and_ids(here: Finding) -> None:
    store, access = here.world.store, Access(here.world.store)
    ada, bo = await here.world.person("Ada"), await here.world.person("Bo")
    plans, other = (
        await here.world.room(ada, title="Große Pläne"),
        await here.world.room(bo, title="Pläne"),
    )
    key = await store.read(search.keys_of, [plans.id])

    async def rooms(*names: str) -> frozenset[int] | None:
        return (await Scope.of(store, access, ada, Query(rooms=names), None)).rooms

    assert await rooms() is None
    assert await rooms("plane") == frozenset(key)
    assert await rooms(plans.id) == frozenset(key)
    assert await rooms("nowhere") == frozenset()
    only_here = await Scope.of(store, access, ada, Query(rooms=("nowhere",)), plans.id)
    assert only_here.rooms == frozenset()
    of_other = await Scope.of(store, access, ada, Query(rooms=(other.id,)), None)
    assert await here.find(ada, f"in:{other.id} x") == await here.find(ada, "in:nowhere x")
    assert of_other.rooms is not None


async def test_people_are_named_by_their_handles_or_else_by_how_they_are_called(
    here: Finding,
) -> None:
    store, access = here.world.store, Access(here.world.store)
    ada, bot = await here.world.person("Ada Lovelace"), await here.world.agent("Bot", "helper")
    room = await here.world.room(ada, bot)
    said = await here.say(room, ada, "hello")
    answered = await here.say(room, bot, "hello yourself")
    for name, whose in (
        ("me", said),
        ("helper", answered),
        ("@Helper", answered),
        ("ada", said),
        ("ÁDA L", said),
    ):
        named = await Scope.of(store, access, ada, Query(authors=(name,)), None)
        assert [one for one in (said, answered) if named.names(one)] == [whose], name
    named = await Scope.of(store, access, ada, Query(authors=("nobody",)), None)
    assert not named.names(said)


async def test_a_name_means_who_is_called_so_beside_whose_handle_it_is(here: Finding) -> None:
    ada, other = await here.world.person("Ada"), await here.world.person("Helper of many")
    bot = await here.world.agent("Bot", "helper")
    room = await here.world.room(ada, bot, other)
    await here.say(room, other, "hello from a person")
    await here.say(room, bot, "hello from a bot")
    await here.indexed()
    for query in ("from:helper", "from:Helper hello"):
        assert await here.texts(ada, query) == ["hello from a bot", "hello from a person"], query
    assert await here.texts(ada, "from:@helper") == ["hello from a bot"]


async def test_few_rooms_are_all_that_somebody_may_read(here: Finding) -> None:
    store = here.world.store
    ada, bo = await here.world.person("Ada"), await here.world.person("Bo")
    await here.world.room(bo)
    mine = [await here.world.room(ada) for _ in range(3)]
    mine.append(await here.world.room(None, visibility=Visibility.OPEN))
    wanted = await store.read(search.keys_of, [one.id for one in mine])
    assert sorted(await store.read(search.rooms_of, ada.id, ROOMS_FEW + 1)) == sorted(wanted)
    for _ in range(ROOMS_FEW):
        await here.world.room(ada)
    assert len(await store.read(search.rooms_of, ada.id, ROOMS_FEW + 1)) > ROOMS_FEW


async def test_all_rooms_of_a_title_are_looked_into_or_it_is_said(
    here: Finding, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scope, "ROOMS_AT_ONCE", 2)
    ada = await here.world.person("Ada")
    for number in range(5):
        room = await here.world.room(ada, title="Plan a weekend")
        await here.say(room, ada, f"zebra {number}")
    await here.indexed()
    asked = 'zebra in:"plan a weekend"'
    assert len(await here.texts(ada, asked)) == 5
    assert (await here.find(ada, asked)).complete
    monkeypatch.setattr(scope, "ROOMS_CALLED_MAX", 4)
    found = await here.find(ada, asked)
    assert len(found.hits) == 4
    assert (found.complete, found.indexed_until, found.cursor) == (False, None, None)
