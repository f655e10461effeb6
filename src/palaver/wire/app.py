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
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from typing_extensions import TypedDict

import palaver
from palaver.core.runtime import Core
from palaver.model import Scope as Key
from palaver.policy import ServerAct, check_scope
from palaver.wire import problems
from palaver.wire.anthropic.problems import told_as
from palaver.wire.api.accounts import Accounts
from palaver.wire.api.admin import Overview
from palaver.wire.api.agents import Library
from palaver.wire.api.body import add_routes, answer
from palaver.wire.api.branches import Branches
from palaver.wire.api.elsewhere import OtherWays
from palaver.wire.api.events import Happenings
from palaver.wire.api.invitations import Links
from palaver.wire.api.me import People
from palaver.wire.api.members import Members
from palaver.wire.api.messages import Messages
from palaver.wire.api.people import Everyone
from palaver.wire.api.profiles import Connections
from palaver.wire.api.prompts import StoredPrompts
from palaver.wire.api.rooms import Rooms
from palaver.wire.api.search import Search
from palaver.wire.api.usage import Costs
from palaver.wire.api.webhooks import Hooks
from palaver.wire.auth import Sessions, session_of
from palaver.wire.calls import call, routes_of
from palaver.wire.classic import classic_routes
from palaver.wire.edge.limits import Apart, Limits
from palaver.wire.edge.logs import AccessLog
from palaver.wire.edge.protocols import EdgeTally
from palaver.wire.edge.proxies import Proxies, is_direct
from palaver.wire.edge.rates import Rates
from palaver.wire.live.connection import Live
from palaver.wire.mcp.routes import ContextDoor
from palaver.wire.openai import problems as openai
from palaver.wire.openai.router import OpenAIDoor
from palaver.wire.pages import metrics
from palaver.wire.pages.page import Page
from palaver.wire.pages.reference import STYLE, Reference
from palaver.wire.setup import Gate, state
from palaver.wire.shapes import explained

DESCRIPTION = (
    "Rooms, messages and events over plain HTTP. The live connection is at /ws. Whatever speaks the OpenAI API finds"
    " its own, from chat completions to conversations, below /v1."
)
VERSIONED = "/api/v1/"
EXPOSED_HEADERS = (
    "retry-after",
    "retry-after-ms",
    "x-palaver-cursor",
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
        openapi_url=None,
        redirect_slashes=False,
    )
    app.state.core = core
    problems.install(app)
    page = Page()
    app.router.routes += [
        *rest_routes(core),
        *routes_of(Operations(app, core, tally)),
        *routes_of(ContextDoor(core)),
        *page.routes(),
    ]
    app.router.default = page.nowhere(app.router.default)
    settings = core.settings
    apart = Apart(openai.PREFIX, told_as, settings.openai_body_bytes_max)
    app.add_middleware(Live, core=core)
    app.add_middleware(Sessions, settings=settings)
    app.add_middleware(OpenAIDoor, core=core)
    app.add_middleware(Addresses)
    app.add_middleware(Gate, core=core, files=page.files(), apart=apart)
    if settings.allowed_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.allowed_origins,
            allow_credentials=True,  # a guest is known by a cookie, also from an allowed page
            allow_methods=["GET", "POST", "PATCH", "DELETE"],
            allow_headers=["*"],  # whatever libraries say of themselves: the page is trusted
            expose_headers=EXPOSED_HEADERS,
        )
    rates = Rates(settings, core.clock.monotonic)
    app.add_middleware(Limits, settings=settings, rates=rates, apart=apart)
    app.add_middleware(problems.Caught)
    app.add_middleware(AccessLog)
    app.add_middleware(Proxies, settings=settings)
    # not at the first request: the OpenAI door asks again what a crash cut
    app.middleware_stack = app.build_middleware_stack()
    return app


def rest_routes(core: Core, *, documented: bool = False) -> list[BaseRoute]:
    """The routes that the OpenAPI document is about: REST, the classic wire's, and the server's health."""
    router = APIRouter()
    accounts = (People(core), Accounts(core), OtherWays(core), Everyone(core))
    talk = (Messages(core), Branches(core), Search(core), StoredPrompts(core), Costs(core))
    agents = (Library(core), Connections(core), Hooks(core))
    rooms = (Rooms(core), Members(core), Links(core), Overview(core), Happenings(core))
    for part in (*accounts, *rooms, *talk, *agents):
        add_routes(router, part, "/api", documented=documented)
    add_routes(router, Service(core), documented=documented)
    return [*router.routes, *classic_routes(core).routes]


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


@explained
class Health(TypedDict):
    """How the server is."""

    status: Literal["healthy", "degraded"]
    service: Literal["palaver"]
    db: Literal["up", "down"]
    history: Literal["whole", "behind"]
    version: str
    setup: Literal["open", "required"] | None
    """While the server has no owner: whether it works meanwhile, or wants one first."""


class Service:
    """The call that tells whether the server is well."""

    def __init__(self, core: Core) -> None:
        self._core = core

    @call("GET", "/health", ServerAct.PUBLIC, others=(503,))
    async def health(self) -> Health | Response:
        """How the server is. 503 while the database is away."""
        up = self._core.db_up
        health: Health = {
            "status": "healthy" if up else "degraded",
            "service": "palaver",
            "db": "up" if up else "down",
            "history": self._core.history,
            "version": palaver.__version__,
            "setup": await state(self._core),
        }
        return answer(health, 200 if up else 503)


class Operations:
    """The counters, and the reference of REST: for people, and for programs."""

    def __init__(self, app: FastAPI, core: Core, tally: EdgeTally) -> None:
        self._core = core
        self._tally = tally
        self._reference = Reference(app, partial(rest_routes, core, documented=True))

    @call("GET", "/metrics", ServerAct.PUBLIC, scope=Key.METRICS)
    async def counters(self, request: Request) -> Response:
        """The figures of now, for programs of this machine, else by a key for them.

        Refused: `unauthenticated`, `scope_missing`.
        """
        if not is_direct(request.scope):
            key = await self._core.keys.recognise(session_of(request))
            check_scope(key.scopes, Key.METRICS, reads=True)
        return Response(metrics.exposed(self._core, self._tally), media_type=metrics.MEDIA_TYPE)

    @call("GET", "/openapi.json", ServerAct.PUBLIC)
    async def openapi(self, _: Request) -> Response:
        """The reference as an OpenAPI document."""
        made = await self._reference.made()
        return Response(made.document, media_type="application/json")

    @call("GET", "/docs", ServerAct.PUBLIC)
    async def docs(self, _: Request) -> Response:
        """The reference."""
        made = await self._reference.made()
        return Response(made.page, media_type="text/html")

    @call("GET", "/docs.css", ServerAct.PUBLIC)
    async def style(self, _: Request) -> Response:
        """How the reference looks."""
        return Response(STYLE, media_type="text/css")
