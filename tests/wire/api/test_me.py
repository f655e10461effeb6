"""The calls about who asks, over real HTTP."""

from pathlib import Path
from typing import Any

from tests.core.identity.test_profiles import PNG
from tests.wire.door import Door, new_room, open_door, shaped

from palaver.wire.api.me import Guest, Keys, MadeKey, Own
from palaver.wire.api.members import MemberList


async def test_who_one_is_and_is_called(door: Door) -> None:
    http = door.http()
    me = (await http.get("/api/me")).json()
    shaped(Own, me)
    assert me["guest"] is True
    renamed = await http.patch("/api/me", json={"name": " Ada  Lovelace "})
    assert renamed.json() == me | {"name": "Ada Lovelace"}
    assert (await http.get("/api/me")).json()["name"] == "Ada Lovelace"
    for name, code in (
        ("admin", "name_reserved"),
        ("", "name_invalid"),
        ("x" * 81, "name_invalid"),
    ):
        assert (await http.patch("/api/me", json={"name": name})).json()["code"] == code


async def test_what_one_tells_of_oneself_is_ones_own_but_for_a_picture(tmp_path: Path) -> None:
    async with open_door(tmp_path, sign_up="open") as door:
        ada, bo = door.http(), door.http()
        given = {"handle": "ada", "password": "correct horse battery"}
        me = (await ada.post("/api/sign-up", json=given)).json()["me"]
        room = await new_room(ada)
        told = {"email": "ada@example.org", "preferences": {"theme": "dark"}}
        own = {**me, **told, "invites": False, "connects": False}
        assert (await ada.patch("/api/me", json=told)).json() == own
        put = await ada.put("/api/me/avatar", content=PNG)
        assert put.status_code == 200
        address = shaped(Own, put.json())["avatar"]
        assert address is not None
        listed = (await ada.get(f"/api/rooms/{room}/members")).json()
        [member, *_] = shaped(MemberList, listed)["members"]
        assert member["avatar"] == address
        assert "ada@example.org" not in str(listed)
        events = (await ada.get(f"/api/rooms/{room}/events")).json()["events"]
        assert (events[-1]["k"], events[-1]["d"]["actor"]) == ("member.renamed", me["id"])
        await ada.put("/api/me/avatar", content=PNG)
        again = (await ada.get(f"/api/rooms/{room}/events")).json()["events"]
        assert again == events, "the same picture is no news"
        seen = await bo.get(address)
        assert (seen.content, seen.headers["content-type"]) == (PNG, "image/png")
        assert seen.headers["x-content-type-options"] == "nosniff"
        assert seen.headers["content-security-policy"].startswith("sandbox")
        assert "immutable" in seen.headers["cache-control"]
        for wrong, status, code in (
            (b"<svg/>", 400, "bad_request"),
            (b"", 400, "bad_request"),
            (PNG + bytes(262_144), 413, "picture_too_large"),
        ):
            answer = await ada.put("/api/me/avatar", content=wrong)
            assert (answer.status_code, answer.json()["code"]) == (status, code)
        bodies: tuple[dict[str, Any], ...] = (
            {"preferences": []},
            {"preferences": {"x": "y" * 5_000}},
            {"email": "x"},
        )
        for body in bodies:
            assert (await ada.patch("/api/me", json=body)).status_code == 400
        assert (await ada.get("/api/me")).json() == {**own, "avatar": address}
        assert (await ada.delete("/api/me/avatar")).status_code == 204
        assert (await bo.get(address)).json()["code"] == "not_found"


async def test_a_program_gets_an_identity_of_its_own(door: Door) -> None:
    made = await door.http().post("/api/guests", json={"name": "Bot"})
    assert made.status_code == 201
    guest = shaped(Guest, made.json())
    assert guest["me"]["name"] == "Bot"
    asked = await door.http().get("/api/me", headers={"authorization": f"Bearer {guest['token']}"})
    assert asked.json()["id"] == guest["me"]["id"]
    assert "set-cookie" not in asked.headers
    assert (await door.http().post("/api/guests")).status_code == 201, "a body is not needed"


async def test_a_key_of_ones_own_is_made_shown_once_and_ended(door: Door) -> None:
    _, ada = await door.guest()
    _, eve = await door.guest()
    answer = await ada.post("/api/keys", json={"name": "laptop", "scopes": ["chat", "read"]})
    assert answer.status_code == 201
    made = shaped(MadeKey, answer.json())
    me = (await ada.get("/api/me")).json()
    assert (made["key"]["actor"]["id"], made["key"]["scopes"]) == (me["id"], ["chat", "read"])
    listed = await ada.get("/api/keys")
    assert shaped(Keys, listed.json())["keys"] == [made["key"]]
    assert made["token"] not in listed.text
    assert (await eve.get("/api/keys")).json() == {"keys": []}
    key = f"/api/keys/{made['key']['id']}"
    for refused in (await eve.delete(key), await ada.delete("/api/keys/k_1")):
        assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
    program = door.http(headers={"authorization": f"Bearer {made['token']}"})
    assert (await program.get("/v1/conversations")).status_code == 200
    assert (await program.get("/api/keys")).status_code == 403, "a key sees no keys"
    assert (await ada.delete(key)).status_code == 204
    assert (await program.get("/v1/conversations")).status_code == 401
    assert (await ada.get("/api/keys")).json() == {"keys": []}
    for body in ({"scopes": ["everything"]}, {"scopes": "chat"}, {"name": 1}):
        assert (await ada.post("/api/keys", json=body)).status_code == 400


async def test_no_person_makes_keys_without_end(door: Door) -> None:
    _, ada = await door.guest()
    made = [(await ada.post("/api/keys")).json()["key"]["id"] for _ in range(50)]
    refused = await ada.post("/api/keys")
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_keys")
    await ada.delete(f"/api/keys/{made[0]}")
    assert (await ada.post("/api/keys")).status_code == 201


async def test_what_ones_program_says_is_in_ones_list_at_once_and_in_nobody_elses(
    door: Door,
) -> None:
    ada_token, ada = await door.guest()
    eve_token, eve = await door.guest()
    key = (await ada.post("/api/keys")).json()["token"]
    program = door.http(headers={"authorization": f"Bearer {key}"})
    async with door.live(ada_token) as mine, door.live(eve_token) as other:
        for live in (mine, other):
            assert (await live.ask(t="watch"))["t"] == "ok"
        ask = {"model": "default", "messages": [{"role": "user", "content": "mine"}]}
        said = await program.post("/v1/chat/completions", json=ask)
        room = said.headers["x-palaver-room"]
        assert (await mine.push("room", lambda frame: frame["room"] == room))["k"]
        later = await new_room(eve)
        await other.push("room", lambda frame: frame["room"] == later)
        assert not [frame for frame in other.pushed if frame.get("room") == room]
    shown = (await ada.get(f"/api/rooms/{room}")).json()
    assert (shown["role"], shown["visibility"], shown["door"]) == ("owner", "private", "openai")
    assert room in [one["id"] for one in (await ada.get("/api/rooms")).json()["rooms"]]
    assert room not in [one["id"] for one in (await eve.get("/api/rooms")).json()["rooms"]]
    assert (await ada.patch(f"/api/rooms/{room}", json={"title": "named"})).status_code == 200


async def test_a_key_may_end_by_itself_and_be_limited_to_rooms(door: Door) -> None:
    _, ada = await door.guest()
    room = await new_room(ada)
    for expires in ({"expires_at": "2999-01-31T12:00:00+02:00"}, {"days": 30}, {}):
        answer = await ada.post("/api/keys", json={"rooms": [room], **expires})
        if "expires_at" in expires:
            assert answer.json()["detail"] == "A key's end lies in the future, within 100 years."
            continue
        key = shaped(MadeKey, answer.json())["key"]
        assert key["rooms"] == [room]
        assert (key["expires_at"] is None) == (not expires)
    listed = shaped(Keys, (await ada.get("/api/keys")).json())["keys"]
    assert [bool(one["expires_at"]) for one in listed] == [True, False]
    _, eve = await door.guest()
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"expires_at": "2020-01-01"}, "bad_request"),
        ({"expires_at": "soon"}, "bad_request"),
        ({"expires_at": 1}, "bad_request"),
        ({"days": 0}, "bad_request"),
        ({"days": "1"}, "bad_request"),
        ({"rooms": []}, "bad_request"),
        ({"rooms": [f"r_{n:032x}" for n in range(101)]}, "bad_request"),
        ({"rooms": [1]}, "bad_request"),
        ({"rooms": [room]}, "room_not_found"),
    ]
    for body, code in wrong:
        refused = await eve.post("/api/keys", json=body)
        assert refused.json()["code"] == code, body
    assert (await eve.get("/api/keys")).json() == {"keys": []}


async def test_who_leaves_says_so_by_their_password_and_a_guest_without(tmp_path: Path) -> None:
    async with open_door(tmp_path, sign_up="open") as door:
        ada, guest = door.http(), door.http()
        given = {"handle": "ada", "password": "correct horse battery"}
        assert (await ada.post("/api/sign-up", json=given)).status_code == 201
        room = await new_room(guest)
        bodies: tuple[Any, ...] = ({}, {"password": "wrong horse battery"}, {"password": "x" * 999})
        for body in bodies:
            wrong = await ada.request("DELETE", "/api/me", json=body)
            assert (wrong.status_code, wrong.json()["code"]) == (401, "credentials_wrong")
        assert (await ada.get("/api/me")).json()["handle"] == "ada", "who is wrong stays"
        for http, body in ((ada, {"password": given["password"]}), (guest, None)):
            before = (await http.get("/api/me")).json()["id"]
            token = http.cookies["palaver_session"]
            assert (await http.request("DELETE", "/api/me", json=body)).status_code == 204
            assert (await http.get("/api/me")).json()["id"] != before, "somebody new"
            old = {"cookie": f"palaver_session={token}"}
            for method, path in (("GET", "/api/me"), ("POST", "/api/rooms")):
                bare = door.http()
                answer = await bare.request(method, path, headers=old)
                assert (answer.status_code, answer.json()["code"]) == (401, "session_ended")
        assert (await guest.get(f"/api/rooms/{room}")).status_code == 404
        signed = [(await ada.post("/api/sign-in", json=given)).status_code for _ in range(8)]
        assert signed == [401] * 7 + [429], "its failures count as those of signing in"
