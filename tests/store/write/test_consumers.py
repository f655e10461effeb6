"""The feed has every event of every room once, in each room's order, whoever writes at the same time."""

import asyncio
from collections import defaultdict
from importlib import import_module
from itertools import pairwise
from typing import Any

import pytest
from tests.store.world import World, opened

from palaver.errors import Refused
from palaver.store.read import feed, search
from palaver.store.write.consumers import MoveFeed, NoteConsumer, PruneFeed

FAR = 10_000_000_000_000
SECONDS_MAX = 5
HELD_UP = """
CREATE FUNCTION held_up() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_advisory_xact_lock(42); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER held_up AFTER INSERT ON unfed DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW WHEN (NEW.room_key = {key}) EXECUTE FUNCTION held_up()
"""
"""A commit to a room waits, at its very end, for whoever holds the lock."""
WAITS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 42 AND NOT granted"


async def followed(world: World, position: int = 0) -> tuple[dict[int, list[int]], int]:
    """The seqs of each room's key, as the feed tells them from a position on, and the last position."""
    seqs: dict[int, list[int]] = defaultdict(list)
    while rows := await world.store.read(feed.after, position, 2):
        for row in rows:
            assert row.position > position
            position = row.position
            for key, first, last in row.spans:
                seqs[key] += range(first, last + 1)
    return seqs, position


async def move(world: World) -> None:
    while await world.store.write(MoveFeed()) is not False:
        pass


async def test_each_commit_comes_once_into_the_feed_in_the_order_of_its_rooms(world: World) -> None:
    ada = await world.person()
    rooms = [await world.room(ada) for _ in range(3)]
    for number in range(4):
        await asyncio.gather(*[world.say(room, ada, f"{number}") for room in rooms * 2])
    await move(world)
    seqs, last = await followed(world)
    assert await world.store.read(feed.waiting, 10) == []
    logs = [[event.seq for event in await world.log(room)] for room in rooms]
    assert [found for found in seqs.values() if found in logs] == logs
    assert (await world.store.read(feed.ends))[1] == last
    # what is refused, or changes nothing, is nothing to tell of
    await world.store.write(NoteConsumer(name="one", position=last))
    await move(world)
    assert await followed(world, last) == ({}, last)


async def test_a_commit_that_comes_late_is_not_passed_by(postgres_url: str) -> None:
    """Three processes write and move, to the same rooms, while one follows."""
    async with (
        opened(postgres_url) as first,
        opened(postgres_url) as other,
        opened(postgres_url) as third,
    ):
        ada = await first.person()
        rooms = [await first.room(ada) for _ in range(4)]
        seqs: dict[int, list[int]] = defaultdict(list)
        position = 0
        writing = True

        async def write(world: World) -> None:
            for number in range(30):
                await asyncio.gather(*[world.say(room, ada, f"{number}") for room in rooms])
                await world.store.write(MoveFeed())

        async def follow() -> None:
            nonlocal position
            while True:
                last_look = not writing
                if last_look:
                    await move(third)
                found, position = await followed(third, position)
                for key, its in found.items():
                    seqs[key] += its
                if last_look:
                    return

        following = asyncio.create_task(follow())  # noqa: TID251  it is awaited below
        await asyncio.gather(write(first), write(other))
        writing = False
        await following
        assert sorted(map(len, seqs.values()))[-4:] == [
            len(await first.log(room)) for room in rooms
        ]
        for its in seqs.values():
            assert all(after == before + 1 for before, after in pairwise(its))


async def test_a_commit_that_ends_after_a_later_one_was_moved_comes_into_the_feed(
    postgres_url: str,
) -> None:
    """The database holds up the commit to one room, while another process writes and a third one moves."""
    asyncpg: Any = import_module("asyncpg")  # it brings no types
    async with (
        opened(postgres_url) as first,
        opened(postgres_url) as other,
        opened(postgres_url) as third,
    ):
        ada = await first.person()
        held, free = await first.room(ada), await first.room(ada)
        (key,) = await first.store.read(search.keys_of, [held.id])
        await move(third)
        gate = await asyncpg.connect(postgres_url)
        await gate.execute(HELD_UP.format(key=key))
        await gate.execute("SELECT pg_advisory_lock(42)")
        late = asyncio.create_task(first.say(held, ada))  # noqa: TID251  it is awaited below
        async with asyncio.timeout(SECONDS_MAX):
            while not await gate.fetchval(WAITS):  # noqa: ASYNC110  nothing tells it
                await asyncio.sleep(0.01)
        await other.say(free, ada)
        await move(third)
        before, position = await followed(third)
        await gate.close()  # and so the commit ends
        await late
        await move(third)
        after, _ = await followed(third, position)
        for room in (held, free):
            (key,) = await first.store.read(search.keys_of, [room.id])
            its = [event.seq for event in await first.log(room)]
            assert before[key] + after[key] == its, "each once, in the order of its room"


async def test_the_feed_forgets_what_is_old_but_never_what_a_consumer_wants(world: World) -> None:
    ada = await world.person()
    room = await world.room(ada)
    for _ in range(3):
        await world.say(room, ada)
        await move(world)
    first, last = await world.store.read(feed.ends)
    await world.store.write(NoteConsumer(name="slow", position=first + 1))
    await world.store.write(NoteConsumer(name="quick", position=last))
    assert await world.store.write(PruneFeed(before_ms=0)) == 0
    assert await world.store.write(PruneFeed(before_ms=FAR)) == 2
    assert await world.store.read(feed.ends) == (first + 2, last)
    await world.store.write(NoteConsumer(name="slow", position=None))
    await world.store.write(PruneFeed(before_ms=FAR))
    assert await world.store.read(feed.ends) == (last, last)  # the next position is one more
    await world.say(room, ada)
    await move(world)
    assert await world.store.read(feed.ends) == (last, last + 1)


async def test_what_is_refused_leaves_nothing_in_the_feed(world: World) -> None:
    ada, bo = await world.person(), await world.person("Bo")
    room = await world.room(ada)
    await move(world)
    before = await world.store.read(feed.ends)
    with pytest.raises(Refused):
        await world.say(room, bo)
    await move(world)
    assert await world.store.read(feed.ends) == before
