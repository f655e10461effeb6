"""MCP over standard input and output: for one program, which starts it, what a running server answers at `/mcp`.

It keeps nothing: each call goes to the server, by the key, and so has its rights of that moment. A server that is away
is a refusal of that call, and the next one finds it again.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import httpx2
import mcp_types as types
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import encode_header_value
from mcp_types.version import LATEST_MODERN_VERSION

from palaver.errors import Code, PalaverError, Refused, Unavailable
from palaver.strict_json import Json, lenient
from palaver.wire.mcp.server import refusal, server_of

SECONDS_MAX = 60.0
PATH = "/mcp"
_METHOD = "tools/call"
_META: Json = {
    types.PROTOCOL_VERSION_META_KEY: LATEST_MODERN_VERSION,
    types.CLIENT_CAPABILITIES_META_KEY: {},
}


async def relay(find: Callable[[], str | None], key: str, *, proxies: bool) -> None:
    """Answers until the input ends. `find`: where the server is now; `proxies`: whether the environment's are used."""
    headers = {
        "authorization": f"Bearer {key}",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": LATEST_MODERN_VERSION,
        "mcp-method": _METHOD,
    }
    async with httpx2.AsyncClient(
        headers=headers, timeout=SECONDS_MAX, trust_env=proxies
    ) as client:

        async def call(
            name: str, arguments: Mapping[str, Any]
        ) -> types.CallToolResult | dict[str, Any]:
            try:
                return await _called(client, await asyncio.to_thread(find), name, arguments)
            except PalaverError as error:
                return refusal(error)

        server = server_of(call)
        async with stdio_server() as (reading, writing):
            await server.run(reading, writing, server.create_initialization_options())


async def _called(
    client: httpx2.AsyncClient, url: str | None, name: str, arguments: Mapping[str, Any]
) -> Json:
    """What the server answers. Refused: as it says. Unavailable: `internal` (it is away, or not like ours)."""
    if url is None:
        told = "No server runs on this data directory. `palaver serve` starts it."
        raise Unavailable(Code.INTERNAL, told)
    params = {"name": name, "arguments": arguments, "_meta": _META}
    try:
        got = await client.post(
            f"{url.rstrip('/').removesuffix(PATH)}{PATH}",
            json={"jsonrpc": "2.0", "id": 1, "method": _METHOD, "params": params},
            headers={"mcp-name": encode_header_value(name)},
        )
    except httpx2.HTTPError as failure:
        raise Unavailable(Code.INTERNAL, f"The server at {url} does not answer.") from failure
    said = lenient(got.content)
    match said:
        case {"result": dict()}:
            return said["result"]
        case {"error": {"code": int(code), "message": str(told)}}:
            raise MCPError(code, told)
        case {"code": str(code), "detail": str(told)} if code in list(Code):
            raise (Unavailable if said.get("temporary") else Refused)(Code(code), told)
        case _:
            told = f"At {url} is no Palaver, or something in between answered ({got.status_code})."
            raise Unavailable(Code.INTERNAL, told)
