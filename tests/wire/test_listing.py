"""What the doors declare is what they do: their addresses, the acts that policy is asked about, and their pages."""

import re
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid1

import httpx2
import pytest
from fastapi import FastAPI
from starlette.routing import Route, WebSocketRoute, compile_path
from tests.wire.door import new_cid, settings_for

from palaver import facade
from palaver.core.runtime import Core, started
from palaver.errors import Refused
from palaver.model import Actor, MemberRole, MessageId, RoomId
from palaver.policy import Action, check
from palaver.wire.app import create_app
from palaver.wire.calls import calls_of
from palaver.wire.classic.sessions import COOKIE, session_of
from palaver.wire.edge.protocols import EdgeTally
from palaver.wire.listing import listing
from palaver.wire.live import frames
from palaver.wire.live.connection import Connection
from palaver.wire.openai.items import conversation_id
from palaver.wire.openai.router import PARTS, OpenAIDoor
from palaver.wire.pages.page import Page

DOCS = Path(__file__).resolve().parents[2] / "docs"
CALLS = list(listing())
SERVED = [one for one in CALLS if one.door not in {"frames", "turns", "control", "facade", "cli"}]
ELSEWHERE = {
    "/ws/chat/{session_id}": "a WebSocket",
    "/api/messages/{message}/parts/{place}": "a text has no picture",
}
PARAMETER = re.compile(r"{[\w:]+}")
ROOM = re.compile(r"{(room|conversation|session_id|message)}")
SAMPLES = {"session_id": str(uuid1())}
ITEM = {"type": "message", "role": "user", "content": "x"}
BODY: dict[str, Any] = {
    "title": "x",
    "text": "x",
    "seq": 0,
    "items": [ITEM],
    "metadata": {},
    "actor": "u_" + "0" * 32,
    "role": "reader",
}


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
    for part in (facade.Chat, facade.Room, facade.Answer):
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
            case "service" | "live":
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


def refusal(act: Action, role: MemberRole | None) -> int:
    """What policy says, as a status; 0: nothing against it."""
    try:
        check(act, role)
    except Refused as refused:
        return refused.status
    return 0


async def answered(core: Core, actor: Actor) -> tuple[RoomId, MessageId]:
    """A room of the actor's, and an answer in it."""
    room = (await core.rooms.create(actor, title="Ada's")).id
    await core.chat.send(actor, room, text="hello", cid=None)
    await core.turns.idle()
    return room, (await core.chat.history(actor, room)).messages[-1].id


async def credentials(
    core: Core, owner: Actor, room: RoomId, role: MemberRole | None
) -> dict[str, dict[str, str]]:
    """Headers for each door, of actors with this role in the room."""
    token, guest = await core.identity.new_guest()
    key, _ = await core.keys.create(name=None, scopes=["all"], actor=guest)
    user = uuid1()
    old = await core.identity.claimed(user)
    if role is not None:
        for actor in (guest, old):
            await core.rooms.join(owner, room, actor, role=role)
    return {
        "rest": {"authorization": f"Bearer {token}"},
        "openai": {"authorization": f"Bearer {key}"},
        "classic": {"cookie": f"{COOKIE}={user}"},
    }


@pytest.mark.parametrize("role", [MemberRole.MEMBER, MemberRole.READER, None])
async def test_who_may_not_is_refused_as_the_declared_act_says(
    tmp_path: Path, role: MemberRole | None
) -> None:
    async with application(tmp_path) as (core, app):
        _, ada = await core.identity.new_guest()
        room, answer = await answered(core, ada)
        names = {
            "room": room,
            "conversation": conversation_id(room),
            "session_id": session_of(room),
            "message": answer,
            "actor": ada.id,
            "invitation": f"i_{'0' * 32}",
        }
        names["item"] = f"msg_{answer.removeprefix('m_')}"
        headers = await credentials(core, ada, room, role)
        transport = httpx2.ASGITransport(app=app)
        tried = 0
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
            for one in SERVED:
                if not isinstance(one.act, Action) or one.path in ELSEWHERE:
                    continue
                if not ROOM.search(one.path):
                    continue
                path = re.sub(r"{(\w+)}", lambda found: names[found[1]], one.path)
                body = None if one.method in {"GET", "DELETE"} else {**BODY, "cid": new_cid()}
                got = await http.request(one.method, path, json=body, headers=headers[one.door])
                expected = refusal(one.act, role)
                if expected:
                    assert got.status_code == expected, (one, got.text)
                else:
                    assert got.status_code not in {401, 403, 404}, (one, got.text)
                tried += 1
        assert tried >= 20
        assert (await core.rooms.get(ada, room)).title == "Ada's"


@pytest.mark.parametrize("role", [MemberRole.MEMBER, MemberRole.READER, None])
async def test_who_may_not_is_refused_by_a_frame_as_its_act_says(
    tmp_path: Path, role: MemberRole | None
) -> None:
    async with application(tmp_path) as (core, _):
        _, ada = await core.identity.new_guest()
        _, bo = await core.identity.new_guest()
        room, answer = await answered(core, ada)
        if role is not None:
            await core.rooms.join(ada, room, bo, role=role)
        given: dict[str, Any] = {
            "room": room,
            "msg": answer,
            "seq": 0,
            "cid": new_cid(),
            "text": "x",
        }
        tried: list[str] = []
        with core.chat.reader(bo) as reader:
            nothing: Any = None
            bos = Connection(core, nothing, reader, nothing, bo, visitor=None, epoch=None)
            for one, name in calls_of(Connection):
                fields = frames.fields_of(getattr(Connection, name)).keys()
                if not isinstance(one.act, Action) or not fields & {"room", "msg"}:
                    continue
                status = 0
                try:
                    await getattr(bos, name)(**{key: given[key] for key in fields & given.keys()})
                except Refused as refused:
                    status = refused.status
                assert status == refusal(one.act, role), one
                tried.append(name)
        assert {"sub", "send", "typing", "read", "retry"} <= set(tried)
