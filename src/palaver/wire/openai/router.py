"""All addresses below `/v1`. What nobody here answers is passed on to the model server, unless it is ours alone."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, Router, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from palaver.core.runtime import Core
from palaver.errors import Code, Refused
from palaver.model import Actor
from palaver.policy import Action, ServerAct
from palaver.wire.anthropic.problems import told_as
from palaver.wire.anthropic.routes import Messages
from palaver.wire.anthropic.tokens import Tokens
from palaver.wire.calls import Call, calls_of
from palaver.wire.edge.rates import Use, take_by
from palaver.wire.edge.sockets import Socket
from palaver.wire.openai.auth import caller
from palaver.wire.openai.chat.routes import Chat
from palaver.wire.openai.conversations import Conversations
from palaver.wire.openai.models import Models
from palaver.wire.openai.problems import PREFIX, Told
from palaver.wire.openai.proxy import Passthrough
from palaver.wire.openai.responses.asking import Asking
from palaver.wire.openai.responses.routes import Responses
from palaver.wire.openai.responses.socket import Sockets

PARTS = (Chat, Messages, Tokens, Models, Conversations, Responses, Sockets, Passthrough)

_ASKING = frozenset({Action.WRITE, ServerAct.MODELS})
_FREE = frozenset({"/conversations/{conversation}/items", "/messages/count_tokens"})
"""Calls of these acts that ask no model for anything, and so no budget."""


class OpenAIDoor:
    """Takes `/v1` out of what goes to the rest of the application, whose layers would make each first word later."""

    def __init__(self, app: ASGIApp, core: Core) -> None:
        self.app = app
        models = Models(core)
        asking = Asking(core, models)
        core.recovery.asks(asking.again)
        self.parts = (
            Chat(core, models),
            Messages(core, models),
            Tokens(core, models),
            models,
            Conversations(core),
            Responses(core, asking),
            Sockets(core, asking),
            Passthrough(core),
        )
        routes = [route for part in self.parts for route in _routes_of(part)]
        router = Router(routes, redirect_slashes=False, default=_elsewhere)
        self._door = Told(router, told_as)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "lifespan" and scope["path"].startswith(PREFIX):
            root = scope.get("root_path", "") + PREFIX.rstrip("/")
            path, raw_path = _plain(scope["path"]), _plain(scope["raw_path"].decode("latin-1"))
            plain = {"path": path, "raw_path": raw_path.encode("latin-1"), "root_path": root}
            await self._door({**scope, **plain}, receive, send)
        else:
            await self.app(scope, receive, send)


async def _elsewhere(scope: Scope, _: Receive, __: Send) -> None:
    """ASGI: what has no route of its kind. Clients that are told 426 ask over HTTP instead."""
    if scope["type"] == "websocket":
        words = "This address answers HTTP requests, and no WebSocket."
        raise Refused(Code.UPGRADE_REQUIRED, words)
    raise Refused(Code.NOT_FOUND, "There is nothing at this address.")


def _routes_of(part: object) -> Iterator[BaseRoute]:
    """The routes of a part's calls. Each is told who calls, who may make that call."""
    for declared, name in calls_of(type(part)):
        function = getattr(part, name)
        if declared.method == "WS":
            yield WebSocketRoute(declared.path, _Opened(declared, function))
        else:
            yield Route(declared.path, _called(declared, function), methods=declared.method.split())


def _called(
    declared: Call, function: Callable[[Actor, Request], Awaitable[Response]]
) -> Callable[[Request], Awaitable[Response]]:
    async def called(request: Request) -> Response:
        me = await caller(request, declared)
        if declared.use is Use.MESSAGES:
            take_by(request.scope, me)
        if request.method == "POST" and declared.act in _ASKING and declared.path not in _FREE:
            await request.app.state.core.budgets.check(me.id)
        return await function(me, request)

    return called


class _Opened:
    """A call that opens a WebSocket; who opens one has written nothing yet."""

    def __init__(
        self, declared: Call, function: Callable[[Actor, HTTPConnection, Socket], Awaitable[None]]
    ) -> None:
        self._declared = replace(declared, use=None)  # the edge has counted it
        self._function = function

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        request = HTTPConnection(scope)
        me = await caller(request, self._declared)
        await self._function(me, request, Socket(scope, receive, send))


def _plain(path: str) -> str:
    """An address without the slashes that a client's base URL brings with it: behind `/v1`, and at the end."""
    _, version, rest = path.split("/", 2)
    return f"/{version}/{rest.strip('/')}"
