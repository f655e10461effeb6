"""An answer on its way to the client that asked: passed on as it comes, or told again as it is stored.

What comes goes on byte for byte, one write an event. Only where a stream was asked for and one body came, or the other
way round, it is put into the form that was asked for. What differs between the APIs that answer so is their `Dialect`.
"""

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from functools import partial
from http import HTTPStatus

from msgspec import Struct
from starlette.responses import Response
from starlette.types import Send

from palaver.core.answers.tape import STOPPED, Call, LiveAnswer
from palaver.core.runtime import Core
from palaver.errors import Code, PalaverError, ProviderError, Unavailable
from palaver.model import Message
from palaver.model.exchanges import Exchange, ExchangeState
from palaver.strict_json import Json
from palaver.wire.openai.names import ROOM_HEADER
from palaver.wire.openai.params import answer
from palaver.wire.openai.proxy import joined
from palaver.wire.streams import Attended, Broken, Headers, event_headers, stream


class Dialect(Struct, frozen=True, kw_only=True):
    """How an API tells answers: a refusal, an `error` within a stream, a stored answer whole, a whole one as `events`.

    `holds` is the field that every whole answer has, `request_id` the header that names a request.
    """

    refusal: Callable[[Call, bytes, Headers], Response]
    error: Callable[[PalaverError], bytes]
    stored: Callable[[Exchange, Sequence[Message]], Json]
    events: Callable[[Json], Iterable[bytes]]
    holds: str
    request_id: str = "x-request-id"


class Answering(Struct, frozen=True):
    """An answer, and how its client wants it."""

    core: Core
    running: LiveAnswer
    dialect: Dialect
    streams: bool

    def response(self) -> Response:
        """Answers the request."""
        early = event_headers(self._own_headers()) if self.streams else None
        left = partial(self.core.exchanges.left, self.running)
        return Attended(self._tell, left, early=early, refused=self.dialect.error)

    async def _tell(self, send: Send) -> Response | None:
        """Passes the answer on; returns it where it was not streamed. Raises `ProviderError`."""
        running = self.running
        if running.dup and running.over:
            exchange = _ended(running)
            said = await self.core.exchanges.messages(exchange, answers=True)
            return await self._whole(send, self.dialect.stored(exchange, said), self._own_headers())
        call = await running.begun()
        if not HTTPStatus.OK <= call.status < HTTPStatus.MULTIPLE_CHOICES:
            body = await joined(running.follow())
            return self.dialect.refusal(call, body, self._own_headers())
        headers = [*call.headers, *self._own_headers(call.headers)]
        if call.streams and self.streams:
            await stream(send, self._passed(), event_headers(headers), status=call.status)
            return None
        body = await joined(running.follow())
        failure, outcome = running.failure, running.outcome
        envelope = {} if outcome is None else outcome.envelope
        shown = outcome is not None and outcome.told and bool(envelope.get(self.dialect.holds))
        if failure is not None and not shown:
            raise failure
        if call.streams or (self.streams and envelope.get(self.dialect.holds)):
            return await self._whole(send, envelope, headers)
        return _with_headers(Response(body, call.status), headers)

    async def _passed(self) -> AsyncGenerator[bytes, None]:
        """The bytes as they come, and behind them the failure that they do not tell."""
        running = self.running
        async with aclosing(running.follow()) as tape:
            async for told in tape:
                if told.raw:
                    yield told.raw
        failure = running.failure
        if failure is not None and (running.outcome is None or not running.outcome.told):
            yield self.dialect.error(failure)
            raise Broken

    async def _whole(self, send: Send, whole: Json, headers: Headers) -> Response | None:
        """Tells a whole answer in the form that was asked for."""
        if not self.streams:
            return _with_headers(answer(whole), headers)

        async def events() -> AsyncGenerator[bytes, None]:
            for event in self.dialect.events(whole):
                yield event

        await stream(send, events(), event_headers(headers))
        return None

    def _own_headers(self, given: Headers = ()) -> list[tuple[str, str]]:
        """The room of the answer, and an id of the request where the model server gave none."""
        exchange, name = self.running.exchange, self.dialect.request_id
        found = [] if exchange is None else [(ROOM_HEADER, str(exchange.room))]
        if all(one != name for one, _ in given):
            found.append((name, f"req_{self.core.clock.new_id()}"))
        return found


def _ended(running: LiveAnswer) -> Exchange:
    """A stored answer that is told again. Raises what the client is told where there is no whole one."""
    exchange = running.ended
    assert exchange is not None, "the request was recognised"
    if exchange.state is ExchangeState.RUNNING:
        words = "This request is being answered elsewhere."
        raise Unavailable(Code.TOO_BUSY, words, retry_ms=1_000)
    if exchange.state not in {ExchangeState.COMPLETED, ExchangeState.INCOMPLETE}:
        raise ProviderError(Code.PROVIDER_CUT, STOPPED, temporary=False)
    return exchange


def _with_headers(told: Response, headers: Headers) -> Response:
    """Adds those of the headers that the answer has not."""
    added = [pair for pair in headers if pair[0] not in told.headers]
    told.raw_headers += [(n.encode("latin-1"), v.encode("latin-1")) for n, v in added]
    return told
