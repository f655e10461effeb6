"""Any OpenAI-compatible server as a provider.

Theory of operation. An answer is one streaming POST, see `http.client`; once it has begun, nothing is repeated. A
server that refuses a field it does not know is asked again without it. An answer for a room is read as one that is
passed on is, see `forward`, with nobody to pass it on to.
"""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from functools import cache

import httpx2
from pydantic import SecretStr

from palaver.clock import Clock
from palaver.errors import Code, ProviderError
from palaver.providers.base import (
    BesidePiece,
    Done,
    Model,
    Piece,
    ReasoningPiece,
    RefusalPiece,
    Request,
    TextPiece,
    Usage,
)
from palaver.providers.call import Body, CallOptions
from palaver.providers.errors import CallInfo
from palaver.providers.http.client import RETRY_SECONDS, HttpClient, Refusal, checked_key, read
from palaver.providers.http.deadline import Patience
from palaver.providers.http.route import checked_base
from palaver.providers.http.sse import EVENT_BYTES_MAX
from palaver.providers.openai.models import Offer, models_of, offer_in
from palaver.providers.openai.passthrough import Forwarded, asked_in
from palaver.providers.openai.request import adapted, body_of
from palaver.settings import Settings

LABELS = {
    "ollama": "Ollama",
    "llama.cpp": "llama.cpp",
    "lm-studio": "LM Studio",
    "openai": "OpenAI",
    "vllm": "vLLM",
}
ADAPTATIONS_MAX = 4
MODELS_SECONDS = 10.0
_NOT_FOUND = 404
_NO_LIST = frozenset({404, 405, 501})


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
        self._settings = settings
        self._clock = clock
        self._default: str | None = None
        self._asks_usage = True
        secret = checked_key(key)
        self._http = HttpClient(
            settings,
            clock,
            name=name,
            label=LABELS.get(name, name),
            base=checked_base(base_url),
            key=secret,
            credentials={"authorization": f"Bearer {secret}"} if secret else {},
            retry_seconds=retry_seconds,
        )

    async def models(self) -> tuple[Model, ...]:
        """The models that can be asked, the default one first and marked."""
        wanted = self._settings.model
        offer = await self.offer()
        models = models_of(offer or Offer(), provider=self.name, wanted=wanted)
        if not models:
            raise ProviderError(
                Code.PROVIDER_REFUSED,
                f"{self._http.label} offers no model that can chat."
                " Load one there, or set PALAVER_MODEL and restart Palaver.",
                temporary=False,
            )
        self._default = models[0].id
        return models

    async def offer(self) -> Offer | None:
        """What `GET /models` lists; None where there is no such list. Raises `ProviderError`."""
        asked = self._http.asked("")
        patience = Patience(MODELS_SECONDS, MODELS_SECONDS)
        response = await self._http.attempt("GET", "/models", None, asked, patience)
        if isinstance(response, Refusal):
            if response.told.status in _NO_LIST:
                return None
            raise response.error
        async with (
            aclosing(response),
            aclosing(self._http.chunks(response, asked, patience)) as chunks,
        ):
            return offer_in(await read(chunks, asked, EVENT_BYTES_MAX))

    async def answer(self, request: Request) -> AsyncGenerator[Piece, None]:
        """Streams one answer. Raises `ProviderError`."""
        settings = self._settings
        patience = self._http.patience(settings.provider_first_seconds)
        model = request.model or await self._default_model()
        asked = self._http.asked(model, request)
        response = await self._opened(request, asked, patience)
        passing = CallOptions(chat=True, stream=True, only_read=True)
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
        usage = call.outcome.usage or Usage()
        yield Done(
            model=model,
            finish=call.outcome.finish or "stop",
            input_tokens=usage.input,
            output_tokens=usage.output,
        )

    async def forward(
        self,
        method: str,
        path: str,
        body: Body,
        headers: Mapping[str, str],
        *,
        passing: CallOptions,
    ) -> Forwarded:
        """Passes a request on. Tried again only while nothing was received. Raises `ProviderError`."""
        settings = self._settings
        patience = self._http.patience(
            settings.provider_first_seconds if passing.stream else settings.openai_whole_seconds
        )
        retries = 0
        while not isinstance(
            got := await self._http.sent(method, path, body, headers, patience), httpx2.Response
        ):
            if not isinstance(body, bytes | None):
                raise got.error
            await self._http.pause(got, retries, patience)
            retries += 1
        asked = self._http.asked("")
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
        return self._http.origin(model)

    async def close(self) -> None:
        """Ends all connections."""
        await self._http.close()

    # what is asked

    async def _default_model(self) -> str:
        if self._default is None:
            self._default = self._settings.model or (await self.models())[0].id
        return self._default

    # until the answer begins

    async def _opened(
        self, request: Request, asked: CallInfo, patience: Patience
    ) -> httpx2.Response:
        """The response that is a success, after what it took to get one."""
        origin = self.origin(asked.model)
        body = body_of(request, asked.model, usage=self._asks_usage, origin=origin)
        retries = adaptations = 0
        while True:
            got = await self._http.attempt("POST", "/chat/completions", body, asked, patience)
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
            await self._http.pause(got, retries, patience)
            retries += 1

    # once it has begun

    def _begun(
        self,
        response: httpx2.Response,
        asked: CallInfo,
        patience: Patience,
        passing: CallOptions,
        origin: Callable[[], str],
    ) -> Forwarded:
        return Forwarded(
            response,
            self._http.chunks(response, asked, patience),
            passing=passing,
            origin=cache(origin),
            patience=patience,
            asked=asked,
            now_ms=self._clock.now_ms(),
        )


def host_of(base_url: str) -> tuple[str, int | None]:
    """Host and port of a base URL. Refused: `settings_invalid`."""
    base = checked_base(base_url)
    return base.host, base.port
