"""One identity on two devices, as REST tells it; the page's walk is in tests/walks/test_devices.py."""

import asyncio
import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.wire.door import Door, Live, new_cid, open_door, shaped

from palaver.core.identity import last_used
from palaver.wire.api.me import Session, Sessions


async def link_of(http: httpx2.AsyncClient) -> str:
    made = (await http.post("/api/devices", json={})).json()
    address, _, token = made["url"].partition("#")
    assert address == f"{str(http.base_url).rstrip(chr(47))}/device"
    return token


async def test_a_phone_becomes_the_same_guest_by_a_link_and_only_once(door: Door) -> None:
    desktop, phone = door.http(), door.http()
    me = (await desktop.get("/api/me")).json()
    room = (await desktop.post("/api/rooms", json={"title": "Mine"})).json()["id"]
    assert (await phone.get(f"/api/rooms/{room}")).status_code == 404
    token = await link_of(desktop)
    looked = await door.http().post("/api/devices/look", json={"token": token})
    assert looked.json() == {"by": {"id": me["id"], "name": me["name"]}, "me": None}
    redeemed = await phone.post("/api/devices/redeem", json={"token": token, "name": "Phone"})
    assert redeemed.json().items() <= me.items()
    assert token not in redeemed.text + redeemed.headers["set-cookie"]
    assert "HttpOnly" in redeemed.headers["set-cookie"]
    assert (await phone.get(f"/api/rooms/{room}")).json()["title"] == "Mine"
    late = await door.http().post("/api/devices/redeem", json={"token": token})
    assert (late.status_code, late.json()["code"]) == (410, "ticket_ended")
    assert "set-cookie" not in late.headers
    listed = (await phone.get("/api/devices")).json()
    shown = [(one["name"], one["current"]) for one in listed["devices"]]
    assert (shown, listed["link"]) == ([(None, False), ("Phone", True)], None)


async def test_somebody_who_is_somebody_is_asked_and_loses_nothing_by_a_no(door: Door) -> None:
    desktop, other = door.http(), door.http()
    await desktop.post("/api/rooms", json={})
    theirs = (await other.post("/api/rooms", json={"title": "Theirs"})).json()["id"]
    token = await link_of(desktop)
    asked = await other.post("/api/devices/redeem", json={"token": token})
    assert (asked.status_code, asked.json()["code"]) == (409, "identity_in_use")
    assert (await other.get(f"/api/rooms/{theirs}")).status_code == 200
    foreign = {"sec-fetch-site": "cross-site"}
    refused = await door.http().post("/api/devices/redeem", json={"token": token}, headers=foreign)
    assert refused.status_code == 403, "no other site makes a browser somebody"
    yes = await other.post("/api/devices/redeem", json={"token": token, "replace": True})
    assert yes.json().items() <= (await desktop.get("/api/me")).json().items()
    assert (await other.get(f"/api/rooms/{theirs}")).status_code == 404


async def ended_once_read(door: Door, phone: httpx2.AsyncClient, device: str) -> httpx2.Response:
    """Ends a device when a connection, a feed and a poll of it are under way."""
    while "palaver_readers 3.0" not in (await door.http().get("/metrics")).text:
        pass
    return await phone.delete(f"/api/devices/{device}")


async def test_an_ended_device_is_out_at_once_and_for_ever(door: Door) -> None:
    desktop, phone = door.http(), door.http()
    room = (await desktop.post("/api/rooms", json={})).json()["id"]
    await phone.post("/api/devices/redeem", json={"token": await link_of(desktop)})
    # the first device, whose token would make the same guest again if nothing were known of it
    old = {"cookie": f"palaver_session={desktop.cookies['palaver_session']}"}
    [first, _] = (await phone.get("/api/devices")).json()["devices"]
    mine = [one for one in (await phone.get("/api/devices")).json()["devices"] if one["current"]]
    assert (await phone.delete(f"/api/devices/{mine[0]['id']}")).status_code == 403
    feed = f"/api/rooms/{room}/events"
    async with (
        door.socket(additional_headers=old) as socket,
        door.http().stream("GET", feed, headers=old | {"accept": "text/event-stream"}) as events,
    ):
        live, lines = Live(socket), events.aiter_lines()
        await live.ask(t="hello", v=1)
        await live.ask(t="sub", room=room)
        await anext(lines)
        seq = (await phone.get(feed)).json()["seq"]
        waiting = door.http().get(feed, params={"after": seq, "wait": 30}, headers=old)
        polled, ended = await asyncio.gather(waiting, ended_once_read(door, phone, first["id"]))
        assert (ended.status_code, polled.status_code) == (204, 401)
        assert await live.closed() == 4503
        assert live.pushed[-1]["code"] == "session_ended"
        told = [line async for line in lines if line]  # the feed ends, too, and says why
        assert told[-2] == "event: err"
    async with door.socket(additional_headers=old) as socket:
        live = Live(socket)
        assert (await live.ask(t="hello", v=1))["code"] == "session_ended"
        assert await live.closed() == 4503
    told = await door.http().get(f"/api/rooms/{room}", headers=old)
    assert (told.status_code, told.json()["code"]) == (401, "session_ended")
    for again in (desktop, door.http(headers={"authorization": "Bearer " + old["cookie"][16:]})):
        await again.get("/api/me")
        got = await again.post(f"/api/rooms/{room}/messages", json={"text": "x", "cid": new_cid()})
        assert got.status_code in {401, 404}
    assert (await desktop.get("/api/me")).json()["id"] != (await phone.get("/api/me")).json()["id"]


@pytest.mark.parametrize(
    ("public_url", "there"),
    [(None, ""), ("https://chat.example.org", ""), ("https://example.org/chat", "/chat")],
)
async def test_the_link_leads_to_where_browsers_reach_the_server(
    tmp_path: Path, public_url: str | None, there: str
) -> None:
    given = {} if public_url is None else {"public_url": public_url}
    async with open_door(tmp_path, guests="open", **given) as door:
        made = (await door.http().post("/api/devices", json={})).json()
        assert made["url"].startswith(f"{public_url or door.url}/device#")
        opened = await door.http().get(f"{there}/device", headers={"accept": "text/html"})
        assert opened.status_code in {200, 503}


async def test_sessions_are_the_devices_in_full_and_all_others_end_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(last_used, "USED_SECONDS", 0.1)  # so that nobody asks for a minute
    async with open_door(tmp_path, guests="open", trusted_proxies="127.0.0.1") as door:
        agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
        desktop = door.http(headers={"user-agent": agent, "x-forwarded-for": "192.0.2.7"})
        phone = door.http(headers={"user-agent": "curl/8.9"})
        await desktop.post("/api/rooms", json={})
        link = await link_of(desktop)
        await phone.post("/api/devices/redeem", json={"token": link, "name": "Phone"})
        own = desktop.cookies["palaver_session"]
        told, shown = "", list[Session]()
        while not shown or None in {one["address"] for one in shown}:  # noted behind
            told = (await desktop.get("/api/me/sessions")).text
            shown = shaped(Sessions, json.loads(told))["sessions"]
        assert own not in told
        named = [(one["name"], one["agent"], one["address"], one["current"]) for one in shown]
        assert named == [
            (None, "Firefox on Linux", "192.0.2.7", True),
            ("Phone", "curl/8.9", "127.0.0.1", False),
        ]
        devices = (await desktop.get("/api/devices")).json()["devices"]
        assert [one["id"] for one in shown] == [one["id"] for one in devices]
        for one in shown:
            assert one["created_at"] <= one["used_at"] < one["expires_at"]
        here = f"/api/me/sessions/{shown[0]['id']}"
        refused = await desktop.delete(here)
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        theirs, absent = await door.http().delete(here), await desktop.delete(f"{here[:-1]}z")
        assert (theirs.status_code, theirs.content) == (404, absent.content)
        assert (await desktop.delete("/api/me/sessions")).status_code == 204
        ended = await phone.get("/api/me")
        assert (ended.status_code, ended.json()["code"]) == (401, "session_ended")
        assert "set-cookie" in ended.headers, "the browser is somebody else from then on"
        [left] = (await desktop.get("/api/me/sessions")).json()["sessions"]
        assert left["id"] == shown[0]["id"]
        foreign = await desktop.delete(
            "/api/me/sessions", headers={"origin": "https://evil.example"}
        )
        assert (foreign.status_code, foreign.json()["code"]) == (403, "origin_refused")


async def test_a_session_that_nobody_used_for_long_is_over_and_a_cookie_lasts_as_long_as_one_may(
    tmp_path: Path,
) -> None:
    rules: dict[str, Any] = {"session_idle_days": 2, "session_days_max": 7, "sign_up": "open"}
    async with open_door(tmp_path, **rules) as door:
        guest, http = door.http(), door.http()
        assert f"Max-Age={7 * 86_400};" in (await http.get("/api/me")).headers["set-cookie"]
        asked = {"handle": "ada", "password": "correct horse battery"}
        assert (await http.post("/api/sign-up", json=asked)).status_code == 201
        room = (await http.post("/api/rooms", json={"title": "Mine"})).json()["id"]
        cookie = {"cookie": f"palaver_session={http.cookies['palaver_session']}"}
        name = (await guest.get("/api/me")).json()["name"]
        guests = {"cookie": f"palaver_session={guest.cookies['palaver_session']}"}
    for days, code in ((1, None), (2, "session_ended")):
        with closing(sqlite3.connect(tmp_path / "palaver.db")) as db, db:
            db.execute(
                "UPDATE sessions SET created_ms = ?, used_ms = ?",
                (made := time.time_ns() // 1_000_000 - days * 86_400_000, made),
            )
        async with open_door(tmp_path, **rules) as door:
            known = await door.http().get("/api/me", headers=guests)
            assert known.json()["name"] == name, "a guest has no other way in"
            got = await door.http().get(f"/api/rooms/{room}", headers=cookie)
            assert got.json().get("code") == code
            async with door.socket(additional_headers=cookie) as socket:
                assert (await Live(socket).ask(t="hello", v=1)).get("code") == code


async def test_a_classic_client_that_comes_back_after_long_is_the_same_guest(
    tmp_path: Path,
) -> None:
    async with open_door(tmp_path) as door:
        http = door.http()
        made = (await http.post("/api/sessions", json={"title": "Old"})).json()["id"]
        cookie = {"cookie": f"stupidbot_user_id={http.cookies['stupidbot_user_id']}"}
    with closing(sqlite3.connect(tmp_path / "palaver.db")) as db, db:
        db.execute("UPDATE sessions SET created_ms = 0, used_ms = 0, expires_ms = 0")
    async with open_door(tmp_path) as door:
        found = await door.http().get(f"/api/sessions/{made}", headers=cookie)
        assert (found.status_code, found.json()["title"]) == (200, "Old")
