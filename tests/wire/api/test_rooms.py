"""The calls about rooms, over real HTTP, and what all of `/api` refuses."""

import pytest
from tests.wire.door import Door, new_cid, new_room, shaped

from palaver.wire import shapes
from palaver.wire.api.rooms import Models, RoomList


async def test_the_models_that_answer(door: Door) -> None:
    found = shaped(Models, (await door.http().get("/api/models")).json())
    assert found["provider"] == "echo"
    assert found["models"]
    assert found["hint"] is not None


async def test_a_room_is_made_found_named_deleted_and_restored(door: Door) -> None:
    http = door.http()
    made = await http.post("/api/rooms", json={"title": "Holiday plans"})
    assert made.status_code == 201
    room = shaped(shapes.Room, made.json())
    assert (room["title"], room["role"], room["visibility"]) == (
        "Holiday plans",
        "owner",
        "private",
    )
    address = f"/api/rooms/{room['id']}"
    assert (await http.get(address)).json()["id"] == room["id"]
    found = (await http.get("/api/rooms", params={"search": "holi"})).json()
    assert [one["id"] for one in found["rooms"]] == [room["id"]]
    renamed = await http.patch(address, json={"title": "Trip"})
    assert renamed.json()["title"] == "Trip"
    assert (await http.delete(address)).status_code == 204
    gone = await http.get(address)
    assert (gone.status_code, gone.json()["code"]) == (404, "room_not_found")
    deleted = (await http.get("/api/rooms", params={"deleted": "true"})).json()["rooms"]
    assert [(one["id"], one["deleted_at"] is None) for one in deleted] == [(room["id"], False)]
    restored = await http.post(f"{address}/restore")
    assert (await http.get("/api/rooms", params={"deleted": "true"})).json()["rooms"] == []
    assert (restored.status_code, restored.json()["title"]) == (200, "Trip")


async def test_the_rooms_come_in_pages_by_last_activity(door: Door) -> None:
    http = door.http()
    made = [await new_room(http, f"{number}") for number in range(5)]
    found: list[str] = []
    cursor: str | None = None
    while True:
        params = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = shaped(RoomList, (await http.get("/api/rooms", params=params)).json())
        found += [room["id"] for room in page["rooms"] if room["visibility"] == "private"]
        cursor = page["next"]
        if cursor is None:
            break
    assert found == made[::-1]
    bad = await http.get("/api/rooms", params={"cursor": "made up"})
    assert (bad.status_code, bad.json()["code"]) == (400, "cursor_invalid")


async def test_the_lobby_cannot_be_taken_away(door: Door) -> None:
    http = door.http()
    lobby = (await http.get("/api/rooms")).json()["rooms"][0]
    assert (lobby["title"], lobby["visibility"]) == ("Lobby", "open")
    refused = await http.delete(f"/api/rooms/{lobby['id']}")
    assert (refused.status_code, refused.json()["code"]) == (409, "room_protected")


async def test_reading_lowers_what_is_unread(door: Door) -> None:
    ada, bo = door.http(), door.http()
    lobby = (await ada.get("/api/rooms")).json()["rooms"][0]["id"]
    assert (await ada.post(f"/api/rooms/{lobby}/read", json={"seq": 0})).status_code == 204
    await bo.post(f"/api/rooms/{lobby}/messages", json={"cid": new_cid(), "text": "/long 1"})
    room = (await ada.get(f"/api/rooms/{lobby}")).json()
    assert room["unread"] >= 1
    read = await ada.post(f"/api/rooms/{lobby}/read", json={"seq": room["seq"]})
    assert read.status_code == 204
    after = (await ada.get(f"/api/rooms/{lobby}")).json()
    assert after["read_seq"] == room["seq"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/rooms/{}"),
        ("PATCH", "/api/rooms/{}"),
        ("DELETE", "/api/rooms/{}"),
        ("POST", "/api/rooms/{}/restore"),
        ("GET", "/api/rooms/{}/messages"),
        ("POST", "/api/rooms/{}/messages"),
        ("POST", "/api/rooms/{}/read"),
        ("GET", "/api/rooms/{}/events"),
        ("POST", "/api/turns/{}/stop"),
        ("POST", "/api/messages/{}/retry"),
    ],
)
async def test_what_is_not_there_is_a_404_whatever_it_is_called(
    door: Door, method: str, path: str
) -> None:
    http = door.http()
    body = {"title": "x", "cid": new_cid(), "text": "x", "seq": 1}
    ids = ("x", "r_1", "%00", "%F0%9F%98%80", "r_" + "0" * 32, "R_" + "A" * 32, "0" * 300, "..%2f")
    for made_up in ids:
        got = await http.request(
            method,
            path.format(made_up),
            json=body if method in {"PATCH", "POST"} else None,
        )
        assert got.status_code == 404, (made_up, got.text)
        assert got.headers["content-type"] == "application/problem+json"
        assert got.json()["code"].endswith("not_found")


async def test_another_persons_room_is_as_if_it_were_not_there(door: Door) -> None:
    room = await new_room(door.http())
    stranger = door.http()
    for method, path in (("GET", ""), ("GET", "/messages"), ("GET", "/events"), ("DELETE", "")):
        got = await stranger.request(method, f"/api/rooms/{room}{path}")
        assert (got.status_code, got.json()["code"]) == (404, "room_not_found")
