"""Several providers as one: the name of the model says which of them answers.

Rules, the first that fits: `<profile>/<model>` names a profile; the beginning of a name that is a profile's own; what
one of the later profiles lists; else the first profile. A name with a slash that the first profile lists is whole. What
is no question to a model (files, batches) is the first profile's. Lists are asked for again after `KNOWN_SECONDS`, and
waited for so briefly that a provider that is away delays nobody.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from typing import Any, Protocol

import orjson
from msgspec import Struct
from msgspec.structs import replace

from palaver.clock import Clock
from palaver.errors import ProviderError
from palaver.providers.base import Model, Piece, Provider, Request
from palaver.providers.call import JSON_TYPE, Call, CallRequest, CallResult, Forwards, whole_body
from palaver.providers.openai.compose import Answered
from palaver.strict_json import as_list, as_object, parsed

MODELS = "/models"
KNOWN_SECONDS = 300.0
LISTED_SECONDS = 3.0


class Server(Provider, Forwards, Protocol):
    """A provider that OpenAI's clients can ask."""


class Profile(Struct, frozen=True, kw_only=True):
    """A connection to a provider. `family`: how the names of its own models begin."""

    name: str
    provider: Server
    family: str = ""

    def owns(self, model: str) -> bool:
        """Whether a model's name is of the family."""
        return bool(self.family) and model.startswith(self.family)


class Profiles:
    """See `base.Provider` and `call.Forwards`. `wanted` is the default model, else the first profile's is."""

    real = True

    def __init__(self, profiles: Sequence[Profile], clock: Clock, wanted: str | None) -> None:
        self.name = ", ".join(profile.provider.name for profile in profiles)
        self._profiles = tuple(profiles)
        self._clock = clock
        self._wanted = wanted
        self._default: str | None = None
        self._listed: dict[str, frozenset[str]] = {}
        self._listed_until = 0.0
        self._listing = asyncio.Lock()

    async def models(self) -> tuple[Model, ...]:
        """The models of all, the default one first and marked. Raises `ProviderError` where none can be asked."""
        found, failure = await self._lists()
        models = [model for one in self._profiles for model in found.get(one.name, ())]
        if not models:
            assert failure is not None, "a list that is empty is a failure"
            raise failure
        default = next(model for model in models if model.default)
        if self._wanted is not None:
            profile, name = self._chosen(self._wanted)
            default = Model(id=name, provider=profile.provider.name, default=True)
        self._default = default.id
        rest = (replace(one, default=False) for one in models if one.id != default.id)
        return (default, *rest)

    async def chosen(self, request: Request) -> tuple[Provider, Request]:
        """See `base.Several`."""
        model = request.model or self._wanted or self._default or (await self.models())[0].id
        profile, model = await self._profile_of(model)
        return profile.provider, replace(request, model=model)

    async def answer(self, request: Request) -> AsyncGenerator[Piece, None]:
        """Streams one answer. Raises `ProviderError`."""
        provider, request = await self.chosen(request)
        async with aclosing(provider.answer(request)) as pieces:
            async for piece in pieces:
                yield piece

    async def forward(self, request: CallRequest) -> Call:
        """Passes a request on to whom it is for. Raises `ProviderError`."""
        if (request.method, request.path) == ("GET", MODELS):
            return await self._listing_of_all(request)
        asked = _asked_in(request)
        given = asked.get("model")
        if not isinstance(given, str):
            return await self._profiles[0].provider.forward(request)
        profile, model = await self._profile_of(given)
        if model != given:
            request = replace(request, body=orjson.dumps({**asked, "model": model}))
        return await profile.provider.forward(request)

    def origin(self, model: str) -> str:
        """See `Forwards`."""
        profile, model = self._chosen(model)
        return profile.provider.origin(model)

    async def close(self) -> None:
        """Ends all connections."""
        for profile in self._profiles:
            await profile.provider.close()

    # which one

    async def _profile_of(self, model: str) -> tuple[Profile, str]:
        """The profile that answers for a model, and its name there."""
        if "/" in model or not any(one.owns(model) for one in self._profiles):
            async with self._listing:
                if self._clock.monotonic() >= self._listed_until:
                    await self._lists(LISTED_SECONDS)
        return self._chosen(model)

    def _chosen(self, model: str) -> tuple[Profile, str]:
        first, *others = self._profiles
        head, slash, rest = model.partition("/")
        for one in (*others, first):
            if slash and head in (one.name, one.provider.name):
                whole = one is first and model in self._listed.get(one.name, ())
                return one, model if whole else rest
        listed = (one for one in others if model in self._listed.get(one.name, ()))
        owning = (one for one in self._profiles if one.owns(model))
        return next(owning, None) or next(listed, first), model

    async def _lists(
        self, seconds: float | None = None
    ) -> tuple[dict[str, tuple[Model, ...]], ProviderError | None]:
        """The models of each profile that tells them in time, and the first failure."""
        found: dict[str, tuple[Model, ...]] = {}
        failures: list[ProviderError] = []

        async def ask(profile: Profile) -> None:
            try:
                async with asyncio.timeout(seconds):
                    found[profile.name] = await profile.provider.models()
            except TimeoutError:
                pass  # what it listed before still holds
            except ProviderError as failure:
                failures.append(failure)

        async with asyncio.TaskGroup() as group:
            for profile in self._profiles:
                group.create_task(ask(profile))
        self._listed_until = self._clock.monotonic() + KNOWN_SECONDS
        self._listed |= {name: frozenset(one.id for one in has) for name, has in found.items()}
        return found, next(iter(failures), None)

    async def _listing_of_all(self, request: CallRequest) -> Call:
        """The first profile's list as it tells it, with the models of the others behind."""
        body = b""
        with suppress(ProviderError):  # the others are told all the same
            body = await whole_body(await self._profiles[0].provider.forward(request))
        data = as_list(as_object(parsed(body)).get("data"))
        known = {as_object(one).get("id") for one in data}
        data += [
            {"id": model.id, "object": "model", "created": 0, "owned_by": model.provider}
            for model in await self.models()
            if model.id not in known
        ]
        body = orjson.dumps({"object": "list", "data": data})
        return Answered(status=200, outcome=CallResult(whole=True), body=body)


def _asked_in(request: CallRequest) -> dict[str, Any]:
    """A request that is JSON; an empty one for any other."""
    body, kind = request.body, request.headers.get("content-type", JSON_TYPE)
    if not isinstance(body, bytes) or JSON_TYPE not in kind:
        return {}
    return as_object(parsed(body))
