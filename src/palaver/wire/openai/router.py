"""All addresses below `/v1`. What nobody here answers is passed on to the model server, unless it is ours alone."""

from starlette.routing import Router
from starlette.types import ASGIApp, Receive, Scope, Send

from palaver.core.runtime import Core
from palaver.wire.calls import routes_of
from palaver.wire.openai.chat.routes import Chat
from palaver.wire.openai.chat.stored import Completions
from palaver.wire.openai.conversations import Conversations
from palaver.wire.openai.models import Models
from palaver.wire.openai.problems import PREFIX, Told
from palaver.wire.openai.proxy import Passthrough
from palaver.wire.openai.responses.routes import Responses

PARTS = (Chat, Completions, Models, Conversations, Responses, Passthrough)


class OpenAIDoor:
    """Takes `/v1` out of what goes to the rest of the application, whose layers would make each first word later."""

    def __init__(self, app: ASGIApp, core: Core) -> None:
        self.app = app
        models = Models(core)
        self.parts = (
            Chat(core, models),
            Completions(core),
            models,
            Conversations(core),
            Responses(core, models),
            Passthrough(core),
        )
        routes = [route for part in self.parts for route in routes_of(part)]
        self._door = Told(Router(routes, redirect_slashes=False))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http" and scope["path"].startswith(PREFIX):
            root = scope.get("root_path", "") + PREFIX.rstrip("/")
            path, raw_path = _plain(scope["path"]), _plain(scope["raw_path"].decode("latin-1"))
            plain = {"path": path, "raw_path": raw_path.encode("latin-1"), "root_path": root}
            await self._door({**scope, **plain}, receive, send)
        else:
            await self.app(scope, receive, send)


def _plain(path: str) -> str:
    """An address without the slashes that a client's base URL brings with it: behind `/v1`, and at the end."""
    _, version, rest = path.split("/", 2)
    return f"/{version}/{rest.strip('/')}"
