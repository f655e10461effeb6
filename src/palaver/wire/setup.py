"""Keeps a server that other machines reach shut until it has an owner, and says who may be a guest of it.

While it is shut it serves the setup page with its files, the calls that make the owner, and `/health`; whoever opens
another page is led there, and all else is refused with `setup_required`. On loopback it is open meanwhile, and where
there were guests before there were owners, they go on.
"""

from typing import Literal

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from palaver.core.runtime import Core
from palaver.errors import Code, Refused
from palaver.wire import problems
from palaver.wire.edge.limits import Apart
from palaver.wire.edge.proxies import base_of, is_local, is_loopback

PAGE = "/setup"
SERVED = frozenset({PAGE, "/api/setup", "/api/setup/look", "/health"})
LIVE = "/ws"
"""It greets nobody (`check_open`), in its own words."""


class Gate:
    """Refuses what a server without an owner does not serve. `files`: the page's."""

    def __init__(self, app: ASGIApp, core: Core, files: frozenset[str], apart: Apart) -> None:
        self.app = app
        self._core, self._apart = core, apart
        self._shuts = not is_loopback(core.settings.host)
        self._served = SERVED | files | {LIVE}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        served = not self._shuts or scope["type"] == "lifespan" or scope["path"] in self._served
        if served or await state(self._core) != "required":
            await self.app(scope, receive, send)
        else:
            await self._refused(scope)(scope, receive, send)

    def _refused(self, scope: Scope) -> Response:
        path, accept = scope["path"], Headers(scope=scope).get("accept", "")
        if path.startswith(self._apart.prefix):
            return self._apart.refusal(_required(), {}, scope)
        if scope.get("method") == "GET" and "text/html" in accept and not path.startswith("/api/"):
            return RedirectResponse(f"{base_of(scope)}{PAGE[1:]}", 303)
        return problems.response(_required())


async def state(core: Core) -> Literal["open", "required"] | None:
    """Whether the server has no owner yet: then it is open meanwhile, or one is required first."""
    if not await core.setup.is_needed():
        return None
    meanwhile = is_loopback(core.settings.host) or await core.setup.had_guests()
    return "open" if meanwhile else "required"


async def check_open(core: Core) -> None:
    """Refused: `setup_required`."""
    if await state(core) == "required":
        raise _required()


async def check_guest(core: Core, scope: Scope) -> None:
    """That who asks, and is nobody yet, may be a guest. Refused: `unauthenticated`."""
    guests = core.settings.guests
    if guests == "open" or (guests == "local" and is_local(scope)):
        return
    told = "guests" in core.settings.model_fields_set
    if told or not (await core.setup.had_guests() and await core.setup.is_needed()):
        raise Refused(Code.UNAUTHENTICATED, "Sign in, or follow an invitation.")


def _required() -> Refused:
    told = "This server has no owner yet. Open the link that it prints at its start."
    return Refused(Code.SETUP_REQUIRED, told)
