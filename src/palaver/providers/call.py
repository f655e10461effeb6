"""One call to the model server as it is: a client's bytes in, the server's bytes out, and what they mean beside them.

Rules: `Chunk.raw` is what came, byte for byte, one event of a stream at a time; joined they are the whole body. What
the bytes say is read once, into pieces and into a `CallResult`; a chat completion is understood, anything else only
passed. A `ProviderError` is raised only while nothing has come. After that a failure is the result's `error`, so that
what came before it is kept.

A provider that can pass a client's bytes on says so by having `forward`. For any other one (the offline agent), chat
completions are composed of its pieces, see `openai.compose`. One that speaks the Messages API passes a
request in it on by `message`, see `in_messages`.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, NamedTuple, Protocol, runtime_checkable

import orjson
from msgspec import Struct, field
from msgspec.structs import replace

from palaver.errors import ProviderError
from palaver.model import NO_DATA, TOKENS_MAX, Entry
from palaver.model.agents import Told
from palaver.providers.base import Piece, Provider, Request, Several, Usage

CHAT = "/chat/completions"
MESSAGES = "/messages"
JSON_TYPE = "application/json"
STREAM_TYPE = "text/event-stream; charset=utf-8"


class Chunk(NamedTuple):
    """Bytes that came at once, and their meaning. `last`: nothing follows, so they wait until the answer is stored."""

    raw: bytes
    pieces: tuple[Piece, ...] = ()
    last: bool = False


class NativeAnswer(Struct, frozen=True, kw_only=True):
    """An answer in another API than chat completions: the entries to store, and how that API tells them."""

    entries: tuple[Entry, ...] = ()
    told: Mapping[str, Any] = field(default_factory=lambda: NO_DATA)


class CallResult(Struct):
    """The result of a call, complete once `told()` has ended.

    `envelope` is the whole answer in the words of its API, and `kept` the same without what its pieces hold; nobody
    but a door of that API reads either. `whole`: every choice that began has ended. `told`: the error, or what cannot
    be read, is in the bytes themselves, and they are all that the server had to say. `own` is there from the beginning
    where the answer is told in another API. `id` is the server's own id of the answer; `provider` and `model` say who
    was asked, where that is not what the request named; the version of an agent's `card`, and what is kept of the
    `prompt`, are known where nobody but us asked. `asked_chars`: how long the request was, where its source alone
    knows.
    """

    whole: bool = False
    envelope: dict[str, Any] = field(default_factory=dict[str, Any])
    kept: Mapping[str, Any] = field(default_factory=lambda: NO_DATA)
    id: str | None = None
    provider: str | None = None
    model: str | None = None
    card: int | None = None
    usage: Usage | None = None
    finish: str | None = None
    error: ProviderError | None = None
    told: bool = False
    own: NativeAnswer | None = None
    asked_chars: int = 0
    prompt: Told | None = None

    def used(
        self, read: object, made: object, cached: object = None, reasoning: object = None
    ) -> None:
        """Notes the tokens; what is no number of any counts as untold."""
        given = (read, made, cached, reasoning)
        tokens = [one if type(one) is int and 0 <= one <= TOKENS_MAX else None for one in given]
        self.usage = Usage(input=tokens[0], output=tokens[1], cached=tokens[2], reasoning=tokens[3])


Body = bytes | AsyncGenerator[bytes, None] | None


class CallRequest(Struct, frozen=True, kw_only=True):
    """A client's request at a `path` below the server's base. `stream`: bit by bit; `choices`: how many answers.

    `model` is told where the provider must know it without reading the body.
    """

    method: str
    path: str
    body: Body = None
    headers: Mapping[str, str] = field(default_factory=lambda: NO_DATA)
    stream: bool = False
    choices: int = 1
    model: str = ""

    @property
    def chat(self) -> bool:
        """Whether it asks for a chat completion."""
        return self.method == "POST" and self.path == CHAT


class Call(Protocol):
    """A call whose answer has begun. `headers` are those that may go to a client, their names in lower case.

    `streams`: events come one by one; otherwise the answer is one body.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    streams: bool
    outcome: CallResult

    def told(self) -> AsyncGenerator[Chunk, None]:
        """Streams the answer as it comes. Raises nothing; see `outcome`."""
        ...

    async def close(self) -> None:
        """Ends the call, wherever it is. The server stops."""
        ...


async def whole_body(call: Call) -> bytes:
    """Reads a call to its end."""
    try:
        async with aclosing(call.told()) as telling:
            return b"".join([told.raw async for told in telling])
    finally:
        await call.close()


@runtime_checkable
class Forwards(Protocol):
    """A provider that passes a client's request on."""

    async def forward(self, request: CallRequest) -> Call:
        """The call, once its answer begins. Raises `ProviderError`."""
        ...

    def origin(self, model: str) -> str:
        """Names this server and a model, so that each is told only what came from it."""
        ...


@runtime_checkable
class SpeaksMessages(Protocol):
    """A provider whose server speaks the Messages API."""

    async def message(self, request: CallRequest) -> Call:
        """The call of a request in that API, once its answer begins. Raises `ProviderError`."""
        ...


async def in_messages(provider: Provider, request: CallRequest) -> Call | None:
    """Asks in the Messages API where the model's own server speaks it; None elsewhere. Raises `ProviderError`."""
    if isinstance(provider, Several):
        provider, chosen = await provider.chosen(Request(history=(), model=request.model or None))
        if chosen.model is not None and chosen.model != request.model:
            assert isinstance(request.body, bytes), "it was read to know its model"
            body = orjson.dumps({**orjson.loads(request.body), "model": chosen.model})
            request = replace(request, model=chosen.model, body=body)
    if not isinstance(provider, SpeaksMessages):
        return None
    made = await provider.message(request)
    made.outcome.model = request.model or None
    return made
