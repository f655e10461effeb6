"""The calls about rooms, over real HTTP, and what all of `/api` refuses."""

from pathlib import Path

import httpx2
import pytest
from tests.wire.api.test_members import join, link_of
from tests.wire.door import (
    SETUP,
    Door,
    Json,
    new_cid,
    new_owner,
    new_room,
    open_door,
    shaped,
    texts,
)

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


async def opened(http: httpx2.AsyncClient, room: str, **given: str) -> shapes.Room:
    got = await http.put(f"/api/rooms/{room}/visibility", json={"visibility": "open", **given})
    assert got.status_code == 200, got.text
    return shaped(shapes.Room, got.json())


async def found(http: httpx2.AsyncClient) -> tuple[set[str], set[str]]:
    """One's rooms, and those that one may join."""
    listed, to_join = [
        (await http.get("/api/rooms", params={"open": which})).json()["rooms"]
        for which in ("false", "true")
    ]
    return {one["title"] for one in listed}, {one["title"] for one in to_join}


async def events_of(http: httpx2.AsyncClient, room: str) -> list[tuple[str, Json]]:
    got = (await http.get(f"/api/rooms/{room}/events")).json()["events"]
    return [(one["k"], one["d"]) for one in got]


async def test_an_owner_opens_a_room_in_which_others_read_or_write_and_which_they_join(
    door: Door,
) -> None:
    (_, ada), (_, bo), (_, cy) = await door.guest(), await door.guest(), await door.guest()
    room = await new_room(ada, "Garden")
    address = f"/api/rooms/{room}"
    said = {"cid": new_cid(), "text": "tulips"}
    assert (await ada.post(f"{address}/messages", json=said)).status_code == 201
    told = await opened(ada, room, open_to="everyone")
    assert (told["visibility"], told["open_to"], told["open_role"]) == (
        "open",
        "everyone",
        "reader",
    )
    assert (told["role"], told["joined"]) == ("owner", True)
    assert await opened(ada, room, open_to="everyone") == told, "the same again is no other event"
    assert await found(bo) == ({"Lobby"}, {"Garden"})
    seen = (await bo.get(address)).json()
    assert (seen["role"], seen["joined"], seen["unread"]) == ("reader", False, 0)
    assert await texts(bo, room) == ["tulips"]
    mine = {"cid": new_cid(), "text": "roses"}
    assert (await bo.post(f"{address}/messages", json=mine)).status_code == 403
    assert (await bo.post(f"{address}/read", json={"seq": 2})).status_code == 204
    assert (await bo.get(address)).json()["joined"] is False, "to read is not to be a member"
    joined = shaped(shapes.Room, (await bo.post(f"{address}/join")).json())
    assert (joined["role"], joined["joined"]) == ("reader", True)
    assert (await bo.post(f"{address}/join")).json() == joined
    assert await found(bo) == ({"Lobby", "Garden"}, set())
    await opened(ada, room, open_to="everyone", open_role="member")
    assert (await cy.post(f"{address}/messages", json=mine)).status_code == 201
    assert (await bo.post(f"{address}/messages", json=mine)).status_code == 403, "he stays a reader"
    assert (await cy.delete(f"{address}/members/{await id_of(cy)}")).status_code == 204, (
        "nothing left"
    )
    assert (await ada.delete(f"{address}/members/{await id_of(cy)}")).status_code == 204
    for call in (cy.get(address), cy.post(f"{address}/join")):
        assert (await call).status_code == 404, "who was taken out is kept out"
    assert await found(cy) == ({"Lobby"}, set())
    kinds = await events_of(ada, room)
    everyone = {"visibility": "open", "open_to": "everyone"}
    assert [data for kind, data in kinds if kind == "room.visibility"] == [
        {**everyone, "open_role": "reader"},
        {**everyone, "open_role": "member"},
    ]
    came = {"role": "reader", "via": "open"}
    assert [data for kind, data in kinds if kind == "member.joined"] == [
        {"actor": await id_of(bo), "name": (await bo.get("/api/me")).json()["name"], **came}
    ]


async def test_what_is_open_to_people_is_not_there_for_guests_and_private_again_for_neither(
    tmp_path: Path,
) -> None:
    async with open_door(tmp_path, setup=SETUP) as door:
        owner, (_, ada), (_, guest) = await new_owner(door), await door.guest(), await door.guest()
        room = await new_room(ada, "Plans")
        address = f"/api/rooms/{room}"
        told = await opened(ada, room)
        assert (told["open_to"], told["open_role"]) == ("people", "reader"), "at first the least"
        assert [await found(http) for http in (owner, guest)] == [
            ({"Lobby"}, {"Plans"}),
            ({"Lobby"}, set()),
        ]
        assert [(await http.get(address)).status_code for http in (owner, guest)] == [200, 404]
        private = {"visibility": "private"}
        for other in (owner, guest):
            refused = await other.put(f"{address}/visibility", json=private)
            assert refused.status_code in {403, 404}
        assert (await ada.get(address)).json()["visibility"] == "open", "not even by an admin"
        assert (await ada.put(f"{address}/visibility", json=private)).json()["open_to"] is None
        assert await found(owner) == ({"Lobby"}, set())
        assert (await owner.get(f"{address}/messages")).status_code == 404


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"visibility": "secret"},
        {"visibility": None},
        {"visibility": "open", "open_to": "nobody"},
        {"visibility": "open", "open_to": None},
        {"visibility": "open", "open_role": "owner"},
        {"visibility": "open", "open_role": "moderator"},
    ],
)
async def test_a_room_is_opened_to_nobody_else_and_as_nothing_more(door: Door, given: Json) -> None:
    http = door.http()
    room = await new_room(http)
    refused = await http.put(f"/api/rooms/{room}/visibility", json=given)
    assert (refused.status_code, refused.json()["code"]) == (400, "bad_request")
    assert "room.visibility" not in [kind for kind, _ in await events_of(http, room)]
    lobby = next(iter((await http.get("/api/rooms", params={"search": "Lobby"})).json()["rooms"]))
    shut = {"visibility": "private"}
    refused = await http.put(f"/api/rooms/{lobby['id']}/visibility", json=shut)
    assert (refused.status_code, refused.json()["code"]) == (409, "room_protected")


async def test_a_room_is_put_under_another_one_and_at_the_top_again(door: Door) -> None:
    http = door.http()
    above, below = await new_room(http, "Above"), await new_room(http, "Below")
    address = f"/api/rooms/{below}/parent"
    moved = shaped(shapes.Room, (await http.put(address, json={"parent": above})).json())
    assert moved["parent"] == above
    assert (await http.put(address, json={"parent": above})).json() == moved
    circle = await http.put(f"/api/rooms/{above}/parent", json={"parent": below})
    assert (circle.status_code, circle.json()["code"]) == (409, "room_tree")
    for bad, status in (({}, 400), ({"parent": 7}, 400), ({"parent": "x' OR 1=1"}, 404)):
        assert (await http.put(address, json=bad)).status_code == status
    bo = door.http()
    await join(bo, (await link_of(http, below))[0], "Bo")
    seen = (await bo.get(f"/api/rooms/{below}")).json()
    assert seen["parent"] is None, "who may not see the room above is not told of it"
    assert (await http.put(address, json={"parent": None})).json()["parent"] is None
    events = [data for kind, data in await events_of(http, below) if kind == "room.moved"]
    assert events == [{"parent": above}, {"parent": None}]


async def id_of(http: httpx2.AsyncClient) -> str:
    return (await http.get("/api/me")).json()["id"]


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
