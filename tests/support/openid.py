"""OpenID providers that run as processes: a certified one and one that lies (tests/oidc)."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
from tests.support import clients
from tests.support.reverse import free_port
from tests.wire.door import serving, settings_for

from palaver.core.runtime import Core
from palaver.providers.oidc import OpenIDProvider

HOSTILE = (sys.executable, str(Path(__file__).resolve().parents[1] / "oidc" / "hostile.py"))
START_SECONDS_MAX = 90


@asynccontextmanager
async def running(
    command: tuple[str, ...], *arguments: str, port: int | None = None
) -> AsyncGenerator[str]:
    """The address of a provider that is ready."""
    port = port or free_port()
    process = await asyncio.create_subprocess_exec(
        *command, str(port), *arguments, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_SECONDS_MAX):
            while (line := await process.stdout.readline()) != b"ready\n":
                assert line, "the provider has ended"
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        await process.communicate()


@asynccontextmanager
async def certified(origin: str, port: int) -> AsyncGenerator[str]:
    """The certified one on this port, for a server at this origin."""
    async with running(clients.openid_provider(), origin, port=port) as issuer:
        yield issuer


class Place:
    """A server whose people a provider signs in that says whatever the case is."""

    def __init__(self, url: str, core: Core, hostile: str) -> None:
        self.url, self.core, self.hostile = url, core, hostile

    def ask(self, case: str) -> None:
        """From now on the provider is the one of this case, of which nothing is known yet."""
        assert self.core.elsewhere is not None
        settings = self.core.settings.model_copy(update={"oidc_issuer": f"{self.hostile}/{case}"})
        self.core.elsewhere._provider = OpenIDProvider(settings, self.core.clock)

    def browser(self) -> httpx2.AsyncClient:
        """A new browser, as far as redirects and cookies go."""
        return httpx2.AsyncClient(base_url=self.url, trust_env=False, timeout=START_SECONDS_MAX)

    async def sent(
        self, http: httpx2.AsyncClient, who: str = "ada", sid: str = "", **asked: str | bool
    ) -> str:
        """Begins to sign in, and is sent back by the provider: the address that the browser opens then."""
        away = await http.post("/api/oidc/start", json=asked)
        assert away.status_code == 200, away.text
        back = await http.get(f"{away.json()['url']}&login_hint={who}&sid={sid}")
        assert back.status_code == 303, back.text
        return back.headers["location"]

    async def signed_in(
        self, http: httpx2.AsyncClient, who: str = "ada", sid: str = "", **asked: str | bool
    ) -> str:
        """Signs in; where the browser goes on."""
        got = await http.get(await self.sent(http, who, sid, **asked))
        assert got.status_code == 303, got.text
        return got.headers["location"]


@asynccontextmanager
async def open_place(folder: Path, **given: object) -> AsyncGenerator[Place]:
    """A server of its own, and the provider that lies."""
    async with running(HOSTILE) as hostile:
        settings = settings_for(
            folder,
            oidc_issuer=f"{hostile}/honest",
            oidc_client_id="palaver",
            **{"oidc_client_secret": "secret", **given},
        )
        async with serving(settings, asyncio.Event()) as (url, core):
            yield Place(url, core, hostile)
