"""Which provider answers: the one that settings name, else a model server found on this machine, else the offline one.

Rules: what settings name is never second-guessed, and nothing is probed then; where they name several, the model's name
decides, see `profiles`. Otherwise the usual ports of Ollama, llama.cpp, LM Studio and vLLM are asked for their models,
all at once and within 300 ms; a server counts only when it lists a model that can chat. Ports 8080 and 8000 are
everybody's, so a server there must also say what it is; our own port is never asked. No key is sent to a server that
was merely found. While none is there, the question is asked again at most every 30 s, when somebody needs an answer: a
model server that is started later just works. Once found, it stays; when it goes away, its answers say so.
"""

import asyncio
from typing import TYPE_CHECKING

import structlog
from msgspec import Struct
from pydantic import SecretStr

from palaver.clock import Clock
from palaver.errors import ProviderError
from palaver.providers.base import Provider
from palaver.providers.echo import HINT, Echo
from palaver.providers.openai.models import models_of, offered
from palaver.settings import Settings

if TYPE_CHECKING:
    from palaver.providers.openai.client import Upstream

OPENAI_URL = "https://api.openai.com/v1"
PROBE_SECONDS = 0.3
PROBE_AGAIN_SECONDS = 30.0

log = structlog.stdlib.get_logger()


class Place(Struct, frozen=True, kw_only=True):
    """Where a model server usually listens on this machine. `owner` is what its models say, if they must."""

    name: str
    port: int
    owner: str | None = None


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
        server = _upstream(own, clock, _name_of(openai_url), openai_url, key)
        profiles.append(Profile(name="openai", provider=server))
    if names_anthropic:
        from palaver.providers.anthropic.client import profile_of  # noqa: PLC0415  as above

        profiles.append(profile_of(own, clock))
    return Profiles(profiles, clock, settings.model) if several else profiles[0].provider


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
    server = _upstream(settings, clock, place.name, f"http://127.0.0.1:{place.port}/v1")
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
