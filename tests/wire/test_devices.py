"""One identity on two devices, as REST tells it; the page's walk is in tests/walks/test_devices.py."""

import asyncio
from pathlib import Path

import httpx2
import pytest
from tests.wire.door import Door, Live, new_cid, open_door


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
    assert redeemed.json() == me
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
    assert yes.json() == (await desktop.get("/api/me")).json()
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
        assert await live.closed() == 4000
        async for _ in lines:  # the feed ends, too
            pass
    async with door.socket(additional_headers=old) as socket:
        live = Live(socket)
        assert (await live.ask(t="hello", v=1))["code"] == "unauthenticated"
        assert await live.closed() == 4503
    told = await door.http().get(f"/api/rooms/{room}", headers=old)
    assert (told.status_code, told.json()["code"]) == (401, "unauthenticated")
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
    async with open_door(tmp_path, **given) as door:
        made = (await door.http().post("/api/devices", json={})).json()
        assert made["url"].startswith(f"{public_url or door.url}/device#")
        opened = await door.http().get(f"{there}/device", headers={"accept": "text/html"})
        assert opened.status_code in {200, 503}
