"""Which provider answers: the one that settings name, else a model server found on this machine, else the offline one.

Beside it stand the profiles that are stored, the server's for everyone and each person's own for them; one as a view of
several, see `profiles`. The offline one answers where there is no other.

Rules: what settings name is never second-guessed, and nothing is probed then; where they name several, the model's name
decides, see `profiles`. Otherwise the usual ports of Ollama, llama.cpp, LM Studio and vLLM are asked for their models,
all at once and within 300 ms; a server counts only when it lists a model that can chat. Ports 8080 and 8000 are
everybody's, so a server there must also say what it is; our own port is never asked. No key is sent to a server that
was merely found. While none is there, the question is asked again at most every 30 s, when somebody needs an answer: a
model server that is started later just works. Once found, it stays; when it goes away, its answers say so.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import structlog
from msgspec import Struct
from pydantic import SecretStr

from palaver.clock import Clock
from palaver.errors import Code, ProviderError, Refused
from palaver.model import ActorId
from palaver.model.profiles import Profile as Stored, ProfileKind
from palaver.providers.base import DEFAULT, Provider, Several
from palaver.providers.echo import Echo
from palaver.providers.openai.models import models_of, offered
from palaver.settings import Settings

if TYPE_CHECKING:
    from palaver.providers.openai.client import Upstream
    from palaver.providers.profiles import Profile

OPENAI_URL = "https://api.openai.com/v1"
ENVIRONMENT = "environment"
"""The id of the first profile that settings name; a second one's ends with `_2`."""
MODELS_MAX, NAME_CHARS_MAX = 4, 250
"""So many models are asked at once, whose names have so many characters."""
STORED = "f_"
"""How the names of models begin that stand behind the id of a stored connection."""
PROBE_SECONDS = 0.3
PROBE_AGAIN_SECONDS = 30.0

log = structlog.stdlib.get_logger()


class Place(Struct, frozen=True, kw_only=True):
    """Where a model server usually listens on this machine. `owner` is what its models say, if they must."""

    name: str
    port: int
    owner: str | None = None


VENDORS = frozenset({"openai", "anthropic"})
"""Providers that have the name of who sells their answers; of others it is where they are."""
PLACES = (
    Place(name="ollama", port=11434),
    Place(name="llama.cpp", port=8080, owner="llamacpp"),
    Place(name="lm-studio", port=1234),
    Place(name="vllm", port=8000, owner="vllm"),
)


def configured(settings: Settings, clock: Clock) -> Provider | None:
    """The provider that settings name, if they name one; several as one. Refused: `settings_invalid`."""
    openai_url = settings.openai_base_url or (OPENAI_URL if settings.openai_api_key else None)
    names_anthropic = settings.anthropic_base_url or settings.anthropic_api_key
    if not openai_url and not names_anthropic:
        return None
    from palaver.providers.profiles import Profile, Profiles  # noqa: PLC0415  see `_upstream`

    # A default model may be any profile's, so none of several takes it for its own.
    several = openai_url and names_anthropic
    own = settings.model_copy(update={"model": None}) if several else settings
    profiles: list[Profile] = []
    if openai_url:
        key = settings.openai_api_key
        server = _upstream(own, clock, name_of(openai_url), openai_url, key)
        one = Profile(id=ENVIRONMENT, name="openai", provider=server, base_url=openai_url)
        profiles.append(one)
    if names_anthropic:
        from palaver.providers.anthropic.client import profile_of  # noqa: PLC0415  as above

        profiles.append(profile_of(own, clock))
    return Profiles(profiles, clock, settings.model) if several else profiles[0].provider


def connected(
    settings: Settings,
    clock: Clock,
    stored: Stored,
    key: SecretStr | None,
    headers: Mapping[str, SecretStr],
) -> "Profile":
    """The connection of a stored profile. A person's own reaches public addresses only."""
    from palaver.providers.anthropic.client import FAMILY, Anthropic  # noqa: PLC0415  as above
    from palaver.providers.http.addresses import reaches  # noqa: PLC0415
    from palaver.providers.http.client import Saved  # noqa: PLC0415
    from palaver.providers.openai.client import Upstream  # noqa: PLC0415
    from palaver.providers.profiles import Profile  # noqa: PLC0415

    its, name = settings.model_copy(update={"model": stored.model}), stored.name
    may_reach = None if stored.owner is None else reaches(settings.profile_networks)
    saved = Saved(headers=headers, may_reach=may_reach)
    url = stored.base_url
    if stored.kind is ProfileKind.ANTHROPIC:
        family, server = FAMILY, Anthropic(its, clock, base_url=url, key=key, saved=saved)
    else:
        family = ""
        server = Upstream(its, clock, name=name, base_url=url, key=key, saved=saved)
    kind = stored.kind
    return Profile(id=stored.id, name=name, kind=kind, provider=server, base_url=url, family=family)


async def _nothing_stored(caller: ActorId | None) -> Sequence["Profile"]:  # noqa: ARG001  as `saved`
    return ()


class Providers:
    """The provider in use. `fixed` replaces what settings and detection would give.

    `saved`: the stored profiles of a caller, the server's first; of nobody (None) the server's alone.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        *,
        fixed: Provider | None = None,
        places: tuple[Place, ...] = PLACES,
        saved: Callable[[ActorId | None], Awaitable[Sequence["Profile"]]] = _nothing_stored,
    ) -> None:
        """Connects to nothing yet. Refused: `settings_invalid`."""
        self._saved = saved
        self._first: tuple[Provider, tuple[Profile, ...]] | None = None
        self._settings = settings
        self._clock = clock
        self._places = places
        self._provider: Provider = fixed or configured(settings, clock) or Echo()
        self._detects = fixed is None and settings.detect and not self._provider.real
        self._probe_at = 0.0
        self._probing = asyncio.Lock()

    async def current(self, caller: ActorId | None = None, *, model: str | None = None) -> Provider:
        """The provider to ask now. Takes up to 300 ms where it looks for one, no time otherwise.

        Where the `model` is `DEFAULT`, it knows which one that is. Raises `ProviderError` where the `model` is of a
        stored connection, and the caller has none.
        """
        own, saved = await self._own(), await self._saved(caller)
        defaults = own.real and model == DEFAULT
        if not saved and not defaults and not (model or "").startswith(STORED):
            return own
        from palaver.providers.profiles import Profiles, gone, is_stored  # noqa: PLC0415  as above

        if not saved and not defaults:
            if is_stored(model or ""):
                raise gone()
            return own
        return Profiles((*self.environment(), *saved), self._clock, self._settings.model)

    async def named(self, models: Sequence[str], caller: ActorId | None) -> tuple[str, ...]:
        """Names that a caller has of models, as they are kept: behind the id of a stored connection.

        Refused: `profile_not_found` (of another, or none), `bad_request` (too many, too long, or one twice).
        """
        if not models:
            return ()
        if len(models) > MODELS_MAX or not all(0 < len(one) <= NAME_CHARS_MAX for one in models):
            most = f"Name at most {MODELS_MAX} models, of at most {NAME_CHARS_MAX} characters each."
            raise Refused(Code.BAD_REQUEST, most)
        found: list[str] = []
        try:
            for one in models:
                provider = await self.current(caller, model=one)
                found.append(await provider.place(one) if isinstance(provider, Several) else one)
        except ProviderError as failure:
            raise Refused(Code.PROFILE_NOT_FOUND, failure.detail) from None
        if len({*found}) < len(found):
            raise Refused(Code.BAD_REQUEST, "Each model is named once.")
        return tuple(found)

    def environment(self) -> "tuple[Profile, ...]":
        """The profiles that settings name, or that was found."""
        from palaver.providers.profiles import Profile, Profiles  # noqa: PLC0415  as above

        own, url = self._provider, self._settings.openai_base_url or ""
        if not own.real:
            return ()
        if isinstance(own, Profiles):
            return own.profiles
        if self._first is None or self._first[0] is not own:
            one = Profile(id=ENVIRONMENT, name=own.name, provider=own, base_url=url)
            self._first = own, (one,)
        return self._first[1]

    async def _own(self) -> Provider:
        if not self._detects:
            return self._provider
        async with self._probing:
            if self._detects and self._clock.monotonic() >= self._probe_at:
                found = await _found(self._settings, self._clock, self._places)
                self._probe_at = self._clock.monotonic() + PROBE_AGAIN_SECONDS
                if found is not None:
                    log.info("provider.found", provider=found.name)
                    self._detects = False
                    self._provider = found
        return self._provider

    async def close(self) -> None:
        """Ends all connections."""
        await self._provider.close()


def _upstream(
    settings: Settings,
    clock: Clock,
    name: str,
    base_url: str,
    key: SecretStr | None = None,
    *,
    expected: bool = True,
) -> "Upstream":
    """Loads the HTTP client only now: a server is ready sooner without it."""
    from palaver.providers.openai.client import Upstream  # noqa: PLC0415

    return Upstream(settings, clock, name=name, base_url=base_url, key=key, expected=expected)


def name_of(base_url: str) -> str:
    """What a server is, as far as its address tells; else its host."""
    from palaver.providers.http.route import LOOPBACK, checked_base  # noqa: PLC0415  as above

    base = checked_base(base_url)
    if base.host == "api.openai.com":
        return "openai"
    local = base.host in LOOPBACK
    known = (place.name for place in PLACES if local and place.port == base.port)
    return next(known, base.host)


async def _found(settings: Settings, clock: Clock, places: tuple[Place, ...]) -> "Upstream | None":
    """The first place that has a server with a model that can chat, or that has the wanted one."""
    until = asyncio.get_running_loop().time() + PROBE_SECONDS
    probes = [_probe(settings, clock, one, until) for one in places if one.port != settings.port]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(probe) for probe in probes]
    found = [server for task in tasks if (server := task.result()) is not None]
    servers = sorted(found, key=lambda one: not one[1])
    for server, _ in servers[1:]:
        await server.close()
    return servers[0][0] if servers else None


async def _probe(
    settings: Settings, clock: Clock, place: Place, until: float
) -> "tuple[Upstream, bool] | None":
    """The server at a place, if it is one, and whether it has the wanted model."""
    at = f"http://127.0.0.1:{place.port}/v1"
    server = _upstream(settings, clock, place.name, at, expected=False)
    kept = False
    try:
        async with asyncio.timeout_at(until):
            offer = await server.offer()
        if offer is None or place.owner not in (None, *offer.owners):
            return None
        kept = bool(models_of(offer, provider=place.name, wanted=None))
        wanted = settings.model
        return (server, wanted is not None and offered(offer, wanted) is not None) if kept else None
    except (ProviderError, TimeoutError):
        return None
    finally:
        if not kept:
            await server.close()


def own_name(model: str) -> str:
    """What a model is called at its stored connection; what stands behind none stays as it is."""
    place, _, name = model.partition("/")
    return name if name and place.startswith(STORED) else model
