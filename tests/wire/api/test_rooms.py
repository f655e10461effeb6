"""Every call of `/api`, as docs/protocol.md lists them, over real HTTP."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.core.spool.test_messages import away
from tests.wire.door import Door, new_cid, new_room, open_door, texts

from palaver.wire import shapes


async def test_who_one_is_and_is_called(door: Door) -> None:
    http = door.http()
    me = (await http.get("/api/me")).json()
    shapes.Me.model_validate(me, strict=True)
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


async def test_a_program_gets_an_identity_of_its_own(door: Door) -> None:
    made = await door.http().post("/api/guests", json={"name": "Bot"})
    assert made.status_code == 201
    guest = shapes.Guest.model_validate(made.json(), strict=True)
    assert guest.me.name == "Bot"
    asked = await door.http().get("/api/me", headers={"authorization": f"Bearer {guest.token}"})
    assert asked.json()["id"] == guest.me.id
    assert "set-cookie" not in asked.headers
    assert (await door.http().post("/api/guests")).status_code == 201, "a body is not needed"


async def test_a_key_of_ones_own_is_made_shown_once_and_ended(door: Door) -> None:
    _, ada = await door.guest()
    _, eve = await door.guest()
    answer = await ada.post("/api/keys", json={"name": "laptop", "scopes": ["chat", "read"]})
    assert answer.status_code == 201
    made = shapes.MadeKey.model_validate(answer.json(), strict=True)
    me = (await ada.get("/api/me")).json()
    assert (made.key.actor.id, made.key.scopes) == (me["id"], ["chat", "read"])
    listed = await ada.get("/api/keys")
    assert shapes.Keys.model_validate(listed.json(), strict=True).keys == [made.key]
    assert made.token not in listed.text
    assert (await eve.get("/api/keys")).json() == {"keys": []}
    key = f"/api/keys/{made.key.id}"
    for refused in (await eve.delete(key), await ada.delete("/api/keys/k_1")):
        assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
    program = door.http(headers={"authorization": f"Bearer {made.token}"})
    assert (await program.get("/v1/conversations")).status_code == 200
    assert (await program.get("/api/keys")).status_code == 401, "a key is no session"
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


async def test_the_models_that_answer(door: Door) -> None:
    found = shapes.Models.model_validate((await door.http().get("/api/models")).json(), strict=True)
    assert found.provider == "echo"
    assert found.models
    assert found.hint is not None


async def test_a_room_is_made_found_named_deleted_and_restored(door: Door) -> None:
    http = door.http()
    made = await http.post("/api/rooms", json={"title": "Holiday plans"})
    assert made.status_code == 201
    room = shapes.Room.model_validate(made.json(), strict=True)
    assert (room.title, room.role, room.visibility) == ("Holiday plans", "owner", "private")
    address = f"/api/rooms/{room.id}"
    assert (await http.get(address)).json()["id"] == room.id
    found = (await http.get("/api/rooms", params={"search": "holi"})).json()
    assert [one["id"] for one in found["rooms"]] == [room.id]
    renamed = await http.patch(address, json={"title": "Trip"})
    assert renamed.json()["title"] == "Trip"
    assert (await http.delete(address)).status_code == 204
    gone = await http.get(address)
    assert (gone.status_code, gone.json()["code"]) == (404, "room_not_found")
    deleted = (await http.get("/api/rooms", params={"deleted": "true"})).json()["rooms"]
    assert [(one["id"], one["deleted_at"] is None) for one in deleted] == [(room.id, False)]
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
        page = shapes.Rooms.model_validate(
            (await http.get("/api/rooms", params=params)).json(), strict=True
        )
        found += [room.id for room in page.rooms if room.visibility == "private"]
        cursor = page.next
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


async def test_a_message_is_stored_once_and_read_back(door: Door) -> None:
    http = door.http()
    room, cid = await new_room(http), new_cid()
    said = await http.post(f"/api/rooms/{room}/messages", json={"cid": cid, "text": "hello"})
    assert said.status_code == 201
    sent = shapes.Sent.model_validate(said.json(), strict=True)
    assert (sent.state, sent.dup, len(sent.turns)) == ("stored", False, 1)
    again = await http.post(f"/api/rooms/{room}/messages", json={"cid": cid, "text": "hello"})
    assert (again.status_code, again.json()["dup"]) == (200, True)
    assert (again.json()["msg"], again.json()["seq"]) == (sent.msg, sent.seq)
    page = shapes.Messages.model_validate(
        (await http.get(f"/api/rooms/{room}/messages")).json(), strict=True
    )
    assert page.messages[0].text == "hello"
    assert page.messages[0].id == sent.msg
    other = {"cid": new_cid(), "text": "re", "reply_to": sent.msg}
    reply = await http.post(f"/api/rooms/{room}/messages", json=other)
    assert reply.status_code == 201
    found = (await http.get(f"/api/rooms/{room}/messages")).json()["messages"]
    (said_again,) = [one for one in found if one["id"] == reply.json()["msg"]]
    assert said_again["reply_to"] == sent.msg
    lost = {"cid": new_cid(), "text": "re", "reply_to": "m_00"}
    refused = await http.post(f"/api/rooms/{room}/messages", json=lost)
    assert (refused.status_code, refused.json()["code"]) == (404, "message_not_found")


@pytest.mark.usefixtures("impatient")
async def test_while_the_database_is_away_who_may_write_is_accepted_and_others_are_not(
    tmp_path: Path,
) -> None:
    async with open_door(tmp_path) as door:
        http, stranger = door.http(), door.http()
        room = await new_room(http)
        await stranger.get("/api/rooms")
        first, second = ({"cid": new_cid(), "text": text} for text in ("first", "second"))
        path = f"/api/rooms/{room}/messages"
        stored = (await http.post(path, json=first)).json()
        with away(tmp_path):
            kept = await http.post(path, json=second)
            assert (kept.status_code, kept.json()["state"]) == (202, "accepted")
            assert (await http.post(path, json=second)).json()["msg"] == kept.json()["msg"]
            again = await http.post(path, json=first)
            assert (again.status_code, again.json()["dup"]) == (200, True)
            assert (again.json()["msg"], again.json()["seq"]) == (stored["msg"], stored["seq"])
            reused = await http.post(path, json={**first, "text": "other"})
            assert reused.json()["code"] == "cid_reused"
            refused = await stranger.post(path, json={"cid": new_cid(), "text": "let me in"})
            assert (refused.status_code, refused.json()["code"]) == (503, "database_unavailable")
        # sent at once, and behind what was accepted all the same
        await http.post(path, json={"cid": new_cid(), "text": "third"})
        while "third" not in (said := await texts(http, room)):  # noqa: ASYNC110  nobody is told
            await asyncio.sleep(0.05)
        assert [text for text in said if text in {"first", "second", "third"}] == [
            "first",
            "second",
            "third",
        ]
        assert (await http.post(path, json=second)).json()["msg"] == kept.json()["msg"]


async def test_history_goes_back_forth_and_around(door: Door) -> None:
    http = door.http()
    room = await new_room(http)
    for number in range(8):
        said = {"cid": new_cid(), "text": f"/long {number}"}
        assert (await http.post(f"/api/rooms/{room}/messages", json=said)).status_code == 201
    address = f"/api/rooms/{room}/messages"
    newest = (await http.get(address, params={"limit": 3})).json()
    assert len(newest["messages"]) == 3
    older = (await http.get(address, params={"limit": 3, "before": newest["before"]})).json()
    assert older["messages"][-1]["seq"] < newest["messages"][0]["seq"]
    following = {"limit": 200, "after": older["messages"][-1]["seq"]}
    newer = (await http.get(address, params=following)).json()
    assert newer["messages"][0]["seq"] == newest["messages"][0]["seq"]
    assert newer["after"] is None
    middle = older["messages"][1]["seq"]
    around = (await http.get(address, params={"limit": 3, "around": middle})).json()
    assert middle in [message["seq"] for message in around["messages"]]
    assert len((await http.get(address, params={"limit": 999})).json()["messages"]) >= 8
    both = await http.get(address, params={"before": 5, "after": 1})
    assert (both.status_code, both.json()["code"]) == (400, "bad_request")
    ahead = await http.get(address, params={"after": 999_999_999})
    assert (ahead.status_code, ahead.json()["code"]) == (409, "history_reset")


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


async def test_events_are_read_and_waited_for(door: Door) -> None:
    http = door.http()
    room = await new_room(http, "one")
    address = f"/api/rooms/{room}/events"
    got = shapes.Events.model_validate((await http.get(address)).json(), strict=True)
    assert [event.k for event in got.events] == ["room.created"]
    assert got.epoch.startswith("e_")

    async def later() -> dict[str, Any]:
        waited = await http.get(address, params={"after": got.seq, "wait": 10})
        return waited.json()

    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(later())
        await http.patch(f"/api/rooms/{room}", json={"title": "two"})
    (renamed,) = waiting.result()["events"]
    assert (renamed["k"], renamed["d"]["title"], renamed["seq"]) == (
        "room.renamed",
        "two",
        got.seq + 1,
    )
    nothing = (await http.get(address, params={"after": renamed["seq"], "wait": 0})).json()
    assert nothing["events"] == []


async def test_an_answer_is_stopped_and_asked_for_again(door: Door) -> None:
    http = door.http()
    room = await new_room(http)
    said = await http.post(f"/api/rooms/{room}/messages", json={"cid": new_cid(), "text": "/slow"})
    (turn,) = said.json()["turns"]
    stopped = await http.post(f"/api/turns/{turn}/stop")
    assert (stopped.status_code, stopped.json()) == (202, {"turn": turn})
    events = {"after": said.json()["seq"], "wait": 10}
    while not await texts(http, room, role="assistant"):
        got = await http.get(f"/api/rooms/{room}/events", params=events)
        if not any(event["k"] == "message.created" for event in got.json()["events"]):
            events["after"] = got.json()["seq"]
    found = (await http.get(f"/api/rooms/{room}/messages")).json()["messages"]
    (answer,) = [message for message in found if message["role"] == "assistant"]
    assert answer["status"] == "stopped"
    again = await http.post(f"/api/messages/{answer['id']}/retry")
    assert again.status_code == 202
    assert again.json()["turn"] != turn
    await http.post(f"/api/turns/{again.json()['turn']}/stop")


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


async def test_a_body_has_the_type_that_it_says_and_the_one_that_is_read(door: Door) -> None:
    http = door.http()
    for headers in (
        {"content-type": "text/plain"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "application/json; charset=utf-16"},
        {"content-type": "application/json", "content-encoding": "gzip"},
        {},
    ):
        got = await http.post("/api/rooms", content=b'{"title":"x"}', headers=headers)
        assert (got.status_code, got.json()["code"]) == (415, "unsupported_media_type")
    usual = {"content-type": 'Application/JSON; charset="UTF-8"'}
    assert (await http.post("/api/rooms", content=b"{}", headers=usual)).status_code == 201


async def test_a_wrong_field_is_named(door: Door) -> None:
    http = door.http()
    room = await new_room(http)
    got = await http.post(f"/api/rooms/{room}/messages", json={"cid": "1", "text": 5})
    assert (got.status_code, got.json()["code"]) == (400, "bad_request")
    assert "'text'" in got.json()["detail"]
    got = await http.post(f"/api/rooms/{room}/read", json={"seq": "5"})
    assert (got.status_code, got.json()["code"]) == (400, "bad_request")
