"""Which provider answers: the one that settings name, else a model server found on this machine, else the offline one.

Rules: what settings name is never second-guessed, and nothing is probed then; where they name several, the model's name
decides, see `profiles`. Otherwise the usual ports of Ollama,
llama.cpp, LM Studio and vLLM are asked for their models, all at once and within 300 ms; a server counts only when it
lists a model that can chat. Ports 8080 and 8000 are everybody's, so a server there must also say what it is; our own
port is never asked. No key is sent to a server that was merely found. While none is there, the question is asked again
at most every 30 s, when somebody needs an answer: a model server that is started later just works. Once found, it
stays; when it goes away, its answers say so.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from pydantic import SecretStr

from palaver.clock import Clock
from palaver.errors import ProviderError
from palaver.providers.base import Provider
from palaver.providers.echo import HINT, Echo
from palaver.providers.openai.models import models_of, offered
from palaver.settings import Settings

if TYPE_CHECKING:
    from palaver.providers.openai.client import Upstream
    from palaver.providers.profiles import Profile

OPENAI_URL = "https://api.openai.com/v1"
PROBE_SECONDS = 0.3
PROBE_AGAIN_SECONDS = 30.0

log = structlog.stdlib.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a model server usually listens on this machine. `owner` is what its models say, if they must."""

    name: str
    port: int
    owner: str | None = None

    @property
    def base_url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}/v1"


PLACES = (
    Place(name="ollama", port=11434),
    Place(name="llama.cpp", port=8080, owner="llamacpp"),
    Place(name="lm-studio", port=1234),
    Place(name="vllm", port=8000, owner="vllm"),
)


def configured(settings: Settings, clock: Clock) -> Provider | None:
    """The provider that settings name, if they name one; several as one. Refused: `settings_invalid`."""
    several = bool(_openai_url(settings)) and _names_anthropic(settings)
    # A default model may be any profile's, so none of several takes it for its own.
    own = settings.model_copy(update={"model": None}) if several else settings
    profiles = [*_openai(own, clock), *_anthropic(own, clock)]
    if several:
        from palaver.providers.profiles import Profiles  # noqa: PLC0415  as below

        return Profiles(profiles, clock, settings.model)
    return profiles[0].provider if profiles else None


def _openai_url(settings: Settings) -> str | None:
    return settings.openai_base_url or (OPENAI_URL if settings.openai_api_key else None)


def _names_anthropic(settings: Settings) -> bool:
    return bool(settings.anthropic_base_url or settings.anthropic_api_key)


def _openai(settings: Settings, clock: Clock) -> "Iterator[Profile]":
    from palaver.providers.profiles import Profile  # noqa: PLC0415  as below

    base_url = _openai_url(settings)
    if base_url:
        key = settings.openai_api_key
        server = _upstream(settings, clock, _name_of(base_url), base_url, key)
        yield Profile(name="openai", provider=server)


def _anthropic(settings: Settings, clock: Clock) -> "Iterator[Profile]":
    if not _names_anthropic(settings):
        return
    from palaver.providers.anthropic.client import BASE_URL, Anthropic  # noqa: PLC0415  as below
    from palaver.providers.anthropic.models import FAMILY  # noqa: PLC0415
    from palaver.providers.profiles import Profile  # noqa: PLC0415

    base_url = settings.anthropic_base_url or BASE_URL
    server = Anthropic(settings, clock, base_url=base_url, key=settings.anthropic_api_key)
    yield Profile(name=server.name, provider=server, family=FAMILY)


class Providers:
    """The provider in use. `fixed` replaces what settings and detection would give."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        *,
        fixed: Provider | None = None,
        places: tuple[Place, ...] = PLACES,
    ) -> None:
        """Connects to nothing yet. Refused: `settings_invalid`."""
        self._settings = settings
        self._clock = clock
        self._places = places
        self._provider: Provider = fixed or configured(settings, clock) or Echo()
        self._detects = fixed is None and settings.detect and not self._provider.real
        self._probe_at = 0.0
        self._probing = asyncio.Lock()

    async def current(self) -> Provider:
        """The provider to ask now. Takes up to 300 ms where it looks for one, no time otherwise."""
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

    def hint(self) -> str | None:
        """How to connect a model, while none is."""
        return None if self._provider.real else HINT

    async def close(self) -> None:
        """Ends all connections."""
        await self._provider.close()


def _upstream(
    settings: Settings, clock: Clock, name: str, base_url: str, key: SecretStr | None = None
) -> "Upstream":
    """Loads the HTTP client only now: a server is ready sooner without it."""
    from palaver.providers.openai.client import Upstream  # noqa: PLC0415

    return Upstream(settings, clock, name=name, base_url=base_url, key=key)


def _name_of(base_url: str) -> str:
    """What a server is, as far as its address tells; else its host."""
    from palaver.providers.http.route import checked_base  # noqa: PLC0415  as above

    base = checked_base(base_url)
    host, port = base.host, base.port
    if host == "api.openai.com":
        return "openai"
    if host in {"127.0.0.1", "localhost", "::1"}:
        return next((place.name for place in PLACES if place.port == port), host)
    return host


async def _found(settings: Settings, clock: Clock, places: tuple[Place, ...]) -> "Upstream | None":
    """The first place that has a server with a model that can chat, or that has the wanted one."""
    until = asyncio.get_running_loop().time() + PROBE_SECONDS
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_probe(settings, clock, place, until))
            for place in places
            if place.port != settings.port
        ]
    found = [task.result() for task in tasks]
    servers = sorted((one for one in found if one is not None), key=lambda one: not one[1])
    for server, _ in servers[1:]:
        await server.close()
    return servers[0][0] if servers else None


async def _probe(
    settings: Settings, clock: Clock, place: Place, until: float
) -> "tuple[Upstream, bool] | None":
    """The server at a place, if it is one, and whether it has the wanted model."""
    server = _upstream(settings, clock, place.name, place.base_url)
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
