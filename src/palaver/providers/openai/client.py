"""Any OpenAI-compatible server as a provider.

Theory of operation. An answer is one streaming POST, see `http.client`; once it has begun, nothing is repeated. A
server that refuses a field it does not know is asked again without it. An answer for a room is read as one that is
passed on is, see `forward`, with nobody to pass it on to.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

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
from palaver.providers.call import CHAT, CallRequest
from palaver.providers.errors import SERVER, CallInfo, ErrorBody
from palaver.providers.http.client import RETRY_SECONDS, HttpClient, Saved, checked_key
from palaver.providers.http.route import checked_base
from palaver.providers.openai.models import Offer, models_of, offer_in
from palaver.providers.openai.passthrough import Forwarded, forwarded
from palaver.providers.openai.request import adapted, body_of
from palaver.settings import Settings

LABELS = {
    "ollama": "Ollama",
    "llama.cpp": "llama.cpp",
    "lm-studio": "LM Studio",
    "openai": "OpenAI",
    "vllm": "vLLM",
}
MODELS = "/models"
_NOT_FOUND = 404


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
        saved: Saved | None = None,
        retry_seconds: float = RETRY_SECONDS,
        expected: bool = True,
    ) -> None:
        """`expected`: as of `HttpClient`. Refused: `settings_invalid` for an address or a key that cannot be used."""
        self.name = name
        self.real = True
        self._settings = settings
        self._default: str | None = None
        self._asks_usage = True
        secret = checked_key(key)
        self._http = HttpClient(
            settings,
            clock,
            CallInfo(label=LABELS.get(name, SERVER), name=name, key=secret),
            base=checked_base(base_url),
            credentials={"authorization": f"Bearer {secret}"} if secret else {},
            saved=saved,
            retry_seconds=retry_seconds,
            expected=expected,
        )
        self.origin, self.close = self._http.origin, self._http.close

    async def models(self) -> tuple[Model, ...]:
        """The models that can be asked, the default one first and marked."""
        offer = await self.offer() or Offer()
        models = models_of(offer, provider=self.name, wanted=self._settings.model)
        if not models:
            raise ProviderError(
                Code.PROVIDER_REFUSED,
                f"{self._http.server.label} offers no model that can chat. Load one there, or "
                + (
                    "set PALAVER_MODEL and restart Palaver."
                    if self._http.server.variables
                    else "name one in its connection."
                ),
                temporary=False,
            )
        self._default = models[0].id
        return models

    async def offer(self) -> Offer | None:
        """What `GET /models` lists; None where there is no such list. Raises `ProviderError`."""
        body = await self._http.listing(MODELS)
        return None if body is None else offer_in(body)

    async def answer(self, request: Request) -> AsyncGenerator[Piece, None]:
        """Streams one answer. Raises `ProviderError`."""
        http = self._http
        patience = http.patience()
        model = request.model or await self._default_model()
        asked, origin = http.asked(model, request), self.origin(model)
        body = body_of(request, model, usage=self._asks_usage, origin=origin)
        response, _ = await http.opened(CHAT, body, asked, patience, self._adapted)
        call = Forwarded(http, response, asked, patience, lambda: origin)
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
            cached_tokens=usage.cached,
            reasoning_tokens=usage.reasoning,
        )

    async def forward(self, request: CallRequest) -> Forwarded:
        """Passes a request on. Tried again only while nothing was received. Raises `ProviderError`."""
        patience = self._http.patience(whole=not request.stream)
        return await forwarded(self._http, request, patience, self.origin)

    async def _default_model(self) -> str:
        if self._default is None:
            self._default = self._settings.model or (await self.models())[0].id
        return self._default

    def _adapted(self, body: dict[str, Any], told: ErrorBody) -> dict[str, Any] | None:
        """Leaves out of a body what the server does not take, and remembers that."""
        changed = adapted(body, told)
        if changed is not None:
            self._asks_usage = "stream_options" in changed
        elif told.status == _NOT_FOUND:
            self._default = None
        return changed
