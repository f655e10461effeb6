"""`/v1/messages`: asked in Anthropic's Messages API, answered by any model server, and stored as at the other doors.

A model server that speaks this API gets the client's bytes, and its answer comes back byte for byte; only thoughts that
were signed here are taken out of what goes there, because it would refuse them. Any other one is asked for a chat
completion of what the room holds of the request, and the answer is composed of its pieces.

The client's whole history comes with each request: its room is found as that of a chat (see `wire.openai.names`). An
error in the middle is an `error` event, behind which the connection ends without an end. A request that comes again is
told the same answer, as events or whole, whichever way it was asked for the first time.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from functools import partial
from hashlib import blake2b
from http import HTTPStatus
from typing import cast

import orjson
from msgspec import Struct
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from palaver.core.answers.source import ModelServer
from palaver.core.answers.tape import Call, Chunk, ExchangeRequest, LiveAnswer
from palaver.core.runtime import Core
from palaver.model import Actor, Scope
from palaver.model.agents import AgentCard
from palaver.model.exchanges import ExchangeKind
from palaver.policy import Action
from palaver.strict_json import Json, as_list, as_object
from palaver.wire.anthropic import events, problems
from palaver.wire.anthropic.events import Composer, Event
from palaver.wire.anthropic.messages import OURS, entries_of
from palaver.wire.anthropic.requests import chat_of, offered
from palaver.wire.calls import call
from palaver.wire.edge.rates import Use
from palaver.wire.openai import params
from palaver.wire.openai.answering import Answering, Dialect
from palaver.wire.openai.auth import standing_of, visibility_of
from palaver.wire.openai.fields import Invalid
from palaver.wire.openai.models import Models, as_agent
from palaver.wire.openai.names import as_task, named
from palaver.wire.openai.proxy import passed_on
from palaver.wire.openai.responses.events import frame_of
from palaver.wire.openai.responses.tools import restored

PATH = "/messages"
QUOTA = "quota"
"""All that Claude Code says to learn whether it may ask."""
_MARKED = f'"{OURS}"'.encode()


class Wanted(Struct, frozen=True, kw_only=True):
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
        return str(as_object(self.body.get("thinking")).get("type")) in {"enabled", "adaptive"}


class Messages(Struct, frozen=True):
    """The call that asks."""

    core: Core
    models: Models

    @call("POST", PATH, Action.WRITE, scope=Scope.CHAT, use=Use.MESSAGES)
    async def create(self, me: Actor, request: Request) -> Response:
        """Asks the model server, and tells its answer whole or as events."""
        raw, body = await params.passed_body(request)
        _check(body)
        agent = await self.models.agent(body["model"], me)
        query = request.scope["query_string"].decode("latin-1")
        wanted = Wanted(
            body=body,
            native=_without_ours(raw, body),
            headers=passed_on(request.headers.items()) | {"content-type": "application/json"},
            query=query,
            agent=agent,
        )
        by = standing_of(me)
        running = await self._begun(me, replace(_asked(request, wanted), by=by), wanted)
        dialect = Dialect(
            refusal=problems.refusal,
            error=problems.event,
            stored=partial(events.message_of, thinks=wanted.thinks),
            events=lambda message: map(frame_of, events.events_of(message)),
            holds="content",
            request_id=problems.REQUEST_ID,
        )
        return Answering(self.core, running, dialect, wanted.streams).response()

    async def _begun(self, me: Actor, asked: ExchangeRequest, wanted: Wanted) -> LiveAnswer:
        """Begins the exchange; a repeated request is looked for before the model server is asked."""
        there = self.core.models.of(me, wanted.agent)
        stored: asyncio.Future[LiveAnswer] = asyncio.get_running_loop().create_future()

        async def ask() -> Call:
            native = None if wanted.agent is not None else await self._native(there, wanted)
            return native or await self._complete(there, wanted, asked, await stored)

        running = await self.core.exchanges.begin(me, asked, ask)
        if not running.dup:  # else nobody is asked, and what would have been is cancelled
            stored.set_result(running)
        return running

    async def _native(self, there: ModelServer, wanted: Wanted) -> Call | None:
        """Asks in this API; None where the model's server does not speak it."""
        path = f"{PATH}?{wanted.query}" if wanted.query else PATH
        return await there.in_messages(
            path, wanted.body["model"], wanted.native, wanted.headers, stream=wanted.streams
        )

    async def _complete(
        self, there: ModelServer, wanted: Wanted, asked: ExchangeRequest, running: LiveAnswer
    ) -> Call:
        """Asks for a chat completion of what the room holds of the request. Raises `ProviderError`."""
        agent, model = wanted.agent, asked.model
        if agent is not None:
            model = agent.asks or await self.models.default()
        origin = await there.origin(model)
        chat = chat_of(wanted.body, running.context or asked.entries, origin)
        if agent is not None:
            chat = as_agent(agent, chat, model, self.core.settings.system_prompt)
        call = restored(await there.complete(chat), offered(wanted.body))
        exchange = running.exchange
        assert exchange is not None, "all that is asked here is stored"
        skeleton = events.skeleton(events.message_id(exchange), exchange.model)
        composer = Composer(skeleton, exchange.message, thinks=wanted.thinks)
        return Translated(call, composer, wanted.body)


class Translated:
    """A chat completion told as the message that is composed of its pieces. See `providers.call.Call`."""

    def __init__(self, call: Call, composer: Composer, request: Json) -> None:
        self._call, self._composer, self._request = call, composer, request
        self.status, self.outcome, self.close = call.status, call.outcome, call.close
        self.streams = call.status < HTTPStatus.MULTIPLE_CHOICES
        self.headers = () if self.streams else call.headers

    async def told(self) -> AsyncGenerator[Chunk, None]:
        """See `Call`. A refusal is told as it came."""
        composer, outcome = self._composer, self.outcome
        if self.streams:
            yield Chunk(_framed(composer.begin()))
        try:
            async with aclosing(self._call.told()) as telling:
                async for told in telling:
                    events = (event for piece in told.pieces for event in composer.take(piece))
                    yield told._replace(raw=_framed(events)) if self.streams else told
        finally:
            outcome.told = False  # in this API
        if outcome.whole:
            ending = _framed(composer.end(outcome.kept, self._request))
            outcome.envelope = composer.message
            yield Chunk(ending, last=True)


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
        agent=None if wanted.agent is None else wanted.agent.id,
        card=None if wanted.agent is None else wanted.agent.version,
    )
    asked = named(request.headers, asked)
    if body.get("max_tokens") == 1 and [one.text for one in entries] == [QUOTA]:
        return as_task(asked)
    return asked


def _check(body: Json) -> None:
    """Refuses what is no request at all."""
    if not isinstance(body.get("model"), str) or not body["model"]:
        raise Invalid("model: must be the name of a model.", "model")
    if not isinstance(body.get("stream", False), bool | None):
        raise Invalid("stream: must be true or false.", "stream")


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


def _framed(told: Iterable[Event]) -> bytes:
    return b"".join(map(frame_of, told))
