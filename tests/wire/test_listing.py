"""What the doors declare is what there is: their addresses, their acts, and their pages."""

import re
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid1

from fastapi import FastAPI
from starlette.routing import Route, WebSocketRoute, compile_path
from tests.wire.door import settings_for
from tests.wire.made import ASKED, MADE

from palaver import facade
from palaver.core.runtime import Core, started
from palaver.wire.app import create_app
from palaver.wire.edge.protocols import EdgeTally
from palaver.wire.listing import listing
from palaver.wire.live import frames
from palaver.wire.openai.router import PARTS, OpenAIDoor
from palaver.wire.pages.page import Page

DOCS = Path(__file__).resolve().parents[2] / "docs"
CALLS = list(listing())
SERVED = [one for one in CALLS if one.door not in {"frames", "turns", "control", "facade", "cli"}]
PARAMETER = re.compile(r"{[\w:]+}")
SAMPLES = {"session_id": str(uuid1())}


def page_of(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


@asynccontextmanager
async def application(folder: Path) -> AsyncGenerator[tuple[Core, FastAPI]]:
    async with started(settings_for(folder), encode=frames.encode) as core:
        yield core, create_app(core, EdgeTally())


async def test_every_route_is_listed_and_every_listed_call_is_a_route(tmp_path: Path) -> None:
    async with application(tmp_path) as (core, app):
        openai = OpenAIDoor(app, core)
    routes: Counter[tuple[str, str]] = Counter()
    for route in app.routes:
        if isinstance(route, WebSocketRoute):
            routes["WS", route.path] += 1
        elif isinstance(route, Route):
            routes.update((method, route.path) for method in (route.methods or {"GET"}) - {"HEAD"})
        else:
            for method in getattr(route, "methods", {"WS"}):
                routes[method, getattr(route, "path", "")] += 1
    listed = Counter((one.method, one.path) for one in SERVED if one.door not in {"openai", "live"})
    files = [one for one in listed if one[1].endswith("/{file}")]
    for method, path in [one for one in routes if one not in listed]:
        (place,) = (one for one in files if compile_path(one[1])[0].fullmatch(path))
        assert method == place[0]
        routes[place] = routes.pop((method, path))
    assert set(routes) == set(listed)
    assert max(routes.values()) == max(listed.values()) == 1
    assert [type(part) for part in openai.parts] == list(PARTS)


def test_every_call_is_made_by_the_matrix_of_permissions() -> None:
    assert MADE.keys() == ASKED.keys(), "tests/wire/made.py says how each call is made"


def test_every_file_of_the_page_stands_where_one_is_declared() -> None:
    page = Page()
    served = {route.path for route in page.routes()}
    files = {path for path in page._paths if not path.endswith(".html")}
    assert len(files) > 9
    assert files <= served


def test_no_two_doors_share_an_address() -> None:
    for one in SERVED:
        path = re.sub(r"{(\w+)(:path)?}", lambda found: SAMPLES.get(found[1], "x1"), one.path)
        answering = {
            other.door
            for other in SERVED
            if other.method == one.method and compile_path(other.path)[0].fullmatch(path)
        }
        assert answering == {one.door}, (one, answering)


def test_whatever_a_program_may_call_names_its_act() -> None:
    named = {one.path for one in CALLS if one.door == "facade"}
    for part in (
        facade.Chat,
        facade.Room,
        facade.Answer,
        facade.People,
        facade.Agents,
        facade.Speakers,
    ):
        public = {name for name in vars(part) if not name.startswith("_")}
        called = {f"{part.__name__}.{one}" for one in public if callable(getattr(part, one))}
        assert called == {one for one in named if one.startswith(f"{part.__name__}.")}
    assert "open" in named


def test_the_commands_of_a_running_server_are_the_command_lines() -> None:
    commands = {one.path for one in CALLS if one.door == "cli"}
    asked = {f"palaver {one.path.replace('.', ' ')}" for one in CALLS if one.door == "control"}
    assert asked < commands


def test_every_call_is_documented() -> None:
    pages = map(page_of, ("protocol.md", "openai.md", "classic.md"))
    protocol, openai, classic = (PARAMETER.sub("{}", page) for page in pages)
    commands = page_of("cli.md")
    of_openai = {
        (method, address)
        for addresses, methods in re.findall(r"^\| (`.+?`) \| ([A-Z, ]+) \|", openai, re.MULTILINE)
        for address in re.findall(r"`(.+?)`", addresses)
        for method in methods.split(", ")
    }
    told: set[tuple[str, str]] = set()
    for one in (one for one in CALLS if one.door not in {"facade", "cli"}):
        path = PARAMETER.sub("{}", one.path)
        match one.door:
            case "rest":
                assert f"{one.method} {path}" in protocol, one
            case "service" | "live" | "mcp":
                assert path.removesuffix(".css") in protocol, one
            case "page":
                address = path.replace("{}", "…")
                assert f"`{address}`" in protocol or f"`GET {address}`" in protocol, one
            case "frames":
                assert f'"t":"{path.removeprefix("/ws ")}"' in protocol, one
            case "turns":
                assert f'"type":"{path.removeprefix("/v1/responses ")}"' in openai, one
            case "classic":
                assert path in classic, one
            case "control":
                assert f"`palaver {path.replace('.', ' ')}`" in commands, one
            case _ if path != "/v1/{}":
                told.add((one.method, path.removeprefix("/v1/")))
            case _:
                pass
    assert told == of_openai
