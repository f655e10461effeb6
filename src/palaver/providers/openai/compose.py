"""Chat completions composed of a provider's pieces: what OpenAI's clients get from a provider of another API.

`call` asks any provider; `complete` asks for a completion of ours, in contrast to a client's bytes that are passed on
as they are; `request_of` says in our own words what a chat completion asks. What a provider told beside its words is a
field of the message, as model servers tell it, and is told again when the message comes back with it.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Self

import orjson
from msgspec import Struct

from palaver.clock import Clock
from palaver.errors import Code, ProviderError
from palaver.model import NO_DATA, Role
from palaver.providers.base import (
    BesidePiece,
    Done,
    ItemPiece,
    Piece,
    Provider,
    ReasoningPiece,
    RefusalPiece,
    Request,
    Said,
    TextPiece,
    ToolCall,
    ToolPiece,
)
from palaver.providers.call import (
    CHAT,
    JSON_TYPE,
    STREAM_TYPE,
    Call,
    CallRequest,
    CallResult,
    Chunk,
    Forwards,
    whole_body,
)
from palaver.providers.errors import CallInfo, cut, is_too_long, told_in_body
from palaver.providers.http.sse import frame
from palaver.providers.openai.accumulator import THOUGHTS, Assembly, as_text
from palaver.providers.openai.request import END, adapted
from palaver.strict_json import as_list, as_object

ATTEMPTS_MAX = 12
_REFUSALS = frozenset({400, 413, 422})
_INSTRUCTIONS = frozenset({"system", "developer"})
_OURS = frozenset({"model", "messages", "stream", "stream_options", "n", "conversation", "store"})
_OF_MESSAGE = frozenset({"role", "content", "name", "tool_calls", "tool_call_id", "refusal"})


async def call(provider: Provider, request: CallRequest, clock: Clock) -> Call:
    """Asks a provider what a client asks. Raises `ProviderError`."""
    if isinstance(provider, Forwards):
        return await provider.forward(request)
    if request.chat and isinstance(request.body, bytes):
        asked = as_object(orjson.loads(request.body))
        pieces = provider.answer(request_of(asked))
        return await Composed(provider.name, pieces, asked, clock).begun()
    return not_found()


async def complete(
    provider: Provider, body: dict[str, Any], *, clock: Clock, shortens: bool = False
) -> Call:
    """Asks for a completion that streams. Raises `ProviderError`.

    What a server says it does not understand is left out or said otherwise. With `shortens`, the oldest messages are
    left out when the conversation is longer than the model can read: half of them, and half again, never the
    instructions at the beginning and never the newest; a tool's result goes with its call.
    """
    attempts = 0
    while True:
        asked = CallRequest(method="POST", path=CHAT, body=orjson.dumps(body), stream=True)
        made = await call(provider, asked, clock)
        if made.status not in _REFUSALS:
            return made
        refusal = await whole_body(made)
        told = told_in_body(made.status, refusal)
        changed = adapted(body, told)
        if changed is None and shortens and is_too_long(told):
            changed = shortened(body)
        attempts += 1
        if changed is None or attempts == ATTEMPTS_MAX:
            return Answered(
                status=made.status, headers=made.headers, outcome=made.outcome, body=refusal
            )
        body = changed


def shortened(body: dict[str, Any]) -> dict[str, Any] | None:
    """The same without the older half of its messages; None where nothing is left that may go."""
    messages: list[dict[str, Any]] = body["messages"]
    begin = 0
    while begin < len(messages) and messages[begin].get("role") in _INSTRUCTIONS:
        begin += 1
    keep = begin + (len(messages) - begin + 1) // 2
    while keep < len(messages) and messages[keep].get("role") == "tool":
        keep += 1
    if keep in (begin, len(messages)):
        return None
    return {**body, "messages": [*messages[:begin], *messages[keep:]]}


class Answered(Struct, kw_only=True):
    """A call whose answer, a body of JSON, is known already."""

    status: int
    outcome: CallResult
    body: bytes
    headers: tuple[tuple[str, str], ...] = (("content-type", JSON_TYPE),)
    streams: bool = False

    async def told(self) -> AsyncGenerator[Chunk, None]:
        """See `Call`."""
        yield Chunk(self.body, last=True)

    async def close(self) -> None:
        """There is nothing to end."""


class Composed:
    """A chat completion made of a provider's pieces."""

    status = 200

    def __init__(
        self,
        name: str,
        pieces: AsyncGenerator[Piece, None],
        asked: Mapping[str, Any],
        clock: Clock,
        origin: str = "",
    ) -> None:
        """`name` is the provider's; `origin`: see `BesidePiece`."""
        self._name = name
        self._pieces = pieces
        self._first: Piece | None = None
        self._head = {
            "id": f"chatcmpl-{clock.new_id()}",
            "object": "chat.completion.chunk",
            "created": clock.now_ms() // 1000,
            "model": asked.get("model") or "default",
        }
        tells_usage = as_object(asked.get("stream_options")).get("include_usage")
        self._no_usage = {"usage": None} if tells_usage else {}
        self._assembly = Assembly(origin=(lambda: origin) if origin else None)
        self.streams = asked.get("stream") is True
        self.headers = (("content-type", STREAM_TYPE if self.streams else JSON_TYPE),)
        self.outcome = CallResult(provider=name if origin else None)

    async def begun(self) -> Self:
        """Waits for the first piece. Raises `ProviderError` where none comes."""
        self._first = await anext(self._pieces, None)
        return self

    async def told(self) -> AsyncGenerator[Chunk, None]:
        """See `Call`."""
        assembly, outcome = self._assembly, self.outcome
        try:
            async with aclosing(self._chunks()) as chunks:
                async for chunk in chunks:
                    pieces = assembly.take(chunk)
                    shown = self.streams and (self._no_usage or chunk["choices"])
                    raw = frame(orjson.dumps(chunk)) if shown else b""
                    if raw or pieces:
                        yield Chunk(raw, pieces)
            if rest := assembly.rest():
                yield Chunk(b"", rest)
            if not assembly.finished:
                outcome.error = cut(CallInfo(label=self._name, name=self._name, model=""))
        except ProviderError as failure:
            outcome.error = failure
        assembly.over = outcome.error is None
        assembly.settle(outcome)
        outcome.whole = assembly.whole
        if outcome.error is None:
            body = frame(END.encode()) if self.streams else orjson.dumps(outcome.envelope)
            yield Chunk(body, last=True)

    async def close(self) -> None:
        """See `Call`."""
        await self._pieces.aclose()

    async def _chunks(self) -> AsyncGenerator[dict[str, Any], None]:
        yield self._chunk({"role": "assistant", "content": ""})
        piece = self._first
        while piece is not None:
            if isinstance(piece, Done):
                yield self._chunk({}, piece.finish)
                yield {**self._head, "choices": [], "usage": _usage(piece)}
            elif not isinstance(piece, ItemPiece):  # no chat completion has any
                yield self._chunk(_delta(piece))
            piece = await anext(self._pieces, None)

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return {**self._head, "choices": [choice], **self._no_usage}


def not_found() -> Answered:
    """Refuses an address at which no provider answers."""
    message = "No model server is connected that could answer at this address."
    failure = ProviderError(Code.PROVIDER_REFUSED, message, temporary=False)
    told = {"message": message, "type": "invalid_request_error", "param": None, "code": "not_found"}
    outcome = CallResult(error=failure, told=True)
    return Answered(status=404, outcome=outcome, body=orjson.dumps({"error": told}))


def _delta(piece: TextPiece | ReasoningPiece | RefusalPiece | ToolPiece | BesidePiece) -> Any:
    """A piece as the change of a message that it is."""
    match piece:
        case TextPiece(text):
            return {"content": text}
        case ReasoningPiece(text):
            return {THOUGHTS[0]: text}
        case RefusalPiece(text):
            return {"refusal": text}
        case ToolPiece():
            function = {"name": piece.name} if piece.name else {}
            head = {"id": piece.id, "type": "function"} if piece.id else {}
            function |= {"arguments": piece.arguments}
            return {"tool_calls": [{"index": piece.call, **head, "function": function}]}
        case BesidePiece(call=None):
            return dict(piece.fields)
        case _:
            return {"tool_calls": [{"index": piece.call, **piece.fields}]}


def _usage(done: Done) -> dict[str, Any]:
    read, made = done.input_tokens or 0, done.output_tokens or 0
    usage: dict[str, Any] = {"prompt_tokens": read, "completion_tokens": made}
    usage["total_tokens"] = read + made
    asked = {"cached_tokens": done.cached_tokens, "cache_write_tokens": done.cache_write_tokens}
    thought = {"reasoning_tokens": done.reasoning_tokens}
    for name, details in (("prompt", asked), ("completion", thought)):
        if known := {key: count for key, count in details.items() if count is not None}:
            usage[f"{name}_tokens_details"] = known
    return usage


def request_of(asked: Mapping[str, Any], origin: str = "") -> Request:
    """What a provider is asked. `origin`: whose fields those are that its messages have beside the known ones."""
    messages = map(as_object, as_list(asked.get("messages")))
    model = asked.get("model")
    return Request(
        history=tuple(_said(message, origin) for message in messages),
        model=model if isinstance(model, str) else None,
        settings={key: one for key, one in asked.items() if key not in _OURS and one is not None},
    )


def _said(message: dict[str, Any], origin: str) -> Said:
    content, role = message.get("content"), message.get("role")
    fields = {name: one for name, one in message.items() if name not in (*_OF_MESSAGE, *THOUGHTS)}
    call_id, name = message.get("tool_call_id"), message.get("name")
    return Said(
        role=Role(role) if role in set(Role) else Role.USER,
        text=as_text(content) or as_text(message.get("refusal")),
        name=name if isinstance(name, str) else None,
        parts=tuple(map(as_object, as_list(content))),
        calls=tuple(_call(as_object(one)) for one in as_list(message.get("tool_calls"))),
        call_id=call_id if isinstance(call_id, str) else None,
        thought=next((as_text(message[n]) for n in THOUGHTS[:2] if message.get(n)), ""),
        beside={"origin": origin, "message": fields} if origin and fields else NO_DATA,
    )


def _call(call: dict[str, Any]) -> ToolCall:
    function = as_object(call.get("function"))
    return ToolCall(
        id=str(call.get("id") or ""),
        name=str(function.get("name") or ""),
        arguments=as_text(function.get("arguments")),
    )
