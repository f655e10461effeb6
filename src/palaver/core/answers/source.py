"""Asks models: for a room, whose history is sent and whose answer comes in pieces, and for the doors, as they say."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, aclosing, suppress
from functools import partial
from typing import Any, TypeVar

import structlog
from msgspec import Struct
from msgspec.structs import replace

from palaver.clock import Clock
from palaver.core.answers.budgets import Budgets, chars_asked, chars_of, fitting
from palaver.core.answers.context import Prompt
from palaver.core.answers.prices import estimated
from palaver.core.ground import Ground
from palaver.errors import Code, ProviderError, Unavailable
from palaver.model import NO_DATA, Actor, ActorId, TurnId
from palaver.model.agents import AgentCard
from palaver.model.usage import Unkept
from palaver.providers.base import (
    DEFAULT,
    Done,
    Model,
    Piece,
    Provider,
    Request,
    Several,
    TextPiece,
    Usage,
)
from palaver.providers.call import Body, Call, CallRequest, CallResult, Chunk, Forwards, in_messages
from palaver.providers.echo import HINT
from palaver.providers.openai.compose import call, complete
from palaver.providers.openai.request import bound_of
from palaver.providers.pool import Providers
from palaver.providers.rendering import own_words
from palaver.store.write.budgets import Reached
from palaver.strict_json import as_object, parsed
from palaver.thoughts import parted

CUT = "The provider ended in the middle of the answer."
RETRY_SECONDS_MAX = 5.0
OVER = 2
"""An answer ends at so many times its bound, whatever its server makes of that."""
Answered = Callable[[CallResult], AsyncGenerator[Piece, None]]
T = TypeVar("T")

log = structlog.stdlib.get_logger()


class ModelSource:
    """The answer of a room's model; see `providers.call.Call`."""

    status = 200
    headers = ()
    streams = True

    def __init__(
        self,
        ground: Ground,
        answer: TurnId | Unkept,
        prompt: Callable[[], Awaitable[Prompt]],
        budgets: Budgets,
        bot: Answered | None = None,
    ) -> None:
        """`prompt` says what the model is told; `bot`: what a program says that answers in the place of one."""
        self._ground, self._budgets = ground, budgets
        self._answer, self._prompt, self._bot = answer, prompt, bot
        self.outcome = CallResult()

    async def told(self) -> AsyncGenerator[Chunk, None]:
        """Yields what the model says. While the database is away, it waits for the history: nobody need ask again."""
        outcome = self.outcome
        try:
            prompt = await patiently(self._ground.clock, self._prompt)
            outcome.card = prompt.card.version or None
            bot = self._bot if prompt.card.bot else None
            said = self._said(prompt) if bot is None else bot(outcome)
            async with aclosing(said) as pieces:
                async for piece in pieces:
                    yield Chunk(b"", (piece,))
        except ProviderError as failure:
            outcome.error = failure
        else:
            if not outcome.whole and outcome.error is None:
                outcome.error = ProviderError(Code.PROVIDER_CUT, CUT)

    async def _said(self, prompt: Prompt) -> AsyncGenerator[Piece, None]:
        ground, outcome = self._ground, self.outcome
        request = prompt.request
        if prompt.withheld is not None:
            raise ProviderError(Code.PROFILE_WITHHELD, prompt.withheld, temporary=False)
        provider = await ground.providers.current(prompt.caller, model=request.model)
        outcome.provider, outcome.model = provider.name, request.model
        if isinstance(provider, Several):
            provider, request = await provider.chosen(request)
            outcome.provider, outcome.model = provider.name, request.model
        bound = partial(self._budgets.bound, self._answer, provider, request)
        request, most = await patiently(ground.clock, bound)
        outcome.prompt = prompt.bounded(most).told
        if provider.real:
            outcome.asked_chars = chars_asked(request)
        answer = provider.answer(request)
        if prompt.handle is not None:
            answer = own_words(answer, prompt.handle, request.model)
        if most is not None:
            answer = self._bounded(answer, provider, request)
        async with aclosing(answer) as pieces:
            async for piece in pieces:
                if isinstance(piece, Done):
                    outcome.whole, outcome.finish = True, piece.finish
                    outcome.model = piece.model or None
                    told = (piece.input_tokens, piece.output_tokens)
                    outcome.used(*told, piece.cached_tokens, piece.reasoning_tokens)
                yield piece
                if outcome.whole:
                    return

    async def _bounded(
        self, said: AsyncGenerator[Piece, None], provider: Provider, request: Request
    ) -> AsyncGenerator[Piece, None]:
        """The pieces of an answer to a request with a bound, up to that.

        Its server may count other tokens than are estimated here. So it may have more, `OVER` times as much at most, as
        far as its budgets have that; what it is then given is cut off, and its `finish` is `budget`.
        """
        held = bound_of(request.settings) or 0
        of, chars, before = (provider.name, request.model or ""), chars_asked(request), 0
        most = OVER * held
        async with aclosing(said) as pieces:
            async for piece in pieces:
                came = before + chars_of(piece)
                if estimated(came) > held:
                    more = partial(self._budgets.reserved, self._answer, of, chars, most=most)
                    with suppress(Reached):
                        held = await patiently(self._ground.clock, more) or most
                if estimated(came) > held:
                    for part in fitting((piece,), held, before):
                        yield part
                    yield Done(model=request.model or "", finish="budget")
                    return
                bounded = isinstance(piece, Done) and piece.finish == "length"
                yield replace(piece, finish="budget") if bounded else piece
                before = came

    async def close(self) -> None:
        """Does nothing: the call ends with what is told."""


class Models(Struct, frozen=True, kw_only=True):
    """What can answer here. `hint` says how to connect a model while none is."""

    models: tuple[Model, ...]
    provider: str
    hint: str | None


class ModelServer(Struct, frozen=True):
    """Asks whatever provider is connected now for the `caller`. `_counting` counts the errors of a block."""

    _providers: Providers
    _clock: Clock
    _counting: Callable[[], AbstractContextManager[None]]
    caller: ActorId | None = None

    def of(self, caller: Actor, agent: AgentCard | None = None) -> "ModelServer":
        """The same, for somebody with connections of their own; for an agent, who has those of its owner."""
        return replace(self, caller=caller.id if agent is None else agent.owner)

    async def listed(self) -> Models:
        """The models that can be asked now. A provider that fails has none, and says why in `hint`."""
        provider = await self._providers.current(self.caller)
        try:
            models = await provider.models()
        except ProviderError as failure:
            return Models(models=(), provider=provider.name, hint=failure.detail)
        hint = None if provider.real else HINT
        return Models(models=models, provider=provider.name, hint=hint)

    async def call(
        self,
        method: str,
        path: str,
        body: Body = None,
        headers: Mapping[str, str] = NO_DATA,
        *,
        stream: bool = False,
        choices: int = 1,
        model: str | None = None,
    ) -> Call:
        """Asks at a path below the server's base; see `providers.openai.compose`. Raises `ProviderError`.

        `model`: the one in the body, where its client named an agent of ours.
        """
        named: object = model
        if isinstance(body, bytes) and DEFAULT.encode() in body:  # no other is read for it
            named = as_object(parsed(body)).get("model")
        provider = await self._current(named)
        request = CallRequest(
            method=method, path=path, body=body, headers=headers, stream=stream, choices=choices
        )
        with self._counting():
            return _asked(model, await call(provider, request, self._clock))

    async def in_messages(
        self,
        path: str,
        model: str,
        body: bytes,
        headers: Mapping[str, str] = NO_DATA,
        *,
        stream: bool = False,
    ) -> Call | None:
        """Asks in the Messages API where the model's own server speaks it, see `providers.call`."""
        provider = await self._current(model)
        request = CallRequest(
            method="POST", path=path, body=body, headers=headers, stream=stream, model=model
        )
        with self._counting():
            return await in_messages(provider, request)

    async def complete(self, body: dict[str, Any], *, shortens: bool = False) -> Call:
        """Asks for a chat completion in our own words; see `providers.openai.compose`. Raises `ProviderError`."""
        provider, model = await self._current(body.get("model")), body.get("model")
        with self._counting():
            made = await complete(provider, body, clock=self._clock, shortens=shortens)
        return _asked(model, made)

    async def words(self, request: Request) -> tuple[str, Usage]:
        """Asks for an answer and waits for all of its words, thoughts left out. Raises `ProviderError`."""
        provider, words = await self._providers.current(self.caller), ""
        with self._counting():
            async with aclosing(provider.answer(request)) as pieces:
                async for piece in pieces:
                    if isinstance(piece, TextPiece):
                        words += piece.text
                    elif isinstance(piece, Done):
                        usage = Usage(input=piece.input_tokens, output=piece.output_tokens)
                        return parted(words)[1].strip(), usage
            raise ProviderError(Code.PROVIDER_CUT, CUT)

    async def origin(self, model: str) -> str | None:
        """The name of the model server and a model together; see `BesidePiece`."""
        provider = await self._current(model)
        return provider.origin(model) if isinstance(provider, Forwards) else None

    async def _current(self, model: object) -> Provider:
        """The provider to ask now, which knows what `DEFAULT` means where that is the model."""
        default = DEFAULT if model == DEFAULT else None
        return await self._providers.current(self.caller, model=default)


def _asked(model: str | None, made: Call) -> Call:
    """A call that says which model was asked, if its provider did not."""
    made.outcome.model = made.outcome.model or model
    return made


async def patiently(
    clock: Clock, ask: Callable[[], Awaitable[T]], *, storing: str | None = None
) -> T:
    """Asks the store again and again while the database is away; with `storing`, whatever keeps it."""
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
