"""`/mcp`: the Model Context Protocol over HTTP, for who asks by an API key. Needs the extra `mcp`.

What comes in is read as at every other door, before the SDK sees it: strict JSON, as large as a body may be. There is
no session and no stream, so there is nothing to GET or DELETE.
"""

import asyncio
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from importlib.util import find_spec
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import Response

from palaver.core.runtime import Core
from palaver.errors import Code, Refused
from palaver.model import Actor
from palaver.policy import ServerAct, check_key
from palaver.strict_json import Json, dump, load
from palaver.wire.auth import is_key, shown
from palaver.wire.calls import call

_NO_CALL = {
    "jsonrpc": "2.0",
    "id": None,
    "error": {
        "code": -32600,
        "message": "This is no request of JSON-RPC 2.0, whose 'id' is a text or a whole number.",
    },
}

Answering = Callable[[Core, Actor, Request, bytes], Awaitable[Response]]


class ContextDoor:
    """The call of the protocol."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._answering: Answering | None = None

    @call("POST", "/mcp", ServerAct.ROOMS)
    async def mcp(self, request: Request) -> Response:
        """Lists the tools that search and read, and calls them, by an API key.

        Refused: `not_found` (the extra is not installed), `unauthenticated`, `scope_missing`, `unsupported_media_type`,
        and as `strict_json.load` says.
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
        kind, _, _ = request.headers.get("content-type", "").partition(";")
        if kind.strip().lower() != "application/json":
            told = "A body needs the header 'Content-Type: application/json'."
            raise Refused(Code.UNSUPPORTED_MEDIA_TYPE, told)
        body = await request.body()
        if not _is_call(load(body)):
            return Response(dump(_NO_CALL), HTTPStatus.BAD_REQUEST, media_type="application/json")
        return await self._answering(self._core, me, request, body)


def _is_call(value: Any) -> bool:
    """Whether this is a message of JSON-RPC 2.0, and no batch of them. The SDK would tell of it in pydantic's words."""
    if not isinstance(value, dict):
        return False
    said = cast(Json, value)
    return (
        said.get("jsonrpc") == "2.0"
        and type(said.get("id", 0)) in {int, str}
        and isinstance(said.get("method", ""), str)
        and isinstance(said.get("params", {}), dict)
    )


def _load() -> Answering:
    from palaver.wire.mcp.server import answered  # noqa: PLC0415  heavy, and an extra

    return answered
