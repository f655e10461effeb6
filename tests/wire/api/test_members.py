"""Members, over real HTTP and as two people see each other live."""

from typing import Any

import httpx2
from tests.wire.door import Door, new_cid, new_room, shaped

from palaver.wire import shapes
from palaver.wire.api.invitations import MadeInvitation
from palaver.wire.api.members import MemberList

Json = dict[str, Any]


async def link_of(http: httpx2.AsyncClient, room: str, **body: object) -> tuple[str, Json]:
    """A new invitation: its token, and itself."""
    got = await http.post(f"/api/rooms/{room}/invitations", json=body)
    assert got.status_code == 201, got.text
    made = shaped(MadeInvitation, got.json())
    address, _, token = made["url"].partition("#")
    assert address == f"{str(http.base_url).rstrip('/')}/invite"
    assert token not in got.json()["invitation"].values()
    return token, got.json()["invitation"]


async def join(http: httpx2.AsyncClient, token: str, name: str | None = None) -> httpx2.Response:
    return await http.post("/api/invitations/join", json={"token": token, "name": name})


async def members_of(http: httpx2.AsyncClient, room: str) -> dict[str, str]:
    got = await http.get(f"/api/rooms/{room}/members")
    found = shaped(MemberList, got.json())
    return {one["name"]: one["role"] for one in found["members"]}


def bytes_of(got: httpx2.Response) -> tuple[int, bytes]:
    return got.status_code, got.content


async def test_who_is_here_is_told_to_readers_and_to_who_asks_and_hiding_is_kept(
    door: Door,
) -> None:
    token, ada = await door.guest()
    theirs, bo = await door.guest()
    room = await new_room(ada)
    both = {(await one.get("/api/me")).json()["id"] for one in (ada, bo)}
    bos = (await bo.get("/api/me")).json()["id"]
    await ada.post(f"/api/rooms/{room}/members", json={"actor": bos})
    async with door.live(token) as live, door.live(theirs) as other:
        for one in (live, other):
            await one.ask(t="sub", room=room)
        told = await live.push("here")
        assert (told["room"], told["count"], set(told["people"])) == (room, 2, both)
        asked = shaped(shapes.Here, (await bo.get(f"/api/rooms/{room}/here")).json())
        assert set(asked["people"] or ()) == both
        wished = {"here": False, "theme": "dark"}
        hidden = await bo.patch("/api/me", json={"preferences": wished})
        assert hidden.json()["preferences"] == wished
        assert bos not in (await live.push("here"))["people"]
    another, cy = await door.guest()
    cys = (await cy.get("/api/me")).json()["id"]
    await ada.post(f"/api/rooms/{room}/members", json={"actor": cys})
    async with door.live(theirs) as again, door.live(token) as live, door.live(another) as third:
        for one in (again, live, third):
            await one.ask(t="sub", room=room)
        told = await live.push("here", lambda frame: cys in frame["people"])
        assert bos not in told["people"], "hidden from the start"
        await bo.patch("/api/me", json={"preferences": {"here": None}})
        await live.push("here", lambda frame: bos in frame["people"])


async def test_members_are_added_changed_and_removed(door: Door) -> None:
    (_, ada), (_, bo), (_, eve) = [await door.guest() for _ in range(3)]
    names = [("Ada", ada), ("Bo", bo), ("Eve", eve)]
    ids = [(await http.patch("/api/me", json={"name": name})).json()["id"] for name, http in names]
    room = await new_room(ada)
    path = f"/api/rooms/{room}/members"
    added = await ada.post(path, json={"actor": ids[1], "role": "moderator"})
    assert (added.status_code, added.json()["role"]) == (201, "moderator")
    again = await ada.post(path, json={"actor": ids[1], "role": "reader"})
    assert (again.status_code, again.json()["role"]) == (200, "moderator"), "it stays as it was"
    assert (await bo.post(path, json={"actor": ids[2]})).status_code == 201
    lowered = await bo.patch(f"{path}/{ids[2]}", json={"role": "reader"})
    assert (lowered.status_code, lowered.json()["role"]) == (200, "reader")
    refused = [
        await bo.patch(f"{path}/{ids[2]}", json={"role": "moderator"}),
        await bo.delete(f"{path}/{ids[0]}"),
        await eve.delete(f"{path}/{ids[1]}"),
        await eve.get(f"/api/rooms/{room}/invitations"),
    ]
    assert {(got.status_code, got.json()["code"]) for got in refused} == {(403, "forbidden")}
    last = await ada.delete(f"{path}/{ids[0]}")
    assert (last.status_code, last.json()["code"]) == (409, "last_owner")
    assert (await eve.delete(f"{path}/{ids[2]}")).status_code == 204, "she leaves"
    assert (await bo.post(path, json={"actor": ids[2]})).status_code == 201, "and may come back"
    assert (await members_of(ada, room)) == {
        "Ada": "owner",
        "Bo": "moderator",
        "Assistant": "member",
        "Eve": "member",
    }
    pages = [(await ada.get(path, params={"limit": "3"})).json()]
    pages.append((await ada.get(path, params={"limit": "3", "cursor": pages[0]["next"]})).json())
    assert [len(page["members"]) for page in pages] == [3, 1]
    assert pages[1]["next"] is None


async def test_what_is_not_there_and_what_is_not_ones_own_are_the_same_bytes(door: Door) -> None:
    (_, ada), (_, eve) = await door.guest(), await door.guest()
    room, never = await new_room(ada), f"r_{'0' * 32}"
    her = (await ada.get("/api/me")).json()["id"]
    _, made = await link_of(ada, room)

    async def all_of(http: httpx2.AsyncClient, place: str) -> list[tuple[int, bytes]]:
        path = f"/api/rooms/{place}"
        answers = [
            await http.get(f"{path}/members"),
            await http.post(f"{path}/members", json={"actor": her}),
            await http.patch(f"{path}/members/{her}", json={"role": "reader"}),
            await http.delete(f"{path}/members/{her}"),
            await http.get(f"{path}/invitations"),
            await http.post(f"{path}/invitations", json={}),
            await http.delete(f"{path}/invitations/{made['id']}"),
        ]
        return [bytes_of(one) for one in answers]

    told = await all_of(eve, room)
    assert told == await all_of(eve, never)
    assert {status for status, _ in told} == {404}
    unknown = [f"u_{'0' * 32}", "nonsense", (await eve.get("/api/me")).json()["id"]]
    changed = {
        bytes_of(await ada.patch(f"/api/rooms/{room}/members/{one}", json={"role": "reader"}))
        for one in unknown
    }
    assert len(changed) == 1
    assert {
        (await ada.delete(f"/api/rooms/{room}/members/{one}")).status_code for one in unknown
    } == {204}
    assert (await ada.get(f"/api/rooms/{room}")).json()["seq"] == 1, "nothing happened by it"


async def test_the_lobby_has_nobody_to_invite_or_remove(door: Door) -> None:
    (_, ada), (_, bo) = await door.guest(), await door.guest()
    lobby = (await ada.get("/api/rooms")).json()["rooms"][0]["id"]
    bos, her = [(await http.get("/api/me")).json()["id"] for http in (bo, ada)]
    path = f"/api/rooms/{lobby}"
    refused = [
        await ada.post(f"{path}/members", json={"actor": bos}),
        await ada.patch(f"{path}/members/{bos}", json={"role": "reader"}),
        await ada.delete(f"{path}/members/{bos}"),
        await ada.delete(f"{path}/members/{her}"),
        await ada.post(f"{path}/invitations", json={}),
    ]
    assert {(got.status_code, got.json()["code"]) for got in refused} == {(409, "room_protected")}


async def test_two_people_see_each_other_come_type_talk_and_go(door: Door) -> None:
    (hers, ada), (his, bo) = await door.guest(), await door.guest()
    await ada.patch("/api/me", json={"name": "Ada"})
    bos = (await bo.patch("/api/me", json={"name": "Bo"})).json()["id"]
    room = await new_room(ada, "Launch")
    token, _ = await link_of(ada, room)
    async with door.live(hers) as one, door.live(his) as two:
        await one.ask(t="sub", room=room)
        await two.ask(t="watch")
        assert (await two.ask(t="sub", room=room))["code"] == "room_not_found"
        await join(bo, token)
        came = await one.event("member.joined")
        assert (came["d"]["actor"], came["d"]["name"]) == (bos, "Bo")
        assert (await two.push("room"))["room"] == room, "his list hears of it"
        await two.ask(t="sub", room=room)
        await one.send(t="typing", room=room)
        assert (await two.push("typing"))["name"] == "Ada"
        await two.say(room, "hello Ada")
        said = await one.event("message.created", lambda frame: frame["by"] == bos)
        assert said["d"]["text"] == "hello Ada"
        await ada.patch(f"/api/rooms/{room}/members/{bos}", json={"role": "reader"})
        assert (await two.event("member.role"))["d"]["role"] == "reader"
        assert (await two.say(room, "may I?"))["code"] == "forbidden"
        assert (await ada.delete(f"/api/rooms/{room}/members/{bos}")).status_code == 204
        lost = await two.push("unsub")
        assert (lost["room"], lost["code"]) == (room, "room_not_found")
        await one.event("member.removed")
        await one.say(room, "after he went")
        assert (await two.ask(t="sub", room=room))["code"] == "room_not_found"
        assert not [
            frame for frame in two.pushed if frame.get("d", {}).get("text") == "after he went"
        ]
    assert (await bo.get(f"/api/rooms/{room}/messages")).status_code == 404
    assert (await join(bo, token)).status_code == 404, "and the link brings him back no more"


async def test_a_room_is_given_away_muted_and_hidden(door: Door) -> None:
    (_, ada), (_, bo) = await door.guest(), await door.guest()
    bos = (await bo.get("/api/me")).json()["id"]
    room = await new_room(ada, "Launch")
    path = f"/api/rooms/{room}"
    missing = await ada.post(f"{path}/transfer", json={"actor": bos})
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    await ada.post(f"{path}/members", json={"actor": bos})
    for _ in range(2):
        given = shaped(
            shapes.Room, (await ada.post(f"{path}/transfer", json={"actor": bos})).json()
        )
        assert given["role"] == "moderator"
    wished = (await ada.patch(f"/api/me/rooms/{room}", json={"muted": True, "hidden": True})).json()
    assert (wished["muted"], wished["hidden"]) == (True, True)

    async def listed(**params: str) -> list[str]:
        found = (await ada.get("/api/rooms", params=params)).json()["rooms"]
        return [one["id"] for one in found]

    assert room not in await listed()
    assert await listed(hidden="true") == [room]
    await bo.post(f"{path}/messages", json={"cid": new_cid(), "text": "news"})
    assert room in await listed()
    assert await listed(hidden="true") == []
    bad = await ada.patch(f"/api/me/rooms/{room}", json={"muted": "yes"})
    assert (bad.status_code, bad.json()["code"]) == (400, "bad_request")
    nobodys = [
        await http.patch(f"/api/me/rooms/{one}", json={"muted": True})
        for http, one in ((door.http(), room), (ada, f"r_{'0' * 32}"))
    ]
    assert bytes_of(nobodys[0]) == bytes_of(nobodys[1])


async def test_an_archived_room_is_read_and_no_door_takes_more_into_it(door: Door) -> None:
    token, ada = await door.guest()
    room = await new_room(ada, "Done")
    path = f"/api/rooms/{room}"
    key = (await ada.post("/api/keys", json={})).json()["token"]
    program = door.http(headers={"authorization": f"Bearer {key}"})
    made = (await program.post("/v1/conversations", json={})).json()["id"]
    asked = {"model": "echo", "input": "hello", "conversation": made}
    assert (await program.post("/v1/responses", json=asked)).status_code == 200
    theirs = made.replace("conv_", "r_")
    async with door.live(token) as live:
        await live.ask(t="sub", room=room)
        for one in (room, theirs):
            archived = shaped(shapes.Room, (await ada.post(f"/api/rooms/{one}/archive")).json())
            assert archived["archived_at"] is not None
        await live.event("room.archived")
        refused = await live.say(room, "more")
        assert (refused["t"], refused["code"]) == ("err", "room_archived")
        said = await ada.post(f"{path}/messages", json={"cid": new_cid(), "text": "more"})
        assert (said.status_code, said.json()["code"]) == (409, "room_archived")
        told = await program.post("/v1/responses", json={**asked, "input": "more"})
        assert (told.status_code, told.json()["error"]["code"]) == (409, "room_archived")
        assert (await program.get(f"/v1/conversations/{made}/items")).status_code == 200
        assert (await ada.get(f"{path}/messages")).status_code == 200
        assert (await ada.post(f"{path}/unarchive")).json()["archived_at"] is None
        assert (await live.say(room, "more"))["state"] == "stored"


async def test_whom_one_knows_are_the_people_of_ones_own_rooms_and_who_has_a_handle(
    door: Door,
) -> None:
    (_, ada), (_, bo), (_, cy) = await door.guest(), await door.guest(), await door.guest()
    for http, name in ((ada, "Ada"), (bo, "Bo"), (cy, "Cy")):
        await http.patch("/api/me", json={"name": name})
    bos = (await bo.get("/api/me")).json()["id"]
    room = await new_room(ada, "Launch")

    async def known(http: httpx2.AsyncClient, **params: str) -> list[str]:
        got = (await http.get("/api/me/people", params=params)).json()["people"]
        return [one["name"] for one in got]

    assert await known(ada) == [], "who is in the Lobby is not known"
    await ada.post(f"/api/rooms/{room}/members", json={"actor": bos})
    assert (await known(ada), await known(bo), await known(cy)) == (["Bo"], ["Ada"], [])
    await ada.delete(f"/api/rooms/{room}/members/{bos}")
    assert (await known(ada), await known(bo)) == ([], [])


async def test_what_happened_to_members_is_told_between_two_seqs(door: Door) -> None:
    (_, ada), (_, bo) = await door.guest(), await door.guest()
    await bo.patch("/api/me", json={"name": "Bo"})
    bos = (await bo.get("/api/me")).json()["id"]
    room = await new_room(ada, "Launch")
    path = f"/api/rooms/{room}"
    await ada.post(f"{path}/members", json={"actor": bos})
    await ada.post(f"{path}/messages", json={"cid": new_cid(), "text": "news"})
    await ada.patch(f"{path}/members/{bos}", json={"role": "reader"})
    await bo.delete(f"{path}/members/{bos}")

    async def told(**params: int) -> list[tuple[str, Any]]:
        got = (await ada.get(f"{path}/notices", params=params)).json()
        names = {one["id"]: one["name"] for one in got["people"]}
        return [(one["k"], names[one["d"].get("actor", one["by"])]) for one in got["events"]]

    whole = await told()
    assert [kind for kind, _ in whole][-3:] == ["member.joined", "member.role", "member.left"]
    assert {name for _, name in whole[-3:]} == {"Bo"}
    seqs = [one["seq"] for one in (await ada.get(f"{path}/notices")).json()["events"]]
    assert await told(after=seqs[-3], before=seqs[-1]) == [("member.role", "Bo")]
    assert await told(limit=1) == [("member.left", "Bo")]
    refused = await bo.get(f"{path}/notices")
    assert (refused.status_code, refused.json()["code"]) == (404, "room_not_found")
