"""`/v1/responses`: stateful answers, over model servers that know nothing but chat completions.

A response is an exchange; its input and its output are messages of a room, which is its conversation. What streams is
composed of the pieces of the answer, live or stored, so a client that lost its connection, or whose server died, goes
on with `GET …?stream=true&starting_after=N`. An answer of which nothing came is an HTTP error for the client that waits
for it, and a response that failed for everyone who asks later. A request that names neither a response nor a
conversation may bring all that was said, as some libraries do: it goes on in the room that holds it.

`store: false` keeps nothing, neither request nor answer. Where the model server speaks this API itself, such a request
is passed on to it byte for byte, with all that only that server can do. Deleting a response takes it from this API;
what was said stays in the room.
"""

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import partial
from http import HTTPStatus

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Send

from palaver.core.answers.tape import Call, LiveAnswer
from palaver.core.runtime import Core
from palaver.errors import Code, ProviderError, Refused
from palaver.model import Actor, Scope, Status
from palaver.model.exchanges import Exchange, ExchangeState
from palaver.policy import Action, ServerAct
from palaver.strict_json import Json, load
from palaver.wire.calls import call
from palaver.wire.edge.rates import Use
from palaver.wire.openai import items, problems
from palaver.wire.openai.items import Invalid
from palaver.wire.openai.params import answer, items_page, no_item, paging_of, whole_of
from palaver.wire.openai.problems import refusal
from palaver.wire.openai.proxy import answered, joined
from palaver.wire.openai.responses import compaction, replay, requests
from palaver.wire.openai.responses.asking import Asking
from palaver.wire.openai.responses.compaction import Made
from palaver.wire.openai.responses.events import Composer
from palaver.wire.streams import Attended, event_headers, stream

_call = partial(call, scope=Scope.RESPONSES)


class Responses(Struct):
    """The calls of the Responses API."""

    core: Core
    asking: Asking

    @_call("POST", "/responses", Action.WRITE, use=Use.MESSAGES)
    async def create(self, me: Actor, request: Request) -> Response:
        """Answers; or begins to, in the background."""
        raw = await request.body()
        body = load(raw)
        passed = await self.asking.passed(me, request.headers, raw, body)
        if passed is not None:
            return await answered(passed)
        wanted = await self.asking.wanted(me, body)
        running, composer = await self.asking.begun(me, wanted, request.headers, raw)
        exchange = running.exchange
        if wanted.background and not (wanted.stream or running.dup):
            return answer(composer.response)
        if exchange is not None and (wanted.background or running.over):
            return await self._shown(me, exchange, streams=wanted.stream)
        return self._awaited(running, composer, streams=wanted.stream)

    @_call("GET", "/responses", ServerAct.OWN)
    async def upgrade(self, _: Actor, __: Request) -> Response:
        """Is a WebSocket's address; a proxy on the way may have taken the request for one for another."""
        words = "A WebSocket is opened here. Over HTTP, ask with POST."
        raise Refused(Code.UPGRADE_REQUIRED, words)

    @_call("GET", "/responses/{response}", ServerAct.OWN)
    async def retrieve(self, me: Actor, request: Request) -> Response:
        """A response as it is now, or its events from the first, or from behind a number, to its end."""
        exchange = await self._exchange(me, request)
        after = whole_of(request, "starting_after", -1)
        streams = request.query_params.get("stream", "").lower() in {"true", "1"}
        return await self._shown(me, exchange, streams=streams, after=after)

    @_call("DELETE", "/responses/{response}", ServerAct.OWN, use=Use.MESSAGES)
    async def delete(self, me: Actor, request: Request) -> Response:
        """Takes a response out of this API. The room keeps what was said."""
        exchange = await self._exchange(me, request)
        await self.core.exchanges.forget(me, exchange.id)
        id_ = items.response_id(exchange.id)
        return answer({"id": id_, "object": "response", "deleted": True})

    @_call("POST", "/responses/{response}/cancel", ServerAct.OWN, use=Use.MESSAGES)
    async def cancel(self, me: Actor, request: Request) -> Response:
        """Stops a background response; what came is kept. Once stopped, it stays so."""
        exchange = await self._exchange(me, request)
        if not exchange.request.get("background"):
            raise Invalid("Cannot cancel a response that does not run in the background.", None)
        if exchange.state is ExchangeState.RUNNING:
            exchange = await self.core.exchanges.cancel(me, exchange.id)
        elif exchange.state is not ExchangeState.CANCELLED:
            raise Invalid(f"Cannot cancel a response that is {exchange.state.value}.", None)
        return answer(await replay.response_of(self.core, exchange))

    @_call("GET", "/responses/{response}/input_items", ServerAct.OWN)
    async def input_items(self, me: Actor, request: Request) -> Response:
        """What was given to the model, what was said before included; the newest first unless asked otherwise."""
        paging = paging_of(request, newest_first=True)
        exchange = await self._exchange(me, request)
        read = partial(self.core.exchanges.page, me, exchange.room, exchange.view)
        return await items_page(paging, read, no_item(paging.after))

    @_call("POST", "/responses/input_tokens", Action.READ, use=Use.MESSAGES)
    async def input_tokens(self, me: Actor, request: Request) -> Response:
        """Estimates how many tokens a request would be to the model."""
        asked = (await self.asking.wanted(me, load(await request.body()))).asked
        said = [*await self.asking.before(me, asked), *asked.entries]
        told = await compaction.resolved(self.core, me, said)
        chat = requests.chat_body(asked, requests.chat_messages(told))
        names = ("messages", "tools", "response_format")
        count = requests.tokens_in([chat.get(name) for name in names])
        return answer({"object": "response.input_tokens", "input_tokens": count})

    @_call("POST", "/responses/compact", Action.WRITE, use=Use.MESSAGES)
    async def compact(self, me: Actor, request: Request) -> Response:
        """Compacts what was said, see `compaction`. The same request again, by the client's library, gives the same."""
        raw = await request.body()
        body, headers = compaction.asked(load(raw)), request.headers
        wanted = await self.asking.wanted(me, body, compacts=True)
        running, composer = await self.asking.begun(me, wanted, headers, raw)
        exchange = running.exchange
        if exchange is None:
            return self._awaited(running, composer, shaped=_made)

        async def kept(response: Json, _: Call | None) -> Json:
            return compaction.shaped(response, await compaction.users_of(self.core, exchange))

        if running.over:
            return answer(await kept(await replay.response_of(self.core, exchange), None))
        return self._awaited(running, composer, shaped=kept)

    # what is answered

    async def _exchange(self, me: Actor, request: Request) -> Exchange:
        """Finds the response that is meant. Refused: `exchange_not_found`."""
        return await self.asking.response(me, request.path_params["response"])

    async def _shown(
        self, me: Actor, exchange: Exchange, *, streams: bool, after: int = -1
    ) -> Response:
        if not streams:
            return answer(await replay.response_of(self.core, exchange))
        framed = replay.framed(replay.events_of(self.core, me, exchange), after=after)
        return Attended(lambda send: stream(send, framed, event_headers()))

    def _awaited(
        self,
        running: LiveAnswer,
        composer: Composer,
        *,
        streams: bool = False,
        shaped: Callable[[Json, Call], Awaitable[Json]] | None = None,
    ) -> Response:
        """Tells the client that asked the whole response, `shaped` or not, or its events. It may go meanwhile."""

        async def tell(send: Send) -> Response | None:
            call = await running.begun()
            if call.status >= HTTPStatus.MULTIPLE_CHOICES:
                return refusal(call, await joined(running.follow()))
            told = replay.live_events(running, composer)
            if streams:
                await stream(send, replay.framed(told), event_headers())
                return None
            async with aclosing(told):
                async for _ in told:
                    pass
            if running.stopped is Status.INTERRUPTED and running.failure is not None:
                raise running.failure
            response = composer.response
            if shaped is None:
                return answer(response)
            if response["status"] != ExchangeState.COMPLETED:
                raise running.error or ProviderError(Code.PROVIDER_CUT, "It was stopped.")
            return answer(await shaped(response, call))

        left = partial(self.core.exchanges.left, running)
        early = event_headers() if streams else None
        return Attended(tell, left, early=early, refused=problems.event)


async def _made(response: Json, call: Call) -> Json:
    """Writes a compaction of which nothing is kept."""
    assert isinstance(call, Made), "nothing else is asked for"
    return compaction.shaped(response, call.users)
