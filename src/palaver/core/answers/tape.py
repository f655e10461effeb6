"""Requests of API clients as the core takes them, and answers while they come.

The tape of a running answer is read from any place, by any number of connections; nothing of it is pushed.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from msgspec import Struct, field

from palaver.core.answers.pieces import AnswerBuilder
from palaver.core.answers.recorder import Recorder
from palaver.errors import Code, PalaverError, ProviderError, Unavailable
from palaver.model import (
    NO_DATA,
    ActorId,
    CredentialId,
    Entry,
    ExchangeId,
    Message,
    RoomId,
    RoomSettings,
    Status,
    Turn,
    Visibility,
)
from palaver.model.exchanges import Exchange, ExchangeKind, ExchangeState
from palaver.model.usage import Unkept
from palaver.providers.base import Piece
from palaver.providers.call import Call, CallResult, Chunk, NativeAnswer
from palaver.store.write.turns import Finished

_SHORTENED = frozenset({"length", "content_filter"})
STOPPED = "The answer was stopped."
RESTARTING = "The server is restarting. Ask again in a moment."
RESTART_MS = 2_000
TAKEN_OVER = "Another server took this answer over while this one slept; what it stored is kept."


class ExchangeRequest(Struct, frozen=True, kw_only=True):
    """A request. `entries`: all that was said (`whole`), or only what is new.

    Where no room is given, it is the one that the `client`'s own id of the conversation means, or is found by what was
    said; a new one has this `visibility`, in its settings what is told `about` it, and for a parent the room that the
    client's id `parent` means. `repeated`: the same `digest` (of the body) is this request, sent again by itself; an
    exchange of it that is there is given. With a `client` it is the same request as long as that is not answered.
    `lasting`: nobody waits for it, so that a crash does not end it. `by`: the key that asks, which stops it by ending.
    """

    kind: ExchangeKind
    entries: tuple[Entry, ...]
    model: str
    request: Mapping[str, Any]
    room: RoomId | None = None
    whole: bool = False
    previous: ExchangeId | None = None
    kept: bool = False
    metadata: Mapping[str, str] = field(default_factory=lambda: NO_DATA)
    digest: bytes = b""
    repeated: bool = False
    lasting: bool = False
    by: CredentialId | None = None
    client: str = ""
    parent: str = ""
    about: RoomSettings = field(default_factory=RoomSettings)
    agent: ActorId | None = None
    card: int | None = None
    title: str | None = None
    visibility: Visibility = Visibility.PRIVATE


class LiveAnswer:
    """An answer while this process takes it from its source: of a room's turn, or of an exchange and its turn.

    Without a turn, nothing of it is kept. The tape of an exchange is read from any place, by any number of connections.
    `context` are the messages of its request, `ended` is the exchange as it was stored; `dup`: it was asked for before.
    One that is `held` waits for the database to come back. It stops when the key ends that asked, `by`.

    `stopped`: how it was told to end, if it was. `waiting` is told once the answer is stored. `ms` are the times to its
    first piece, and in total. `asked_chars`: how long the question is, with all before it; `asked`: it is on its way to
    the `model`, of the `provider` where budgets had to know them. `came_chars`: what came where a budget bounds it, at
    most as much as it has place for. `outcome` and `error` are whole at its end.
    """

    def __init__(
        self,
        turn: Turn | None,
        exchange: Exchange | None = None,
        *,
        context: tuple[Message, ...] = (),
        held: bool = False,
        by: CredentialId | None = None,
        unkept: Unkept | None = None,
    ) -> None:
        """`unkept`: what a client asks of which nothing is kept."""
        self.turn, self.exchange, self.unkept = turn, exchange, unkept
        self.context, self.held, self.by = context, held, by
        self.dup = self.over = False
        self.answer = AnswerBuilder()
        self.recorder: Recorder | None = None
        self.card: int | None = None
        """The version of the agent's card that a client asked by."""
        self.outcome: CallResult | None = None
        self.error: ProviderError | None = None
        self.ended: Exchange | None = None
        self.stopped: Status | None = None
        self.ms: dict[str, int] = {}
        self.asked_chars = self.came_chars = 0
        self.asked, self.provider, self.model = False, "", ""
        self.tokens_max: int | None = None
        """So many of an answer are reserved, where budgets bound it."""
        self.waiting: list[Chunk] = []
        self.doubts = 0
        """What may have taken the right of who asked, since that was looked up last; until then nothing is told."""
        self.task: asyncio.Task[None] | None = None
        self.streams: bool | None = None
        """None before its source is asked, False when nothing more comes."""
        self._taped = exchange is not None or turn is None
        self._tape: list[Chunk] = []
        self._call: Call | None = None
        self._news = asyncio.Event()

    def stop(self, status: Status = Status.STOPPED) -> None:
        """Ends the answer; what came is kept. What has ended is left as it is."""
        if self.stopped is None and self.streams is not False:
            self.stopped = status
            if self.streams and self.task is not None:
                self.task.cancel()

    async def begun(self) -> Call:
        """The call, once its answer begins. Raises `failure` where nothing came."""
        while self._call is None:
            if self.over:
                raise self.failure or ProviderError(Code.PROVIDER_CUT, STOPPED)
            await self._news.wait()
        return self._call

    @property
    def own(self) -> NativeAnswer | None:
        """The answer as another API tells it, if one does; whole once the tape has ended."""
        return None if self.outcome is None else self.outcome.own

    @property
    def so_far(self) -> list[Piece]:
        """The pieces that were told until now."""
        return [piece for chunk in self._tape for piece in chunk.pieces]

    async def follow(self, after: int = 0) -> AsyncGenerator[Chunk, None]:
        """Yields the chunks from the `after`-th on, to the end; the last one once the answer is stored."""
        while True:
            while after < len(self._tape):
                yield self._tape[after]
                after += 1
            if self.over:
                return
            await self._news.wait()

    async def end(self) -> None:
        """Waits for the end."""
        while not self.over:
            await self._news.wait()

    @property
    def state(self) -> ExchangeState:
        """How the answer ended."""
        if self.stopped is Status.STOPPED:
            return ExchangeState.CANCELLED
        if self.stopped is not None or self.error is not None:
            return ExchangeState.FAILED
        cut = self.outcome is not None and self.outcome.finish in _SHORTENED
        return ExchangeState.INCOMPLETE if cut else ExchangeState.COMPLETED

    @property
    def failure(self) -> PalaverError | None:
        """Why the answer, which is over, is not whole; None where it is. A stop of this server is no model's fault."""
        if self.stopped is Status.INTERRUPTED:
            return Unavailable(Code.SHUTTING_DOWN, RESTARTING, retry_ms=RESTART_MS)
        ended = {ExchangeState.COMPLETED, ExchangeState.INCOMPLETE}
        broken = self.outcome is None or self.state not in ended
        stopped = ProviderError(Code.PROVIDER_CUT, STOPPED, temporary=False)
        return self.error or (stopped if broken else None)

    # the engine's side

    def began(self, source: Call) -> None:
        """Notes that the source has begun."""
        self._call, self.outcome = source, source.outcome
        self._wake()

    def tell(self) -> bool:
        """Tells what waits; whether it is the first that a client hears. Nobody but readers hears a room's turn."""
        first = self._taped and not self._tape
        if self.doubts:
            return False
        if self._taped:
            self._tape += self.waiting
        self.waiting.clear()
        self._wake()
        return first

    def settle(self, *, wanted: bool) -> None:
        """Ends a doubt: what waited for that goes out with what comes next, or the answer ends and nothing is told."""
        self.doubts = 0
        if not wanted:
            self.waiting.clear()
            self.stop()
        self._wake()

    async def certain(self) -> None:
        """Waits until nothing is in doubt."""
        while self.doubts:
            await self._news.wait()

    def finish(self, stored: Finished | None) -> None:
        """Notes that the end is stored, or is another process's."""
        if stored is None and self.turn is not None:
            self.error = self.error or ProviderError(Code.PROVIDER_CUT, TAKEN_OVER)
            return
        self.ended = None if stored is None else stored.exchange
        self.tell()

    def close(self) -> None:
        """Ends the tape: who follows it hears nothing more."""
        self.over = True
        self._wake()

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()


def told_already(exchange: Exchange) -> LiveAnswer:
    """The answer of an exchange that another process runs, or that is over."""
    live = LiveAnswer(None, exchange)
    live.ended, live.over = exchange, True
    return live
