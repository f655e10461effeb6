"""The answer of a model server, passed on: its bytes as they are, and what a chat completion in them says.

An answer in another API is passed on in the same way, with an `Answer` that understands what is in it.

Rules: a stream is told one event at a time, and its `[DONE]`, with all that follows it, comes last. A whole completion
is one piece of bytes; what is no chat completion is told as it comes, unread. Which of the two a completion is says its
body, not its label. A body that was packed for the way is unpacked. What ends without being whole has an `error` in its
outcome, as has what says so itself, in whatever form; what follows that is passed on as well. Plain words as data are
an error if they sound like one, or if the answer has no end. Where JSON is torn, words may be missing, so the answer is
not whole. In what is refused or tells an error, the model server's key is blotted out.

The headers that are passed are those about the request and its answer; none of the connection's, none that set
something in a browser for this server's name, and none that name the operator's account. What is not known is kept
back, but for `x-…`.
"""

from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from contextlib import aclosing
from functools import cache
from typing import Any, Protocol, cast

import httpx2
import orjson
from msgspec.structs import replace

from palaver.errors import ProviderError
from palaver.providers.base import Piece
from palaver.providers.call import JSON_TYPE, Body, CallRequest, CallResult, Chunk
from palaver.providers.errors import (
    CallInfo,
    ErrorBody,
    bad_reply,
    cut,
    failure_of,
    no_answer,
    told_by,
    told_in_body,
    told_in_words,
)
from palaver.providers.http.client import HttpClient, read
from palaver.providers.http.deadline import Patience
from palaver.providers.http.sse import (
    EVENT_BYTES_MAX,
    SNIFFED_BYTES_MAX,
    EventTooLarge,
    Framer,
    data_in,
    is_stream,
)
from palaver.providers.openai.accumulator import Assembly, as_text
from palaver.providers.openai.request import END
from palaver.providers.openai.shapes import values_in
from palaver.providers.redaction import redacted
from palaver.strict_json import as_list, as_object, copied, parsed

BODY_BYTES_MAX = 64 * 1024 * 1024
"""A completion that is larger is not read."""
REFUSAL_BYTES_MAX = 1024 * 1024
END_BYTES_MAX = 64 * 1024
"""What follows `[DONE]` is told so far, and then dropped."""

WORDS_MAX = 8
_END = END.encode()
_ENDS = frozenset({END, "[done]", "DONE", "[END]"})
_PASSED = frozenset(
    {
        *("accept-ranges", "apim-request-id", "content-disposition", "content-language"),
        *("content-range", "content-type", "etag", "last-modified", "request-id", "retry-after"),
        "retry-after-ms",
    }
)
_PASSED_BEGINNINGS = ("anthropic-", "azureml-", "llm_provider-", "openai-", "x-")
_KEPT_BACK = (
    *("anthropic-organization", "openai-organization", "openai-project"),
    *("x-palaver-", "x-accel-", "x-api-key", "x-auth"),
    *("x-content-", "x-dns-", "x-download-", "x-forwarded-", "x-frame-", "x-lighttpd-"),
    *("x-litespeed-", "x-permitted-", "x-powered-", "x-real-", "x-robots-", "x-sendfile"),
    *("x-sourcemap", "x-ua-", "x-webkit-", "x-xss-"),  # browsers and proxies follow these
)


class Answer(Protocol):
    """An answer as it is understood, part by part. `over`: nothing follows; `whole`: from its beginning to its end.

    `began`: anything but a role came; `finished`: it named the reason of its end; `unread`: something stands where
    words should that cannot be read.
    """

    over: bool

    @property
    def began(self) -> bool: ...  # noqa: D102  all of them above
    @property
    def finished(self) -> bool: ...  # noqa: D102
    @property
    def unread(self) -> bool: ...  # noqa: D102
    @property
    def whole(self) -> bool: ...  # noqa: D102

    def take(self, chunk: Mapping[str, Any]) -> Iterable[Piece]:
        """The pieces in an event."""
        ...

    def take_whole(self, body: dict[str, Any]) -> tuple[Piece, ...]:
        """The pieces of an answer that came as one body."""
        ...

    def rest(self) -> tuple[Piece, ...]:
        """Gives what waited for more that did not come."""
        ...

    def settle(self, outcome: CallResult) -> None:
        """Completes the outcome."""
        ...


async def forwarded(
    http: HttpClient,
    request: CallRequest,
    patience: Patience,
    origin: Callable[[str], str],
    answer: Answer | None = None,
) -> "Forwarded":
    """Passes a request on. Tried again only while nothing was received. Raises `ProviderError`."""
    body, retries = request.body, 0
    while not isinstance(got := await http.sent(request, patience), httpx2.Response):
        if not isinstance(body, bytes | None):
            raise got
        await http.pause(got, retries, patience)
        retries += 1
    asked = http.server
    if got.is_error:
        model, texts = asked_in(body)
        asked = replace(asked, model=model, texts=texts)
    call = Forwarded(
        http,
        got,
        asked,
        patience,
        lambda: origin(asked_in(body)[0]),
        request=request,
        answer=answer,
    )
    try:
        await call.begin()
    except BaseException:
        await call.close()
        raise
    return call


class Forwarded:
    """See `call.Call`."""

    def __init__(
        self,
        http: HttpClient,
        response: httpx2.Response,
        asked: CallInfo,
        patience: Patience,
        origin: Callable[[], str],
        *,
        request: CallRequest | None = None,
        answer: Answer | None = None,
    ) -> None:
        """Without a `request` the bytes go to no client: any type but JSON is a stream, and a body may have 8 MiB.

        `answer` understands what comes where that is no chat completion.
        """
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        self.status = response.status_code
        self._only_read = request is None
        streams = kind == "text/event-stream" or (self._only_read and kind != JSON_TYPE)
        self.streams = streams and response.is_success
        self.headers = passed_on(response.headers, asked.key)
        self.outcome = CallResult(provider=asked.name)
        self._http = http
        self._response = response
        self._chunks = http.chunks(response, asked, patience)
        understood = request is None or request.chat or answer is not None
        self._understood = understood and response.is_success
        self._patience = patience
        self._asked = asked
        self._assembly: Answer = answer or Assembly(
            1 if request is None else request.choices, cache(origin)
        )
        self._begin = b""
        self._torn = 0
        self._words: list[str] = []
        self._end = b""

    async def begin(self) -> None:
        """Reads as much of a completion as it takes to know whether it is a stream. Raises `ProviderError`."""
        if not self._understood:
            return
        async for chunk in self._chunks:
            self._begin += chunk
            streams = is_stream(self._begin)
            if streams is not None:
                self.streams = streams
            if streams is not None or len(self._begin) > SNIFFED_BYTES_MAX:
                return

    async def _read(self) -> AsyncGenerator[bytes, None]:
        """Streams the body from its beginning."""
        begin, self._begin = self._begin, b""
        if begin:
            yield begin
        async for chunk in self._chunks:
            yield chunk

    async def told(self) -> AsyncGenerator[Chunk, None]:
        """See `call.Call`."""
        if not self._response.is_success:
            parts = self._refusal()
        elif self._understood:
            parts = self._events() if self.streams else self._body()
        else:
            parts = self._unread()
        try:
            async with aclosing(parts):
                async for part in parts:
                    yield part
        except ProviderError as failure:
            self.outcome.error = failure
        except EventTooLarge:
            what = "sent a piece of more than 8 MiB, which is not read"
            self.outcome.error = bad_reply(self._asked, what)
        finally:
            self._settle()

    async def close(self) -> None:
        """See `call.Call`."""
        await self._chunks.aclose()
        await self._response.aclose()

    async def _unread(self) -> AsyncGenerator[Chunk, None]:
        """Streams what is no chat completion as it comes; events one by one."""
        framer = Framer() if self.streams else None
        async for chunk in self._chunks:
            self._patience.heard(began=True, finished=False, over=False)
            for raw in framer.feed(chunk) if framer is not None else (chunk,):
                yield Chunk(self._without_key(raw) if b"error" in raw else raw)
        rest = framer.close() if framer is not None else b""
        if rest:
            yield Chunk(self._without_key(rest))

    async def _refusal(self) -> AsyncGenerator[Chunk, None]:
        try:
            body = await read(self._chunks, self._asked, REFUSAL_BYTES_MAX)
        except ProviderError:
            body = b""  # the status alone says enough
        body = self._without_key(body)
        retry_ms = self._http.retry_ms(self._response)
        self._fail(told_in_body(self.status, body), retry_ms)
        yield Chunk(body, last=True)

    async def _body(self) -> AsyncGenerator[Chunk, None]:
        """One completion; or several chunks of one, a line each."""
        bytes_max = EVENT_BYTES_MAX if self._only_read else BODY_BYTES_MAX
        async with aclosing(self._read()) as chunks:
            body = await read(chunks, self._asked, bytes_max)
        values = self._values(body)
        if len(values) == 1 and isinstance(values[0], dict):
            completion = cast("dict[str, Any]", values[0])
            told = told_by(completion)
            if told is not None:
                self._fail(told)
                body = self._without_key(body)
                completion = as_object(next(iter(self._values(body)), None))
            pieces = self._assembly.take_whole(completion)
        else:
            pieces = (*self._meaning(values), *self._assembly.rest())
            self._assembly.over = True
        yield Chunk(body, pieces, last=True)

    async def _events(self) -> AsyncGenerator[Chunk, None]:
        framer, assembly, patience = Framer(), self._assembly, self._patience
        try:
            async with aclosing(self._read()) as chunks:
                async for chunk in chunks:
                    said = False
                    for told in self._told_by(framer.feed(chunk)):
                        said = said or bool(told.pieces)
                        yield told
                    failed = self.outcome.error is not None
                    if failed and self._only_read:
                        return
                    finished = assembly.finished or failed
                    if said or finished or assembly.over:
                        patience.heard(began=assembly.began, finished=finished, over=assembly.over)
        except ProviderError:  # what is lost behind the end is no failure
            if not assembly.finished and not assembly.over and self.outcome.error is None:
                raise
        last = framer.close()
        for told in self._told_by([last] if last else ()):
            yield told
        rest = assembly.rest()
        if self._end or rest:
            yield Chunk(self._end, rest, last=True)

    def _told_by(self, frames: Iterable[bytes]) -> Iterator[Chunk]:
        """What events tell. The end, and what follows it, is kept for later."""
        for raw in frames:
            over = self._assembly.over or self.outcome.error is not None
            pieces = () if over else self._take(raw)
            if over and data_in(raw)[0] == _END:
                self._assembly.over = True
            if self.outcome.error is not None:
                raw = self._without_key(raw)  # noqa: PLW2901  what is told of it
            if not self._assembly.over:
                yield Chunk(raw, pieces)
                continue
            if len(self._end) < END_BYTES_MAX:
                self._end += raw
            if pieces:
                yield Chunk(b"", pieces)

    def _take(self, raw: bytes) -> tuple[Piece, ...]:
        """What an event means. It may be the end, or an error."""
        data, kind = data_in(raw)
        if not data:
            return ()
        failed = "error" in kind.lower() or "exception" in kind.lower()
        return tuple(self._meaning(self._values(data, failed=failed), failed=failed))

    def _values(self, data: bytes, *, failed: bool = False) -> list[object]:
        """The JSON in data. Words beside it are noted, or the end, or an error."""
        values, words, torn = values_in(data)
        self._torn += torn
        for said in words:
            told = ErrorBody(message=said) if failed else told_in_words(said)
            if said in _ENDS:
                self._assembly.over = True
            elif told is not None:
                self._fail(told)
            elif len(self._words) < WORDS_MAX and said[:1].isalpha() and " " in said:
                self._words.append(said)
        return values

    def _meaning(self, values: Iterable[object], *, failed: bool = False) -> Iterator[Piece]:
        """The pieces in values, each of which may be a list of more. One that tells an error is noted."""
        for value in values:
            if isinstance(value, list):
                yield from self._meaning(cast("list[object]", value), failed=failed)
                continue
            chunk = as_object(value)
            told = told_by(chunk)
            if told is None and failed:
                told = told_by({"error": value}) or ErrorBody()
            if told is not None:
                self._fail(told)
                data = self._without_key(orjson.dumps(copied(chunk)))
                chunk = as_object(next(iter(values_in(data)[0]), None))
            elif isinstance(value, str):
                yield from self._meaning(self._values(value.encode(errors="replace")))
            yield from self._assembly.take(chunk)

    def _fail(self, told: ErrorBody, retry_ms: int | None = None) -> None:
        """The server says that it failed. The first word of it counts."""
        if self.outcome.error is None:
            self.outcome.error = failure_of(told, self._asked, retry_ms)
            self.outcome.told = True

    def _without_key(self, said: bytes) -> bytes:
        return redacted(said, self._asked.key)

    def _settle(self) -> None:
        """Completes the outcome, once nothing more comes."""
        outcome, assembly = self.outcome, self._assembly
        if not self._understood:
            outcome.whole = outcome.error is None
            return
        assembly.settle(outcome)
        outcome.whole = assembly.whole and outcome.error is None and not self._misread
        if not outcome.whole and outcome.error is None:
            outcome.error = self._flaw()
            outcome.told = outcome.told or self._misread

    @property
    def _misread(self) -> bool:
        """Whether words may be missing in what was understood."""
        unheard = bool(self._words) and not self._assembly.finished
        return bool(self._torn or self._assembly.unread or unheard)

    def _flaw(self) -> ProviderError:
        """Why an answer that ended is not whole."""
        asked, assembly = self._asked, self._assembly
        if self._torn:
            return bad_reply(asked, f"sent {self._torn} damaged piece(s), so words may be missing")
        if assembly.unread:
            return bad_reply(asked, "sent an answer that could not be read")
        if self._words:
            return failure_of(ErrorBody(message=" ".join(self._words)), asked)
        if self._only_read:
            said = self.outcome.envelope.get("choices") or assembly.began
            begun = not assembly.over and bool(said)
        else:
            begun = assembly.began or self.streams
        if begun:
            return cut(asked)
        return no_answer(asked)


def passed_on(headers: Mapping[str, str], key: str = "") -> tuple[tuple[str, str], ...]:
    """The headers of an answer that may go to a client; none that holds the model server's key."""
    return tuple(
        (name.lower(), value)
        for name, value in headers.items()
        if (name.lower() in _PASSED or name.lower().startswith(_PASSED_BEGINNINGS))
        and not name.lower().startswith(_KEPT_BACK)
        and value.isascii()
        and value.isprintable()
        and redacted(value.encode(), key) == value.encode()
    )


def asked_in(body: Body) -> tuple[str, tuple[str, ...]]:
    """The model and the texts in a request, for the words that speak of its failure."""
    asked = as_object(parsed(body if isinstance(body, bytes) else b""))
    texts = (as_text(as_object(one).get("content")) for one in as_list(asked.get("messages")))
    return str(asked.get("model") or ""), tuple(texts)
