"""Reserves what an answer may use of the budgets that bound it, before its model is asked.

The tokens of the question are estimated; with those of the answer they are reserved, and the reserve bounds the answer.
Where no budget is set, that is known for a second, and nothing else is asked.
"""

from contextlib import suppress

from msgspec.structs import replace

from palaver.clock import Clock
from palaver.core.answers.prices import Prices, estimated
from palaver.errors import Unavailable
from palaver.model import ActorId, TurnId
from palaver.providers.base import Piece, Provider, Request
from palaver.providers.openai.request import BOUNDS, with_bound
from palaver.store.read import usage
from palaver.store.store import Store
from palaver.store.write.budgets import Reserve, reached

KNOWN_SECONDS = 1.0


class Budgets:
    """The budgets of one database, as answers ask them. `tokens`: an answer may have so many where it says nothing."""

    def __init__(self, store: Store, clock: Clock, prices: Prices, tokens: int) -> None:
        self._store, self._clock, self._prices, self._tokens = store, clock, prices, tokens
        self._are_there, self._known_until = False, 0.0

    async def are_there(self) -> bool:
        """Whether anything is bounded; told of another process's within a second."""
        if self._clock.monotonic() >= self._known_until:
            with suppress(Unavailable):
                self._are_there = await self._store.read(usage.are_there)
            self._known_until = self._clock.monotonic() + KNOWN_SECONDS
        return self._are_there

    def changed(self) -> None:
        """Asks anew."""
        self._known_until = 0.0

    async def check(self, actor: ActorId) -> None:
        """Refused (`budget_reached`): who asks, or the server, has used up a budget."""
        if await self.are_there():
            now_ms = self._clock.now_ms()
            for budget in await self._store.read(usage.standing, actor, now_ms):
                if budget.share >= 1:
                    raise reached(budget, now_ms)

    async def bound(
        self, turn: TurnId, provider: Provider, request: Request
    ) -> tuple[Request, int | None]:
        """A request with a bound of its answer, where there are budgets, and that bound. Refused: `budget_reached`."""
        if not await self.are_there():
            return request, None
        own = [request.settings.get(name) for name in BOUNDS]
        most = await self.reserved(
            turn,
            (provider.name, request.model or ""),
            chars_asked(request),
            most=min((one for one in own if isinstance(one, int) and one > 0), default=None),
        )
        if most is None:
            return request, None
        return replace(request, settings=with_bound(request.settings, most)), most

    async def reserved(
        self,
        turn: TurnId,
        of: tuple[str, str],
        chars: int,
        *,
        tokens: int = 0,
        most: int | None = None,
    ) -> int | None:
        """How many tokens an answer may have, at most so many; None where nothing bounds it. Refused: `budget_reached`.

        `of`: a provider and its model; `chars`: of the question. The answer has `tokens` already, and needs them.
        """
        read, wanted = estimated(chars), tokens + (most or self._tokens)
        price = await self._prices.of(*of)
        asked, whole = price({"input": read}), price({"input": read, "output": wanted})
        each = 0 if asked is None or whole is None else (whole - asked) / wanted
        command = Reserve(
            turn=turn,
            input=read,
            output=wanted,
            needed=tokens,
            input_micros=asked or 0,
            output_micros=each,
        )
        return await self._reserve(command)

    async def _reserve(self, command: Reserve) -> int | None:
        return await self._store.write(command)


def chars_asked(request: Request) -> int:
    """How long a request is."""
    return sum(len(one.text) for one in request.history) + len(request.system_prompt)


def chars_of(piece: Piece) -> int:
    """How much of an answer a piece is."""
    return len(getattr(piece, "text", "")) + len(getattr(piece, "arguments", ""))
