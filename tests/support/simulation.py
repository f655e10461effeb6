"""A world that can be replayed from a number: virtual time, seeded chance, a seeded order of everything.

`simulate(seed, life)` runs a coroutine on an event loop that never waits: when nothing is ready, its clock jumps to the
next timer. Whatever is ready at the same moment runs in an order that the seed decides. The same seed gives the same
life, step by step.

All code that was started in a `Process` runs in it. It can be stopped and go on (as by SIGSTOP, SIGCONT), and killed:
then none of its code ever runs again, no `finally` and no `except`, until the life is over and `bury` unwinds it.
"""

import asyncio
import heapq
import random
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar, cast

T = TypeVar("T")


class Stuck(Exception):
    """Nothing is ready and no timer is set: the life waits for something that will never happen."""


class NumberedTask(asyncio.Task[Any]):
    """A task whose place in a set does not depend on where it lies in memory."""

    def __init__(
        self,
        coro: Coroutine[Any, Any, Any],
        *,
        loop: "SimulatedLoop",
        context: Context | None = None,
    ) -> None:
        loop.tasks += 1
        self._number = loop.tasks
        super().__init__(coro, loop=loop, context=context)

    def __hash__(self) -> int:
        return self._number


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time, whose order of ready callbacks is drawn from `chance`. It reads no descriptor."""

    _ready: deque[Any]
    _scheduled: list[Any]

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.now = 0.0
        self.tasks = 0
        super().__init__()
        self.set_task_factory(cast("Any", _numbered))

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        ready, timers = self._ready, self._scheduled
        while timers and timers[0]._cancelled:
            heapq.heappop(timers)._scheduled = False
        if not ready:
            if not timers:
                raise Stuck
            self.now = max(self.now, timers[0]._when)
        while timers and timers[0]._when <= self.now:
            handle = heapq.heappop(timers)
            handle._scheduled = False
            ready.append(handle)
        count = len(ready)
        if count > 1:
            draw = self.chance.random
            mixed = sorted(ready, key=lambda _: draw())
            ready.clear()
            ready.extend(mixed)
        for _ in range(count):
            handle = ready.popleft()
            if handle._cancelled:
                continue
            process = handle._context.get(_PROCESS)
            if process is not None and process.held is not None:
                process.held.append(handle)
            else:
                handle._run()


def _numbered(
    loop: asyncio.AbstractEventLoop,
    coro: Coroutine[Any, Any, Any],
    context: Context | None = None,
) -> NumberedTask:
    assert isinstance(loop, SimulatedLoop)
    return NumberedTask(coro, loop=loop, context=context)


class SimulatedClock:
    """See `palaver.clock.Clock`: everything from the seed and the loop's virtual time."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self.loop = loop
        self.wall_offset_ms = 1_800_000_000_000

    def now_ms(self) -> int:
        return self.wall_offset_ms + round(self.loop.time() * 1000)

    def monotonic(self) -> float:
        return self.loop.time()

    def boottime(self) -> float:
        return self.loop.time()

    def new_id(self) -> str:
        tail = self.loop.chance.getrandbits(74)
        return (
            f"{self.now_ms() & 0xFFFF_FFFF_FFFF:012x}7{tail >> 62:03x}8{tail & (1 << 62) - 1:015x}"[
                :32
            ]
        )

    def salt(self) -> bytes:
        return self.loop.chance.randbytes(8)

    def secret(self) -> str:
        return f"{self.loop.chance.getrandbits(256):064x}"[:43]

    def chance(self) -> float:
        return self.loop.chance.random()


class Process:
    """A process of a life. `dead`: nothing that it still does while it is unwound may have an effect."""

    def __init__(self, loop: SimulatedLoop, name: str) -> None:
        self.name = name
        self.loop = loop
        self.held: list[Any] | None = None
        self.dead = False
        self.gone: asyncio.Future[None] = loop.create_future()
        self.context = copy_context()
        self.context.run(_PROCESS.set, self)

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Runs something in it."""
        return self.loop.create_task(work, context=self.context.copy())

    def stop(self) -> None:
        """Nothing of it runs, and it does not know."""
        if self.held is None:
            self.held = []

    def go_on(self) -> None:
        """It goes on where it was; what was due meanwhile happens at once."""
        held, self.held = self.held, None
        self.loop._ready.extend(held or ())

    def kill(self) -> None:
        """As `kill -9`."""
        self.stop()
        self.dead = True
        if not self.gone.done():
            self.gone.set_result(None)

    async def bury(self, *tasks: asyncio.Task[Any]) -> None:
        """Unwinds what was running in it, once nothing of it matters any more."""
        assert self.dead
        self.go_on()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


_PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)


def current() -> Process | None:
    """The process whose code is running; None for what is outside of all."""
    return _PROCESS.get()


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
