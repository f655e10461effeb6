"""Consumers of the feed: what works through all that happens, each at its own pace, and is as far as it has noted.

Theory of operation. A consumer keeps its position with its work, in the same transaction where that is possible, so
that whatever dies, it goes on behind what it has done. It is woken by each commit of this process, and looks once a
second for those of others, and for what it was told by hand (to begin anew). On PostgreSQL a commit's spans wait in
`unfed`; one process at a time moves them into the feed (`store.write.consumers`), `MOVE_SECONDS` after the last commit
of its own at the latest. A consumer that fails or is slow holds up nobody else: each has a task of its own. Those that
come later, of which there may be many, look when they are woken alone: one look at the feed's end is for all of them.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

import structlog
from msgspec import Struct, field

from palaver.clock import Clock
from palaver.core.part import Part
from palaver.errors import Unavailable
from palaver.model import Event
from palaver.store.read import feed
from palaver.store.store import Store
from palaver.store.write.consumers import PRUNED_MAX, MoveFeed, PruneFeed

MOVE_SECONDS = 0.05
"""So long a commit waits for others that are moved with it."""
LOOK_SECONDS = 1.0
AGAIN_SECONDS = 5.0
"""After a failure."""
PRUNE_SECONDS = 3_600.0
DAY_MS = 86_400_000

log = structlog.stdlib.get_logger()


class Consumer(Protocol):
    """What works through the feed."""

    @property
    def name(self) -> str:
        """Its name, by which its position may be noted."""
        ...

    async def work(self) -> bool:
        """Works through what comes next, a bounded bit; whether there may be more. Raises `Unavailable`."""
        ...


class Consumers(Part):
    """Runs consumers, moves what is committed into the feed, and forgets what is old in it."""

    def __init__(
        self, store: Store, clock: Clock, consumers: Sequence[Consumer], *, days: int
    ) -> None:
        """`days`: how long the feed is kept, at least."""
        self._store, self._clock, self._days = store, clock, days
        self._committed = asyncio.Event()
        self._runs = {one.name: _Run(one, LOOK_SECONDS) for one in consumers}
        self._tasks: asyncio.TaskGroup | None = None

    def add(self, consumer: Consumer) -> Callable[[], None]:
        """Runs another one from now on, beside the others; what wakes it, as what is new in the feed does."""
        run = self._runs[consumer.name] = _Run(consumer)
        self._start(run)
        return run.wake.set

    def drop(self, name: str) -> None:
        """Ends one at once, whatever it is doing."""
        if (task := self._runs.pop(name).task) is not None:
            task.cancel()

    def committed(self, _: Sequence[Event]) -> None:
        """Something of this process was committed."""
        if self._store.shared:
            self._committed.set()
        else:
            self.wake()

    def wake(self) -> None:
        """Lets every consumer look for work."""
        for run in self._runs.values():
            run.wake.set()

    async def run(self) -> None:
        """Moves, wakes and forgets, for ever."""
        async with asyncio.TaskGroup() as self._tasks:
            self._tasks.create_task(self._move())
            self._tasks.create_task(self._prune())
            for run in self._runs.values():
                self._start(run)

    def _start(self, run: "_Run") -> None:
        if self._tasks is not None:
            run.task = self._tasks.create_task(run.for_ever())

    async def _move(self) -> None:
        """Moves what waits, and wakes for what any process moved; of one process, what a copy brought along alone."""
        end = 0
        while True:
            with suppress(Unavailable):
                waits = True
                while waits:
                    waits = bool(await self._store.read(feed.waiting, 1))
                    if waits and await self._store.write(MoveFeed()) is None:
                        await asyncio.sleep(MOVE_SECONDS)
                    before, (_, end) = end, await self._store.read(feed.ends)
                    if end != before:
                        self.wake()
            if not self._store.shared:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._committed.wait()
                    await asyncio.sleep(MOVE_SECONDS)
            self._committed.clear()

    async def _prune(self) -> None:
        while True:
            await asyncio.sleep(PRUNE_SECONDS)
            before_ms = self._clock.now_ms() - self._days * DAY_MS
            with suppress(Unavailable):
                while await self._store.write(PruneFeed(before_ms=before_ms)) == PRUNED_MAX:
                    pass


class _Run(Struct):
    """A consumer, after how many seconds it looks without being woken, what wakes it, and its task once it runs."""

    consumer: Consumer
    look_seconds: float | None = None
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    async def for_ever(self) -> None:
        """Works, and waits to be woken."""
        while True:
            self.wake.clear()
            try:
                while await self.consumer.work():
                    pass
            except Unavailable:
                await asyncio.sleep(LOOK_SECONDS)
                continue
            except Exception:
                log.exception("consumer.failed", consumer=self.consumer.name)
                await asyncio.sleep(AGAIN_SECONDS)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(self.look_seconds):
                    await self.wake.wait()
