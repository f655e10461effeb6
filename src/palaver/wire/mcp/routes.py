"""`/mcp`: the Model Context Protocol over HTTP, for who asks by an API key. Needs the extra `mcp`.

What comes in is read as at every other door, before the SDK sees it: strict JSON, as large as a body may be. There is
no session and no stream, so there is nothing to GET or DELETE.
"""

import asyncio
from collections.abc import Awaitable, Callable
from importlib.util import find_spec

from starlette.requests import Request
from starlette.responses import Response

from palaver.core.runtime import Core
from palaver.errors import Code, Refused
from palaver.model import Actor
from palaver.policy import ServerAct, check_key
from palaver.strict_json import load
from palaver.wire.auth import is_key, shown
from palaver.wire.calls import call

Answering = Callable[[Core, Actor, Request, bytes], Awaitable[Response]]


class ContextDoor:
    """The call of the protocol."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._answering: Answering | None = None

    @call("POST", "/mcp", ServerAct.ROOMS)
    async def mcp(self, request: Request) -> Response:
        """Lists the tools that search and read, and calls them, by an API key.

        Refused: `not_found` (the extra is not installed), `unauthenticated`, `scope_missing`, and as `strict_json.load`
        says.
        """
        if self._answering is None:
            if find_spec("mcp") is None:
                told = (
                    "This server has no MCP yet. Its operator adds it: pip install 'palaver[mcp]'."
                )
                raise Refused(Code.NOT_FOUND, told)
            self._answering = await asyncio.to_thread(_load)  # half a second of imports
        if not is_key(request):
            told = "An API key of this server is needed: 'Authorization: Bearer plv_…', see docs/mcp.md."
            raise Refused(Code.UNAUTHENTICATED, told)
        me = await self._core.keys.caller(shown(request) or "")
        check_key(me, ServerAct.ROOMS, reads=True)
        body = await request.body()
        load(body)
        return await self._answering(self._core, me, request, body)


def _load() -> Answering:
    from palaver.wire.mcp.server import answered  # noqa: PLC0415  heavy, and an extra

    return answered
