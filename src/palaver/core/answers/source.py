"""Asks the model of a room, with what was said so far, and gives its answer as a source of pieces."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TypeVar

import structlog

from palaver.clock import Clock
from palaver.core.answers import context
from palaver.core.ground import Ground
from palaver.errors import Code, ProviderError, Unavailable
from palaver.model import Turn
from palaver.providers.base import Done, Request, Several, Usage
from palaver.providers.call import CallResult, Chunk

RETRY_SECONDS_MAX = 5.0
T = TypeVar("T")

log = structlog.stdlib.get_logger()


class ModelSource:
    """The answer of a room's model; see `providers.call.Call`."""

    status = 200
    headers = ()
    streams = True

    def __init__(self, ground: Ground, turn: Turn) -> None:
        self._ground = ground
        self._turn = turn
        self.outcome = CallResult()

    async def told(self) -> AsyncGenerator[Chunk, None]:
        """Yields what the model says. While the database is away, it waits for the history: nobody need ask again."""
        outcome = self.outcome
        try:
            provider = await self._ground.providers.current()
            outcome.provider = provider.name
            request = await patiently(self._ground.clock, self._request)
            outcome.model = request.model
            if isinstance(provider, Several):
                provider, request = await provider.chosen(request)
                outcome.provider = provider.name
            async with aclosing(provider.answer(request)) as pieces:
                async for piece in pieces:
                    if isinstance(piece, Done):
                        outcome.whole, outcome.finish = True, piece.finish
                        outcome.model = piece.model
                        outcome.usage = Usage(input=piece.input_tokens, output=piece.output_tokens)
                    yield Chunk(b"", (piece,))
                    if outcome.whole:
                        return
        except ProviderError as failure:
            outcome.error = failure
        else:
            cut = "The provider ended in the middle of the answer."
            outcome.error = ProviderError(Code.PROVIDER_CUT, cut)

    async def _request(self) -> Request:
        return await context.to_answer(self._ground.store, self._ground.settings, self._turn)

    async def close(self) -> None:
        """Nothing is left to end: it ends with what is told."""


async def patiently(
    clock: Clock, ask: Callable[[], Awaitable[T]], *, storing: str | None = None
) -> T:
    """Asks the store again and again while the database is away; what is being stored, whatever keeps it."""
    wait = 0.05
    while True:
        try:
            return await ask()
        except Unavailable as failure:
            if storing is not None:
                log.warning("turn.not_stored_yet", turn=storing, code=failure.code)
            elif not failure.database_away:
                raise
            await asyncio.sleep(wait * (0.5 + clock.chance()))
            wait = min(wait * 2, RETRY_SECONDS_MAX)
