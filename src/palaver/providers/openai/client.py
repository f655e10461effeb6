"""Any OpenAI-compatible server as a provider.

Theory of operation. An answer is one streaming POST. Until its headers come, a failed connection and the statuses 429,
502, 503 and 504 are tried again, twice at the most, with a growing and jittered pause; once the answer has begun,
nothing is repeated here. A server that refuses a field it does not know is asked again without it. There is no limit on
the whole answer (the core has one), but on silence: see `patience`. An answer for a room is read as one that is passed
on is, see `forward`, with nobody to pass it on to.

Redirects are not followed, so that the key goes nowhere else. The key is in no error and no log: errors of the HTTP
library, which hold the request, are never chained. The closing of the generator closes the connection, which makes
every server stop.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, cast

import httpx2
import orjson
from pydantic import SecretStr

from palaver.clock import Clock
from palaver.errors import Code, ProviderError, Refused
from palaver.providers.base import (
    BesidePiece,
    Done,
    Model,
    Piece,
    ReasoningPiece,
    RefusalPiece,
    Request,
    TextPiece,
)
from palaver.providers.call import Body, Passing
from palaver.providers.errors import (
    Asked,
    Told,
    as_object,
    bad_reply,
    cut,
    failure_of,
    retry_after_ms,
    told_in_body,
)
from palaver.providers.http.client import address, way_to
from palaver.providers.http.deadline import Deadline, Patience
from palaver.providers.http.encodings import Unpackable, unpacked
from palaver.providers.http.sse import EVENT_BYTES_MAX
from palaver.providers.openai.models import Offer, models_of, offer_in
from palaver.providers.openai.passthrough import Forwarded, asked_in, read
from palaver.providers.openai.request import adapted, body_of
from palaver.settings import Settings

LABELS = {
    "ollama": "Ollama",
    "llama.cpp": "llama.cpp",
    "lm-studio": "LM Studio",
    "openai": "OpenAI",
    "vllm": "vLLM",
}
RETRIES_MAX = 2
RETRY_SECONDS = 0.5
RETRY_SECONDS_MAX = 8.0
"""A provider that asks us to wait longer is not waited for; the person is told how long instead."""
ADAPTATIONS_MAX = 4
MODELS_SECONDS = 10.0
ERROR_BYTES_MAX = 64 * 1024
SLICE_BYTES = 16 * 1024
"""So much of an answer is taken apart before all others have a turn."""
STATUS_MAX = 599
HEADERS = {"accept": "*/*", "accept-encoding": "identity", "user-agent": "palaver"}
"""Sent with every request that does not say otherwise."""

_REPEATABLE = frozenset({429, 502, 503, 504})
_NOT_FOUND = 404
_NOT_PACKED = frozenset({"", "identity", "none", "binary", "utf-8", "utf8"})
_NO_LIST = frozenset({404, 405, 501})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Refusal:
    """What came instead of an answer. `repeatable`: the same request may succeed in a moment."""

    error: ProviderError
    told: Told
    repeatable: bool = False


class Upstream:
    """A server at `base_url`, which usually ends in /v1. `name` says what it is, as in `LABELS`, else its host."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        *,
        name: str,
        base_url: str,
        key: SecretStr | None = None,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        """Refused: `settings_invalid` for an address or a key that cannot be used."""
        self.name = name
        self.real = True
        self._label = LABELS.get(name, name)
        self._settings = settings
        self._clock = clock
        self._key = _checked_key(key)
        self._base = _checked_base(base_url)
        self._retry_seconds = retry_seconds
        self._default: str | None = None
        self._asks_usage = True
        timeout = httpx2.Timeout(None, connect=settings.provider_connect_seconds)
        self._extensions = {"timeout": timeout.as_dict()}
        self._way = way_to(self._base, settings)
        self._send = self._way.transport.handle_async_request

    async def models(self) -> tuple[Model, ...]:
        """The models that can be asked, the default one first and marked."""
        wanted = self._settings.model
        offer = await self.offer()
        models = models_of(offer or Offer(), provider=self.name, wanted=wanted)
        if not models:
            raise ProviderError(
                Code.PROVIDER_REFUSED,
                f"{self._label} offers no model that can chat."
                " Load one there, or set PALAVER_MODEL and restart Palaver.",
                temporary=False,
            )
        self._default = models[0].id
        return models

    async def offer(self) -> Offer | None:
        """What `GET /models` lists; None where there is no such list. Raises `ProviderError`."""
        asked = self._asked("")
        patience = Patience(MODELS_SECONDS, MODELS_SECONDS)
        response = await self._attempt("GET", "/models", None, asked, patience)
        if isinstance(response, _Refusal):
            if response.told.status in _NO_LIST:
                return None
            raise response.error
        async with (
            aclosing(response),
            aclosing(self._chunks(response, asked, patience)) as chunks,
        ):
            return offer_in(await read(chunks, asked, EVENT_BYTES_MAX))

    async def answer(self, request: Request) -> AsyncGenerator[Piece, None]:
        """Streams one answer. Raises `ProviderError`."""
        settings = self._settings
        patience = self._patience(settings.provider_first_seconds)
        model = request.model or await self._default_model()
        asked = self._asked(model, request)
        response = await self._opened(request, asked, patience)
        passing = Passing(chat=True, stream=True, only_read=True)
        call = self._begun(response, asked, patience, passing, lambda: self.origin(model))
        try:
            await call.begin()
            async with aclosing(call.told()) as telling:
                async for told in telling:
                    for piece in told.pieces:
                        match piece:
                            case TextPiece(_, 0) | ReasoningPiece(_, 0):
                                yield piece
                            case BesidePiece(choice=0, call=None) if piece.fields:
                                yield piece
                            case RefusalPiece(text, 0):
                                yield TextPiece(text)
                            case _:
                                pass  # other choices and tools were not asked for
        finally:
            await call.close()
        if call.outcome.error is not None:
            raise call.outcome.error
        usage = as_object(call.outcome.envelope.get("usage"))
        yield Done(
            model=model,
            finish=call.outcome.finish or "stop",
            input_tokens=_count(usage.get("prompt_tokens")),
            output_tokens=_count(usage.get("completion_tokens")),
        )

    async def forward(
        self,
        method: str,
        path: str,
        body: Body,
        headers: Mapping[str, str],
        *,
        passing: Passing,
    ) -> Forwarded:
        """Passes a request on. Tried again only while nothing was received. Raises `ProviderError`."""
        settings = self._settings
        patience = self._patience(
            settings.provider_first_seconds if passing.stream else settings.openai_whole_seconds
        )
        retries = 0
        while not isinstance(
            got := await self._sent(method, path, body, headers, patience), httpx2.Response
        ):
            if not isinstance(body, bytes | None):
                raise got.error
            await self._pause(got, retries, patience)
            retries += 1
        asked = self._asked("")
        if got.is_error:
            model, texts = asked_in(body)
            asked = replace(asked, model=model, texts=texts)
        call = self._begun(got, asked, patience, passing, lambda: self.origin(asked_in(body)[0]))
        try:
            await call.begin()
        except BaseException:
            await call.close()
            raise
        return call

    def origin(self, model: str) -> str:
        """See `Forwards`."""
        return f"{self._base.netloc.decode()}{self._base.path} {model}"

    async def close(self) -> None:
        """Ends all connections."""
        await self._way.transport.aclose()

    # what is asked

    def _url(self, path: str) -> httpx2.URL:
        """The address of a path below the base; it may have a query."""
        path, _, query = path.partition("?")
        url = self._base.copy_with(path=self._base.path.rstrip("/") + path)
        return url.copy_with(query=query.encode()) if query else url

    def _asked(self, model: str, request: Request | None = None) -> Asked:
        texts: tuple[str, ...] = ()
        if request is not None:
            texts = (request.system_prompt, *(said.text for said in request.history))
        return Asked(label=self._label, name=self.name, model=model, key=self._key, texts=texts)

    def _patience(self, first_seconds: float) -> Patience:
        settings = self._settings
        return Patience(
            first_seconds, settings.provider_idle_seconds, settings.provider_alive_seconds
        )

    async def _default_model(self) -> str:
        if self._default is None:
            self._default = self._settings.model or (await self.models())[0].id
        return self._default

    # until the answer begins

    async def _opened(self, request: Request, asked: Asked, patience: Patience) -> httpx2.Response:
        """The response that is a success, after what it took to get one."""
        origin = self.origin(asked.model)
        body = body_of(request, asked.model, usage=self._asks_usage, origin=origin)
        retries = adaptations = 0
        while True:
            got = await self._attempt("POST", "/chat/completions", body, asked, patience)
            if isinstance(got, httpx2.Response):
                return got
            changed = adapted(body, got.told)
            if changed is not None and adaptations < ADAPTATIONS_MAX:
                adaptations += 1
                self._asks_usage = "stream_options" in changed
                body = changed
                continue
            if got.told.status == _NOT_FOUND:
                self._default = None
            await self._pause(got, retries, patience)
            retries += 1

    async def _attempt(
        self, method: str, path: str, body: dict[str, Any] | None, asked: Asked, patience: Patience
    ) -> httpx2.Response | _Refusal:
        """One request: the open response if it is a success, else why not."""
        content = None if body is None else orjson.dumps(body)
        headers = {} if body is None else {"content-type": "application/json"}
        response = await self._sent(method, path, content, headers, patience)
        if isinstance(response, _Refusal) or response.is_success:
            return response
        async with aclosing(response):
            told = told_in_body(response.status_code, await self._error_body(response, patience))
        retry_ms = retry_after_ms(response.headers, self._clock.now_ms())
        error = failure_of(told, asked, retry_ms)
        repeatable = error.temporary and told.status in _REPEATABLE
        return _Refusal(error=error, told=told, repeatable=repeatable)

    async def _sent(
        self, method: str, path: str, body: Body, headers: Mapping[str, str], patience: Patience
    ) -> httpx2.Response | _Refusal:
        """One request: the open response, whatever it says, or why there is none."""
        sent = {**HEADERS, **headers}
        if self._key:
            sent["authorization"] = f"Bearer {self._key}"
        url, extensions = self._url(path), self._extensions
        request = httpx2.Request(method, url, content=body, headers=sent, extensions=extensions)
        try:
            async with asyncio.timeout_at(patience.until):
                response = await self._send(request)
        except TimeoutError:
            return _Refusal(error=self._slow(patience), told=Told(status=0))
        except httpx2.RequestError as failure:
            if isinstance(failure, httpx2.DecodingError):
                return self._senseless("sent something that is no HTTP")
            why, repeatable = self._way.failure(failure)
            repeatable = repeatable and not isinstance(failure, httpx2.ConnectTimeout)
            return _Refusal(
                error=self._unreachable(why), told=Told(status=0), repeatable=repeatable
            )
        if response.status_code > STATUS_MAX:
            await response.aclose()
            return self._senseless("answered with a status that is none")
        return response

    async def _pause(self, refusal: _Refusal, retries: int, patience: Patience) -> None:
        """Waits before asking again: as the provider wants, else longer each time. Raises where that is no use."""
        pause = self._retry_seconds * 2**retries * (1 - self._clock.chance() / 4)
        if refusal.error.retry_ms is not None:
            pause = refusal.error.retry_ms / 1000
        late = asyncio.get_running_loop().time() + pause >= patience.until
        if not refusal.repeatable or retries >= RETRIES_MAX or pause > RETRY_SECONDS_MAX or late:
            raise refusal.error
        await asyncio.sleep(pause)

    # once it has begun

    def _begun(
        self,
        response: httpx2.Response,
        asked: Asked,
        patience: Patience,
        passing: Passing,
        origin: Callable[[], str],
    ) -> Forwarded:
        return Forwarded(
            response,
            self._chunks(response, asked, patience),
            passing=passing,
            origin=cache(origin),
            patience=patience,
            asked=asked,
            now_ms=self._clock.now_ms(),
        )

    async def _chunks(
        self, response: httpx2.Response, asked: Asked, patience: Patience
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

    def _senseless(self, what: str) -> _Refusal:
        return _Refusal(error=bad_reply(self._asked(""), what), told=Told(status=0))

    def _unreachable(self, why: str) -> ProviderError:
        return ProviderError(
            Code.PROVIDER_UNREACHABLE,
            f"{self._label} cannot be reached at {self._base.netloc.decode()}{why}, then try again.",
        )

    def _slow(self, patience: Patience) -> ProviderError:
        if patience.only_alive:
            what = "sent signs of life, and no word, for too long. Try again."
            return ProviderError(Code.PROVIDER_TIMEOUT, f"{self._label} {what}")
        what = (
            f"fell silent for {patience.seconds:g} seconds in the middle of the answer. Try again."
            if patience.begun
            else f"did not begin to answer within {patience.seconds:g} seconds."
            " A large model may still be loading: try again."
        )
        return ProviderError(Code.PROVIDER_TIMEOUT, f"{self._label} {what}")


def host_of(base_url: str) -> tuple[str, int | None]:
    """Host and port of a base URL. Refused: `settings_invalid`."""
    base = _checked_base(base_url)
    return base.host, base.port


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


def _count(tokens: object) -> int | None:
    return tokens if isinstance(tokens, int) and not isinstance(tokens, bool) else None


def _checked_key(key: SecretStr | None) -> str:
    text = key.get_secret_value().strip() if key is not None else ""
    if not text.isascii() or not text.isprintable():
        raise Refused(
            Code.SETTINGS_INVALID, "OPENAI_API_KEY holds characters that no key can have."
        )
    return text


def _checked_base(base_url: str) -> httpx2.URL:
    base = address(base_url)
    if base is None or base.userinfo:
        raise Refused(
            Code.SETTINGS_INVALID,
            "OPENAI_BASE_URL must look like http://127.0.0.1:11434/v1, without a user name in it.",
        )
    return base
