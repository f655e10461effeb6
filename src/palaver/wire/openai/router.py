"""All addresses below `/v1`. What nobody here answers is passed on to the model server, unless it is ours alone."""

from collections.abc import Awaitable, Callable, Iterator

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from palaver.core.runtime import Core
from palaver.model import Actor
from palaver.wire.anthropic.problems import told_as
from palaver.wire.anthropic.routes import Messages
from palaver.wire.anthropic.tokens import Tokens
from palaver.wire.calls import Call, calls_of
from palaver.wire.openai.auth import caller
from palaver.wire.openai.chat.routes import Chat
from palaver.wire.openai.conversations import Conversations
from palaver.wire.openai.models import Models
from palaver.wire.openai.problems import PREFIX, Told
from palaver.wire.openai.proxy import Passthrough
from palaver.wire.openai.responses.asking import Asking
from palaver.wire.openai.responses.routes import Responses

PARTS = (Chat, Messages, Tokens, Models, Conversations, Responses, Passthrough)


class OpenAIDoor:
    """Takes `/v1` out of what goes to the rest of the application, whose layers would make each first word later."""

    def __init__(self, app: ASGIApp, core: Core) -> None:
        self.app = app
        models = Models(core)
        chat, responses = Chat(core, models), Responses(core, Asking(core, models))
        messages, conversations = Messages(core, models), Conversations(core)
        tokens = Tokens(core, models)
        self.parts = (chat, messages, tokens, models, conversations, responses, Passthrough(core))
        routes = [route for part in self.parts for route in _routes_of(part)]
        self._door = Told(Router(routes, redirect_slashes=False), told_as)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http" and scope["path"].startswith(PREFIX):
            root = scope.get("root_path", "") + PREFIX.rstrip("/")
            path, raw_path = _plain(scope["path"]), _plain(scope["raw_path"].decode("latin-1"))
            plain = {"path": path, "raw_path": raw_path.encode("latin-1"), "root_path": root}
            await self._door({**scope, **plain}, receive, send)
        else:
            await self.app(scope, receive, send)


def _routes_of(part: object) -> Iterator[Route]:
    """The routes of a part's calls. Each is told who calls, who may make that call."""
    for declared, name in calls_of(type(part)):
        endpoint = _called(declared, getattr(part, name))
        yield Route(declared.path, endpoint, methods=declared.method.split())


def _called(
    declared: Call, function: Callable[[Actor, Request], Awaitable[Response]]
) -> Callable[[Request], Awaitable[Response]]:
    async def called(request: Request) -> Response:
        return await function(await caller(request, declared), request)

    return called


def _plain(path: str) -> str:
    """An address without the slashes that a client's base URL brings with it: behind `/v1`, and at the end."""
    _, version, rest = path.split("/", 2)
    return f"/{version}/{rest.strip('/')}"
