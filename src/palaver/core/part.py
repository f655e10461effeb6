"""Parts of the runtime: each takes over what dead processes left, runs beside everything else, and ends."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from msgspec import Struct

from palaver.errors import Code, Unavailable


class Part:
    """One part of a running Palaver. It overrides those methods for which it has work."""

    async def recover(self, *, aside: bool = False) -> None:
        """Takes over what dead processes left in journals; with `aside` also what was set aside."""

    async def run(self) -> None:
        """Runs beside everything else until it is cancelled, also while `recover` does."""

    def close(self) -> None:
        """Ends, after all tasks have."""


class Every(Struct, Part, frozen=True):
    """Works every so many seconds; while the database is away, work is left for the next time."""

    _seconds: float
    _work: Callable[[], Awaitable[None]]

    async def run(self) -> None:
        """Works, for ever."""
        while True:
            await asyncio.sleep(self._seconds)
            with suppress(Unavailable):
                await self._work()


class _Tasks(asyncio.TaskGroup):
    """A group of tasks, which says that the server is stopping to who comes after its end."""

    def create_task(self, coro: Any, **options: Any) -> asyncio.Task[Any]:
        """See asyncio. Unavailable: `shutting_down`."""
        try:
            return super().create_task(coro, **options)
        except RuntimeError:
            coro.close()
            raise Unavailable(Code.SHUTTING_DOWN, "The server is stopping.") from None


@asynccontextmanager
async def tasks_of_a_server() -> AsyncGenerator[asyncio.TaskGroup, None]:
    """A group of tasks; an error of the block goes on as it is, not wrapped."""
    failure: BaseException | None = None
    async with _Tasks() as tasks:
        try:
            yield tasks
        except BaseException as error:  # noqa: BLE001  raised again below
            failure = error
    if failure is not None:
        raise failure
