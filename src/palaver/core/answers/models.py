"""Asks model servers for the doors: which models there are, and calls that are passed on."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from palaver.clock import Clock
from palaver.errors import ProviderError
from palaver.model import NO_DATA
from palaver.providers.base import Model
from palaver.providers.call import Body, Call, CallRequest, Forwards
from palaver.providers.openai.completion import complete
from palaver.providers.openai.compose import call
from palaver.providers.pool import Providers


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """What can answer here. `hint` says how to connect a model while none is."""

    models: tuple[Model, ...]
    provider: str
    hint: str | None


@dataclass(frozen=True, slots=True)
class ModelServer:
    """Asks whatever provider is connected now. `_counting` counts the errors of a block."""

    _providers: Providers
    _clock: Clock
    _counting: Callable[[], AbstractContextManager[None]]

    async def listed(self) -> Models:
        """The models that can be asked now. A provider that fails has none, and says why in `hint`."""
        provider = await self._providers.current()
        try:
            models = await provider.models()
        except ProviderError as failure:
            return Models(models=(), provider=provider.name, hint=failure.detail)
        return Models(models=models, provider=provider.name, hint=self._providers.hint())

    async def call(
        self,
        method: str,
        path: str,
        body: Body = None,
        headers: Mapping[str, str] = NO_DATA,
        *,
        stream: bool = False,
        choices: int = 1,
    ) -> Call:
        """Asks at a path below the server's base; see `providers.openai.compose`. Raises `ProviderError`."""
        provider = await self._providers.current()
        request = CallRequest(
            method=method, path=path, body=body, headers=headers, stream=stream, choices=choices
        )
        with self._counting():
            return await call(provider, request, self._clock)

    async def complete(self, body: dict[str, Any], *, shortens: bool = False) -> Call:
        """Asks for a chat completion in our own words; see `providers.openai.completion`. Raises `ProviderError`."""
        provider = await self._providers.current()
        with self._counting():
            return await complete(provider, body, clock=self._clock, shortens=shortens)

    async def origin(self, model: str) -> str | None:
        """By what it is known that something was told by the model server and a model; see `BesidePiece`."""
        provider = await self._providers.current()
        return provider.origin(model) if isinstance(provider, Forwards) else None
