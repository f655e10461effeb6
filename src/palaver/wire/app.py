"""The application: every door of a running core under one roof. It opens and closes nothing; the server does.

From the outside in, a request passes what a proxy said of it, the access log, the net for what nobody caught and the
edge's limits; other ways to write an address are taken for ours; then the OpenAI door branches off, and behind the
cookie of a new session palaver.v1; all else finds its route.
"""

from functools import partial
from typing import Literal

from fastapi import APIRouter, FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from typing_extensions import TypedDict

import palaver
from palaver.core.runtime import Core
from palaver.wire import problems
from palaver.wire.api.body import add_routes, answer
from palaver.wire.api.me import People
from palaver.wire.api.messages import Messages
from palaver.wire.api.rooms import Rooms
from palaver.wire.auth import Sessions
from palaver.wire.classic import classic_routes
from palaver.wire.edge.limits import Limits
from palaver.wire.edge.logs import AccessLog
from palaver.wire.edge.protocols import EdgeTally
from palaver.wire.edge.proxies import Proxies
from palaver.wire.edge.rates import Rates
from palaver.wire.live.connection import Live
from palaver.wire.openai.router import OpenAIDoor
from palaver.wire.pages import metrics, reference
from palaver.wire.pages.page import Page

DESCRIPTION = (
    "Rooms, messages and events over plain HTTP. The live connection is at /ws. Whatever speaks the OpenAI API finds"
    " its own, from chat completions to conversations, below /v1."
)
VERSIONED = "/api/v1/"
EXPOSED_HEADERS = (
    "retry-after",
    "retry-after-ms",
    "x-palaver-room",
    "x-palaver-visibility",
    "x-request-id",
    "x-should-retry",
)
"""What libraries of the API read of an answer, also inside a page of another site that is allowed."""


def create_app(core: Core, tally: EdgeTally) -> FastAPI:
    """The ASGI application of a running core. `tally`: what its connections count."""
    app = FastAPI(
        title="Palaver",
        version=palaver.__version__,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.openapi = partial(reference.described, app, core.settings.public_url)
    app.state.core = core
    problems.install(app)
    rest = APIRouter(prefix="/api")
    for part in (People(core), Rooms(core), Messages(core)):
        add_routes(rest, part)
    app.include_router(rest)
    app.include_router(classic_routes(core))
    _add_own_pages(app, core, tally)
    page = Page()
    app.router.routes += page.routes()
    app.router.default = page.nowhere(app.router.default)
    settings = core.settings
    app.add_middleware(Live, core=core)
    app.add_middleware(Sessions)
    app.add_middleware(OpenAIDoor, core=core)
    app.add_middleware(Addresses)
    if settings.allowed_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.allowed_origins,
            allow_credentials=True,  # a guest is known by a cookie, also from an allowed page
            allow_methods=["GET", "POST", "PATCH", "DELETE"],
            allow_headers=["*"],  # whatever libraries say of themselves: the page is trusted
            expose_headers=EXPOSED_HEADERS,
        )
    app.add_middleware(Limits, settings=settings, rates=Rates(settings, core.clock.monotonic))
    app.add_middleware(problems.Caught)
    app.add_middleware(AccessLog)
    app.add_middleware(Proxies, settings=settings)
    return app


class Addresses:
    """Answers `/api/v1/…` as `/api/…`, and what has a slash at its end as what has none."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "lifespan" and scope["path"].startswith(("/api/", "/ws/")):
            path = f"{scope['path'].rstrip('/')}/"
            if path.startswith(VERSIONED):
                path = f"/api/{path.removeprefix(VERSIONED)}"
            scope["path"] = path.rstrip("/")
        await self.app(scope, receive, send)


class Health(TypedDict):
    """How the server is."""

    status: Literal["healthy", "degraded"]
    service: Literal["palaver"]
    db: Literal["up", "down"]
    history: Literal["whole", "behind"]
    version: str


def _add_own_pages(app: FastAPI, core: Core, tally: EdgeTally) -> None:
    async def health() -> Response:
        """How the server is. 503 while the database is away."""
        health: Health = {
            "status": "healthy" if core.db_up else "degraded",
            "service": "palaver",
            "db": "up" if core.db_up else "down",
            "history": core.history,
            "version": app.version,
        }
        return answer(health, 200 if core.db_up else 503)

    async def counters(request: Request) -> Response:  # noqa: ARG001  the signature is Starlette's
        return Response(metrics.exposed(core, tally), media_type=metrics.MEDIA_TYPE)

    async def docs(request: Request) -> Response:  # noqa: ARG001  as above
        return Response(reference.render(app.openapi()), media_type="text/html")

    async def style(request: Request) -> Response:  # noqa: ARG001  as above
        return Response(reference.STYLE, media_type="text/css")

    app.add_api_route(
        "/health",
        health,
        response_model=Health,
        response_class=Response,
        responses={503: {"model": Health, "description": "The database is away."}},
    )
    app.router.routes += [
        Route("/metrics", counters),
        Route("/docs", docs),
        Route("/docs.css", style),
    ]
