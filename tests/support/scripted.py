"""A mind that says what a test wrote, for the tests of doors: each question takes the next script.

`will` says its pieces at once, `will_wait` says all but the last one, then waits for the event that it returned. An
error among the pieces is raised there. Without a script it says `yes`.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator

from palaver.errors import ProviderError
from palaver.providers.base import Done, Model, Piece, Request, TextPiece

SECONDS_MAX = 60

Step = str | ProviderError | asyncio.Event


class Scripted:
    """See `providers.base.Provider`."""

    name = "scripted"
    real = False

    def __init__(self) -> None:
        self._scripts: deque[tuple[Step, ...]] = deque()
        self._ended = 0
        self._one_ended = asyncio.Condition()
        self.asked: list[Request] = []

    def will(self, *steps: Step) -> None:
        self._scripts.append(steps)

    def will_wait(self, *pieces: str) -> asyncio.Event:
        go = asyncio.Event()
        self._scripts.append((*pieces[:-1], go, pieces[-1]))
        return go

    async def ended(self, count: int) -> None:
        """Waits until that many answers were said to their end."""
        async with asyncio.timeout(SECONDS_MAX), self._one_ended:
            await self._one_ended.wait_for(lambda: self._ended >= count)

    async def models(self) -> tuple[Model, ...]:
        return (Model(id="scripted", provider=self.name, default=True),)

    async def answer(self, request: Request) -> AsyncGenerator[Piece]:
        self.asked.append(request)
        try:
            for step in self._scripts.popleft() if self._scripts else ("yes",):
                match step:
                    case str():
                        yield TextPiece(step)
                    case asyncio.Event():
                        await step.wait()
                    case _:
                        raise step
            yield Done(model="scripted", finish="stop")
        finally:  # nobody asks for more after the end
            async with self._one_ended:
                self._ended += 1
                self._one_ended.notify_all()

    async def close(self) -> None:
        return
