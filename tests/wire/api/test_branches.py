"""The calls about branches, over real HTTP."""

import asyncio
from typing import Any

import httpx2
from tests.wire.door import Door, new_cid, new_room, shaped

from palaver.wire import shapes
from palaver.wire.api.branches import Branch, BranchList, BranchTurn
from palaver.wire.api.messages import Sent


async def say(http: httpx2.AsyncClient, room: str, text: str, **more: Any) -> Sent:
    body = {"cid": new_cid(), "text": text, **more}
    reply = await http.post(f"/api/rooms/{room}/messages", json=body)
    assert reply.status_code == 201, reply.text
    return shaped(Sent, reply.json())


async def texts(http: httpx2.AsyncClient, room: str, **asked: Any) -> list[str]:
    reply = await http.get(f"/api/rooms/{room}/messages", params={"limit": 100, **asked})
    page = shaped(shapes.Page, reply.json())
    return [one["text"] for one in page["messages"] if one["role"] == "user"]


async def of(http: httpx2.AsyncClient, room: str, count: int, **asked: int) -> list[shapes.Message]:
    """The room's messages, once there are so many."""
    while True:
        reply = await http.get(f"/api/rooms/{room}/messages", params=asked)
        found = shaped(shapes.Page, reply.json())["messages"]
        if len(found) >= count:
            return found
        await asyncio.sleep(0.05)


async def test_a_branch_is_begun_looked_at_named_chosen_deleted_and_restored(door: Door) -> None:
    http = door.http()
    room = await new_room(http)
    first = await say(http, room, "first")
    await say(http, room, "second")
    other = await say(http, room, "instead", after=first["seq"])
    assert other["branch"] == 1
    assert await texts(http, room) == ["first", "instead"]
    assert await texts(http, room, branch=0) == ["first", "second"]
    at = f"/api/rooms/{room}"
    assert (await http.put(f"{at}/branch", json={"branch": 0})).status_code == 204
    assert await texts(http, room) == ["first", "second"]
    assert await texts(http, room, around=other["seq"]) == ["first", "instead"]
    named = await http.patch(f"{at}/branches/1", json={"name": "Otherwise"})
    assert shaped(Branch, named.json())["name"] == "Otherwise"
    listed = shaped(BranchList, (await http.get(f"{at}/branches")).json())["branches"]
    assert [(one["branch"], one["parent"], one["name"]) for one in listed] == [
        (0, None, None),
        (1, 0, "Otherwise"),
    ]
    chosen = await http.put(f"{at}/main-branch", json={"branch": 1})
    assert shaped(shapes.Room, chosen.json())["main_branch"] == 1
    needed = await http.delete(f"{at}/branches/1")
    assert (needed.status_code, needed.json()["code"]) == (409, "branch_needed")
    assert (await say(http, room, "on it goes"))["branch"] == 1
    await http.put(f"{at}/main-branch", json={"branch": 0})
    assert (await http.delete(f"{at}/branches/1")).status_code == 204
    gone = await http.get(f"{at}/messages", params={"branch": 1})
    assert (gone.status_code, gone.json()["code"]) == (404, "branch_not_found")
    back = shaped(Branch, (await http.post(f"{at}/branches/1/restore")).json())
    assert back["deleted_at"] is None


async def test_what_is_no_place_is_refused(door: Door) -> None:
    http = door.http()
    room = await new_room(http)
    at = f"/api/rooms/{room}"
    for body, status, code in (
        ({"after": 99}, 404, "message_not_found"),
        ({"after": -1}, 400, "bad_request"),
        ({"branch": 1}, 404, "branch_not_found"),
        ({"after": 0, "branch": 0}, 400, "bad_request"),
    ):
        said = {"cid": new_cid(), "text": "x", **body}
        refused = await http.post(f"{at}/messages", json=said)
        assert (refused.status_code, refused.json()["code"]) == (status, code), body
    for method, path, body in (
        ("PUT", "branch", {"branch": 3}),
        ("PUT", "main-branch", {"branch": 3}),
        ("PATCH", "branches/0", {"name": "x"}),
        ("DELETE", "branches/99999999999", None),
        ("POST", "branches/7/restore", None),
    ):
        refused = await http.request(method, f"{at}/{path}", json=body)
        assert (refused.status_code, refused.json()["code"]) == (404, "branch_not_found"), path
    assert await texts(http, room) == []


async def test_an_answer_is_given_again_and_a_room_forked(door: Door) -> None:
    http = door.http()
    room = await new_room(http)
    await say(http, room, "hello")
    page = await of(http, room, 2)
    again = await http.post(f"/api/messages/{page[-1]['id']}/regenerate", json={})
    assert again.status_code == 202
    assert shaped(BranchTurn, again.json())["branch"] == 1
    assert [one["branch"] for one in await of(http, room, 2, branch=1)] == [0, 1]
    listed = (await http.get(f"/api/rooms/{room}/branches")).json()["branches"]
    assert listed[1]["last"] is not None
    made = await http.post(f"/api/messages/{page[-1]['id']}/fork")
    assert made.status_code == 201
    forked = shaped(shapes.Room, made.json())
    assert forked["forked"] == {"room": room, "seq": page[-1]["seq"]}
    assert len((await http.get(f"/api/rooms/{forked['id']}/messages")).json()["messages"]) == 2
