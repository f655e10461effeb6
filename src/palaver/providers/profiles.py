"""Several providers as one: the name of the model says which of them answers.

Rules, the first that fits: `<profile>/<model>` names a profile; the beginning of a name that is a profile's own; what a
profile lists, the first one; else the first profile. `default`, which nobody lists, is the default model. A name with a
slash that the first profile lists is whole. What is
no question to a model (files, batches) is the first profile's. A model whose bare name is asked elsewhere is listed
behind its profile's. Lists are asked for again after `KNOWN_SECONDS`, and waited for so briefly that a provider that is
away delays nobody. All that is remembered is so with the profiles, which stand in several views of different callers.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from typing import Any

import orjson
from msgspec import Struct, field
from msgspec.structs import replace

from palaver.clock import Clock
from palaver.errors import Code, ProviderError
from palaver.model.profiles import ProfileKind
from palaver.providers.base import DEFAULT, Model, Piece, Provider, Request
from palaver.providers.call import JSON_TYPE, Call, CallRequest, CallResult, Forwards, whole_body
from palaver.providers.openai.compose import Answered, call
from palaver.strict_json import as_list, as_object, parsed

MODELS = "/models"
KNOWN_SECONDS = 300.0
LISTED_SECONDS = 3.0
_STORED = re.compile("f_[0-9a-f]{32}")


class Profile(Struct, kw_only=True, eq=False):
    """A connection to a provider. `family`: how the names of its own models begin.

    `listed` is what it told last, and its `default` model; it is asked again `until` then.
    """

    name: str
    provider: Provider
    kind: ProfileKind = ProfileKind.OPENAI
    id: str = ""
    base_url: str = ""
    family: str = ""
    listed: frozenset[str] = frozenset()
    default: str | None = None
    until: float = 0.0
    listing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def owns(self, model: str) -> bool:
        """Whether a model's name is of the family."""
        return bool(self.family) and model.startswith(self.family)


class Profiles:
    """See `base.Provider` and `call.Forwards`. `wanted` is the default model, else the first profile's is."""

    real = True

    def __init__(self, profiles: Sequence[Profile], clock: Clock, wanted: str | None) -> None:
        self.name = ", ".join(profile.provider.name for profile in profiles)
        self.profiles = tuple(profiles)
        self._clock = clock
        self._wanted = wanted

    async def models(self) -> tuple[Model, ...]:
        """The models of all, the default one first and marked. Raises `ProviderError` where none can be asked."""
        found: dict[Profile, tuple[Model, ...]] = {}
        failures: list[ProviderError] = []

        async def ask(profile: Profile) -> None:
            try:
                found[profile] = await self._list(profile)
            except ProviderError as failure:
                failures.append(failure)

        async with asyncio.TaskGroup() as group:
            for profile in self.profiles:
                group.create_task(ask(profile))
        models = [
            replace(model, id=self._named(profile, model.id), key=_kept(profile, model.id))
            for profile in self.profiles
            for model in found.get(profile, ())
        ]
        if not models:
            raise failures[0]
        default = next(model for model in models if model.default)
        if self._wanted is not None:
            profile, name = self._chosen(self._wanted)
            id_ = self._named(profile, name)
            key = _kept(profile, name)
            default = Model(id=id_, provider=profile.provider.name, default=True, key=key)
        rest = (replace(one, default=False) for one in models if one.id != default.id)
        return (default, *rest)

    async def chosen(self, request: Request) -> tuple[Provider, Request]:
        """See `base.Several`."""
        model = request.model or self._usual() or (await self.models())[0].id
        profile, model = await self._profile_of(model)
        return profile.provider, replace(request, model=model or None)

    async def place(self, model: str) -> str:
        """See `base.Several`."""
        profile, name = await self._profile_of(model)
        return _kept(profile, name) or model

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
            return await call(self.profiles[0].provider, request, self._clock)
        profile, model = await self._profile_of(given)
        if model != given:
            request = replace(request, body=orjson.dumps({**asked, "model": model}))
        made = await call(profile.provider, request, self._clock)
        made.outcome.model = model
        return made

    def origin(self, model: str) -> str:
        """See `Forwards`."""
        profile, model = self._chosen(model)
        server = profile.provider
        return server.origin(model) if isinstance(server, Forwards) else f"{server.name} {model}"

    async def close(self) -> None:
        """Ends all connections."""
        for profile in self.profiles:
            await profile.provider.close()

    # which one

    async def _profile_of(self, model: str) -> tuple[Profile, str]:
        """The profile that answers for a model, and its name there."""
        if "/" in model or not any(one.owns(model) for one in self.profiles):
            async with asyncio.TaskGroup() as group:
                for profile in self.profiles:
                    group.create_task(self._know(profile))
        head = model.partition("/")[0]
        if is_stored(model) and all(one.id != head for one in self.profiles):
            raise gone()
        return self._chosen(model)

    def _chosen(self, model: str) -> tuple[Profile, str]:
        first, *others = self.profiles
        if model == DEFAULT and all(model not in one.listed for one in self.profiles):
            model = self._usual() or model
        head, slash, rest = model.partition("/")
        for one in (*others, first):
            if slash and head in (one.id, one.name, one.provider.name):
                whole = one is first and model in one.listed
                return one, model if whole else rest
        listed = (one for one in self.profiles if model in one.listed)
        owning = (one for one in self.profiles if one.owns(model))
        return next(owning, None) or next(listed, first), model

    def _usual(self) -> str | None:
        """The name of the default model, as far as it is known."""
        known = (self._named(one, one.default) for one in self.profiles if one.default)
        return self._wanted or next(known, None)

    def _named(self, profile: Profile, model: str) -> str:
        """The name by which a profile's model is asked for here."""
        return model if self._chosen(model) == (profile, model) else f"{profile.name}/{model}"

    async def _know(self, profile: Profile) -> None:
        """Has a profile list its models, if it has not lately. What it listed before holds if it does not in time."""
        async with profile.listing:
            if self._clock.monotonic() >= profile.until:
                with suppress(TimeoutError, ProviderError):
                    async with asyncio.timeout(LISTED_SECONDS):
                        await self._list(profile)
                profile.until = self._clock.monotonic() + KNOWN_SECONDS

    async def _list(self, profile: Profile) -> tuple[Model, ...]:
        """The models of a profile, which knows them from now on. Raises `ProviderError`."""
        models = await profile.provider.models()
        profile.listed = frozenset(one.id for one in models)
        profile.default = next((one.id for one in models if one.default), None)
        profile.until = self._clock.monotonic() + KNOWN_SECONDS
        return models

    async def _listing_of_all(self, request: CallRequest) -> Call:
        """The first profile's list as it tells it, with the models of the others behind."""
        body = b""
        with suppress(ProviderError):  # the others are told all the same
            body = await whole_body(await call(self.profiles[0].provider, request, self._clock))
        data = as_list(as_object(parsed(body)).get("data"))
        known = {as_object(one).get("id") for one in data}
        data += [
            {"id": model.id, "object": "model", "created": 0, "owned_by": model.provider}
            for model in await self.models()
            if model.id not in known
        ]
        body = orjson.dumps({"object": "list", "data": data})
        return Answered(status=200, outcome=CallResult(whole=True), body=body)


def is_stored(model: str) -> bool:
    """Whether a model's name stands behind the id of a stored connection."""
    return _STORED.fullmatch(model.partition("/")[0]) is not None


def gone() -> ProviderError:
    """A stored connection that is not there for who asks."""
    told = "The connection that is to be asked was removed, or is another person's."
    return ProviderError(Code.PROFILE_NOT_FOUND, told, temporary=False)


def _kept(profile: Profile, model: str) -> str:
    """A model's name behind the id of its connection, if that is a stored one."""
    return f"{profile.id}/{model}" if _STORED.fullmatch(profile.id) else ""


def _asked_in(request: CallRequest) -> dict[str, Any]:
    """A request that is JSON; an empty one for any other."""
    body, kind = request.body, request.headers.get("content-type", JSON_TYPE)
    if not isinstance(body, bytes) or JSON_TYPE not in kind:
        return {}
    return as_object(parsed(body))
