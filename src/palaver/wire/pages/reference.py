"""The OpenAPI document, and `/docs`: the REST interface for people, rendered here from it. Each is made once.

FastAPI's own page loads scripts from another host, which neither our Content-Security-Policy nor a machine without a
network allows. This one is plain HTML and one style sheet.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

import orjson
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter
from starlette.routing import BaseRoute

from palaver.wire import auth, problems
from palaver.wire.classic.sessions import COOKIE as CLASSIC_COOKIE

Json = Mapping[str, Any]

STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code, pre { font: 0.9em ui-monospace, monospace; }
h2 { font-size: 1rem; margin: 2rem 0 0.25rem; border-top: 1px solid #8885; padding-top: 1rem; }
h2 b { display: inline-block; min-width: 4.5rem; }
table { border-collapse: collapse; margin: 0.5rem 0; }
td { padding: 0.1rem 1.5rem 0.1rem 0; vertical-align: top; }
"""
INTRODUCTION = (
    "<p>For programs: <a href=openapi.json>openapi.json</a>. Errors are problem documents with a"
    " stable <code>code</code>; times are ISO 8601 in UTC; unknown fields are ignored.</p>"
)

_SCHEMES = {
    "session": {"type": "apiKey", "in": "cookie", "name": auth.COOKIE},
    "token": {"type": "http", "scheme": "bearer"},
    "classic": {"type": "apiKey", "in": "cookie", "name": CLASSIC_COOKIE},
}


class Made(NamedTuple):
    """The reference for programs (an OpenAPI document in JSON) and for people."""

    document: bytes
    page: bytes


class Reference:
    """The reference, made once for all who ask. `routes` makes what it is about."""

    def __init__(self, app: FastAPI, routes: Callable[[], Sequence[BaseRoute]]) -> None:
        self._app, self._routes = app, routes
        self._made: asyncio.Future[Made] | None = None

    async def made(self) -> Made:
        """Makes both when first asked, in a thread: the event loop would stand still for it."""
        if self._made is None:  # whoever asks meanwhile waits for the same
            self._made = asyncio.get_running_loop().run_in_executor(None, self._make)
        return await asyncio.shield(self._made)

    def _make(self) -> Made:
        document = _described(self._app, self._routes())
        return Made(orjson.dumps(document), render(document).encode())


def _described(app: FastAPI, routes: Sequence[BaseRoute]) -> dict[str, Any]:
    """FastAPI's document, with how errors look and who may ask."""
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=routes
    )
    parts = document["components"]
    parts["schemas"]["Problem"] = TypeAdapter(problems.Problem).json_schema()
    parts["schemas"] = dict(sorted(parts["schemas"].items()))
    parts["securitySchemes"] = _SCHEMES
    public_url: str | None = app.state.core.settings.public_url
    if public_url is not None:
        document["servers"] = [{"url": public_url}]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            _complete(operation, path)
    return document


def _complete(operation: dict[str, Any], path: str) -> None:
    """Nobody must have a session or a token: without either one is a new visitor."""
    classic = "classic" in operation.get("tags", ())
    if path.startswith("/api/"):
        names = ("classic",) if classic else ("session", "token")
        operation["security"] = [{}, *({name: []} for name in names)]
    for status, answer in operation["responses"].items():
        content = answer.get("content", {})
        if classic and status in {"4XX", "5XX"}:
            content[problems.MEDIA_TYPE] = {"schema": problems.SCHEMA}  # what the edge refuses


def render(document: Json) -> str:
    """The page of an OpenAPI document."""
    info = document["info"]
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width'>",
        f"<title>{escape(info['title'])}: REST</title><link rel=stylesheet href=docs.css>",
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1>",
        f"<p>{escape(info.get('description', ''))}</p>",
        INTRODUCTION,
    ]
    for path, methods in document["paths"].items():
        parts += [_operation(path, method, operation) for method, operation in methods.items()]
    parts.append("<h1>Values</h1>")
    for name, schema in document.get("components", {}).get("schemas", {}).items():
        shown = f"<p>{_kind(schema)}</p>" if "enum" in schema else _fields(schema)
        parts.append(f"<h2 id={escape(name)}>{escape(name)}</h2>{shown}")
    return "\n".join(parts)


def _operation(path: str, method: str, operation: Json) -> str:
    text = f"<h2><b>{method.upper()}</b> <code>{escape(path)}</code></h2>"
    text += f"<p>{escape(operation.get('description') or operation.get('summary', ''))}</p>"
    rows = [
        f"<tr><td><code>{escape(one['name'])}</code><td>{escape(one['in'])}"
        f"<td>{_kind(one.get('schema', {}))}<td>{escape(one.get('description', ''))}"
        for one in operation.get("parameters", [])
    ]
    if rows:
        text += f"<table>{''.join(rows)}</table>"
    for content in operation.get("requestBody", {}).get("content", {}).values():
        text += f"<p>Body:</p>{_fields(content.get('schema', {}))}"
    for status, answer in operation.get("responses", {}).items():
        kinds = [_kind(content.get("schema", {})) for content in answer.get("content", {}).values()]
        text += f"<p>{escape(status)}: {escape(answer['description'])} {' or '.join(kinds)}</p>"
    return text


def _fields(schema: Json) -> str:
    needed = schema.get("required", [])
    rows = [
        f"<tr><td><code>{escape(name)}{'' if name in needed else '?'}</code><td>{_kind(field)}"
        f"<td>{escape(field.get('description', ''))}"
        for name, field in schema.get("properties", {}).items()
    ]
    return f"<table>{''.join(rows)}</table>"


def _kind(schema: Json) -> str:
    """What a value is, in a word or two."""
    if "$ref" in schema:
        name = escape(str(schema["$ref"]).rpartition("/")[2])
        return f"<a href=#{name}>{name}</a>"
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(f"<code>{escape(str(one))}</code>" for one in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return escape(str(schema.get("type", "")))
