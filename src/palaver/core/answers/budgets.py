"""Reserves what an answer may use of the budgets that bound it, before its model is asked.

The tokens of the question are estimated; with those of the answer they are reserved, and the reserve bounds the answer.
Where no budget is set, that is known for a second, and nothing else is asked.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial

import orjson
from msgspec.structs import replace

from palaver.core.answers.context import CHARS_A_TOKEN
from palaver.core.answers.prices import Prices, estimated
from palaver.core.answers.tape import LiveAnswer
from palaver.core.ground import Ground
from palaver.errors import ProviderError, Unavailable
from palaver.model import ActorId, TurnId
from palaver.model.usage import Unkept
from palaver.providers.base import (
    DEFAULT,
    BesidePiece,
    Piece,
    Provider,
    ReasoningPiece,
    RefusalPiece,
    Request,
    Several,
    TextPiece,
    ToolPiece,
)
from palaver.providers.call import Chunk
from palaver.providers.openai.request import bound_of, with_bound
from palaver.store.read import agents, usage
from palaver.store.write.budgets import Reached, Reserve, reached

KNOWN_SECONDS = 1.0


class Budgets:
    """The budgets of one database, as answers ask them."""

    def __init__(self, ground: Ground, prices: Prices) -> None:
        self._store, self._clock, self._prices = ground.store, ground.clock, prices
        self._providers, self._assistant = ground.providers, ground.assistant
        self._tokens = ground.settings.budget_tokens
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
        self, answer: TurnId | Unkept, provider: Provider, request: Request
    ) -> tuple[Request, int | None]:
        """A request with a bound of its answer, where there are budgets, and that bound. Refused: `budget_reached`."""
        if not await self.are_there():
            return request, None
        of, chars = (provider.name, request.model or ""), chars_asked(request)
        most = await self.reserved(answer, of, chars, most=bound_of(request.settings))
        if most is None:
            return request, None
        return replace(request, settings=with_bound(request.settings, most)), most

    async def reserved(
        self,
        answer: TurnId | Unkept,
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
            answer=answer,
            input=read,
            output=wanted,
            needed=tokens,
            input_micros=asked or 0,
            output_micros=each,
        )
        return await self._store.write(command)

    async def within(self, live: LiveAnswer, told: Chunk) -> tuple[Chunk, Reached | None]:
        """What comes of a client's answer as far as its budgets have place for it, and why not all of it.

        Of what is cut the bytes are left out.
        """
        if live.tokens_max is None:
            return told, None
        try:
            await self.reserve(live, told.pieces)
        except Reached as refused:
            pieces = fitting(told.pieces, live.tokens_max, live.answer.chars)
            return Chunk(b"", tuple(pieces)), refused
        return told, None

    async def reserve(self, live: LiveAnswer, coming: Sequence[Piece] = ()) -> None:
        """Reserves what a client's answer may use, and more for pieces that do not fit.

        Refused: `budget_reached`; then what is left is reserved.
        """
        turn, exchange, unkept = live.turn, live.exchange, live.unkept
        if unkept is not None:
            answer, agent, model, by = unkept, unkept.agent, unkept.model, unkept.by
        elif turn is None or exchange is None or live.held:
            return
        else:
            answer, agent, model, by = turn.id, turn.agent, exchange.model, exchange.actor
        came = live.answer.chars + sum(map(chars_of, coming))
        tokens = estimated(came)
        if tokens > (live.tokens_max or -1) and await self.are_there():
            if not live.provider:
                by_name = None if live.card is None and agent == self._assistant else agent
                live.provider, live.model = await self.asked(model, by, by_name)
            of = (live.provider, live.model)
            reserved = partial(self.reserved, answer, of, live.asked_chars)
            try:
                live.tokens_max = await reserved(tokens=tokens)
            except Reached:
                if live.tokens_max is not None:
                    with suppress(Reached):  # else the budget has been made smaller
                        live.tokens_max = await reserved(most=tokens)
                    live.came_chars = (live.tokens_max or 0) * CHARS_A_TOKEN
                raise
            except Unavailable as failure:
                if unkept is None or not failure.database_away:
                    raise
                live.tokens_max = None

    async def asked(
        self, model: str, caller: ActorId | None, agent: ActorId | None = None
    ) -> tuple[str, str]:
        """The names of the model server that somebody asks ("" where that is not known), and of its model.

        An `agent` that is asked by its name asks its own model, as its owner may.
        """
        with suppress(ProviderError, Unavailable):
            card = None if agent is None else await self._store.read(agents.get, agent)
            wish, caller = (model, caller) if card is None else (card.asks, card.owner)
            provider = await self._providers.current(caller, model=wish or DEFAULT)
            if isinstance(provider, Several):
                provider, request = await provider.chosen(Request(history=(), model=wish or None))
                wish = request.model
            return provider.name, wish or ""
        return "", model


def chars_asked(request: Request) -> int:
    """How long a request is."""
    return sum(len(one.text) for one in request.history) + len(request.system_prompt)


def chars_of(piece: Piece) -> int:
    """How much of an answer a piece is, as `AnswerBuilder` counts it."""
    match piece:
        case TextPiece(text) | ReasoningPiece(text) | RefusalPiece(text):
            return len(text)
        case ToolPiece():
            return len(piece.arguments)
        case BesidePiece(fields) if fields:
            return len(orjson.dumps(fields))
        case _:
            return 0


def fitting(pieces: Iterable[Piece], tokens: int, before: int) -> Iterator[Piece]:
    """As much of pieces as so many tokens have place for, behind so many characters: words are cut, nothing else is."""
    left = tokens * CHARS_A_TOKEN - before
    for piece in pieces:
        left -= chars_of(piece)
        if left >= 0:
            yield piece
            continue
        if isinstance(piece, TextPiece | ReasoningPiece | RefusalPiece) and piece.text[:left]:
            yield replace(piece, text=piece.text[:left])
        return
