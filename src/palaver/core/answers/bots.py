"""Answers that a program gives: it is an agent by a key of its own, hears what that is asked, and speaks for it.

Theory of operation. The turn of such an agent runs as any other does; its source waits for what the program says. Who
asks what is asked of an agent is told its open turns, from wherever they run: those of this process, and of others the
ones that nobody has begun to answer. What the program says of one of those takes it over (`TakeTurn`), with a fence
that makes the other process give up. One that has been begun elsewhere stays there until its whole text comes.

Pieces are numbered from 1: one that comes again is none, and one that is missing is asked for. The first key that says
something has the turn, so that two programs of one agent do not speak into each other; until then those who read along
are told that it waits. The whole text at the end wins over the pieces, and is stored once. A program that says nothing
for `provider_idle_seconds` is away, which ends its turn; a piece without words says that it is there. A piece with
which it would be longer than an answer may be is refused, and ends the answer as that of a model ends then, with all
that came before.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing, suppress
from functools import partial

from msgspec import Struct

from palaver.core import validation
from palaver.core.answers.outcome import too_long
from palaver.core.answers.source import patiently
from palaver.core.answers.tape import LiveAnswer
from palaver.core.ground import Ground
from palaver.core.live.feed import Stream
from palaver.errors import Code, PalaverError, ProviderError, Refused, Unavailable
from palaver.model import (
    Actor,
    CredentialId,
    Entry,
    Message,
    Role,
    RoomId,
    Status,
    Turn,
    TurnId,
    TurnState,
)
from palaver.policy import check_program
from palaver.providers.base import Piece, TextPiece
from palaver.providers.call import CallResult, NativeAnswer
from palaver.store.read import events, messages, turns
from palaver.store.write.turns import TakeTurn

STORED_SECONDS_MAX = 10.0
"""So long a program waits for its last text to be stored."""
TAKEN_SECONDS_MAX = 10.0
ELSEWHERE_MS = 1_000
LOOK_SECONDS = 1.0
"""So often it is looked for what other processes have, where they do not say so."""


class Asked(Struct, frozen=True):
    """What an agent is asked: its turn, and the message that it answers (None: it is gone).

    `n` pieces came so far, which are `text`.
    """

    turn: Turn
    trigger: Message | None
    n: int
    text: str


class Over(Struct, frozen=True):
    """What an agent was asked is over, by another's hand: somebody stopped it, or it took too long."""

    room: RoomId
    turn: TurnId


class Writing:
    """An answer that a program gives, in this process. `by`: the key that has it. `over`: nothing more is taken."""

    def __init__(self, turn: Turn, outcome: CallResult, chars_max: int) -> None:
        self.turn, self.outcome, self._chars_max = turn, outcome, chars_max
        self.by: CredentialId | None = None
        self.n, self.text, self.over = 0, "", False
        self._coming: list[Piece] = []
        self._news = asyncio.Event()

    def is_of(self, agent: Actor, by: CredentialId | None) -> bool:
        """Whether it goes on, and this key has it."""
        its = by is not None and self.by == by and self.turn.agent == agent.id
        return its and not self.over

    def take(self, n: int, text: str) -> None:
        """Takes a piece; one that has come already is none.

        Refused: `bad_request`, one before it is missing; `answer_too_long`, which ends the answer.
        """
        if n > self.n + 1:
            raise Refused(
                Code.BAD_REQUEST, f"The next piece of this answer is number {self.n + 1}."
            )
        if n == self.n + 1:
            if len(self.text) + len(text) > self._chars_max:
                self._end_with(too_long())
                raise _too_long(self._chars_max)
            self.n, self.text = n, self.text + text
            self._coming.append(TextPiece(text))
        self._news.set()

    def end(self, text: str) -> None:
        """Ends it with its whole text."""
        self.outcome.whole, self.over = True, True
        self.outcome.own = NativeAnswer(entries=(Entry(role=Role.ASSISTANT, text=text),))
        if text.startswith(self.text):
            self._coming.append(TextPiece(text[len(self.text) :]))
        self.text = text
        self._news.set()

    def fail(self, why: str) -> None:
        """Ends it: its program cannot answer."""
        self._end_with(ProviderError(Code.BOT_FAILED, why))

    async def pieces(self, seconds: float) -> AsyncGenerator[Piece, None]:
        """Yields what comes, until it is over or nothing has come for so long."""
        while True:
            self._news.clear()
            while self._coming:
                yield self._coming.pop(0)
            if self.over:
                return
            try:
                async with asyncio.timeout(seconds):
                    await self._news.wait()
            except TimeoutError:
                why = f"Nothing was heard of its program for {seconds:g} seconds."
                self.outcome.error = ProviderError(Code.BOT_AWAY, why)
                return

    def _end_with(self, error: ProviderError) -> None:
        self.over, self.outcome.error = True, error
        self._news.set()


class Bots:
    """What programs are asked as agents, and what they say. `runs`: the answer of a turn that runs here."""

    def __init__(
        self,
        ground: Ground,
        begin: Callable[[Iterable[Turn]], None],
        runs: Callable[[TurnId], LiveAnswer | None],
    ) -> None:
        self._ground, self._store, self._hub = ground, ground.store, ground.hub
        self._begin, self._runs = begin, runs
        self._writing: dict[TurnId, Writing] = {}
        self._news = asyncio.Event()
        ground.hub.mirrored.append(self._wake)

    async def answer(self, turn: Turn, outcome: CallResult) -> AsyncGenerator[Piece, None]:
        """Yields what the program of an agent says in a turn; the `outcome` says how it ended."""
        settings = self._ground.settings
        writing = Writing(turn, outcome, settings.answer_chars_max)
        self._writing[turn.id] = writing
        outcome.provider = "bot"
        if (stream := self._stream(turn)) is not None:
            self._hub.awaits(stream)
        self._wake()
        try:
            async with aclosing(writing.pieces(settings.provider_idle_seconds)) as pieces:
                async for piece in pieces:
                    yield piece
        finally:
            del self._writing[turn.id]
            self._wake()

    # what its program asks

    async def asked(
        self, agent: Actor, by: CredentialId | None, *, wait_seconds: float = 0
    ) -> list[Asked]:
        """Lists what an agent is asked, the oldest first; waits until there is something that nobody has begun."""
        standings, end = self._hub.standings, partial(self._wake)  # each who waits has its own
        with standings.lives(by, end), suppress(TimeoutError):
            async with asyncio.timeout(wait_seconds):
                while True:
                    news, there = self._news, await self._open(agent, by)
                    ended = by is not None and standings.has_ended(by)
                    if ended or any(n == 0 for _, n, _ in there):
                        break
                    await self._next(news)
        found = [await self._told(agent, *one) for one in await self._open(agent, by)]
        return [told for told in found if told is not None]

    async def heard(
        self, agent: Actor, by: CredentialId | None
    ) -> AsyncGenerator[Asked | Over, None]:
        """Yields what an agent is asked, each turn once, and what is over without its program, for ever."""
        told: dict[TurnId, tuple[Turn, Writing | None]] = {}
        while True:
            news = self._news
            opened = await patiently(self._ground.clock, partial(self._open, agent, by))
            there = {one[0].id: one for one in opened}
            for id_ in told.keys() - there.keys():
                turn, writing = told.pop(id_)
                if writing is None or not writing.over:
                    yield Over(turn.room, id_)
            for id_, (turn, n, text) in there.items():
                if id_ not in told:
                    ask = partial(self._told, agent, turn, n, text)
                    asked = await patiently(self._ground.clock, ask)
                    if asked is not None:
                        yield asked
                told[id_] = turn, self._writing.get(id_)
            await self._next(news)

    async def write(
        self, agent: Actor, by: CredentialId | None, turn: TurnId, n: int, text: str
    ) -> None:
        """Takes a piece of an answer, the `n`-th; an empty one says that its program is there.

        Refused: `turn_not_found`, `forbidden`, `turn_ended`, `turn_taken`, `bad_request`, `invalid_unicode`,
        `invalid_character`, `answer_too_long` (which ends it). Unavailable: `turn_taken`, another process has it.
        """
        text = validation.well_formed(text, "piece")
        (await self._mine(agent, by, turn)).take(n, text)

    async def fail(self, agent: Actor, by: CredentialId | None, turn: TurnId, why: str) -> None:
        """Ends an answer that its program cannot give; what came is kept. Refused: as `write`."""
        why = validation.title_of(validation.well_formed(why, "reason"), 1_000)
        (await self._mine(agent, by, turn)).fail(why or "It did not say why.")

    async def end(
        self, agent: Actor, by: CredentialId | None, turn: TurnId, text: str
    ) -> tuple[Message, bool]:
        """Ends an answer with its whole text: its message, and whether it was stored before.

        Refused: as `write`, `empty_message`, `answer_too_long`. Unavailable: it is not stored yet.
        """
        text = validation.well_formed(text, "answer")
        if validation.is_blank(text):
            raise Refused(
                Code.EMPTY_MESSAGE, "An answer has words. One that cannot be given fails."
            )
        if len(text) > (most := self._ground.settings.answer_chars_max):
            raise _too_long(most)
        said_before = False
        try:
            (await self._mine(agent, by, turn, whole=True)).end(text)
        except Refused as refused:
            if refused.code is not Code.TURN_ENDED:
                raise
            said_before = True
        live = self._runs(turn)
        with suppress(TimeoutError):
            async with asyncio.timeout(STORED_SECONDS_MAX):
                if live is not None:
                    await live.end()
        if (stored := await self._stored(turn, text)) is None:
            raise await self._over(turn)
        return stored, said_before

    # inside

    def _stream(self, turn: Turn) -> Stream | None:
        return self._hub.streams(turn.room).get(turn.message)

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def _next(self, news: asyncio.Event) -> None:
        """Waits for what is new here, or may be in another process that does not say so."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS if self._store.shared else None):
                await news.wait()

    async def _open(self, agent: Actor, by: CredentialId | None) -> list[tuple[Turn, int, str]]:
        """The turns that a program may answer, with how many pieces came, and which."""
        there = [one for one in self._writing.values() if one.turn.agent == agent.id]
        found = [
            (one.turn, one.n, one.text) for one in there if one.by in {None, by} and not one.over
        ]
        if self._store.shared:
            others = await self._store.read(turns.of_agent, agent.id, self._store.owner)
            found += [(one, 0, "") for one in others if not self._is_begun(one.id)]
        return sorted(found, key=lambda one: one[0].id)

    def _is_begun(self, turn: TurnId) -> bool:
        """Whether something of an answer was shown in another process, as far as this one was told."""
        return any(one.turn.id == turn and any(one.lengths) for one in self._hub.mirrors())

    async def _told(self, agent: Actor, turn: Turn, n: int, text: str) -> Asked | None:
        """What is told of a turn; None where its agent, or its key, may not read the room."""
        if not await self._ground.access.sees(agent, turn.room):
            return None
        found = await self._store.read(events.since, turn.room, turn.trigger_seq - 1, 1)
        return Asked(turn, found[0].message if found else None, n, text)

    async def _mine(
        self, agent: Actor, by: CredentialId | None, turn: TurnId, *, whole: bool = False
    ) -> Writing:
        """The answer that this key may write, taken over from another process where that is needed."""
        writing = self._writing.get(turn)
        if writing is not None and not whole and writing.is_of(agent, by):
            return writing  # who loses a right meanwhile is stopped
        found = await self._ground.access.turn(agent, turn)
        check_program(agent, found)
        if found.state is not TurnState.OPEN:
            raise await self._over(turn)
        if writing is None:
            await self._take_over(agent, found, whole=whole)
            writing = self._writing.get(turn)
        elif writing.turn.fence != found.fence and (live := self._runs(turn)) is not None:
            live.stop(Status.INTERRUPTED)  # another process has taken it over, and nobody said so
            writing = None
        if writing is None or writing.over:
            raise await self._over(turn)
        if writing.by is None:
            writing.by = by
            if (stream := self._stream(writing.turn)) is not None and stream.waits:
                self._hub.add(stream, "")
        elif writing.by != by:
            raise Refused(Code.TURN_TAKEN, "Another program of this agent gives this answer.")
        return writing

    async def _take_over(self, agent: Actor, turn: Turn, *, whole: bool) -> None:
        if turn.waits_for is not None:
            raise Refused(Code.TURN_NOT_FOUND, "It is not the turn of this answer yet.")
        begun = self._is_begun(turn.id) or any(await self._store.read(turns.copied, turn.id))
        if begun and not whole:
            why = "Another server of this database has this answer: go on there, or send it whole."
            raise Unavailable(Code.TURN_TAKEN, why, retry_ms=ELSEWHERE_MS)
        taken = await self._store.write(TakeTurn(turn=turn.id, agent=agent.id))
        if taken is not None:
            self._begin((taken,))
        with suppress(TimeoutError):
            async with asyncio.timeout(TAKEN_SECONDS_MAX):  # its beginning may be on its way
                while turn.id not in self._writing and self._runs(turn.id) is not None:
                    await self._news.wait()

    async def _over(self, turn: TurnId) -> PalaverError:
        """Says how an answer ended, or that it will soon be known."""
        found = await self._store.read(turns.get, turn)
        if found is not None and found.state is TurnState.OPEN:
            why = "This answer begins or ends just now, or another server has it. Repeat this soon."
            return Unavailable(Code.TURN_TAKEN, why, retry_ms=ELSEWHERE_MS)
        said = found and await self._store.read(messages.get, found.message)
        how = said.status if said else "given up"
        return Refused(Code.TURN_ENDED, f"This answer has ended already: it is {how}.")

    async def _stored(self, turn: TurnId, text: str) -> Message | None:
        """The answer of a turn, where that is this text."""
        found = await self._store.read(turns.get, turn)
        said = found and await self._store.read(messages.get, found.message)
        same = said and said.status is Status.DONE and said.text == self._store.redacted(text)
        return said if same else None


def _too_long(most: int) -> Refused:
    return Refused(Code.ANSWER_TOO_LONG, f"An answer has at most {most:,} characters.")
