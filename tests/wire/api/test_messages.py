"""The calls about what is said, over real HTTP."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.core.spool.test_messages import away
from tests.wire.door import Door, new_cid, new_room, open_door, shaped, texts

from palaver.wire import shapes
from palaver.wire.api.messages import Deleted, Edited, Events, MessageVersions, PromptTold, Sent
from palaver.wire.cloudevents import MessageEdited


async def test_a_message_is_stored_once_and_read_back(door: Door) -> None:
    http = door.http()
    room, cid = await new_room(http), new_cid()
    said = await http.post(f"/api/rooms/{room}/messages", json={"cid": cid, "text": "hello"})
    assert said.status_code == 201
    sent = shaped(Sent, said.json())
    assert (sent["state"], sent["dup"], len(sent["turns"])) == ("stored", False, 1)
    again = await http.post(f"/api/rooms/{room}/messages", json={"cid": cid, "text": "hello"})
    assert (again.status_code, again.json()["dup"]) == (200, True)
    assert (again.json()["msg"], again.json()["seq"]) == (sent["msg"], sent["seq"])
    page = shaped(shapes.Page, (await http.get(f"/api/rooms/{room}/messages")).json())
    assert page["messages"][0]["text"] == "hello"
    assert page["messages"][0]["id"] == sent["msg"]
    other = {"cid": new_cid(), "text": "re", "reply_to": sent["msg"]}
    reply = await http.post(f"/api/rooms/{room}/messages", json=other)
    assert reply.status_code == 201
    found = (await http.get(f"/api/rooms/{room}/messages")).json()["messages"]
    (said_again,) = [one for one in found if one["id"] == reply.json()["msg"]]
    assert said_again["reply_to"] == sent["msg"]
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


async def test_a_room_is_read_as_it_was(door: Door) -> None:
    http = door.http()
    room = await new_room(http, "Before")
    address = f"/api/rooms/{room}/messages"
    said = await http.post(address, json={"cid": new_cid(), "text": "said before"})
    seq = said.json()["seq"]
    await http.patch(f"/api/rooms/{room}", json={"title": "After"})
    end = (await http.get(f"/api/rooms/{room}")).json()["seq"]
    then = shaped(shapes.Page, (await http.get(address, params={"at": seq})).json())
    assert [one["text"] for one in then["messages"]] == ["said before"]
    was = then["then"]
    assert (was["seq"], was["k"], was["title"]) == (seq, "message.created", "Before")
    assert was["by"] in [{"id": one["id"], "name": one["name"]} for one in was["members"]]
    assert "owner" in [one["role"] for one in was["members"]]
    now = (await http.get(address, params={"at": end})).json()
    assert now["messages"] == (await http.get(address)).json()["messages"]
    assert now["then"]["title"] == "After"
    assert (await http.get(address, params={"at": seq, "before": seq})).json()["messages"] == []
    for given, status, code in (
        ({"at": 0}, 400, "bad_request"),
        ({"at": seq, "after": 1}, 400, "bad_request"),
        ({"at": seq, "around": 1}, 400, "bad_request"),
        ({"at": 999_999_999}, 409, "history_reset"),
    ):
        refused = await http.get(address, params=given)
        assert (refused.status_code, refused.json()["code"]) == (status, code)
    _, stranger = await door.guest()
    refused = await stranger.get(address, params={"at": seq})
    assert (refused.status_code, refused.json()["code"]) == (404, "room_not_found")


async def test_events_are_read_and_waited_for(door: Door) -> None:
    http = door.http()
    room = await new_room(http, "one")
    address = f"/api/rooms/{room}/events"
    got = shaped(Events, (await http.get(address)).json())
    assert [event["k"] for event in got["events"]] == ["room.created"]
    assert got["epoch"].startswith("e_")

    async def later() -> dict[str, Any]:
        waited = await http.get(address, params={"after": got["seq"], "wait": 10})
        return waited.json()

    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(later())
        await http.patch(f"/api/rooms/{room}", json={"title": "two"})
    (renamed,) = waiting.result()["events"]
    assert (renamed["k"], renamed["d"]["title"], renamed["seq"]) == (
        "room.renamed",
        "two",
        got["seq"] + 1,
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


async def test_what_a_model_is_told_is_shown_to_who_reads_the_room_and_to_nobody_else(
    door: Door,
) -> None:
    http, stranger = door.http(), door.http()
    room = await new_room(http)
    await stranger.get("/api/rooms")
    asked = {"cid": new_cid(), "text": "hello"}
    sent = (await http.post(f"/api/rooms/{room}/messages", json=asked)).json()
    path = f"/api/turns/{sent['turns'][0]}/prompt"
    told = shaped(PromptTold, (await http.get(path)).json())
    assert told["messages"] == [{"role": "user", "text": "hello"}]
    assert (told["turn"], told["system"], told["persona"]) == (sent["turns"][0], "", True)
    assert len(told["digest"]) == 64
    for whose, lost in ((stranger, path), (http, "/api/turns/t_x/prompt")):
        refused = await whose.get(lost)
        assert (refused.status_code, refused.json()["code"]) == (404, "turn_not_found")


async def test_a_message_is_edited_told_and_its_history_read(door: Door) -> None:
    http = door.http()
    room = await new_room(http)
    new = {"cid": new_cid(), "text": "first"}
    sent = (await http.post(f"/api/rooms/{room}/messages", json=new)).json()
    path = f"/api/rooms/{room}/messages/{sent['msg']}"
    edited = shaped(Edited, (await http.patch(path, json={"text": "second"})).json())
    assert (edited["message"]["text"], edited["message"]["edited_at"] is None) == ("second", False)
    late = await http.patch(path, json={"text": "third"})
    assert (late.status_code, late.json()["code"]) == (409, "edit_conflict")
    named = {"text": "third", "version": edited["version"]}
    assert (await http.patch(path, json=named)).status_code == 200
    for text, code in (("", "empty_message"), ("x" * 100_001, "text_too_long")):
        assert (await http.patch(path, json={"text": text})).json()["code"] == code
    history = shaped(MessageVersions, (await http.get(f"{path}/history")).json())
    assert [one["text"] for one in history["versions"]] == ["first", "second", "third"]
    assert history["versions"][1]["seq"] == edited["version"]
    events = (await http.get(f"/api/rooms/{room}/events")).json()["events"]
    told = [shaped(MessageEdited, one["d"]) for one in events if one["k"] == "message.edited"]
    assert [one["was"] for one in told] == ["first", "second"]
    assert {one["message"]["text"] for one in told} == {"third"}, "as it is now"
    again = await http.post(f"/api/rooms/{room}/messages", json=new)
    assert (again.status_code, again.json()["msg"]) == (200, sent["msg"])
    elsewhere = f"/api/rooms/{await new_room(http)}/messages/{sent['msg']}"
    for missing in (
        await http.get(f"{elsewhere}/history"),
        await http.patch(elsewhere, json=named),
    ):
        assert (missing.status_code, missing.json()["code"]) == (404, "message_not_found")


async def test_messages_and_histories_are_deleted_listed_and_brought_back(door: Door) -> None:
    http = door.http()
    room = await new_room(http)
    for text in ("first", "second"):
        new = {"cid": new_cid(), "text": text}
        sent = (await http.post(f"/api/rooms/{room}/messages", json=new)).json()
    path, here = f"/api/messages/{sent['msg']}", f"/api/rooms/{room}"

    async def said() -> list[str]:
        found = (await http.get(f"{here}/messages")).json()["messages"]
        return [one["text"] for one in found if one["role"] == "user"]

    async def recently() -> Deleted:
        return shaped(Deleted, (await http.get("/api/deleted")).json())

    assert (await http.delete(path)).status_code == 204
    assert await said() == ["first", ""]
    (gone,) = (await recently())["messages"]
    assert (gone["message"]["text"], gone["message"]["room"]) == ("second", room)
    assert (await http.post(f"{path}/restore")).status_code == 204
    assert await said() == ["first", "second"]
    cleared = (await http.post(f"{here}/clear")).json()
    assert await said() == []
    (history,) = (await recently())["histories"]
    assert (history["room"], history["seq"]) == (room, cleared["seq"])
    refused = await http.post(f"{path}/restore")
    assert (refused.status_code, refused.json()["code"]) == (404, "message_not_found")
    assert (await http.post(f"{here}/clear")).json() == {"seq": None}
    assert (await http.post(f"{here}/unclear", json=cleared)).status_code == 204
    assert await said() == ["first", "second"]
    assert await recently() == {"messages": [], "histories": [], "next": None}
