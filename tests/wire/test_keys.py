"""API keys at our own doors: REST, feeds, long polls and the live connection."""

import asyncio
from typing import Any

import httpx2
import pytest
from tests.wire.door import Door, Json, new_cid, new_room, texts


async def key_of(client: httpx2.AsyncClient, **given: Any) -> tuple[str, str]:
    """A new key's token and id."""
    made = await client.post("/api/keys", json=given)
    assert made.status_code == 201, made.text
    return made.json()["token"], made.json()["key"]["id"]


def program(door: Door, token: str) -> httpx2.AsyncClient:
    return door.http(headers={"authorization": f"Bearer {token}"})


async def test_a_key_is_its_person_at_every_door(door: Door) -> None:
    token, ada = await door.guest()
    key, _ = await key_of(ada)
    http = program(door, key)
    me = await http.get("/api/me")
    assert me.json()["id"] == (await ada.get("/api/me")).json()["id"]
    assert "set-cookie" not in me.headers
    room = await new_room(http)
    async with door.live(key) as bot, door.live(token) as page:
        for live in (bot, page):
            await live.ask(t="sub", room=room)
        assert (await bot.say(room, "from a program"))["state"] == "stored"
        event = await page.event("message.created")
        assert event["by"] == me.json()["id"]
    assert await texts(ada, room) == ["from a program"]


async def test_a_key_is_good_for_what_its_scopes_say(door: Door) -> None:
    _, ada = await door.guest()
    room = await new_room(ada)
    reads, speaks, chats = [
        program(door, (await key_of(ada, scopes=[scope]))[0]) for scope in ("read", "rooms", "chat")
    ]
    said: Json = {"text": "hi", "cid": new_cid()}
    path = f"/api/rooms/{room}/messages"
    for http, method, wanted in (
        (reads, "GET", None),
        (reads, "POST", "rooms"),
        (speaks, "GET", None),
        (speaks, "POST", None),
        (chats, "GET", "rooms"),
        (chats, "POST", "rooms"),
    ):
        got = await http.request(method, path, json=said if method == "POST" else None)
        if wanted is None:
            assert got.is_success, got.text
        else:
            assert (got.status_code, got.json()["code"]) == (403, "scope_missing")
            assert f"'{wanted}'" in got.json()["detail"]


async def test_a_key_makes_no_keys_sessions_devices_or_passwords(door: Door) -> None:
    _, ada = await door.guest()
    key, id_ = await key_of(ada, scopes=["all", "admin"])
    http = program(door, key)
    calls: list[tuple[str, str, Json]] = [
        ("POST", "keys", {}),
        ("GET", "keys", {}),
        ("DELETE", f"keys/{id_}", {}),
        ("POST", "guests", {}),
        ("POST", "devices", {}),
        ("POST", "devices/redeem", {"token": "x"}),
        ("GET", "me/sessions", {}),
        ("DELETE", "me/sessions", {}),
        ("PATCH", "me", {"name": "Eve"}),
        ("POST", "me/password", {"old": "x" * 10, "new": "y" * 10}),
        ("POST", "sign-in", {"handle": "ada", "password": "x" * 10}),
        ("POST", "sign-up", {"handle": "ada", "password": "x" * 10, "name": "Ada"}),
        ("POST", "sign-out", {}),
    ]
    for method, path, body in calls:
        sent = None if method in {"GET", "DELETE"} else body
        got = await http.request(method, f"/api/{path}", json=sent)
        assert (got.status_code, got.json()["code"]) == (403, "forbidden"), (path, got.text)
        assert "No API key" in got.json()["detail"]
        assert "set-cookie" not in got.headers
    assert len((await ada.get("/api/keys")).json()["keys"]) == 1


async def test_for_a_limited_key_there_are_no_other_rooms(door: Door) -> None:
    token, ada = await door.guest()
    mine, other = [await new_room(ada, title) for title in ("mine", "other")]
    key, _ = await key_of(ada, rooms=[mine])
    http = program(door, key)
    assert [room["id"] for room in (await http.get("/api/rooms")).json()["rooms"]] == [mine]
    assert (await http.get(f"/api/rooms/{mine}")).status_code == 200
    never = mine[:-8] + "00000000"
    for method, path, body in (
        ("GET", "", None),
        ("PATCH", "", {"title": "x"}),
        ("DELETE", "", None),
        ("GET", "/messages", None),
        ("POST", "/messages", {"text": "hi", "cid": new_cid()}),
        ("GET", "/events?wait=5", None),
        ("GET", "/members", None),
        ("POST", "/invitations", {}),
        ("POST", "/archive", None),
    ):
        told = [
            await http.request(method, f"/api/rooms/{room}{path}", json=body)
            for room in (other, never)
        ]
        assert [one.status_code for one in told] == [404, 404], path
        assert told[0].json() == told[1].json()
    feed = {"accept": "text/event-stream"}
    assert (await http.get(f"/api/rooms/{other}/events", headers=feed)).status_code == 404
    made = await http.post("/api/rooms", json={})
    assert (made.status_code, made.json()["code"]) == (403, "scope_missing")
    async with door.live(key) as bot, door.live(token) as page:
        await bot.ask(t="watch")
        for frame in ({"t": "sub"}, {"t": "send", "text": "hi", "cid": new_cid()}, {"t": "typing"}):
            assert (await bot.ask(room=other, **frame))["code"] == "room_not_found"
        assert (await page.say(other, "elsewhere"))["state"] == "stored"
        await page.ask(t="read", room=other, seq=1)
        await new_room(ada, "a new one")
        await page.say(mine, "here")
        assert (await bot.push("room"))["room"] == mine
        await bot.ask(t="ping")
        assert all(frame.get("room") in {None, mine} for frame in bot.pushed), bot.pushed


@pytest.mark.parametrize("how", ["socket", "feed", "poll"])
async def test_what_a_key_opened_ends_with_it(door: Door, how: str) -> None:
    _, ada = await door.guest()
    room = await new_room(ada)
    key, id_ = await key_of(ada)
    http, revoke = program(door, key), f"/api/keys/{id_}"
    path = f"/api/rooms/{room}/events"
    if how == "socket":
        async with door.live(key) as bot:
            await bot.ask(t="sub", room=room)
            assert (await ada.delete(revoke)).status_code == 204
            assert await bot.closed() == 4503
    elif how == "feed":
        async with http.stream("GET", path, headers={"accept": "text/event-stream"}) as feed:
            lines = feed.aiter_lines()
            assert await anext(lines)
            assert (await ada.delete(revoke)).status_code == 204
            rest = [line async for line in lines]
        assert "event: err" in rest
    else:
        seq = (await http.get(path)).json()["seq"]
        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            waits = tasks.create_task(http.get(path, params={"after": seq, "wait": 30}))
            while True:
                if b"palaver_readers 1.0" in (await ada.get("/metrics")).content:
                    break
                await asyncio.sleep(0.01)  # nothing tells that somebody waits
            assert (await ada.delete(revoke)).status_code == 204
        assert waits.result().status_code == 401
    async with door.socket(subprotocols=["palaver.v1"]) as socket:
        await socket.send(f'{{"t":"hello","id":1,"v":1,"token":"{key}"}}')
        assert '"unauthenticated"' in str(await socket.recv())
    assert (await http.get(path)).status_code == 401


async def test_a_key_that_is_none_is_refused_and_one_in_a_url_not_even_read(
    door: Door, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    _, ada = await door.guest()
    key, _ = await key_of(ada)
    for wrong in (key[:-1], key + "x", "plv_", "plv_" + "x" * 43):
        got = await program(door, wrong).get("/api/me")
        assert (got.status_code, got.json()["code"]) == (401, "unauthenticated")
    http = door.http()
    for path in (f"/api/me?token={key}", f"/api/rooms?search={key}", f"/v1/models?key={key}"):
        got = await http.get(path)
        assert got.status_code == 400
        assert key not in got.text
    cookie = door.http(cookies={"palaver_session": key})
    assert (await cookie.get("/api/me")).json()["id"] != (await ada.get("/api/me")).json()["id"]
    captured = capsys.readouterr()
    assert key not in captured.out + captured.err + caplog.text
