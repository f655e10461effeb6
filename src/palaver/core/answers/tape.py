"""A request of an API client as the core takes it, and its answer while it comes.

The tape of a running answer is read from any place, by any number of connections; nothing of it is pushed.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any

from palaver.errors import Code, ProviderError
from palaver.model import (
    NO_DATA,
    ActorId,
    Entry,
    Exchange,
    ExchangeId,
    ExchangeKind,
    Message,
    RoomId,
    Turn,
    Visibility,
)
from palaver.providers.call import Call, CallResult, Chunk, NativeAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeRequest:
    """A request. `entries`: all that was said (`whole`), or only what is new.

    Where no room is given, it is the one that the `client`'s own id of the conversation means, or is found by what was
    said; a new one has this `visibility`, and in its settings what is told `about` it. `repeated`: the client's library
    says that it sends the request again by itself; then `digest` (of its body) gives the exchange that is there.
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
    client: str = ""
    about: Mapping[str, Any] = field(default_factory=lambda: NO_DATA)
    agent: ActorId | None = None
    title: str | None = None
    visibility: Visibility = Visibility.PRIVATE


class LiveExchange:
    """An exchange whose answer is coming, or has come, to this process.

    `context` are the messages of its request. `outcome`, `ended` (the stored exchange) and `error` are set at the end.
    One that is `held` waits for the database to come back.
    """

    def __init__(self, exchange: Exchange | None, turn: Turn | None) -> None:
        self.exchange = exchange
        self.turn = turn
        self.dup = False
        self.held = False
        self.context: tuple[Message, ...] = ()
        self.outcome: CallResult | None = None
        self.ended: Exchange | None = None
        self.error: ProviderError | None = None
        self.over = False
        self.task: asyncio.Task[None] | None = None
        self.cancelled = False
        self._call: Call | None = None
        self._tape: list[Chunk] = []
        self._waiting: list[asyncio.Future[None]] = []

    async def begun(self) -> Call:
        """The call, once its answer begins. Raises `ProviderError` where nothing came."""
        while self._call is None:
            if self.over:
                raise self.error or ProviderError(Code.PROVIDER_CUT, "The answer was stopped.")
            await self._news()
        return self._call

    @property
    def own(self) -> NativeAnswer | None:
        """How the answer is told where it is told in another API; whole once the tape has ended."""
        return None if self.outcome is None else self.outcome.own

    async def follow(self, after: int = 0) -> AsyncGenerator[Chunk, None]:
        """What comes, from the `after`-th on, to the end. Its last is given once the answer is stored."""
        while True:
            while after < len(self._tape):
                yield self._tape[after]
                after += 1
            if self.over:
                return
            await self._news()

    async def end(self) -> None:
        """Waits until it is over."""
        while not self.over:
            await self._news()

    def cancel(self) -> None:
        """Stops the answer; what came is kept."""
        self.cancelled = True
        if self.task is not None:
            self.task.cancel()

    def began(self, call: Call) -> None:
        """The pump: the call's answer begins."""
        self._call = call
        self._wake()

    def tell(self, told: Chunk) -> bool:
        """The pump: this came. Whether it is the first."""
        self._tape.append(told)
        self._wake()
        return len(self._tape) == 1

    def close(self) -> None:
        """The pump: it is over."""
        self.over = True
        self._wake()

    async def _news(self) -> None:
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)


def told_already(exchange: Exchange) -> LiveExchange:
    """An exchange that another process runs, or that is over."""
    running = LiveExchange(exchange, None)
    running.ended = exchange
    running.over = True
    return running
