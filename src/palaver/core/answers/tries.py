"""Tries agents as their cards now say, saved or not: a model is asked, and nothing is kept but what that used."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

from msgspec import Struct

from palaver.core import validation
from palaver.core.answers import context
from palaver.core.answers.context import Prompt
from palaver.core.answers.engine import Engine, asked
from palaver.core.answers.outcome import told
from palaver.core.answers.source import ModelSource
from palaver.core.answers.tape import LiveAnswer
from palaver.core.ground import Ground
from palaver.errors import Code, Refused
from palaver.model import NO_DATA, Actor, ActorId, CredentialId, Role, Status, TurnId
from palaver.model.usage import Unkept
from palaver.providers.base import ReasoningPiece, RefusalPiece, TextPiece
from palaver.providers.call import CallResult

SAID_MAX = 100
"""So many messages of a try are told."""


class Ended(Struct, frozen=True, kw_only=True):
    """How a try ended: `done`, `stopped`, `interrupted` or `failed`; what it used, and how long it took."""

    status: Status
    model: str | None
    finish: str | None
    usage: Mapping[str, Any]
    ms: Mapping[str, int]
    error: Mapping[str, Any] | None


class Tries:
    """The tries of this process."""

    def __init__(self, ground: Ground, turns: Engine) -> None:
        self._ground, self._turns = ground, turns

    async def begin(
        self,
        by: Actor | None,
        said: Sequence[tuple[Role, str]],
        *,
        agent: ActorId | None = None,
        changes: Mapping[str, Any] = NO_DATA,
        standing: CredentialId | None = None,
    ) -> "Try":
        """Asks an agent, or a new one (None), as it is with `changes`; it ends with the `standing` of who asks.

        `said` is what they (`USER`) and the agent (`ASSISTANT`) said so far. Refused: as `Agents.drafted` and
        `validation.message_text`, and `bad_request` (too many messages, or the last one is not a person's).
        """
        ground = self._ground
        card = await ground.agents.drafted(by, agent, changes)
        if card.bot:
            raise Refused(Code.BAD_REQUEST, "A program answers for this agent: ask it in a chat.")
        if not 1 <= len(said) <= SAID_MAX or said[-1][0] is not Role.USER:
            words = f"A try has 1 to {SAID_MAX} messages, of which the last is who asks's."
            raise Refused(Code.BAD_REQUEST, words)
        for role, text in said:
            if role is Role.USER or text:
                validation.message_text(text, ground.settings.text_chars_max)
        handle = None if by is None else by.handle or by.name
        prompt = context.to_try(ground.settings, card, said, handle or context.SERVER)
        answer = Unkept(
            id=TurnId(f"t_{ground.clock.new_id()}"),
            by=None if by is None else by.id,
            agent=card.id or None,
        )
        one = Try(self._turns, answer, standing=standing)
        source = ModelSource(ground, answer, partial(_given, prompt), self._turns.budgets)
        self._turns.run(one.live, partial(asked, source), close=one.count)
        return one


class Try:
    """One answer that nobody keeps."""

    def __init__(self, turns: Engine, answer: Unkept, *, standing: CredentialId | None) -> None:
        self._turns, self._answer = turns, answer
        self.live = LiveAnswer(None, by=standing)
        self._used: dict[str, Any] = {}

    async def told(self) -> AsyncGenerator[tuple[str, str], None]:
        """Yields words and thoughts as they come, until what they used is counted."""
        async with aclosing(self.live.follow()) as tape:
            async for chunk in tape:
                for piece in chunk.pieces:
                    match piece:
                        case TextPiece(text, 0) | RefusalPiece(text, 0):
                            yield text, ""
                        case ReasoningPiece(text, 0):
                            yield "", text
                        case _:
                            pass
        if self.live.task is not None:
            await asyncio.wait([self.live.task])

    @property
    def ended(self) -> Ended:
        """How it ended."""
        live, outcome, error = self.live, self.live.outcome or CallResult(), self.live.error
        return Ended(
            status=live.stopped or (Status.DONE if error is None else Status.FAILED),
            model=outcome.model,
            finish=outcome.finish,
            usage=self._used,
            ms=live.ms,
            error=None if error is None else told(error),
        )

    async def count(self) -> None:
        """Counts what it used. While the database is away, that waits."""
        self._used = await self._turns.count_unkept(self.live, self._answer)


async def _given(prompt: Prompt) -> Prompt:
    return prompt
