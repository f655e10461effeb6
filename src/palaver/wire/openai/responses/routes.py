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

from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from http import HTTPStatus
from typing import cast

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Send

from palaver.core.answers.tape import Call, ExchangeRequest, LiveAnswer
from palaver.core.runtime import Core
from palaver.errors import Code, ProviderError, Refused
from palaver.model import (
    NO_DATA,
    Actor,
    Entry,
    Exchange,
    ExchangeId,
    ExchangeKind,
    ExchangeState,
    Kind,
    Message,
    MessageId,
    Scope,
)
from palaver.policy import Action
from palaver.strict_json import Json, as_object, load
from palaver.wire.calls import call
from palaver.wire.edge.rates import Use
from palaver.wire.openai import items, problems
from palaver.wire.openai.auth import visibility_of
from palaver.wire.openai.items import Invalid
from palaver.wire.openai.models import Models, as_agent
from palaver.wire.openai.names import named
from palaver.wire.openai.params import answer, is_repeated, page_of, paging_of
from palaver.wire.openai.proxy import answered, joined, passed_on, refusal, whole
from palaver.wire.openai.responses import relay, replay, requests
from palaver.wire.openai.responses.events import Composer
from palaver.wire.openai.responses.relay import Relayed
from palaver.wire.openai.responses.requests import Wanted
from palaver.wire.streams import Attended, event_headers, stream

PAGE = 200
ABSENT_SECONDS = 60.0
"""How long a model server that does not speak this API is not asked in it again."""
STRANGE_SECONDS = 3600.0
"""The same of one whose events cannot be followed: each try has it begin an answer that nobody reads."""

_ABSENT = frozenset({404, 405, 501})
_GOES_ON = ("previous_response_id", "conversation", "background")


_call = partial(call, scope=Scope.RESPONSES)


@dataclass(slots=True)
class Responses:
    """The calls of the Responses API."""

    core: Core
    models: Models
    _chat_until: float = 0.0
    _not_until: float = 0.0

    @_call("POST", "/responses", Action.WRITE, use=Use.MESSAGES)
    async def create(self, me: Actor, request: Request) -> Response:
        """Answers; or begins to, in the background."""
        raw = await request.body()
        body = load(raw)
        passed = await self._passed(request, raw, body)
        if passed is not None:
            return passed
        wanted = await self._wanted(me, body)
        if not wanted.store:
            clock = self.core.clock
            first = MessageId(f"m_{clock.new_id()}")
            skeleton = requests.skeleton(wanted.asked, f"resp_{clock.new_id()}", clock.now_ms())
            running = await self._unstored(me, wanted, first)
            return self._awaited(running, Composer(skeleton, first), streams=wanted.stream)
        running = await self._stored(me, wanted, request, raw)
        exchange = running.exchange
        assert exchange is not None, "it is stored"
        composer = replay.composer_of(exchange)
        if wanted.background and not (wanted.stream or running.dup):
            return answer(composer.response)
        if wanted.background or running.over:
            return await self._shown(me, exchange, streams=wanted.stream)
        return self._awaited(running, composer, streams=wanted.stream)

    @_call("GET", "/responses/{response}", None)
    async def retrieve(self, me: Actor, request: Request) -> Response:
        """A response as it is now, or its events from the first, or from behind a number, to its end."""
        exchange = await self._exchange(me, request)
        query = request.query_params
        after = query.get("starting_after") or "-1"
        if not after.removeprefix("-").isdecimal():
            raise Invalid("Must be a whole number.", "starting_after")
        streams = query.get("stream", "").lower() in {"true", "1"}
        return await self._shown(me, exchange, streams=streams, after=int(after[:18]))

    @_call("DELETE", "/responses/{response}", None, use=Use.MESSAGES)
    async def delete(self, me: Actor, request: Request) -> Response:
        """Takes a response out of this API. The room keeps what was said."""
        exchange = await self._exchange(me, request)
        await self.core.exchanges.forget(me, exchange.id)
        id_ = items.response_id(exchange.id)
        return answer({"id": id_, "object": "response", "deleted": True})

    @_call("POST", "/responses/{response}/cancel", None, use=Use.MESSAGES)
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

    @_call("GET", "/responses/{response}/input_items", None)
    async def input_items(self, me: Actor, request: Request) -> Response:
        """What was given to the model, what was said before included; the newest first unless asked otherwise."""
        paging = paging_of(request, newest_first=True)
        exchange = await self._exchange(me, request)
        said = await self.core.exchanges.messages(exchange, answers=False)
        data = [items.item_of(message) for message in said]
        return answer(page_of(data, paging))

    @_call("POST", "/responses/input_tokens", Action.READ, use=Use.MESSAGES)
    async def input_tokens(self, me: Actor, request: Request) -> Response:
        """Estimates how many tokens a request would be to the model."""
        asked = (await self._wanted(me, load(await request.body()))).asked
        before = requests.chat_messages(await self._before(me, asked))
        chat = requests.chat_body(asked, [*before, *requests.chat_messages(asked.entries)])
        names = ("messages", "tools", "response_format")
        count = requests.tokens_in([chat.get(name) for name in names])
        return answer({"object": "response.input_tokens", "input_tokens": count})

    @_call("POST", "/responses/compact", None, use=Use.MESSAGES)
    async def compact(self, _: Actor, __: Request) -> Response:
        """Is not there: no model server that speaks chat completions can do it."""
        words = "Conversations are not compacted here: use 'truncation': 'auto'."
        raise Invalid(words, None, "unsupported_operation")

    # what is asked

    async def _passed(self, request: Request, raw: bytes, body: Json) -> Response | None:
        """Passes a request of which nothing is kept to a model server that speaks this API; None elsewhere."""
        goes_on = any(body.get(name) is not None for name in _GOES_ON)
        if body.get("store") is not False or goes_on or not self._speaks():
            return None
        if await self.models.agent(str(body.get("model"))) is not None:
            return None
        call = await self._called(
            raw, passed_on(request.headers.items()), stream=body.get("stream") is True
        )
        return None if call is None else await answered(call)

    async def _wanted(self, me: Actor, body: Json) -> Wanted:
        """Reads a request. Refused: one that cannot be done."""
        given: object = body.get("input")
        if isinstance(given, list):
            body["input"] = [await self._named(me, one) for one in cast("list[object]", given)]
        wanted = requests.read(body)
        asked = wanted.asked
        agent = await self.models.agent(asked.model)
        if agent is not None:
            wanted = replace(wanted, agent=agent, asked=replace(asked, agent=agent.actor.id))
        try:
            requests.chat_body(asked, requests.chat_messages(asked.entries))
        except Invalid as refused:
            if not self._relays(wanted):
                raise
            wanted = replace(wanted, refused=refused)
        if any(entry.kind is Kind.TOOL_RESULT for entry in asked.entries):
            call = requests.unanswered(asked.entries, await self._before(me, asked))
            if call is not None:
                words = f"No tool call found for function call output with call_id {call}."
                raise Invalid(words, "input")
        return wanted

    async def _named(self, me: Actor, given: object) -> object:
        """Looks an item up that is only named. Refused: an item that is not there."""
        item = as_object(given)
        named = item.get("type", "role" in item or "item_reference") == "item_reference"
        if not named or not isinstance(item.get("id"), str):
            return given
        message = items.message_id(item["id"])
        with suppress(Refused):
            if message is not None:
                found = await self.core.chat.message(me, message)
                await self.core.access.conversation(me, found.room)
                return items.item_named(item["id"], found)
        raise Invalid(f"Item with id '{item['id']}' not found.", "input")

    async def _before(self, me: Actor, asked: ExchangeRequest) -> Sequence[Message]:
        """Reads what was said before the request's own input."""
        if asked.previous is not None:
            previous = await self._previous(me, asked.previous)
            read = self.core.exchanges.messages
            return (*await read(previous, answers=False), *await read(previous, answers=True))
        if asked.room is None:
            return ()
        await self.core.access.conversation(me, asked.room)
        found: list[Message] = []
        at: int | None = 0
        while at is not None:
            page = await self.core.chat.history(me, asked.room, after=at, limit=PAGE)
            found += [one for one in page.messages if one.deleted_ms is None]
            at = page.after
        return found

    async def _previous(self, me: Actor, id_: ExchangeId) -> Exchange:
        """Finds the response to go on from. Refused: one that is not there."""
        return await self._response(me, id_, requests.previous_not_found(items.response_id(id_)))

    async def _stored(self, me: Actor, wanted: Wanted, request: Request, raw: bytes) -> LiveAnswer:
        """Stores the request, and begins its answer."""
        if wanted.asked.previous is not None:
            await self._previous(me, wanted.asked.previous)
        asked = named(request, replace(wanted.asked, visibility=visibility_of(request)))
        digest = blake2b(raw, digest_size=32).digest()
        asked = replace(asked, digest=digest, repeated=is_repeated(request))
        async with AsyncExitStack() as unless_used:
            tried = await self._tried(me, wanted)
            if tried is not None:
                unless_used.push_async_callback(tried.close)
            running = await self.core.exchanges.open(me, asked)
            exchange, said = running.exchange, running.context
            assert exchange is not None, "it is stored"
            if not running.dup:
                unless_used.pop_all()
                given = partial(relay.input_of, said)
                ask = partial(self._ask, wanted, tried, given, said, exchange.message)
                self.core.exchanges.run(running, ask, close=None if tried is None else tried.close)
        return running

    async def _unstored(self, me: Actor, wanted: Wanted, first: MessageId) -> LiveAnswer:
        before = await self._before(me, wanted.asked)
        tried = await self._tried(me, wanted)
        given, said = partial(_given, wanted, before), [*before, *wanted.asked.entries]
        ask = partial(self._ask, wanted, tried, given, said, first)
        return self.core.exchanges.unstored(ask, close=None if tried is None else tried.close)

    async def _ask(
        self,
        wanted: Wanted,
        tried: Call | None,
        given: Callable[[], Sequence[Json]],
        said: Sequence[Entry | Message],
        first: MessageId,
    ) -> Call:
        """Asks in this API where the model server speaks it. `first` will be the answer's first message."""
        call = tried or await self._in_their_words(wanted, given)
        call = call or await self._complete(wanted, said)
        if isinstance(call, Relayed):
            call.first = first
        return call

    async def _tried(self, me: Actor, wanted: Wanted) -> Call | None:
        """Asks what no chat completion can be asked, before anything is stored. Refused: what nobody can do."""
        if wanted.refused is None:
            return None
        before = await self._before(me, wanted.asked)
        call = await self._in_their_words(wanted, partial(_given, wanted, before))
        if call is None:
            raise wanted.refused
        return call

    def _relays(self, wanted: Wanted) -> bool:
        """Whether the model server may be asked in this API, and its events be followed."""
        followed = self.core.clock.monotonic() >= self._not_until
        return wanted.agent is None and followed and self._speaks()

    async def _in_their_words(
        self, wanted: Wanted, given: Callable[[], Sequence[Json]]
    ) -> Call | None:
        """Asks in this API; None where the model server does not speak it."""
        if not self._relays(wanted):
            return None
        body = relay.request_of(wanted.asked.request, given())
        call = await self._called(body, NO_DATA, stream=True)
        if call is None or call.status >= HTTPStatus.MULTIPLE_CHOICES:
            return call
        found = await relay.relayed(call)
        if found is None:
            self._not_until = self.core.clock.monotonic() + STRANGE_SECONDS
        return found

    def _speaks(self) -> bool:
        """Whether the model server is not known to have nothing of this API."""
        auto = self.core.settings.openai_responses == "auto"
        return auto and self.core.clock.monotonic() >= self._chat_until

    async def _called(
        self, body: bytes, headers: Mapping[str, str], *, stream: bool
    ) -> Call | None:
        """Calls the model server's Responses API; None, and remembered, where it has none."""
        headers = {**headers, "content-type": "application/json"}
        call = await self.core.models.call("POST", "/responses", body, headers, stream=stream)
        if call.status not in _ABSENT:
            return call
        if b"model" not in (await whole(call)).lower():  # else it is only a model that is not there
            self._chat_until = self.core.clock.monotonic() + ABSENT_SECONDS
        return None

    async def _complete(self, wanted: Wanted, said: Sequence[Entry | Message]) -> Call:
        asked, agent = wanted.asked, wanted.agent
        model = asked.model
        if agent is not None:
            model = agent.model or await self.models.default()
        origin = await self.core.models.origin(model)
        try:
            chat = requests.chat_body(asked, requests.chat_messages(said, origin))
        except Invalid as refused:  # something that was said before, and that a chat cannot hold
            raise ProviderError(Code.PROVIDER_REFUSED, refused.detail, temporary=False) from refused
        if agent is not None:
            chat = as_agent(agent, chat, model, self.core.settings.system_prompt)
        shortens = asked.request.get("truncation") == "auto"
        return await self.core.models.complete(chat, shortens=shortens)

    # what is answered

    async def _exchange(self, me: Actor, request: Request) -> Exchange:
        """Finds the response that is meant. Refused: `exchange_not_found`."""
        given = request.path_params["response"]
        missing = Refused(Code.EXCHANGE_NOT_FOUND, f"Response with id '{given}' not found.")
        return await self._response(me, items.exchange_id(given), missing)

    async def _response(self, me: Actor, id_: ExchangeId | None, missing: Refused) -> Exchange:
        if id_ is not None:
            with suppress(Refused):
                found = await self.core.exchanges.get(me, id_)
                if found.kind is ExchangeKind.RESPONSE:
                    return found
        raise missing

    async def _shown(
        self, me: Actor, exchange: Exchange, *, streams: bool, after: int = -1
    ) -> Response:
        if not streams:
            return answer(await replay.response_of(self.core, exchange))
        running = self.core.exchanges.running(exchange.id)
        if running is None:
            told = replay.stored_events(self.core, me, exchange)
        else:
            told = replay.live_events(running, replay.composer_of(exchange))
        framed = replay.framed(told, after=after)
        return Attended(lambda send: stream(send, framed, event_headers()))

    def _awaited(self, running: LiveAnswer, composer: Composer, *, streams: bool) -> Response:
        """Tells the client that asked the whole response, or its events. It may go meanwhile."""

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
            return answer(composer.response)

        left = partial(self.core.exchanges.left, running)
        early = event_headers() if streams else None
        return Attended(tell, left, early=early, refused=problems.event)


def _given(wanted: Wanted, before: Sequence[Message]) -> list[Json]:
    """Writes what was said before and the input as items, for a model server that speaks this API."""
    return [*relay.input_of(before), *wanted.given]
