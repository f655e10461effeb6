"""`palaver mcp`: what a key's person may read, for a program that starts it and speaks MCP to it."""

import asyncio
import os
from functools import partial
from importlib.util import find_spec
from typing import Annotated

import typer

from palaver.cli.options import DataDir, settings_of
from palaver.errors import Code, Refused

KEY = "PALAVER_KEY"


def mcp(
    *,
    url: Annotated[
        str | None,
        typer.Option(help="Where the server is.", show_default="that of the data directory"),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Search and read for a model: MCP over standard input and output, by the API key in PALAVER_KEY."""
    if find_spec("mcp") is None:
        told = "`palaver mcp` needs another package: pip install 'palaver[mcp]'."
        raise Refused(Code.SETTINGS_INVALID, told)
    from palaver.wire.mcp.stdio import relay  # noqa: PLC0415  heavy, and an extra
    from palaver.wire.server.note import url_of  # noqa: PLC0415  likewise

    settings, key = settings_of(data_dir=data_dir), os.environ.get(KEY, "").strip()
    if not (key.isascii() and key.isprintable() and key):
        told = f"{KEY} must hold an API key of the server (plv_…); `palaver key create` makes one."
        raise Refused(Code.SETTINGS_INVALID, told)
    find = partial(url_of, settings) if url is None else lambda: url
    asyncio.run(relay(find, key, proxies=url is not None))
