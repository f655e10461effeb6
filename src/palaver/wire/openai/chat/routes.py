"""`POST /v1/chat/completions`: passed to the model server as it is, and stored as what was said.

Rules: the request's bytes go on unchanged, but for `conversation`, which is ours, and an agent's name, which becomes
its model, its instructions and its settings. What comes back goes to the client byte for byte, one write an event;
its last bytes once the answer is stored; only where a stream was asked for and one body came, or the other way round,
it is put into the form that was asked for. The call starts while the request is being stored, and nothing reaches the
client before it is. An answer that breaks says so in an error event, and its connection ends without an end.

Which room it is stored in: the one that is named (see `names`), else the one whose history this one continues, else a
new one. `store: false` stores nothing at all.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from hashlib import blake2b
from http import HTTPStatus
from typing import cast

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Send

from palaver.core.answers.tape import Call, ExchangeRequest, LiveAnswer
from palaver.core.runtime import Core
from palaver.errors import Code, ProviderError, Refused, Unavailable
from palaver.model import (
    NO_DATA,
    Actor,
    AgentCard,
    Entry,
    ExchangeKind,
    ExchangeState,
    Scope,
    Visibility,
)
from palaver.policy import Action
from palaver.wire.calls import call
from palaver.wire.edge.rates import Use
from palaver.wire.openai import problems
from palaver.wire.openai.auth import visibility_of
from palaver.wire.openai.chat.messages import completion_of, entries_of
from palaver.wire.openai.items import Invalid, Json, as_list, as_object
from palaver.wire.openai.models import Models
from palaver.wire.openai.names import ROOM_HEADER, Named, named
from palaver.wire.openai.params import answer, is_repeated, metadata_of
from palaver.wire.openai.proxy import joined, passed_on, refusal
from palaver.wire.streams import Attended, Broken, event_headers, stream

PATH = "/chat/completions"
CHOICES_MAX = 128
_OF_CALL = frozenset({"model", "messages", "stream", "stream_options", "n"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """A request that was read. `sent` is what the model server gets."""

    raw: bytes
    body: Json
    sent: bytes
    stream: bool
    choices: int
    agent: AgentCard | None
    entries: tuple[Entry, ...]
    named: Named
    visibility: Visibility
    repeated: bool


@dataclass(slots=True)
class Chat:
    """The call for a chat completion."""

    core: Core
    models: Models

    @call("POST", PATH, Action.WRITE, scope=Scope.CHAT, use=Use.MESSAGES)
    async def create(self, me: Actor, request: Request) -> Response:
        """Asks, and tells the answer."""
        wanted = await self._wanted(request)
        headers = passed_on(request.headers.items()) | {"content-type": "application/json"}

        async def ask() -> Call:
            return await self.core.models.call(
                "POST", PATH, wanted.sent, headers, stream=wanted.stream, choices=wanted.choices
            )

        if wanted.body.get("store") is False:
            running = self.core.exchanges.unstored(ask)
        else:
            running = await self._begun(me, wanted, ask)
        answering = _Answer(self.core, running, wanted)
        early = event_headers(answering.own_headers()) if wanted.stream else None
        return Attended(
            answering.tell,
            lambda: self.core.exchanges.left(running),
            early=early,
            refused=lambda failure: _frame(problems.document(failure)),
        )

    async def _begun(
        self, me: Actor, wanted: _Wanted, ask: Callable[[], Awaitable[Call]]
    ) -> LiveAnswer:
        """The exchange. One that may be there already is looked for before anything is asked."""
        exchanges, asked = self.core.exchanges, _asked(wanted)
        if not wanted.repeated:
            return await exchanges.begin(me, asked, ask)
        running = await exchanges.open(me, asked)
        if not running.dup:
            exchanges.run(running, ask)
        return running

    async def _wanted(self, request: Request) -> _Wanted:
        if request.headers.get("content-encoding", "identity") != "identity":
            raise Refused(Code.UNSUPPORTED_MEDIA_TYPE, "Send the body unpacked.")
        raw = await request.body()
        body = _object(raw)
        model, choices = body.get("model"), body.get("n")
        agent = await self.models.agent(model) if isinstance(model, str) else None
        if not isinstance(body.get("stream", False), bool | None):
            raise Invalid("Must be true or false.", "stream", "invalid_type")
        entries, visibility = entries_of(body.get("messages")), visibility_of(request)
        return _Wanted(
            raw=raw,
            body=body,
            sent=await self._sent(raw, body, agent),
            stream=body.get("stream") is True,
            choices=choices if isinstance(choices, int) and 0 < choices <= CHOICES_MAX else 1,
            agent=agent,
            entries=entries,
            named=named(request, body, entries, visibility, whole=True),
            visibility=visibility,
            repeated=is_repeated(request),
        )

    async def _sent(self, raw: bytes, body: Json, agent: AgentCard | None) -> bytes:
        """The bytes for the model server."""
        if agent is None and "conversation" not in body:
            return raw
        sent = {key: value for key, value in body.items() if key != "conversation"}
        if agent is not None:
            defaults = {key: one for key, one in agent.settings.items() if key not in _OF_CALL}
            sent = defaults | sent | {"model": agent.model or await self.models.default()}
            prompt = agent.system_prompt or self.core.settings.system_prompt
            messages = body.get("messages")
            if prompt and isinstance(messages, list):
                said = cast("list[object]", messages)
                sent["messages"] = [{"role": "system", "content": prompt}, *said]
        return orjson.dumps(sent)


class _Answer:
    """What came of a request, as it comes."""

    def __init__(self, core: Core, running: LiveAnswer, wanted: _Wanted) -> None:
        self.core = core
        self._running = running
        self._wanted = wanted

    async def tell(self, send: Send) -> Response | None:
        """The answer; None for one that was streamed already. Raises `ProviderError`."""
        running = self._running
        if running.dup and running.over:
            return await self._again(send)
        call = await running.begun()
        headers = [*call.headers, *self.own_headers(call.headers)]
        if call.streams and self._wanted.stream:
            await stream(send, self._events(), event_headers(headers), status=call.status)
            return None
        body = await joined(running.follow())
        if not HTTPStatus.OK <= call.status < HTTPStatus.MULTIPLE_CHOICES:
            return refusal(call, body)
        failure, outcome = _failure(running), running.outcome
        envelope = {} if outcome is None else outcome.envelope
        shown = outcome is not None and outcome.told and bool(envelope.get("choices"))
        if failure is not None and not shown:
            raise failure
        if self._wanted.stream and envelope.get("choices"):
            await stream(send, _chunks(envelope, self._wanted.body), event_headers(headers))
            return None
        told = answer(envelope) if call.streams else Response(body, call.status)
        headers = [pair for pair in headers if pair[0] not in told.headers]
        told.raw_headers += [(n.encode("latin-1"), v.encode("latin-1")) for n, v in headers]
        return told

    async def _events(self) -> AsyncGenerator[bytes, None]:
        running = self._running
        async with aclosing(running.follow()) as tape:
            async for told in tape:
                if told.raw:
                    yield told.raw
        failure = _failure(running)
        if failure is not None and (running.outcome is None or not running.outcome.told):
            yield _frame(problems.document(failure))
            raise Broken

    async def _again(self, send: Send) -> Response | None:
        """The answer that the client got no end of, from the store."""
        exchange = self._running.ended
        assert exchange is not None, "the request was recognised"
        if exchange.state is ExchangeState.RUNNING:
            raise Unavailable(
                Code.TOO_BUSY, "This request is being answered elsewhere.", retry_ms=1_000
            )
        if exchange.state not in {ExchangeState.COMPLETED, ExchangeState.INCOMPLETE}:
            raise _stopped()
        answers = await self.core.exchanges.messages(exchange, answers=True)
        completion = completion_of(exchange, answers)
        if not self._wanted.stream:
            told = answer(completion)
            told.headers[ROOM_HEADER] = exchange.room
            return told
        headers = event_headers([(ROOM_HEADER, exchange.room)])
        await stream(send, _chunks(completion, self._wanted.body), headers)
        return None

    def own_headers(self, given: Iterable[tuple[str, str]] = ()) -> list[tuple[str, str]]:
        """The room, and an id of the request where the model server gave none."""
        found: list[tuple[str, str]] = []
        exchange = self._running.exchange
        if exchange is not None:
            found.append((ROOM_HEADER, exchange.room))
        if all(name != "x-request-id" for name, _ in given):
            found.append(("x-request-id", f"req_{self.core.clock.new_id()}"))
        return found


def _asked(wanted: _Wanted) -> ExchangeRequest:
    """The request as the core takes it."""
    body, names = wanted.body, wanted.named
    kept = body.get("store") is True
    return ExchangeRequest(
        kind=ExchangeKind.CHAT,
        entries=wanted.entries,
        model=str(body.get("model") or ""),
        request={key: value for key, value in body.items() if key != "messages"},
        room=names.room,
        client=names.client,
        about=names.about,
        title=names.title,
        visibility=wanted.visibility,
        whole=True,
        kept=kept,
        metadata=metadata_of(body.get("metadata")) if kept else NO_DATA,
        digest=blake2b(wanted.raw, digest_size=32).digest(),
        repeated=wanted.repeated,
        agent=None if wanted.agent is None else wanted.agent.actor.id,
    )


def _object(raw: bytes) -> Json:
    try:
        body: object = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Refused(Code.INVALID_JSON, f"The body is not JSON: {error.msg}.") from None
    if not isinstance(body, dict):
        raise Refused(Code.INVALID_JSON, "The body must be a JSON object.")
    return cast("Json", body)


def _stopped() -> ProviderError:
    return ProviderError(Code.PROVIDER_CUT, "The answer was stopped.", temporary=False)


def _failure(running: LiveAnswer) -> ProviderError | None:
    """Why an answer that is over is not whole."""
    broken = running.outcome is None or running.state in {
        ExchangeState.CANCELLED,
        ExchangeState.FAILED,
    }
    return running.error or (_stopped() if broken else None)


async def _chunks(completion: Json, body: Json) -> AsyncGenerator[bytes, None]:
    """A completion as a stream that says all at once."""
    head = {key: value for key, value in completion.items() if key not in {"choices", "usage"}}
    head["object"] = "chat.completion.chunk"
    for index, choice in enumerate(map(as_object, as_list(completion.get("choices")))):
        delta = dict(as_object(choice.get("message")))
        if "tool_calls" in delta:
            calls = map(as_object, as_list(delta["tool_calls"]))
            delta["tool_calls"] = [{"index": place, **call} for place, call in enumerate(calls)]
        part = {"index": choice.get("index", index), "delta": delta, "finish_reason": None}
        yield _frame({**head, "choices": [part]})
        end = {**part, "delta": {}, "finish_reason": choice.get("finish_reason")}
        yield _frame({**head, "choices": [end]})
    if as_object(body.get("stream_options")).get("include_usage"):
        yield _frame({**head, "choices": [], "usage": completion.get("usage")})
    yield b"data: [DONE]\n\n"


def _frame(value: Json) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"
