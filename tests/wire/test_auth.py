"""Who is asking: the cookie, the bearer token, and nothing else; and when somebody is stored for it."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from http.cookies import SimpleCookie
from pathlib import Path

import httpx2
import pytest
from tests.wire.door import Door, Live, new_cid, open_door

from palaver.core import runtime

FOREIGN = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}


def people(door: Door) -> int:
    """How many persons the database has."""
    with closing(sqlite3.connect(door.settings.data_dir / "palaver.db")) as db:
        return db.execute("SELECT count(*) FROM actors WHERE handle <> 'assistant'").fetchone()[0]


def session_of(http: httpx2.AsyncClient) -> Mapping[str, str]:
    return {"cookie": f"palaver_session={http.cookies['palaver_session']}"}


async def test_the_first_call_sets_a_cookie_that_no_script_reads(door: Door) -> None:
    http = door.http()
    first = await http.get("/api/me")
    cookie = SimpleCookie(first.headers["set-cookie"])["palaver_session"]
    assert cookie["httponly"]
    assert (cookie["samesite"], cookie["path"], cookie["max-age"]) == ("lax", "/", "31536000")
    assert not cookie["secure"], "over plain HTTP a browser would drop it"
    assert len(cookie.value) >= 43
    again = await http.get("/api/me")
    assert "set-cookie" not in again.headers
    assert again.json() == first.json()


async def test_a_refused_first_call_sets_it_too(door: Door) -> None:
    http = door.http()
    assert "set-cookie" in (await http.get("/api/rooms/r_1")).headers
    assert "set-cookie" not in (await http.get("/api/rooms/r_1")).headers


async def test_who_only_looks_is_stored_nowhere_and_is_the_same_one_afterwards(door: Door) -> None:
    before = people(door)
    http = door.http()
    me = (await http.get("/api/me")).json()
    lobby = (await http.get("/api/rooms")).json()["rooms"][0]["id"]
    for path in (f"/api/rooms/{lobby}/messages", f"/api/rooms/{lobby}/events", "/api/models"):
        assert (await http.get(path)).status_code == 200
    for path in ("/api/sessions", "/api/history", "/v1/models", "/v1/conversations"):
        await door.http().get(path, headers={"authorization": "Bearer sk-nobody"})
    async with door.socket(additional_headers=session_of(http)) as socket:
        live = Live(socket)
        welcome = await live.ask(t="hello", v=1)
        assert welcome["me"].items() <= me.items()
        assert (await live.ask(t="sub", room=lobby))["t"] == "sub"
        assert (await live.ask(t="read", room=lobby, seq=1))["t"] == "ok"
        assert people(door) == before
        said = await live.say(lobby, "hello")
        assert (said["state"], people(door)) == ("stored", before + 1)
        assert (await live.event("message.created"))["by"] == me["id"]
    assert (await http.get("/api/me")).json() == me
    assert people(door) == before + 1


async def test_a_room_makes_a_guest_of_a_visitor_and_of_a_connection_of_theirs(door: Door) -> None:
    http = door.http()
    me = (await http.get("/api/me")).json()
    async with door.socket(additional_headers=session_of(http)) as socket:
        live = Live(socket)
        await live.ask(t="hello", v=1)
        room = (await http.post("/api/rooms", json={"title": "Mine"})).json()["id"]
        await live.ask(t="sub", room=room)
        assert (await live.ask(t="read", room=room, seq=1))["t"] == "ok"
        assert (await http.get(f"/api/rooms/{room}")).json()["read_seq"] == 1
        assert (await live.say(room, "hi"))["state"] == "stored"
    assert (await http.get("/api/me")).json() == me


async def test_visitors_stay_who_they_are_after_a_restart(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door:
        http = door.http()
        me, cookie = (await http.get("/api/me")).json(), session_of(http)
    async with open_door(tmp_path) as door:
        again = await door.http().get("/api/me", headers=cookie)
        assert again.json() == me
        assert "set-cookie" not in again.headers


async def test_guests_who_left_nothing_are_deleted_and_are_the_same_when_they_come_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "SWEEP_SECONDS", 1.0)  # so that nobody asks for half a minute
    async with open_door(tmp_path) as door:
        page, token = door.http(), (await door.http().post("/api/guests", json={})).json()["token"]
        await page.get("/api/me")
        assert (await page.post("/api/rooms/r_1/messages", json={})).status_code == 400
        cookie, me = session_of(page), (await page.get("/api/me")).json()
        named = (await door.http().post("/api/guests", json={"name": "Ada"})).json()["token"]
        before = people(door)
        with closing(sqlite3.connect(tmp_path / "palaver.db")) as db, db:
            db.execute("UPDATE actors SET created_ms = created_ms - 86400000")
    async with open_door(tmp_path) as door:
        while people(door) != before - 2:
            await door.http().get("/health")
        assert "palaver_guests_swept_total 2.0" in (await door.http().get("/metrics")).text
        assert (await door.http().get("/api/me", headers=cookie)).json() == me
        bearer = {"authorization": f"Bearer {token}"}
        assert (await door.http().get("/api/me", headers=bearer)).status_code == 200
        bearer = {"authorization": f"Bearer {named}"}
        assert (await door.http().get("/api/me", headers=bearer)).json()["name"] == "Ada"
        lobby = (await door.http().get("/api/rooms")).json()["rooms"][0]["id"]
        async with door.live(token) as live:
            assert (await live.say(lobby, "here again"))["state"] == "stored"
        async with door.socket(additional_headers=cookie) as socket:
            live = Live(socket)
            await live.ask(t="hello", v=1)
            await live.ask(t="sub", room=lobby)
            assert (await live.say(lobby, "me too"))["state"] == "stored"
            assert (await live.event("message.created"))["by"] == me["id"]
        assert people(door) == before


async def test_a_connection_of_a_guest_who_was_deleted_comes_again_with_its_message(
    door: Door,
) -> None:
    token = (await door.http().post("/api/guests", json={})).json()["token"]
    lobby = (await door.http().get("/api/rooms")).json()["rooms"][0]["id"]
    async with door.live(token) as live:
        with closing(sqlite3.connect(door.settings.data_dir / "palaver.db")) as db, db:
            db.execute("DELETE FROM sessions")
            db.execute("DELETE FROM actors WHERE unused")
        await live.send(t="send", id=9, room=lobby, text="hello", cid=(cid := new_cid()))
        assert await live.closed() == 4000
    async with door.live(token) as live:
        assert (await live.say(lobby, "hello", cid))["dup"] is False


async def test_a_page_of_another_site_makes_nobody(tmp_path: Path) -> None:
    async with open_door(tmp_path, allowed_origins="https://app.example.org") as door:
        before = people(door)
        for path in ("/api/me", "/api/rooms", "/api/sessions", "/api/history", "/v1/models"):
            got = await door.http().get(path, headers=FOREIGN)
            assert "set-cookie" not in got.headers, path
        allowed = FOREIGN | {"origin": "https://app.example.org"}
        got = await door.http().post("/api/rooms", json={}, headers=allowed)
        assert (got.status_code, got.json()["code"]) == (401, "unauthenticated")
        assert people(door) == before


async def test_a_cookie_that_means_nothing_is_replaced_and_is_no_session(door: Door) -> None:
    for value in ("x", "x" * 43, "x" * 5_000, '"\\377"'):
        headers = {"cookie": f"palaver_session={value}"}
        got = await door.http().get("/api/me", headers=headers)
        assert got.status_code == 200
        assert "set-cookie" in got.headers
        got = await door.http().post("/api/rooms", json={}, headers=headers)
        assert f"session={value};" not in got.headers["set-cookie"], "nobody chooses a token"


async def test_a_token_that_means_nothing_is_refused(door: Door) -> None:
    for header in ("Bearer x", f"Bearer {'x' * 43}", "Basic eDp5", "Bearer", "x", ""):
        got = await door.http().get("/api/me", headers={"authorization": header})
        assert (got.status_code, got.json()["code"]) == (401, "unauthenticated"), header
        assert got.headers["www-authenticate"] == "Bearer"
        assert "set-cookie" not in got.headers


async def test_a_token_wins_over_a_cookie(door: Door) -> None:
    token, http = await door.guest()
    me = (await http.get("/api/me")).json()
    visitor = door.http()
    await visitor.get("/api/me")
    got = await visitor.get("/api/me", headers={"authorization": f"bearer {token}"})
    assert got.json() == me


async def test_pages_that_ask_for_nobody_make_nobody(door: Door) -> None:
    for path in ("/", "/health", "/docs", "/openapi.json", "/nowhere"):
        assert "set-cookie" not in (await door.http().get(path)).headers
