"""A store with its search, in which nothing is indexed or moved but what a test says."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from tests.store.world import World, opened

from palaver.core.access import Access
from palaver.core.search.indexer import Indexer
from palaver.core.search.search import Found, Search
from palaver.model import Actor, Message, Room
from palaver.settings import Settings
from palaver.store.engine.executors import Lanes, ThreadLanes
from palaver.store.search.index import SearchIndex
from palaver.store.search.opened import opened as opened_index
from palaver.store.write.consumers import MoveFeed


class Finding:
    """A `world` with its `index`, `indexer` and `search`."""

    def __init__(self, world: World, index: SearchIndex, lane: Any) -> None:
        self.world, self.index = world, index
        self.indexer = Indexer(world.store, index, world.clock, lane)
        self.search = Search(world.store, index, world.clock, lane, Access(world.store))

    async def say(self, room: Room, by: Actor, text: str, **more: Any) -> Message:
        return (await self.world.say(room, by, text, **more)).message

    async def move(self) -> None:
        while await self.world.store.write(MoveFeed()):
            pass

    async def indexed(self, steps: int = 1_000_000) -> None:
        """Moves what waits into the feed, and lets the indexer take so many steps, or all."""
        await self.move()
        while steps and await self.indexer.work():
            steps -= 1

    async def find(self, by: Actor, text: str, **more: Any) -> Found:
        return await self.search.find(by, text, **more)

    async def texts(self, by: Actor, text: str, **more: Any) -> list[str]:
        """What is found, of which nothing may be missing."""
        found = await self.find(by, text, **more)
        assert found.indexed_until is None
        return [hit.message.text for hit in found.hits]


@asynccontextmanager
async def finding(url: str, *, lanes: Lanes | None = None) -> AsyncGenerator[Finding, None]:
    """Opens the database of this URL, with its search."""
    async with opened(url, lanes=lanes) as world:
        settings = Settings(database_url=url)
        index = opened_index(settings, world.clock, lanes, world.store.owner)
        lane = (lanes or ThreadLanes()).lane("search", 1, lambda: None, lambda _: None)
        try:
            yield Finding(world, index, lane)
        finally:
            await lane.close()
            await index.close()
