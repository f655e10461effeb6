"""Calls to a model server: each is made here, tried again while that may help, and ended when nothing comes.

A call is tried again only while nothing was received: after a failed connection, and the statuses of `_REPEATABLE`,
twice at the most, with a growing and jittered pause. Redirects are not followed, so that the key goes nowhere else. The
key is in no error and no log: errors of the HTTP library, which hold the request, are never chained. There is no limit
on a whole answer (the core has one), but on silence: see `deadline`. Closing the body closes the connection, which
makes every server stop.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

import httpx2
import orjson
from pydantic import SecretStr

from palaver.clock import Clock
from palaver.errors import Code, ProviderError, Refused
from palaver.providers.base import Request
from palaver.providers.call import Body
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
from palaver.providers.http.route import route_to
from palaver.settings import Settings

RETRIES_MAX = 2
RETRY_SECONDS = 0.5
RETRY_SECONDS_MAX = 8.0
"""A provider that asks us to wait longer is not waited for; the person is told how long instead."""
ERROR_BYTES_MAX = 64 * 1024
SLICE_BYTES = 16 * 1024
"""So much of an answer is taken apart before all others have a turn."""
STATUS_MAX = 599
HEADERS = {"accept": "*/*", "accept-encoding": "identity", "user-agent": "palaver"}
"""Sent with every request that does not say otherwise."""

_REPEATABLE = frozenset({429, 502, 503, 504, 529})
_NOT_PACKED = frozenset({"", "identity", "none", "binary", "utf-8", "utf8"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What came instead of an answer. `repeatable`: the same request may succeed in a moment."""

    error: ProviderError
    told: ErrorBody
    repeatable: bool = False


class HttpClient:
    """Makes calls to the server at `base`. `name` is for programs, `label` for people.

    `credentials` are headers that go with every call. `variables`: how the names of the server's settings begin.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        *,
        name: str,
        label: str,
        base: httpx2.URL,
        key: str,
        credentials: Mapping[str, str],
        variables: str = "OPENAI",
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        """Connects to nothing yet. Refused: `settings_invalid`, see `route_to`."""
        self.name, self.label, self.key = name, label, key
        self._base = base
        self._credentials = credentials
        self._variables = variables
        self._settings = settings
        self._clock = clock
        self._retry_seconds = retry_seconds
        timeout = httpx2.Timeout(None, connect=settings.provider_connect_seconds)
        self._extensions = {"timeout": timeout.as_dict()}
        self._route = route_to(base, settings, variables)
        self._send = self._route.transport.handle_async_request

    async def close(self) -> None:
        """Ends all connections."""
        await self._route.transport.aclose()

    def origin(self, model: str) -> str:
        """Names the server and a model, so that each is told only what came from it."""
        return f"{self._base.netloc.decode()}{self._base.path} {model}"

    # what is asked

    def asked(self, model: str, request: Request | None = None) -> CallInfo:
        """Describes a call for the words that speak of its failure."""
        texts: tuple[str, ...] = ()
        if request is not None:
            texts = (request.system_prompt, *(said.text for said in request.history))
        return CallInfo(
            label=self.label,
            name=self.name,
            model=model,
            key=self.key,
            texts=texts,
            variables=self._variables,
        )

    def patience(self, first_seconds: float) -> Patience:
        """Begins to wait for an answer; its first word may take `first_seconds`."""
        settings = self._settings
        return Patience(
            first_seconds, settings.provider_idle_seconds, settings.provider_alive_seconds
        )

    def _url(self, path: str) -> httpx2.URL:
        """The address of a path below the base; it may have a query."""
        path, _, query = path.partition("?")
        url = self._base.copy_with(path=self._base.path.rstrip("/") + path)
        return url.copy_with(query=query.encode()) if query else url

    # until the answer begins

    async def attempt(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None,
        asked: CallInfo,
        patience: Patience,
    ) -> httpx2.Response | Refusal:
        """One request: the open response if it is a success, else why not."""
        content = None if body is None else orjson.dumps(body)
        headers = {} if body is None else {"content-type": "application/json"}
        response = await self.sent(method, path, content, headers, patience)
        if isinstance(response, Refusal) or response.is_success:
            return response
        async with aclosing(response):
            told = told_in_body(response.status_code, await self._error_body(response, patience))
        retry_ms = retry_after_ms(response.headers, self._clock.now_ms())
        error = failure_of(told, asked, retry_ms)
        repeatable = error.temporary and told.status in _REPEATABLE
        return Refusal(error=error, told=told, repeatable=repeatable)

    async def sent(
        self, method: str, path: str, body: Body, headers: Mapping[str, str], patience: Patience
    ) -> httpx2.Response | Refusal:
        """One request: the open response, whatever it says, or why there is none."""
        sent = {**HEADERS, **headers, **self._credentials}
        url, extensions = self._url(path), self._extensions
        request = httpx2.Request(method, url, content=body, headers=sent, extensions=extensions)
        try:
            async with asyncio.timeout_at(patience.until):
                response = await self._send(request)
        except TimeoutError:
            return Refusal(error=self._slow(patience), told=ErrorBody(status=0))
        except httpx2.RequestError as failure:
            if isinstance(failure, httpx2.DecodingError):
                return self._senseless("sent something that is no HTTP")
            why, repeatable = self._route.failure(failure)
            repeatable = repeatable and not isinstance(failure, httpx2.ConnectTimeout)
            return Refusal(
                error=self._unreachable(why), told=ErrorBody(status=0), repeatable=repeatable
            )
        if response.status_code > STATUS_MAX:
            await response.aclose()
            return self._senseless("answered with a status that is none")
        return response

    async def pause(self, refusal: Refusal, retries: int, patience: Patience) -> None:
        """Waits before asking again: as the provider wants, else longer each time. Raises where that is no use."""
        pause = self._retry_seconds * 2**retries * (1 - self._clock.chance() / 4)
        if refusal.error.retry_ms is not None:
            pause = refusal.error.retry_ms / 1000
        late = asyncio.get_running_loop().time() + pause >= patience.until
        if not refusal.repeatable or retries >= RETRIES_MAX or pause > RETRY_SECONDS_MAX or late:
            raise refusal.error
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
            async with (
                asyncio.timeout_at(patience.until),
                aclosing(_parts(response)) as chunks,
            ):
                async for chunk in chunks:
                    body += chunk
                    if len(body) > ERROR_BYTES_MAX:
                        break
        except (TimeoutError, httpx2.RequestError, Unpackable):
            pass
        return bytes(body[:ERROR_BYTES_MAX])

    # how it fails

    def _senseless(self, what: str) -> Refusal:
        return Refusal(error=bad_reply(self.asked(""), what), told=ErrorBody(status=0))

    def _unreachable(self, why: str) -> ProviderError:
        return ProviderError(
            Code.PROVIDER_UNREACHABLE,
            f"{self.label} cannot be reached at {self._base.netloc.decode()}{why}, then try again.",
        )

    def _slow(self, patience: Patience) -> ProviderError:
        if patience.only_alive:
            what = "sent signs of life, and no word, for too long. Try again."
            return ProviderError(Code.PROVIDER_TIMEOUT, f"{self.label} {what}")
        what = (
            f"fell silent for {patience.seconds:g} seconds in the middle of the answer. Try again."
            if patience.begun
            else f"did not begin to answer within {patience.seconds:g} seconds."
            " A large model may still be loading: try again."
        )
        return ProviderError(Code.PROVIDER_TIMEOUT, f"{self.label} {what}")


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
        raise Refused(
            Code.SETTINGS_INVALID, f"{variables}_API_KEY holds characters that no key can have."
        )
    return text


def _parts(response: httpx2.Response) -> AsyncGenerator[bytes, None]:
    """The body as it comes, unpacked; straight from the connection where nothing is packed."""
    assert isinstance(response.stream, httpx2.AsyncByteStream), (
        "it came from an asynchronous transport"
    )
    # All of them are generators, so that they can be closed.
    parts = cast("AsyncGenerator[bytes, None]", aiter(response.stream))
    encoding = _encoding(response)
    return parts if encoding in _NOT_PACKED else unpacked(parts, encoding)


def _encoding(response: httpx2.Response) -> str:
    return response.headers.get("content-encoding", "").strip().lower()
