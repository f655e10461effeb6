"""The answer of a model server, passed on: its bytes as they are, and what a chat completion in them says.

Rules: a stream is told one event at a time, and its `[DONE]`, with all that follows it, comes last. A whole completion
is one piece of bytes; what is no chat completion is told as it comes, unread. A body that was packed for the way is
unpacked. What ends without being whole has an `error` in its outcome, as has what says so itself. Data that is no JSON
object is passed over; but where it began as one, words may be missing, so the answer is not whole. In what is refused
or tells an error, the model server's key is blotted out.

The headers that are passed are those about the request and its answer; none of the connection's, none that set
something in a browser for this server's name, and none that name the operator's account. What is not known is kept
back, but for `x-…`.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import orjson

from palaver.agents.assembly import Assembly, as_text
from palaver.agents.base import Piece
from palaver.agents.calls import JSON_TYPE, Body, Outcome, Passing, Told
from palaver.agents.dialect import END, as_list
from palaver.agents.failures import (
    Asked,
    Told as Failure,
    as_object,
    bad_reply,
    cut,
    failure_of,
    retry_after_ms,
    told_by,
    told_in_body,
)
from palaver.agents.patience import Patience
from palaver.agents.redaction import redacted
from palaver.agents.sse import EVENT_BYTES_MAX, EventTooLarge, Framer, data_in
from palaver.errors import Code, ProviderError

if TYPE_CHECKING:
    import httpx2

BODY_BYTES_MAX = 64 * 1024 * 1024
"""A completion that is larger is not read."""
REFUSAL_BYTES_MAX = 1024 * 1024
END_BYTES_MAX = 64 * 1024
"""What follows `[DONE]` is told so far, and then dropped."""

_END = END.encode()
_PASSED = frozenset(
    {
        *("accept-ranges", "apim-request-id", "content-disposition", "content-language"),
        *("content-range", "content-type", "etag", "last-modified", "request-id", "retry-after"),
        "retry-after-ms",
    }
)
_PASSED_BEGINNINGS = ("anthropic-", "azureml-", "llm_provider-", "openai-", "x-")
_KEPT_BACK = (
    *("openai-organization", "openai-project", "x-palaver-", "x-accel-", "x-api-key", "x-auth"),
    *("x-content-", "x-dns-", "x-download-", "x-forwarded-", "x-frame-", "x-lighttpd-"),
    *("x-litespeed-", "x-permitted-", "x-powered-", "x-real-", "x-robots-", "x-sendfile"),
    *("x-sourcemap", "x-ua-", "x-webkit-", "x-xss-"),  # browsers and proxies follow these
)


class Forwarded:
    """See `calls.Call`."""

    def __init__(
        self,
        response: "httpx2.Response",
        chunks: AsyncGenerator[bytes, None],
        *,
        passing: Passing,
        patience: Patience,
        asked: Asked,
        now_ms: int,
    ) -> None:
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        self.status = response.status_code
        streams = kind == "text/event-stream" or (passing.only_read and kind != JSON_TYPE)
        self.streams = streams and response.is_success
        self.headers = passed_on(response.headers, asked.key)
        self.outcome = Outcome()
        self._response = response
        self._chunks = chunks
        self._passing = passing
        self._patience = patience
        self._asked = asked
        self._now_ms = now_ms
        self._assembly = Assembly(passing.choices)
        self._damaged = 0
        self._heard = False
        self._end = b""

    async def told(self) -> AsyncGenerator[Told, None]:
        """See `calls.Call`."""
        if not self._response.is_success:
            parts = self._refusal()
        elif self._passing.chat:
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
        """See `calls.Call`."""
        await self._chunks.aclose()
        await self._response.aclose()

    async def _unread(self) -> AsyncGenerator[Told, None]:
        """What is no chat completion, as it comes; events one by one."""
        framer = Framer() if self.streams else None
        async for chunk in self._chunks:
            self._patience.heard(began=True, finished=False, over=False)
            for raw in framer.feed(chunk) if framer is not None else (chunk,):
                yield Told(self._without_key(raw) if b"error" in raw else raw)
        rest = framer.close() if framer is not None else b""
        if rest:
            yield Told(self._without_key(rest))

    async def _refusal(self) -> AsyncGenerator[Told, None]:
        try:
            body = await read(self._chunks, self._asked, REFUSAL_BYTES_MAX)
        except ProviderError:
            body = b""  # the status alone says enough
        body = self._without_key(body)
        told = told_in_body(self.status, body)
        retry_ms = retry_after_ms(self._response.headers, self._now_ms)
        self.outcome.error = failure_of(told, self._asked, retry_ms)
        self.outcome.told = True
        yield Told(body, last=True)

    async def _body(self) -> AsyncGenerator[Told, None]:
        bytes_max = EVENT_BYTES_MAX if self._passing.only_read else BODY_BYTES_MAX
        body = await read(self._chunks, self._asked, bytes_max)
        completion = self._parsed(body)
        told = told_by(completion)
        if told is not None:
            self.outcome.error, self.outcome.told = failure_of(told, self._asked), True
            body = self._without_key(body)
            completion = self._parsed(body)
        yield Told(body, self._assembly.take_whole(completion), last=True)

    async def _events(self) -> AsyncGenerator[Told, None]:
        framer, assembly = Framer(), self._assembly
        try:
            async for chunk in self._chunks:
                for told in self._told_by(framer.feed(chunk)):
                    yield told
                if self.outcome.error is not None:
                    return
                if self._heard:
                    self._heard = False
                    self._patience.heard(
                        began=assembly.began, finished=assembly.finished, over=assembly.over
                    )
        except ProviderError:  # what is lost behind the end is no failure
            if not assembly.finished and not assembly.over:
                raise
        last = framer.close()
        for told in self._told_by([last] if last else ()):
            yield told
        rest = assembly.rest()
        if self._end or rest:
            yield Told(self._end, rest, last=True)

    def _told_by(self, frames: Iterable[bytes]) -> Iterator[Told]:
        """What events tell, up to an error among them. The end, and what follows it, is kept for later."""
        for raw in frames:
            pieces = () if self._assembly.over else self._take(raw)
            if self._assembly.over:
                if len(self._end) < END_BYTES_MAX:
                    self._end += raw
                continue
            if self.outcome.error is not None:
                yield Told(self._without_key(raw), pieces)
                return
            yield Told(raw, pieces)

    def _take(self, raw: bytes) -> tuple[Piece, ...]:
        """What an event means. It may be the end, or an error."""
        data, kind = data_in(raw)
        if not data:
            return ()
        self._heard = True
        if data == _END:
            self._assembly.over = True
            return ()
        chunk = self._parsed(data)
        told = told_by(chunk)
        if told is not None:
            self.outcome.error, self.outcome.told = failure_of(told, self._asked), True
            chunk = self._parsed(self._without_key(data))
        elif kind == "error":
            words = str(chunk.get("message") or "") if chunk else data.decode(errors="replace")
            self.outcome.error = failure_of(Failure(status=0, message=words), self._asked)
        return self._assembly.take(chunk)

    def _without_key(self, said: bytes) -> bytes:
        return redacted(said, self._asked.key)

    def _parsed(self, data: bytes) -> dict[str, Any]:
        try:
            return as_object(orjson.loads(data))
        except orjson.JSONDecodeError:
            pass
        try:  # leniently: bytes that are no text, halves of characters, NaN
            return as_object(json.loads(data.decode(errors="replace")))
        except (ValueError, RecursionError):
            self._damaged += data.lstrip().startswith(b"{")
            return {}

    def _settle(self) -> None:
        """Says what it came to, once nothing more comes."""
        outcome, assembly = self.outcome, self._assembly
        if not self._passing.chat or not self._response.is_success:
            outcome.whole = outcome.error is None
            return
        outcome.envelope = assembly.envelope()
        outcome.finish = assembly.finish
        outcome.whole = assembly.whole and outcome.error is None and not self._damaged
        if not outcome.whole and outcome.error is None:
            outcome.error = self._flaw()

    def _flaw(self) -> ProviderError:
        """Why an answer that ended is not whole."""
        asked, assembly = self._asked, self._assembly
        if self._damaged:
            what = f"sent {self._damaged} damaged piece(s), so words may be missing"
            return bad_reply(asked, what)
        if self._passing.only_read:
            begun = not assembly.over and bool(self.outcome.envelope.get("choices"))
        else:
            begun = assembly.began or self.streams
        if begun:
            return cut(asked)
        return ProviderError(
            Code.PROVIDER_BAD_REPLY,
            f"{asked.label} sent nothing that is an answer. Check that OPENAI_BASE_URL is the address"
            " of an OpenAI-compatible API; it usually ends in /v1.",
        )


async def read(
    chunks: AsyncIterator[bytes], asked: Asked, bytes_max: int = BODY_BYTES_MAX
) -> bytes:
    """A whole body. Raises `ProviderError`."""
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > bytes_max:
            what = f"sent more than {bytes_max >> 20} MiB at once, which is not read"
            raise bad_reply(asked, what)
    return bytes(body)


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
    try:
        asked = as_object(orjson.loads(body if isinstance(body, bytes) else b""))
    except orjson.JSONDecodeError:
        return "", ()
    texts = (as_text(as_object(one).get("content")) for one in as_list(asked.get("messages")))
    return str(asked.get("model") or ""), tuple(texts)
