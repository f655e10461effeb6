"""One call to the model server as it is: a client's bytes in, the server's bytes out, and what they mean beside them.

Rules: `Told.raw` is what came, byte for byte, one event of a stream at a time; joined they are the whole body. What the
bytes say is read once, into pieces and into an `Outcome`; a chat completion is understood, anything else only passed.
A `ProviderError` is raised only while nothing has come. After that a failure is the outcome's `error`, so that what
came before it is kept.

A provider that can pass a client's bytes on says so by having `forward`. For any other one (the offline agent), chat
completions are composed here from its pieces.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

import orjson

from palaver.clock import Clock
from palaver.errors import Code, ProviderError
from palaver.model import NO_DATA, Entry, Role
from palaver.providers.base import Done, Piece, Provider, ReasoningPiece, Request, Said, TextPiece
from palaver.providers.errors import Asked, as_object, cut
from palaver.providers.http.sse import frame
from palaver.providers.openai.accumulator import Assembly, as_text
from palaver.providers.openai.request import END, as_list

CHAT = "/chat/completions"
JSON_TYPE = "application/json"
STREAM_TYPE = "text/event-stream; charset=utf-8"


class Told(NamedTuple):
    """What came at once. `last`: nothing follows it, so it is held back until the answer is stored."""

    raw: bytes
    pieces: tuple[Piece, ...] = ()
    last: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """An answer told in another API than chat completions: what is to be stored of it, and how it is told there."""

    entries: tuple[Entry, ...] = ()
    told: Mapping[str, Any] = field(default_factory=lambda: NO_DATA)


@dataclass(slots=True)
class Outcome:
    """What a call came to, complete once `told()` has ended.

    `envelope` is the whole `chat.completion`. `whole`: every choice that began has ended. `told`: the error, or what
    cannot be read, is in the bytes themselves, and they are all that the server had to say. `own` is there from the
    beginning where the answer is told in another API.
    """

    whole: bool = False
    envelope: dict[str, Any] = field(default_factory=dict[str, Any])
    finish: str | None = None
    error: ProviderError | None = None
    told: bool = False
    own: Own | None = None


Body = bytes | AsyncGenerator[bytes, None] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Passing:
    """What is expected of a call: `chat`, a chat completion, else anything; `stream`, bit by bit; how many choices.

    `only_read`: the bytes go to no client, so that any type but JSON is a stream, and a body may have 8 MiB.
    """

    chat: bool
    stream: bool = False
    choices: int = 1
    only_read: bool = False


class Call(Protocol):
    """A call whose answer has begun. `headers` are those that may go to a client, their names in lower case."""

    @property
    def status(self) -> int:
        """The status of HTTP."""
        ...

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """See above."""
        ...

    @property
    def streams(self) -> bool:
        """Whether events come one by one; otherwise the answer is one body."""
        ...

    @property
    def outcome(self) -> Outcome:
        """What it came to."""
        ...

    def told(self) -> AsyncGenerator[Told, None]:
        """What comes, as it comes. Raises nothing; see `outcome`."""
        ...

    async def close(self) -> None:
        """Ends the call, wherever it is. The server stops."""
        ...


@runtime_checkable
class Forwards(Protocol):
    """A provider that passes a client's request on."""

    async def forward(
        self, method: str, path: str, body: Body, headers: Mapping[str, str], *, passing: Passing
    ) -> Call:
        """The call, once its answer begins. Raises `ProviderError`."""
        ...

    def origin(self, model: str) -> str:
        """By what it is known that something was told by this server and this model."""
        ...


async def call(
    provider: Provider,
    method: str,
    path: str,
    body: Body = None,
    headers: Mapping[str, str] = NO_DATA,
    *,
    clock: Clock,
    stream: bool = False,
    choices: int = 1,
) -> Call:
    """Asks a provider at a path below its base, such as `/chat/completions`. Raises `ProviderError`.

    `stream` and `choices` are what a chat completion asks for.
    """
    chat = method == "POST" and path == CHAT
    if isinstance(provider, Forwards):
        passing = Passing(chat=chat, stream=stream, choices=choices)
        return await provider.forward(method, path, body, headers, passing=passing)
    if chat and isinstance(body, bytes):
        return await Composed.begun(provider, as_object(orjson.loads(body)), clock)
    return _not_found()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A call whose answer, a refusal, is known already."""

    status: int
    headers: tuple[tuple[str, str], ...]
    outcome: Outcome
    body: bytes
    streams: bool = False

    async def told(self) -> AsyncGenerator[Told, None]:
        """See `Call`."""
        yield Told(self.body, last=True)

    async def close(self) -> None:
        """There is nothing to end."""


class Composed:
    """A chat completion made of a provider's pieces."""

    status = 200

    def __init__(self, provider: Provider, asked: Mapping[str, Any], clock: Clock) -> None:
        self._name = provider.name
        self._pieces = provider.answer(request_of(asked))
        self._first: Piece | None = None
        self._head = {
            "id": f"chatcmpl-{clock.new_id()}",
            "object": "chat.completion.chunk",
            "created": clock.now_ms() // 1000,
            "model": asked.get("model") or "default",
        }
        options = as_object(asked.get("stream_options"))
        self._tells_usage = bool(options.get("include_usage"))
        self._no_usage = {"usage": None} if self._tells_usage else {}
        self._assembly = Assembly()
        self.streams = asked.get("stream") is True
        kind = STREAM_TYPE if self.streams else JSON_TYPE
        self.headers = (("content-type", kind),)
        self.outcome = Outcome()

    @classmethod
    async def begun(cls, provider: Provider, asked: Mapping[str, Any], clock: Clock) -> "Composed":
        """The call once its first piece came. Raises `ProviderError` when none does."""
        made = cls(provider, asked, clock)
        made._first = await anext(made._pieces, None)
        return made

    async def told(self) -> AsyncGenerator[Told, None]:
        """See `Call`."""
        assembly, outcome = self._assembly, self.outcome
        try:
            async with aclosing(self._chunks()) as chunks:
                async for chunk in chunks:
                    pieces = assembly.take(chunk)
                    shown = self.streams and (self._tells_usage or chunk["choices"])
                    raw = frame(orjson.dumps(chunk)) if shown else b""
                    if raw or pieces:
                        yield Told(raw, pieces)
            if rest := assembly.rest():
                yield Told(b"", rest)
            if not assembly.finished:
                outcome.error = cut(Asked(label=self._name, name=self._name, model=""))
        except ProviderError as failure:
            outcome.error = failure
        assembly.over = outcome.error is None
        outcome.envelope, outcome.whole = assembly.envelope(), assembly.whole
        outcome.finish = assembly.finish
        if outcome.error is None:
            body = frame(END.encode()) if self.streams else orjson.dumps(outcome.envelope)
            yield Told(body, last=True)

    async def close(self) -> None:
        """See `Call`."""
        await self._pieces.aclose()

    async def _chunks(self) -> AsyncGenerator[dict[str, Any], None]:
        yield self._chunk({"role": "assistant", "content": ""})
        piece = self._first
        while piece is not None:
            match piece:
                case TextPiece(text):
                    yield self._chunk({"content": text})
                case ReasoningPiece(text):
                    yield self._chunk({"reasoning_content": text})
                case Done():
                    yield self._chunk({}, piece.finish)
                    tokens = (piece.input_tokens or 0, piece.output_tokens or 0)
                    names = ("prompt_tokens", "completion_tokens", "total_tokens")
                    usage = dict(zip(names, (*tokens, sum(tokens)), strict=True))
                    yield {**self._head, "choices": [], "usage": usage}
                case _:
                    pass  # only a model server calls tools and refuses, and those are passed on
            piece = await anext(self._pieces, None)

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return {**self._head, "choices": [choice], **self._no_usage}


def _not_found() -> Answered:
    message = "No model server is connected that could answer at this address."
    failure = ProviderError(Code.PROVIDER_REFUSED, message, temporary=False)
    told = {"message": message, "type": "invalid_request_error", "param": None, "code": "not_found"}
    return Answered(
        status=404,
        headers=(("content-type", JSON_TYPE),),
        outcome=Outcome(error=failure, told=True),
        body=orjson.dumps({"error": told}),
    )


def request_of(asked: Mapping[str, Any]) -> Request:
    """What a provider is asked, as far as the texts of a chat completion's messages say it."""
    roles = set(Role)
    history = (
        Said(
            role=Role(message["role"]) if message.get("role") in roles else Role.USER,
            text=as_text(message.get("content")),
        )
        for message in map(as_object, as_list(asked.get("messages")))
    )
    return Request(history=tuple(history))
