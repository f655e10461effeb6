"""Runs blocking work in threads, or in the loop, so that a simulation can replay a life from a number.

A lane has a resource (a connection) in each of its threads and runs one function at a time in each. `ThreadLanes` is
the real thing; `InlineLanes` runs everything in the loop at once, with one resource, so that nothing depends on how
threads are scheduled. A function that has begun is never given up: whoever waits for it may stop waiting.
"""

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Generic, Protocol, TypeVar

Resource = TypeVar("Resource")
Resource_co = TypeVar("Resource_co", covariant=True)
T = TypeVar("T")


class Lane(Protocol[Resource_co]):
    """Runs functions of its resource, in the order they came."""

    async def run(self, work: Callable[[Resource_co], T]) -> T:
        """Runs `work` and gives its result."""
        ...

    async def close(self) -> None:
        """Ends after what has been given to it, and closes the resource."""
        ...


class Lanes(Protocol):
    """Makes lanes."""

    @property
    def shared(self) -> bool:
        """Whether all lanes run in one thread, so that they may share a connection."""
        ...

    def lane(
        self,
        name: str,
        threads: int,
        opened: Callable[[], Resource],
        closed: Callable[[Resource], None],
    ) -> Lane[Resource]:
        """A lane whose threads open their resource when they first need it."""
        ...


class ThreadLane(Generic[Resource]):
    """Threads that take functions from one queue. One hop there and one back, and nothing else."""

    def __init__(
        self,
        name: str,
        threads: int,
        opened: Callable[[], Resource],
        closed: Callable[[Resource], None],
    ) -> None:
        self._opened = opened
        self._closed = closed
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[tuple[Callable[[Resource], Any], asyncio.Future[Any]] | None] = (
            SimpleQueue()
        )
        self._ended = [self._loop.create_future() for _ in range(threads)]
        for number, ended in enumerate(self._ended):
            threading.Thread(
                target=self._serve, args=(ended,), name=f"palaver-{name}-{number}", daemon=True
            ).start()

    async def run(self, work: Callable[[Resource], T]) -> T:
        """As `Lane.run`."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.put((work, future))
        return await future

    async def close(self) -> None:
        """As `Lane.close`."""
        for _ in self._ended:
            self._queue.put(None)
        for ended in self._ended:
            await ended

    def _serve(self, ended: "asyncio.Future[None]") -> None:
        resources: list[Resource] = []  # one, once it is needed
        while (item := self._queue.get()) is not None:
            work, future = item
            result: Any = None
            error: BaseException | None = None
            try:
                if not resources:
                    resources.append(self._opened())
                result = work(resources[0])
            except BaseException as raised:  # noqa: BLE001  handed on to the one who waits
                error = raised
            self._tell(future, result, error)
            del item, work, future, result, error
        error = None
        try:
            for resource in resources:
                self._closed(resource)
        except BaseException as raised:  # noqa: BLE001  likewise
            error = raised
        self._tell(ended, None, error)

    def _tell(
        self, future: "asyncio.Future[Any]", result: object, error: BaseException | None
    ) -> None:
        try:
            self._loop.call_soon_threadsafe(_settle, future, result, error)
        except RuntimeError:  # the loop is closed: nobody waits any more
            return


class InlineLane(Generic[Resource]):
    """One resource, used in the loop."""

    def __init__(
        self,
        name: str,  # noqa: ARG002  as of `ThreadLane`
        threads: int,  # noqa: ARG002
        opened: Callable[[], Resource],
        closed: Callable[[Resource], None],
    ) -> None:
        self._opened = opened
        self._closed = closed
        self._resources: list[Resource] = []  # one, once it is needed

    async def run(self, work: Callable[[Resource], T]) -> T:
        """As `Lane.run`. Lets the others run first, as a thread would."""
        await asyncio.sleep(0)
        if not self._resources:
            self._resources.append(self._opened())
        return work(self._resources[0])

    async def close(self) -> None:
        """As `Lane.close`."""
        while self._resources:
            self._closed(self._resources.pop())


class ThreadLanes:
    """Lanes of threads."""

    shared = False
    lane = ThreadLane


class InlineLanes:
    """Everything in the loop, at once."""

    shared = True
    lane = InlineLane


def _settle(future: "asyncio.Future[Any]", result: object, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
