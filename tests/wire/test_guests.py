"""Who may be a guest, at every door; and a server that other machines reach, which serves nobody before its owner."""

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import httpx2
import pytest
from tests.wire.api.test_accounts import cookie_of
from tests.wire.api.test_members import join, link_of
from tests.wire.door import SETUP, Door, Live, new_cid, new_owner, new_room, open_door
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from palaver.wire.listing import listing

ELSEWHERE = {"x-forwarded-for": "203.0.113.9"}
CLASSIC = {"cookie": "stupidbot_user_id=3b241101-e2bb-4255-8caf-4136c566a962"}
DOORS = {"service", "rest", "classic", "openai", "page"}
CALLS = [one for one in listing() if one.door in DOORS and one.method != "WS"]
SERVED = {
    *("GET /health", "POST /api/setup", "POST /api/setup/look", "GET /setup"),
    *("GET /favicon.svg", "GET /favicon-unread.svg", "GET /manifest.webmanifest", "GET /theme.js"),
}


async def refusal(answer: httpx2.Response) -> tuple[int, str]:
    assert "set-cookie" not in answer.headers
    told = answer.json()
    if "error" in told:
        told = told["error"]
    return answer.status_code, told.get("code", "unauthenticated")  # the classic wire tells none


async def greeted(door: Door, headers: dict[str, str]) -> tuple[str, int | None]:
    """What a hello is answered with, and how it is let go."""
    async with door.socket(additional_headers=headers) as socket:
        live = Live(socket)
        answer = await live.ask(t="hello", v=1)
        code = await live.closed() if answer["t"] == "err" else None
        return answer.get("code", answer["t"]), code


async def first_words(socket: ClientConnection) -> str:
    """What the classic socket says first, or why it says nothing."""
    try:
        return json.loads(await socket.recv()).get("type", "")
    except ConnectionClosed:
        return "closed"


async def is_let_in(door: Door, headers: dict[str, str]) -> bool:
    """Whether somebody new is let in: at every door alike."""
    visitor = (await door.http().get("/api/me", headers=headers)).status_code == 200
    async with door.socket("/ws/chat", additional_headers=headers) as socket:
        answers = {visitor, await first_words(socket) != "error"}
    for method, path, more in (
        ("POST", "/api/rooms", {}),
        ("POST", "/api/guests", {}),
        ("GET", "/api/sessions", {"cookie": f"stupidbot_user_id={new_cid()}"}),
        ("POST", "/api/sessions", {"cookie": f"stupidbot_user_id={new_cid()}"}),
        ("GET", "/api/sessions", {}),
        ("GET", "/api/history", {}),
    ):
        got = await door.http().request(method, path, json={}, headers=headers | more)
        if got.is_error:
            assert await refusal(got) == (401, "unauthenticated"), path
        answers.add(got.is_success)
    assert len(answers) == 1, "the doors disagree"
    return visitor


@pytest.mark.parametrize(
    ("guests", "here", "elsewhere"),
    [(None, True, False), ("local", True, False), ("open", True, True), ("off", False, False)],
)
async def test_who_may_be_a_guest_is_the_same_at_every_door(
    tmp_path: Path,
    guests: str | None,
    *,
    here: bool,
    elsewhere: bool,
) -> None:
    async with open_door(tmp_path, guests=guests, allowed_hosts="chat.example.org") as door:
        assert await is_let_in(door, {}) is here
        assert await is_let_in(door, ELSEWHERE) is elsewhere
        named = await door.http().get("/api/me", headers={"host": "chat.example.org"})
        assert named.is_success is elsewhere
        models = await door.http().get("/v1/models", headers={"authorization": "Bearer sk-any"})
        assert models.is_success is here
        foreign = await door.http().get("/v1/models", headers=ELSEWHERE)
        assert await refusal(foreign) == (401, "invalid_api_key")
        for headers, let_in in (({}, here), (ELSEWHERE, elsewhere)):
            page = door.http()
            await page.get("/api/me", headers=headers)
            cookie = cookie_of(page) if let_in else {"cookie": "palaver_session=" + "x" * 43}
            greeting = ("welcome", None) if let_in else ("unauthenticated", 4503)
            assert await greeted(door, headers | cookie) == greeting


async def test_who_is_a_guest_stays_one_and_an_invitation_makes_more(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door:
        ada, visitor = door.http(), door.http()
        room = await new_room(ada)
        link, _ = await link_of(ada, room)
        await visitor.get("/api/me")
        stays, looked = cookie_of(ada), cookie_of(visitor)
        key = {"authorization": "Bearer sk-known"}
        assert (await door.http().post("/v1/conversations", json={}, headers=key)).is_success
        classic = await door.http().post("/api/sessions", json={}, headers=CLASSIC)
        assert classic.status_code == 201
    async with open_door(tmp_path, guests="off") as door:
        http = door.http(headers=stays)
        assert (await http.get(f"/api/rooms/{room}")).json()["role"] == "owner"
        assert await greeted(door, stays) == ("welcome", None)
        assert (await http.get("/api/sessions", headers=CLASSIC)).status_code == 200
        assert (await http.post("/v1/conversations", json={}, headers=key)).is_success
        assert await greeted(door, looked) == ("unauthenticated", 4503), "who only looked is nobody"
        assert await refusal(await door.http(headers=looked).get("/api/me")) == (
            401,
            "unauthenticated",
        )
        bo = door.http()
        joined = await join(bo, link, "Bo")
        assert joined.status_code == 200, joined.text
        assert (await bo.get("/api/me")).json()["name"] == "Bo"
        assert await refusal(await join(door.http(), link[:-1], "Mallory")) == (
            404,
            "invite_not_found",
        )


async def test_a_server_that_others_reach_serves_nothing_but_its_setup_until_it_has_an_owner(
    tmp_path: Path,
) -> None:
    async with open_door(tmp_path) as door:
        ada = door.http()
        room = await new_room(ada)
        cookie = cookie_of(ada)
    async with open_door(tmp_path, host="0.0.0.0", setup=SETUP) as door:
        ada = door.http(headers=cookie)
        for one in CALLS:
            path = re.sub(r"{[\w:]+}", room, one.path)
            got = await ada.request(one.method, path, json={})
            served = f"{one.method} {one.path}" in SERVED
            if not served:
                assert got.status_code == 403, path
                assert b"setup_required" in got.content or b"has no owner yet" in got.content
                assert "set-cookie" not in got.headers
            else:
                assert b"setup_required" not in got.content, path
        assert (await door.http().get("/health")).json()["setup"] == "required"
        page = await door.http().get("/r/x", headers={"accept": "text/html"})
        assert (page.status_code, page.headers["location"]) == (303, "/setup")
        assert await greeted(door, cookie) == ("setup_required", 4503)
        with pytest.raises(InvalidStatus) as refused:
            async with door.socket("/ws/chat", additional_headers=cookie):
                pass
        assert refused.value.response.status_code == 403
        foreign = {"origin": "https://evil.example"}
        given = {"token": SETUP, "handle": "mallory", "password": "x" * 20}
        got = await door.http().post("/api/setup", json=given, headers=foreign)
        assert await refusal(got) == (403, "origin_refused")
        await new_owner(door, ada)
        assert (await door.http().get("/health")).json()["setup"] is None
        owner = door.http(headers={"cookie": f"palaver_session={ada.cookies['palaver_session']}"})
        assert (await owner.get(f"/api/rooms/{room}")).json()["role"] == "owner", "a guest before"
        assert await refusal(await door.http().get("/api/me", headers=ELSEWHERE)) == (
            401,
            "unauthenticated",
        )


async def test_an_upgraded_server_goes_on_to_serve_its_guests_until_it_has_an_owner(
    tmp_path: Path,
) -> None:
    async with open_door(tmp_path) as door:
        ada = door.http()
        room = await new_room(ada)
        cookie = cookie_of(ada)
        assert (await door.http().get("/health")).json()["setup"] == "open"
    with closing(sqlite3.connect(tmp_path / "palaver.db")) as db, db:
        db.execute("INSERT INTO meta VALUES ('guests_before', 'yes')")  # as revision 0017 does
    async with open_door(tmp_path, host="0.0.0.0", setup=SETUP) as door:
        assert (await door.http().get("/health")).json()["setup"] == "open"
        assert (await door.http(headers=cookie).get(f"/api/rooms/{room}")).status_code == 200
        assert await is_let_in(door, ELSEWHERE)
        await new_owner(door)
        assert not await is_let_in(door, ELSEWHERE), "from now on the setting says who"
        again = door.http(headers=cookie | ELSEWHERE)
        assert (await again.get(f"/api/rooms/{room}")).status_code == 200, "and who is one stays"
