"""`/v1/messages`: asked in Anthropic's Messages API, answered by any model server, and stored as at the other doors.

A model server that speaks this API gets the client's bytes, and its answer comes back byte for byte; only thoughts that
were signed here are taken out of what goes there, because it would refuse them. Any other one is asked for a chat
completion of what the room holds of the request, and the answer is composed of its pieces.

The client's whole history comes with each request: its room is found as that of a chat (see `wire.openai.names`). An
error in the middle is an `error` event, behind which the connection ends without an end. A request that comes again is
told the same answer, as events or whole, whichever way it was asked for the first time.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from http import HTTPStatus
from typing import cast

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Send

from palaver.core.answers.tape import Call, Chunk, ExchangeRequest, LiveAnswer
from palaver.core.runtime import Core
from palaver.errors import Code, Refused
from palaver.model import Actor, AgentCard, ExchangeKind, Scope
from palaver.policy import Action
from palaver.strict_json import Json, as_list, as_object, dump
from palaver.wire.anthropic import events, problems
from palaver.wire.anthropic.events import Composer
from palaver.wire.anthropic.messages import OURS, entries_of
from palaver.wire.anthropic.requests import chat_of, offered
from palaver.wire.calls import call
from palaver.wire.edge.rates import Use
from palaver.wire.openai import params
from palaver.wire.openai.auth import visibility_of
from palaver.wire.openai.fields import Invalid
from palaver.wire.openai.models import Models, as_agent
from palaver.wire.openai.names import as_task, named
from palaver.wire.openai.proxy import ended, joined, own_headers, passed, passed_on
from palaver.wire.openai.responses.tools import restored
from palaver.wire.streams import Attended, Broken, Headers, event_headers, stream

PATH = "/messages"
QUOTA = "quota"
"""All that Claude Code says to learn whether it may ask."""
_MARKED = f'"{OURS}"'.encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A request that was read. `native`: the bytes for a model server that speaks this API."""

    body: Json
    native: bytes
    headers: dict[str, str]
    query: str
    agent: AgentCard | None

    @property
    def streams(self) -> bool:
        """Whether events were asked for."""
        return self.body.get("stream") is True

    @property
    def thinks(self) -> bool:
        """Whether thoughts were asked for."""
        return as_object(self.body.get("thinking")).get("type") in {"enabled", "adaptive"}


@dataclass(frozen=True, slots=True)
class Messages:
    """The call that asks."""

    core: Core
    models: Models

    @call("POST", PATH, Action.WRITE, scope=Scope.CHAT, use=Use.MESSAGES)
    async def create(self, me: Actor, request: Request) -> Response:
        """Asks the model server, and tells its answer whole or as events."""
        if request.headers.get("content-encoding", "identity") != "identity":
            raise Refused(Code.UNSUPPORTED_MEDIA_TYPE, "Send the body unpacked.")
        raw = await request.body()
        body = _object(raw)
        agent = await self.models.agent(body["model"])
        query = request.scope["query_string"].decode("latin-1")
        wanted = Wanted(
            body=body,
            native=_without_ours(raw, body),
            headers=passed_on(request.headers.items()) | {"content-type": "application/json"},
            query=query,
            agent=agent,
        )
        running = await self._begun(me, _asked(request, wanted), wanted)
        answering = _Answer(self.core, running, wanted)
        early = event_headers(answering.own_headers()) if wanted.streams else None
        left = partial(self.core.exchanges.left, running)
        return Attended(answering.tell, left, early=early, refused=problems.event)

    async def _begun(self, me: Actor, asked: ExchangeRequest, wanted: Wanted) -> LiveAnswer:
        """Begins the exchange; a repeated request is looked for before the model server is asked."""
        exchanges = self.core.exchanges
        stored: asyncio.Future[LiveAnswer] = asyncio.get_running_loop().create_future()

        async def ask() -> Call:
            native = None if wanted.agent is not None else await self._native(wanted)
            return native or await self._complete(wanted, asked, await stored)

        if asked.repeated:
            running = await exchanges.open(me, asked)
            if not running.dup:
                exchanges.run(running, ask)
        else:
            running = await exchanges.begin(me, asked, ask)
        stored.set_result(running)
        return running

    async def _native(self, wanted: Wanted) -> Call | None:
        """Asks in this API; None where the model's server does not speak it."""
        path = f"{PATH}?{wanted.query}" if wanted.query else PATH
        return await self.core.models.in_messages(
            path, wanted.body["model"], wanted.native, wanted.headers, stream=wanted.streams
        )

    async def _complete(self, wanted: Wanted, asked: ExchangeRequest, running: LiveAnswer) -> Call:
        """Asks for a chat completion of what the room holds of the request. Raises `ProviderError`."""
        agent, model = wanted.agent, asked.model
        if agent is not None:
            model = agent.model or await self.models.default()
        origin = await self.core.models.origin(model)
        chat = chat_of(wanted.body, running.context or asked.entries, origin)
        if agent is not None:
            chat = as_agent(agent, chat, model, self.core.settings.system_prompt)
        return Translated(restored(await self.core.models.complete(chat), offered(wanted.body)))


class Translated:
    """A chat completion that a message is composed of; its bytes are told only of a refusal. See `providers.call`."""

    def __init__(self, call: Call) -> None:
        self.status, self.headers, self.streams = call.status, call.headers, call.streams
        self.outcome = call.outcome
        self.close = call.close
        self._call = call

    async def told(self) -> AsyncGenerator[Chunk, None]:
        """See `Call`."""
        refused = self.status >= HTTPStatus.MULTIPLE_CHOICES
        async with aclosing(self._call.told()) as telling:
            async for told in telling:
                yield told if refused else told._replace(raw=b"")


@dataclass(frozen=True, slots=True)
class _Answer:
    """An answer on its way to the client that asked."""

    core: Core
    running: LiveAnswer
    wanted: Wanted

    async def tell(self, send: Send) -> Response | None:
        """Tells the answer; returns it where it was not streamed. Raises `ProviderError`."""
        running = self.running
        if running.dup and running.over:
            return await self._again(send)
        call = await running.begun()
        if not HTTPStatus.OK <= call.status < HTTPStatus.MULTIPLE_CHOICES:
            return problems.refusal(call, await joined(running.follow()), self.own_headers())
        if isinstance(call, Translated):
            return await self._tell_composed(send)
        return await self._tell_passed(send, call)

    async def _tell_composed(self, send: Send) -> Response | None:
        composer = self._composer()
        composed = self._composed(composer)
        if self.wanted.streams:
            await stream(send, composed, event_headers(self.own_headers()))
            return None
        async with aclosing(composed):
            async for _ in composed:
                pass
        return await self._whole(send, composer.message, self.own_headers())

    async def _tell_passed(self, send: Send, call: Call) -> Response | None:
        running, streams = self.running, self.wanted.streams
        headers = [*call.headers, *self.own_headers(call.headers)]
        if call.streams and streams:
            await stream(
                send, passed(running, problems.event), event_headers(headers), status=call.status
            )
            return None
        body, failure, outcome = (
            await joined(running.follow()),
            running.failure,
            running.outcome,
        )
        if failure is not None and not (outcome is not None and outcome.told):
            raise failure
        if call.streams or streams:
            return await self._whole(send, {} if outcome is None else outcome.envelope, headers)
        return _answered(body, headers, call.status)

    async def _composed(self, composer: Composer) -> AsyncGenerator[bytes, None]:
        """The events of an answer as it comes. Raises `ProviderError` where no stream was asked for."""
        running = self.running
        for event in composer.begin():
            yield events.frame_of(event)
        async with aclosing(running.follow()) as tape:
            async for told in tape:
                for piece in told.pieces:
                    for event in composer.take(piece):
                        yield events.frame_of(event)
        failure = running.failure
        if failure is not None:
            if not self.wanted.streams:
                raise failure
            yield problems.event(failure)
            raise Broken
        assert running.outcome is not None, "it ended well"
        for event in composer.end(running.outcome.kept, self.wanted.body):
            yield events.frame_of(event)

    async def _again(self, send: Send) -> Response | None:
        """Tells a stored answer again to a client that did not get its end."""
        exchange = ended(self.running)
        said = await self.core.exchanges.messages(exchange, answers=True)
        message = events.message_of(exchange, said, thinks=self.wanted.thinks)
        return await self._whole(send, message, self.own_headers())

    async def _whole(self, send: Send, message: Json, headers: Headers) -> Response | None:
        """Tells a whole message in the form that was asked for."""
        if not self.wanted.streams:
            return _answered(dump(message), headers)
        await stream(send, _framed(message), event_headers(headers))
        return None

    def _composer(self) -> Composer:
        exchange = self.running.exchange
        assert exchange is not None, "all that is asked here is stored"
        skeleton = events.skeleton(events.message_id(exchange), exchange.model)
        return Composer(skeleton, exchange.message, thinks=self.wanted.thinks)

    def own_headers(self, given: Headers = ()) -> list[tuple[str, str]]:
        """The room, and an id of the request where the model server gave none."""
        return own_headers(self.core, self.running, given, request_id=problems.REQUEST_ID)


def _asked(request: Request, wanted: Wanted) -> ExchangeRequest:
    """Reads the request as the core takes it, but for what its headers and metadata say of its conversation.

    Its digest is the same whether it streams or not: some clients ask again in the other way.
    """
    body = wanted.body
    entries = entries_of(body)
    same = orjson.dumps({name: one for name, one in body.items() if name != "stream"})
    asked = ExchangeRequest(
        kind=ExchangeKind.MESSAGES,
        entries=entries,
        model=body["model"],
        request={name: one for name, one in body.items() if name not in {"messages", "system"}},
        visibility=visibility_of(request.headers),
        whole=True,
        digest=blake2b(same, digest_size=32).digest(),
        repeated=params.is_repeated(request.headers),
        agent=None if wanted.agent is None else wanted.agent.actor.id,
    )
    asked = named(request.headers, asked)
    if body.get("max_tokens") == 1 and [one.text for one in entries] == [QUOTA]:
        return as_task(asked)
    return asked


def _object(raw: bytes) -> Json:
    """Reads the body. Refused: what is no request at all."""
    try:
        found: object = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Refused(Code.INVALID_JSON, f"The body is not JSON: {error.msg}.") from None
    body = as_object(found)
    if not isinstance(body.get("model"), str) or not body["model"]:
        raise Invalid("model: must be the name of a model.", "model")
    if not isinstance(body.get("stream", False), bool | None):
        raise Invalid("stream: must be true or false.", "stream")
    return body


def _without_ours(raw: bytes, body: Json) -> bytes:
    """The request without thoughts that no server signed."""
    if _MARKED not in raw:
        return raw
    messages: list[object] = []
    for one in as_list(body.get("messages")):
        content: object = as_object(one).get("content")
        if isinstance(content, list):
            blocks = cast("list[object]", content)
            kept = [block for block in blocks if as_object(block).get("signature") != OURS]
            if len(kept) < len(blocks):
                messages += [{**as_object(one), "content": kept}] if kept else []
                continue
        messages.append(one)
    return orjson.dumps({**body, "messages": messages})


def _answered(body: bytes, headers: Headers, status: int = HTTPStatus.OK) -> Response:
    return Response(body, status, headers={**dict(headers), "content-type": "application/json"})


async def _framed(message: Json) -> AsyncGenerator[bytes, None]:
    for event in events.events_of(message):
        yield events.frame_of(event)
