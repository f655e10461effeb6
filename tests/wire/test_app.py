"""All doors under one roof."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from tests.wire.door import Door, new_room, open_door, shaped

import palaver
from palaver.core import runtime
from palaver.wire import app
from palaver.wire.pages import reference


async def test_health_says_how_the_server_is(door: Door) -> None:
    got = await door.http().get("/health")
    health = shaped(app.Health, got.json())
    assert (health["status"], health["db"], health["version"]) == (
        "healthy",
        "up",
        palaver.__version__,
    )


@pytest.mark.usefixtures("impatient")
async def test_health_says_down_from_the_first_write_on_that_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "PULSE_SECONDS", 3_600.0)  # nobody looks by himself
    async with open_door(tmp_path) as door:
        token, http = await door.guest()
        room = await new_room(http)
        async with door.live(token) as live:
            await live.ask(t="sub", room=room)
            with closing(sqlite3.connect(tmp_path / "palaver.db", isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")  # a backup script gone wrong
                said = await live.say(room, "hello")
                got = await http.get("/health")
                other.execute("ROLLBACK")
            assert said["state"] == "accepted", said
            assert (got.status_code, got.json()["db"]) == (503, "down")
            assert (await live.push("db"))["state"] == "down"


async def test_every_documented_call_is_in_the_openapi_document(door: Door) -> None:
    document = (await door.http().get("/openapi.json")).json()
    calls = {
        f"{method.upper()} {path}"
        for path, methods in document["paths"].items()
        for method in methods
    }
    assert calls >= {
        "GET /api/me",
        "PATCH /api/me",
        "POST /api/guests",
        "GET /api/models",
        "GET /api/rooms",
        "POST /api/rooms",
        "GET /api/rooms/{room}",
        "PATCH /api/rooms/{room}",
        "DELETE /api/rooms/{room}",
        "POST /api/rooms/{room}/restore",
        "GET /api/rooms/{room}/messages",
        "POST /api/rooms/{room}/messages",
        "POST /api/rooms/{room}/read",
        "GET /api/rooms/{room}/events",
        "POST /api/turns/{turn}/stop",
        "POST /api/messages/{message}/retry",
        "GET /health",
    }
    sending = document["paths"]["/api/rooms/{room}/messages"]["post"]
    body = sending["requestBody"]["content"]["application/json"]["schema"]
    assert body["required"] == ["cid", "text"]


async def test_the_openapi_document_says_how_errors_look_and_who_may_ask(door: Door) -> None:
    document = (await door.http().get("/openapi.json")).json()
    assert set(document["components"]["securitySchemes"]) == {"session", "token", "classic"}
    sending = document["paths"]["/api/rooms/{room}/messages"]["post"]
    assert {"session": []} in sending["security"]
    assert {"200", "201", "202", "4XX", "5XX"} <= set(sending["responses"])
    assert list(sending["responses"]["4XX"]["content"]) == ["application/problem+json"]
    classic = document["paths"]["/api/sessions/{session_id}"]["delete"]
    assert classic["security"] == [{}, {"classic": []}]
    assert {"204", "400", "404", "422"} <= set(classic["responses"])
    assert set(classic["responses"]["404"]["content"]) == {"application/json"}
    assert "401" in document["paths"]["/api/auth/login"]["post"]["responses"]


async def test_the_reference_is_made_once_while_others_are_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[str, int]] = []

    def watched(name: str) -> None:
        making: Callable[..., Any] = getattr(reference, name)

        def noted(*given: Any, **named: Any) -> Any:
            made.append((name, threading.get_ident()))
            return making(*given, **named)

        monkeypatch.setattr(reference, name, noted)

    watched("get_openapi")
    watched("render")
    async with open_door(tmp_path) as door:
        paths = ["/openapi.json", "/docs"] * 5
        got = await asyncio.gather(*map(door.http().get, paths))
        got += [await door.http().get(path) for path in paths]
    assert {one.status_code for one in got} == {200}
    assert [name for name, _ in made] == ["get_openapi", "render"], "each once for all"
    assert threading.get_ident() not in {thread for _, thread in made}, "the event loop stood still"


async def test_the_classic_door_is_there(door: Door) -> None:
    assert (await door.http().get("/api/sessions")).status_code == 200


def test_an_app_needs_no_module_state() -> None:
    assert not [name for name, value in vars(app).items() if isinstance(value, FastAPI)]
