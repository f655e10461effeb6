"""Calls to a model server: each is made here, tried again while that may help, and ended when nothing comes.

A call is tried again only while nothing was received: after a failed connection, and the statuses of `_REPEATABLE`,
twice at the most, with a growing and jittered pause. Redirects are not followed, so that the key goes nowhere else. The
key is in no error and no log: errors of the HTTP library, which hold the request, are never chained. Where a server is
stands in the log and in no error, which goes to whoever asked. There is no limit
on a whole answer (the core has one), but on silence: see `deadline`. Closing the body closes the connection, which
makes every server stop.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from functools import lru_cache
from typing import Any, cast

import httpx2
import orjson
import structlog
from msgspec import Struct
from msgspec.structs import replace
from pydantic import SecretStr

from palaver.clock import Clock
from palaver.errors import Code, ProviderError
from palaver.model import NO_DATA
from palaver.providers.base import Request
from palaver.providers.call import JSON_TYPE, CallRequest
from palaver.providers.errors import (
    CallInfo,
    ErrorBody,
    bad_reply,
    cut,
    failure_of,
    retry_after_ms,
    told_in_body,
)
from palaver.providers.http.deadline import Deadline, Patience
from palaver.providers.http.encodings import Unpackable, unpacked
from palaver.providers.http.route import route_to, unusable
from palaver.providers.http.sse import EVENT_BYTES_MAX
from palaver.settings import Settings

ADAPTATIONS_MAX = 4
RETRIES_MAX = 2
RETRY_SECONDS = 0.5
RETRY_SECONDS_MAX = 8.0
"""A provider that asks us to wait longer is not waited for; the person is told how long instead."""
ERROR_BYTES_MAX = 64 * 1024
SLICE_BYTES = 16 * 1024
"""So much of an answer is taken apart before all others have a turn."""
LISTING_SECONDS = 10.0
URLS_KEPT = 64
"""Addresses that need not be put together again for each call."""
STATUS_MAX = 599
HEADERS = {"accept": "*/*", "accept-encoding": "identity", "user-agent": "palaver"}
"""Sent with every request that does not say otherwise."""

_NO_LIST = frozenset({404, 405, 501})
_REPEATABLE = frozenset({429, 502, 503, 504, 529})
_NOT_PACKED = frozenset({"", "identity", "none", "binary", "utf-8", "utf8"})
_UNTOLD = ErrorBody()

log = structlog.stdlib.get_logger()

Json = dict[str, Any]
Adapt = Callable[[Json, ErrorBody], Json | None]
"""Gives a body without what the server says that it does not take; None where that is not the matter."""


class Refusal(ProviderError):
    """What came instead of an answer. `told`: how; `repeatable`: the same request may succeed in a moment."""

    def __init__(
        self, error: ProviderError, told: ErrorBody = _UNTOLD, *, repeatable: bool = False
    ) -> None:
        super().__init__(
            error.code, error.detail, temporary=error.temporary, retry_ms=error.retry_ms
        )
        self.told, self.repeatable = told, repeatable


class Saved(Struct, frozen=True, kw_only=True):
    """What a saved profile says of a server beside address and key. `may_reach`: as `http.connection` says."""

    headers: Mapping[str, SecretStr]
    may_reach: Callable[[str], bool] | None


class HttpClient:
    """Makes calls to the server at `base`. `credentials` go with every call as headers, as do those of `saved`."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        server: CallInfo,
        *,
        base: httpx2.URL,
        credentials: Mapping[str, str],
        usual: Mapping[str, str] = NO_DATA,
        saved: Saved | None = None,
        retry_seconds: float = RETRY_SECONDS,
        expected: bool = True,
    ) -> None:
        """Connects to nothing yet; `usual` are as `HEADERS`. That a server is away is told once, if it is `expected`.

        Refused: `settings_invalid`, see `route_to`.
        """
        at = base.netloc.decode()
        server = replace(server, places=(f"{base.scheme}://{at}", at, base.host))
        if saved is not None:
            headers = {name: value.get_secret_value() for name, value in saved.headers.items()}
            keys = "\n".join((server.key, *headers.values()))
            server = replace(server, key=keys, variables="")
            credentials = {**headers, **credentials}
        self.server = server
        self._base = base
        self._credentials = credentials
        self._usual = {**HEADERS, **usual}
        self._settings = settings
        self._clock = clock
        self._retry_seconds = retry_seconds
        self._away = not expected
        timeout = httpx2.Timeout(None, connect=settings.provider_connect_seconds)
        self._extensions = {"timeout": timeout.as_dict()}
        self._route = route_to(base, settings, server.variables, saved and saved.may_reach)
        transport = self._route.transport
        self._send, self.close = transport.handle_async_request, transport.aclose
        self._url = lru_cache(URLS_KEPT)(self._url_of)

    def origin(self, model: str) -> str:
        """Names the server and a model, so that each is told only what came from it."""
        return f"{self._base.netloc.decode()}{self._base.path} {model}"

    # what is asked

    def asked(self, model: str, request: Request) -> CallInfo:
        """Describes a call for the words that speak of its failure."""
        texts = (request.system_prompt, *(said.text for said in request.history))
        return replace(self.server, model=model, texts=texts)

    def patience(self, *, whole: bool = False) -> Patience:
        """Begins to wait for an answer: for its first word, or for one that comes `whole`."""
        limits = self._settings
        first = limits.openai_whole_seconds if whole else limits.provider_first_seconds
        return Patience(first, limits.provider_idle_seconds, limits.provider_alive_seconds)

    def _url_of(self, path: str) -> httpx2.URL:
        """The address of a path below the base; it may have a query."""
        path, _, query = path.partition("?")
        url = self._base.copy_with(path=self._base.path.rstrip("/") + path)
        return url.copy_with(query=query.encode()) if query else url

    # until the answer begins

    async def attempt(
        self, path: str, body: Json | None, asked: CallInfo, patience: Patience
    ) -> httpx2.Response | Refusal:
        """One request, of a body or to read: the open response if it is a success, else why not."""
        request = CallRequest(method="GET", path=path)
        if body is not None:
            headers = {"content-type": JSON_TYPE}
            request = replace(request, method="POST", body=orjson.dumps(body), headers=headers)
        response = await self.sent(request, patience)
        if isinstance(response, Refusal) or response.is_success:
            return response
        async with aclosing(response):
            told = told_in_body(response.status_code, await self._error_body(response, patience))
        error = failure_of(told, asked, self.retry_ms(response))
        repeatable = error.temporary and told.status in _REPEATABLE
        return Refusal(error, told, repeatable=repeatable)

    async def sent(self, asked: CallRequest, patience: Patience) -> httpx2.Response | Refusal:
        """One request: the open response, whatever it says, or why there is none."""
        request = httpx2.Request(
            asked.method,
            self._url(asked.path),
            content=asked.body,
            headers={**self._usual, **asked.headers, **self._credentials},
            extensions=self._extensions,
        )
        try:
            async with asyncio.timeout_at(patience.until):
                response = await self._send(request)
        except TimeoutError:
            return Refusal(self._slow(patience))
        except httpx2.RequestError as failure:
            if isinstance(failure, httpx2.DecodingError):
                return self._senseless("sent something that is no HTTP")
            why, repeatable = self._route.failure(failure)
            if not self._away:
                self._away = True
                at, proxy = self.server.places[0], self._route.proxy
                log.warning("provider.unreachable", at=at, proxy=proxy)
            repeatable = repeatable and not isinstance(failure, httpx2.ConnectTimeout)
            return Refusal(self._unreachable(why), repeatable=repeatable)
        self._away = False
        if response.status_code > STATUS_MAX:
            await response.aclose()
            return self._senseless("answered with a status that is none")
        return response

    def retry_ms(self, response: httpx2.Response) -> int | None:
        """How long the server asks to wait."""
        return retry_after_ms(response.headers, self._clock.now_ms())

    async def opened(
        self, path: str, body: Json, asked: CallInfo, patience: Patience, adapt: Adapt
    ) -> tuple[httpx2.Response, Json]:
        """The response that is a success, and the body that led to it. Raises `Refusal`."""
        retries = adaptations = 0
        while True:
            got = await self.attempt(path, body, asked, patience)
            if isinstance(got, httpx2.Response):
                return got, body
            adapted = adapt(body, got.told)
            if adapted is not None and adaptations < ADAPTATIONS_MAX:
                adaptations += 1
                body = adapted
                continue
            await self.pause(got, retries, patience)
            retries += 1

    async def listing(self, path: str) -> bytes | None:
        """Reads a list of models; None where a server has none. Raises `ProviderError`."""
        patience = Patience(LISTING_SECONDS, LISTING_SECONDS)
        got = await self.attempt(path, None, self.server, patience)
        if isinstance(got, Refusal):
            if got.told.status in _NO_LIST:
                return None
            raise got
        async with aclosing(got), aclosing(self.chunks(got, self.server, patience)) as chunks:
            return await read(chunks, self.server, EVENT_BYTES_MAX)

    async def pause(self, refusal: Refusal, retries: int, patience: Patience) -> None:
        """Waits before asking again: as the provider wants, else longer each time. Raises where that is no use."""
        pause = self._retry_seconds * 2**retries * (1 - self._clock.chance() / 4)
        if refusal.retry_ms is not None:
            pause = refusal.retry_ms / 1000
        late = asyncio.get_running_loop().time() + pause >= patience.until
        if not refusal.repeatable or retries >= RETRIES_MAX or pause > RETRY_SECONDS_MAX or late:
            raise refusal
        await asyncio.sleep(pause)

    # once it has begun

    async def chunks(
        self, response: httpx2.Response, asked: CallInfo, patience: Patience
    ) -> AsyncGenerator[bytes, None]:
        """The body as it comes; each part by its own deadline."""
        deadline = Deadline(patience)
        try:
            async with aclosing(_parts(response)) as parts:
                while True:
                    with deadline:
                        chunk = await anext(parts, None)
                    if chunk is None:
                        return
                    patience.alive()
                    for start in range(0, len(chunk), SLICE_BYTES):
                        if start:  # it may hold many thousand events, and everyone else waits
                            await asyncio.sleep(0)
                        yield chunk[start : start + SLICE_BYTES]
        except TimeoutError:
            raise self._slow(patience) from None
        except Unpackable:
            what = f"sent an answer that cannot be unpacked (encoding {_encoding(response)[:20]})"
            raise bad_reply(asked, what) from None
        except httpx2.DecodingError:
            raise bad_reply(asked, "sent something that is no HTTP") from None
        except httpx2.RequestError:
            raise cut(asked) from None
        finally:
            deadline.close()

    async def _error_body(self, response: httpx2.Response, patience: Patience) -> bytes:
        """The beginning of a refusal's body, as far as it came: the status alone says enough."""
        body = bytearray()
        try:
            async with asyncio.timeout_at(patience.until), aclosing(_parts(response)) as parts:
                async for part in parts:
                    body += part
                    if len(body) > ERROR_BYTES_MAX:
                        break
        except (TimeoutError, httpx2.RequestError, Unpackable):
            pass
        return bytes(body[:ERROR_BYTES_MAX])

    # how it fails

    def _senseless(self, what: str) -> Refusal:
        return Refusal(bad_reply(self.server, what))

    def _unreachable(self, why: str) -> ProviderError:
        return ProviderError(
            Code.PROVIDER_UNREACHABLE,
            f"{self.server.label} cannot be reached{why}, then try again.",
        )

    def _slow(self, patience: Patience) -> ProviderError:
        if patience.only_alive:
            what = "sent signs of life, and no word, for too long. Try again."
            return ProviderError(Code.PROVIDER_TIMEOUT, f"{self.server.label} {what}")
        what = (
            f"fell silent for {patience.seconds:g} seconds in the middle of the answer. Try again."
            if patience.begun
            else f"did not begin to answer within {patience.seconds:g} seconds."
            " A large model may still be loading: try again."
        )
        return ProviderError(Code.PROVIDER_TIMEOUT, f"{self.server.label} {what}")


async def read(chunks: AsyncIterator[bytes], asked: CallInfo, bytes_max: int) -> bytes:
    """A whole body. Raises `ProviderError`."""
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > bytes_max:
            what = f"sent more than {bytes_max >> 20} MiB at once, which is not read"
            raise bad_reply(asked, what)
    return bytes(body)


def checked_key(key: SecretStr | None, variables: str = "OPENAI") -> str:
    """Reads a key from its setting. Refused: `settings_invalid`."""
    text = key.get_secret_value().strip() if key is not None else ""
    if not text.isascii() or not text.isprintable():
        raise unusable(f"{variables}_API_KEY holds characters that no key can have.")
    return text


def _parts(response: httpx2.Response) -> AsyncGenerator[bytes, None]:
    """The body as it comes, unpacked; straight from the connection where nothing is packed."""
    assert isinstance(response.stream, httpx2.AsyncByteStream), "from an asynchronous transport"
    # All of them are generators, so that they can be closed.
    parts = cast("AsyncGenerator[bytes, None]", aiter(response.stream))
    encoding = _encoding(response)
    return parts if encoding in _NOT_PACKED else unpacked(parts, encoding)


def _encoding(response: httpx2.Response) -> str:
    return response.headers.get("content-encoding", "").strip().lower()
