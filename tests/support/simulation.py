"""A world that can be replayed from a number: virtual time, seeded chance, a seeded order of everything.

`simulate(seed, life)` runs a coroutine on an event loop that never waits: when nothing is ready, its clock jumps to the
next timer. Whatever is ready at the same moment runs in an order that the seed decides. The same seed gives the same
life, step by step.
"""

import asyncio
import random
import selectors
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, cast


class Stuck(Exception):
    """Nothing is ready and no timer is set: the life waits for something that will never happen."""


class _VirtualSelector(selectors.DefaultSelector):
    """Polls real descriptors without waiting, and lets the loop's time pass instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise Stuck
            self.now += max(0.0, timeout)
        return ready


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time whose order of ready callbacks is drawn from `chance`."""

    _ready: deque[Any]

    def __init__(self, chance: random.Random) -> None:
        self._virtual = _VirtualSelector()
        self.chance = chance
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now

    def _run_once(self) -> None:
        if len(self._ready) > 1:
            ready = list(self._ready)
            self.chance.shuffle(ready)
            self._ready.clear()
            self._ready.extend(ready)
        cast("Any", asyncio.SelectorEventLoop)._run_once(self)


class SimulatedClock:
    """See `palaver.clock.Clock`: everything from the seed and the loop's virtual time."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop
        self.wall_offset_ms = 1_800_000_000_000

    def now_ms(self) -> int:
        return self.wall_offset_ms + round(self._loop.time() * 1000)

    def monotonic(self) -> float:
        return self._loop.time()

    def new_id(self) -> str:
        tail = self._loop.chance.getrandbits(74)
        return (
            f"{self.now_ms() & 0xFFFF_FFFF_FFFF:012x}7{tail >> 62:03x}8{tail & (1 << 62) - 1:015x}"[
                :32
            ]
        )

    def secret(self) -> str:
        return f"{self._loop.chance.getrandbits(256):064x}"[:43]

    def chance(self) -> float:
        return self._loop.chance.random()


def simulate(seed: int, life: Callable[[random.Random, SimulatedClock], Awaitable[None]]) -> None:
    """Lives one life. An error in it says the seed, which replays it."""
    chance = random.Random(seed)
    loop = SimulatedLoop(chance)
    try:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(_lived(life(chance, SimulatedClock(loop))))
    except BaseException as error:
        error.add_note(f"replay with seed {seed}")
        raise
    finally:
        asyncio.set_event_loop(None)
        loop.close()


async def _lived(life: Awaitable[None]) -> None:
    await life
