"""Each consumer works through the whole feed at its own pace, and one that fails holds up nobody."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from tests.store.world import World, opened

from palaver.core.consumers import Consumers
from palaver.errors import Code, Unavailable
from palaver.store.read import feed
from palaver.store.write.consumers import NoteConsumer


@dataclass
class Counting:
    """Counts the events of rooms, and notes its position; fails as often as it is told to."""

    world: World
    name: str = "counting"
    failures: int = 0
    position: int = 0
    seen: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    done: asyncio.Event = field(default_factory=asyncio.Event)
    wanted: int = 0

    async def work(self) -> bool:
        if self.failures:
            self.failures -= 1
            raise Unavailable(Code.DATABASE_UNAVAILABLE, "away")
        rows = await self.world.store.read(feed.after, self.position, 1)
        for row in rows:
            self.seen += [
                (key, seq) for key, first, last in row.spans for seq in range(first, last + 1)
            ]
            self.position = row.position
            await self.world.store.write(NoteConsumer(name=self.name, position=row.position))
        if len(self.seen) >= self.wanted:
            self.done.set()
        return bool(rows)


class Broken:
    """Fails in a way that nobody foresaw."""

    name = "broken"

    async def work(self) -> bool:
        raise ValueError(self.name)


async def run(world: World, consumers: Sequence[Counting | Broken], until: asyncio.Event) -> None:
    running = Consumers(world.store, world.clock, consumers, days=30)
    task = asyncio.create_task(running.run())  # noqa: TID251  it is ended below
    async with asyncio.timeout(20):
        await until.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_consumer_sees_every_event_once_whoever_writes(database_url: str) -> None:
    async with opened(database_url) as world:
        ada = await world.person()
        rooms = [await world.room(ada) for _ in range(2)]
        for _ in range(3):
            await asyncio.gather(*[world.say(room, ada) for room in rooms])
        logs = [await world.log(room) for room in rooms]
        consumer = Counting(world, wanted=sum(map(len, logs)), failures=1)
        await run(world, [Broken(), consumer], consumer.done)
        assert len(set(consumer.seen)) == len(consumer.seen) == consumer.wanted
        again = Counting(world, position=consumer.position, wanted=consumer.wanted + 1)
        again.seen = list(consumer.seen)
        running = Consumers(world.store, world.clock, [again], days=30)
        task = asyncio.create_task(running.run())  # noqa: TID251  it is ended below
        await world.say(rooms[0], ada)
        running.committed(())
        async with asyncio.timeout(20):
            await again.done.wait()
        task.cancel()
        assert again.seen[-1][1] == len(await world.log(rooms[0]))


async def test_what_a_consumer_is_told_by_hand_needs_no_commit(database_url: str) -> None:
    async with opened(database_url) as world:
        room = await world.room(await world.person())
        consumer = Counting(world, wanted=len(await world.log(room)))
        running = Consumers(world.store, world.clock, [consumer], days=30)
        task = asyncio.create_task(running.run())  # noqa: TID251  it is ended below
        async with asyncio.timeout(20):
            await consumer.done.wait()
            consumer.done.clear()
            consumer.position, consumer.wanted = 0, 2 * consumer.wanted
            await consumer.done.wait()
        task.cancel()


async def test_a_consumer_comes_and_goes_while_others_run(database_url: str) -> None:
    async with opened(database_url) as world:
        ada = await world.person()
        room = await world.room(ada)
        running = Consumers(world.store, world.clock, [Broken()], days=30)
        task = asyncio.create_task(running.run())  # noqa: TID251  it is ended below
        wanted = len(await world.log(room)) + 1
        late = Counting(world, name="late", wanted=wanted)
        wake = running.add(late)
        await world.say(room, ada)
        wake()
        async with asyncio.timeout(20):
            await late.done.wait()
        running.drop("late")
        await world.say(room, ada)
        running.wake()
        again = Counting(world, name="again", wanted=wanted + 1)
        running.add(again)
        async with asyncio.timeout(20):
            await again.done.wait()
        assert (len(late.seen), len(again.seen)) == (wanted, wanted + 1)
        task.cancel()
