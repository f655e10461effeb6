"""palaver.v1 as docs/protocol.md gives it, spoken by a real client with a real server."""

import asyncio
import contextlib
import gc
import json
import sqlite3
import warnings
from collections import defaultdict
from collections.abc import MutableMapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.core.spool.test_messages import away
from tests.wire.door import Door, Json, Live, new_cid, new_room, open_door, settings_for, texts
from websockets.exceptions import ConnectionClosed, InvalidStatus

from palaver.core.runtime import started
from palaver.wire.live import frames
from palaver.wire.live.connection import serve
from palaver.wire.live.socket import Socket


async def test_hello_is_answered_with_who_one_is_and_the_limits(door: Door) -> None:
    token, http = await door.guest()
    async with door.live(token) as live:
        assert live.welcome["me"].items() <= (await http.get("/api/me")).json().items()
        assert live.welcome["epoch"].startswith("e_")
        assert live.welcome["limits"] == {
            "frame": 1_216_384,
            "text": 100_000,
            "inflight": 32,
            "rooms": 64,
        }
        assert (live.welcome["ping"], live.welcome["db"], live.welcome["v"]) == (25, "up", 1)
        assert live.socket.subprotocol == "palaver.v1"


async def test_the_cookie_says_who_one_is_too(door: Door) -> None:
    http = door.http()
    me = (await http.get("/api/me")).json()
    cookie = f"palaver_session={http.cookies['palaver_session']}"
    async with door.socket(additional_headers={"cookie": cookie}) as socket:
        live = Live(socket)
        assert (await live.ask(t="hello", v=1))["me"].items() <= me.items()


async def test_nobody_is_refused_and_not_asked_to_come_again(door: Door) -> None:
    for token in (None, "x" * 43):
        async with door.socket() as socket:
            live = Live(socket)
            refused = await live.ask(t="hello", v=1, token=token)
            assert (refused["t"], refused["code"]) == ("err", "unauthenticated")
            assert await live.closed() == 4503


@pytest.mark.parametrize("first", ['{"t":"sub","id":1,"room":"r_1"}', "nonsense", "[]", "{}"])
async def test_a_first_frame_that_is_no_hello_is_another_protocol(door: Door, first: str) -> None:
    async with door.socket() as socket:
        await socket.send(first)
        assert await Live(socket).closed() == 4500


async def test_bytes_are_not_this_protocol(door: Door) -> None:
    token, _ = await door.guest()
    async with door.live(token) as live:
        await live.socket.send(b"\x01")
        assert await live.closed() == 4500


async def test_another_version_is_refused(door: Door) -> None:
    async with door.socket() as socket:
        live = Live(socket)
        assert (await live.ask(t="hello", v=2))["code"] == "bad_request"
        assert await live.closed() == 4501


async def test_who_says_no_hello_is_not_waited_for(tmp_path: Path) -> None:
    async with open_door(tmp_path, hello_seconds=0.2) as door, door.socket() as socket:
        assert await Live(socket).closed() == 4001


async def test_who_does_not_answer_a_ping_is_let_go(tmp_path: Path) -> None:
    async with open_door(tmp_path, ping_seconds=0.1, pong_seconds=2) as door:
        token, _ = await door.guest()
        async with (
            door.live(token) as answering,
            door.live(token) as silent,
            asyncio.TaskGroup() as tasks,
        ):
            asking = tasks.create_task(answering.push("never"))
            assert json.loads(await silent.socket.recv()) == {"t": "ping"}
            with pytest.raises(ConnectionClosed) as end:
                await silent.socket.recv()
            assert end.value.rcvd is not None
            assert end.value.rcvd.code == 4002
            await asyncio.wait({asking}, timeout=0.5)
            assert not asking.done(), "the one that answers stays"
            asking.cancel()


async def test_a_client_may_ping(door: Door) -> None:
    token, _ = await door.guest()
    async with door.live(token) as live:
        await live.send(t="ping")
        assert await live.receive() == {"t": "pong"}
        assert (await live.ask(t="ping"))["t"] == "pong"


async def test_what_is_sent_is_stored_acknowledged_and_seen(door: Door) -> None:
    token, http = await door.guest()
    room = await new_room(http)
    async with door.live(token) as live:
        first = await live.ask(t="sub", room=room)
        assert (first["mode"], first["reason"], first["messages"]) == ("reset", "new", [])
        cid = new_cid()
        ack = await live.say(room, "hello", cid)
        assert (ack["t"], ack["state"], ack["cid"], ack["dup"]) == ("ack", "stored", cid, False)
        said = await live.event("message.created", lambda frame: frame["seq"] == ack["seq"])
        assert said["d"]["text"] == "hello"
        assert said["d"]["id"] == ack["msg"]
        assert said["d"]["cid"] == cid
        assert said["by"] == live.welcome["me"]["id"]


async def test_the_same_cid_is_stored_once_on_every_connection(door: Door) -> None:
    token, http = await door.guest()
    room, cid = await new_room(http), new_cid()
    async with door.live(token) as one, door.live(token) as other:
        first = await one.say(room, "once", cid)
        again = await other.say(room, "once", cid)
        assert (again["dup"], again["msg"], again["seq"]) == (True, first["msg"], first["seq"])
        reused = await other.say(room, "something else", cid)
        assert (reused["t"], reused["code"], reused["temporary"]) == ("err", "cid_reused", False)
    assert await texts(http, room) == ["once"]


async def test_an_answer_streams_and_ends_with_its_message(door: Door) -> None:
    token, http = await door.guest()
    room = await new_room(http)
    async with door.live(token) as live:
        await live.ask(t="sub", room=room)
        ack = await live.say(room, "/long 40")
        opened = await live.push("s.open")
        assert (opened["after"], opened["name"]) == (ack["seq"], "Assistant")
        done = await live.event("message.created", lambda frame: frame["d"]["id"] == opened["msg"])
        assert done["d"]["status"] == "done"
        assert done["d"]["meta"]["turn"] == opened["turn"]
        deltas = [frame for frame in live.pushed if frame["t"] == "s.d"]
        counts = [frame["n"] for frame in deltas]
        assert counts == sorted(set(counts))
        assert deltas
        assert done["d"]["text"].startswith("".join(frame.get("x", "") for frame in deltas))


async def test_a_late_joiner_gets_the_running_text_in_one_piece(door: Door) -> None:
    token, http = await door.guest()
    room = await new_room(http)
    async with door.live(token) as early, door.live(token) as late:
        await early.ask(t="sub", room=room)
        await early.say(room, "/slow")
        await early.push("s.d")
        joined = await late.ask(t="sub", room=room)
        (stream,) = joined["streams"]
        assert stream["text"]
        assert stream["n"] >= 1
        assert (await late.ask(t="stop", turn=stream["turn"]))["t"] == "ok"
        done = await late.event("message.created")
        assert (done["d"]["id"], done["d"]["status"]) == (stream["msg"], "stopped")
        assert done["d"]["text"].startswith(stream["text"])


async def test_a_failed_answer_can_be_tried_again(door: Door) -> None:
    token, http = await door.guest()
    room = await new_room(http)
    async with door.live(token) as live:
        await live.ask(t="sub", room=room)
        await live.say(room, "/fail")
        failed = await live.event("message.created", lambda frame: frame["d"]["role"] != "user")
        assert failed["d"]["status"] == "failed"
        assert failed["d"]["meta"]["error"]["code"].startswith("provider_")
        retried = await live.ask(t="retry", msg=failed["d"]["id"])
        assert retried["turn"].startswith("t_")
        deleted = await live.event("message.deleted")
        assert deleted["d"]["msg"] == failed["d"]["id"]


async def test_reactions_come_live_to_all_readers_and_stand_in_what_is_read_anew(
    door: Door,
) -> None:
    (ada, http), (bo, bos) = await door.guest(), await door.guest()
    lobby = (await http.get("/api/rooms")).json()["rooms"][0]["id"]
    async with door.live(ada) as live, door.live(bo) as other:
        for one in (live, other):
            await one.ask(t="sub", room=lobby)
        said = await live.say(lobby, "It is out!")
        await live.event("message.created", lambda frame: frame["d"]["id"] == said["msg"])
        told = {"msg": said["msg"], "seq": said["seq"]}
        assert (await other.ask(t="react", msg=said["msg"], emoji="❤"))["t"] == "ok"
        for one in (live, other):
            event = await one.event("reaction.added")
            assert (event["d"], event["by"]) == ({**told, "emoji": "❤️"}, other.welcome["me"]["id"])
        path = f"/api/messages/{said['msg']}/reactions/%F0%9F%8E%89"
        assert [(await http.put(path)).status_code for _ in range(2)] == [204, 204]
        assert (await other.event("reaction.added"))["d"] == {**told, "emoji": "🎉"}
        refused = await live.ask(t="react", msg=said["msg"], emoji="yes")
        assert refused["code"] == "emoji_invalid"
        reset = await other.ask(t="sub", room=lobby)
        (message,) = [one for one in reset["messages"] if one["id"] == said["msg"]]
        found = (await bos.get(f"/api/rooms/{lobby}/messages")).json()["messages"][-1]
        assert found["reactions"] == message["reactions"]
        assert [(one["emoji"], one["count"]) for one in found["reactions"]] == [("❤️", 1), ("🎉", 1)]
        assert found["reactions"][1]["people"] == [
            {key: live.welcome["me"][key] for key in ("id", "name")}
        ]
        await other.ask(t="unreact", msg=said["msg"], emoji="❤️")
        assert (await live.event("reaction.removed"))["d"] == {**told, "emoji": "❤️"}
        assert (await http.delete(path)).status_code == 204
        found = (await bos.get(f"/api/rooms/{lobby}/messages")).json()["messages"][-1]
        assert "reactions" not in found


async def test_after_a_break_only_what_was_missed_comes_and_then_the_rest(door: Door) -> None:
    token, http = await door.guest()
    room = await new_room(http)
    async with door.live(token) as live:
        await live.ask(t="sub", room=room)
        seen = (await live.say(room, "seen"))["seq"]
    async with door.live(token) as other:
        for number in range(3):
            await other.say(room, f"missed {number}")
    last = {"epoch": live.welcome["epoch"], "rooms": {room: seen}}
    async with door.live(token, last) as again:
        resumed = await again.push("sub")
        assert (resumed["mode"], resumed["room"]) == ("resume", room)
        assert "id" not in resumed
        seqs = [event["seq"] for event in resumed["events"]]
        assert seqs == list(range(seen + 1, resumed["seq"] + 1))
        ack = await again.say(room, "now")
        while (event := await again.push("ev"))["seq"] < ack["seq"]:
            assert event["seq"] == seqs[-1] + 1
            seqs.append(event["seq"])
        assert event["d"]["text"] == "now"


async def test_another_epoch_and_a_seq_from_the_future_start_anew(door: Door) -> None:
    token, http = await door.guest()
    room = await new_room(http)
    async with door.live(token, {"epoch": "e_other", "rooms": {room: 1}}) as live:
        reset = await live.push("sub")
        assert (reset["mode"], reset["reason"]) == ("reset", "epoch")
        again = await live.ask(t="sub", room=room, since=reset["seq"])
        assert again["mode"] == "resume", "what this connection has been given is of our epoch"
    async with door.live(token) as live:
        reset = await live.ask(t="sub", room=room, since=999_999)
        assert (reset["mode"], reset["reason"]) == ("reset", "gap")


async def test_a_room_that_was_left_is_silent(door: Door) -> None:
    token, http = await door.guest()
    room, other = await new_room(http), await new_room(http)
    async with door.live(token) as live:
        for one in (room, other):
            await live.ask(t="sub", room=one)
        assert (await live.ask(t="unsub", room=room))["t"] == "ok"
        live.pushed.clear()
        await live.say(room, "unheard")
        heard = await live.say(other, "heard")
        await live.event("message.created", lambda frame: frame["seq"] == heard["seq"])
        assert not [frame for frame in live.pushed if frame["room"] == room]


async def test_typing_read_marks_and_room_notices_reach_others(door: Door) -> None:
    ada, http = await door.guest()
    bo, _ = await door.guest()
    lobby = (await http.get("/api/rooms")).json()["rooms"][0]["id"]
    async with door.live(ada) as one, door.live(ada) as tab, door.live(bo) as other:
        for live in (one, tab, other):
            await live.ask(t="sub", room=lobby)
            assert (await live.ask(t="read", room=lobby, seq=1))["t"] == "ok"
            assert (await live.ask(t="watch"))["t"] == "ok"
        for live in (one, tab, other):
            live.pushed.clear()
        await one.send(t="typing", room=lobby)
        await one.send(t="typing", room=lobby)
        typing = await other.push("typing")
        assert (typing["by"], typing["room"]) == (one.welcome["me"]["id"], lobby)
        said = await other.say(lobby, "/long 1")
        notice = await one.push("room", lambda frame: frame["seq"] >= said["seq"])
        assert notice["k"] == ["message.created"]
        assert notice["new"] >= 1
        await one.send(t="read", room=lobby, seq=said["seq"])
        assert (await tab.push("read", lambda frame: frame["seq"] > 1))["seq"] == said["seq"]
        assert (await one.ask(t="ping"))["t"] == "pong"
        assert not [frame for frame in other.pushed if frame["t"] == "read"]
        assert not [frame for frame in other.pushed if frame["t"] == "typing"], "one every 3 s"


async def test_somebody_elses_room_does_not_exist(door: Door) -> None:
    _, http = await door.guest()
    room = await new_room(http)
    stranger, _ = await door.guest()
    async with door.live(stranger) as live:
        for frame in (
            {"t": "sub", "room": room},
            {"t": "send", "room": room, "text": "hi", "cid": new_cid()},
            {"t": "read", "room": room, "seq": 1},
            {"t": "typing", "room": room},
        ):
            refused = await live.ask(**frame)
            assert (refused["t"], refused["code"]) == ("err", "room_not_found")
            assert refused["room"] == room
    assert await texts(http, room) == []


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ('{"t":"nope","id":1}', "unknown_frame"),
        ('{"id":1}', "unknown_frame"),
        ('{"t":null,"id":1}', "unknown_frame"),
        ('{"t":["sub"],"id":1}', "unknown_frame"),
        ("[]", "bad_request"),
        ("not json", "invalid_json"),
        ('{"t":"sub","id":1,"id":2}', "invalid_json"),
        ('{"t":"sub","id":1,"room":5}', "bad_request"),
        ('{"t":"sub","id":1}', "bad_request"),
        ('{"t":"sub","id":1,"room":"r_1","since":-1}', "bad_request"),
        ('{"t":"sub","id":1,"room":"r_1","since":"5"}', "bad_request"),
        ('{"t":"sub","id":1,"room":"r_1","since":true}', "bad_request"),
        ('{"t":"sub","id":1,"room":"r_1"}', "room_not_found"),
        ('{"t":"sub","id":1,"room":"\\u0000"}', "room_not_found"),
        ('{"t":"send","id":1,"room":"r_1","cid":"a","text":null}', "bad_request"),
        ('{"t":"send","id":1,"room":"r_1","text":"a"}', "bad_request"),
        ('{"t":"send","id":1,"room":"r_1","cid":"a b","text":"a"}', "cid_invalid"),
        ('{"t":"send","id":1,"room":"r_1","cid":"a","text":"\\ud800"}', "invalid_unicode"),
        ('{"t":"stop","id":1,"turn":"t_1"}', "turn_not_found"),
        ('{"t":"retry","id":1,"msg":"m_1"}', "message_not_found"),
        ('{"t":"hello","id":1,"v":1}', "bad_request"),
        ('{"t":"watch","id":"one"}', "bad_request"),
    ],
)
async def test_a_bad_frame_is_an_error_and_the_connection_stays(
    door: Door, frame: str, code: str
) -> None:
    token, _ = await door.guest()
    async with door.live(token) as live:
        await live.socket.send(frame)
        refused = await live.receive()
        assert (refused["t"], refused["code"]) == ("err", code), refused
        assert (await live.ask(t="ping"))["t"] == "pong"


async def test_too_many_rooms_are_refused(tmp_path: Path) -> None:
    async with open_door(tmp_path, rooms_per_connection_max=2) as door:
        token, http = await door.guest()
        rooms = [await new_room(http) for _ in range(3)]
        async with door.live(token) as live:
            for room in rooms[:2]:
                assert (await live.ask(t="sub", room=room))["t"] == "sub"
            assert (await live.ask(t="sub", room=rooms[2]))["code"] == "too_many_rooms"
            await live.ask(t="unsub", room=rooms[0])
            assert (await live.ask(t="sub", room=rooms[2]))["t"] == "sub"


async def test_requests_are_carried_out_in_the_order_in_which_they_came(door: Door) -> None:
    token, http = await door.guest()
    room = await new_room(http)
    async with door.live(token) as live:
        for number in range(30):
            await live.send(t="send", id=100 + number, room=room, cid=new_cid(), text=f"{number}")
        acks = [await live.reply(100 + number) for number in range(30)]
        seqs = [ack["seq"] for ack in acks]
        assert seqs == sorted(seqs)
    assert await texts(http, room) == [f"{number}" for number in range(30)]


async def test_more_requests_at_once_than_allowed_are_put_off(tmp_path: Path) -> None:
    async with open_door(tmp_path, inflight_max=2, database_seconds=90) as door:
        token, http = await door.guest()
        room = await new_room(http)
        async with door.live(token) as live:
            frames = [
                json.dumps({"t": "send", "id": n, "room": room, "cid": new_cid(), "text": "x"})
                for n in range(100, 120)
            ]
            with closing(sqlite3.connect(tmp_path / "palaver.db", isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")  # so that those which are taken stay under way
                for frame in frames:
                    await live.socket.send(frame)
                got = [await live.reply_any(range(100, 120)) for _ in frames[:-2]]
                other.execute("ROLLBACK")
            got += [await live.reply_any(range(100, 120)) for _ in frames[-2:]]
        refused = [frame for frame in got if frame["t"] == "err"]
        stored = [frame for frame in got if frame["t"] == "ack"]
        assert (len(refused), len(stored)) == (18, 2)
        assert {frame["code"] for frame in refused} == {"too_busy"}
        assert all(frame["temporary"] and frame["retry_ms"] for frame in refused)
        assert len(await texts(http, room)) == len(stored)


@pytest.mark.usefixtures("impatient")
async def test_what_is_accepted_is_stored_in_the_order_in_which_it_was_sent(tmp_path: Path) -> None:
    async with open_door(tmp_path) as door:
        token, http = await door.guest()
        room = await new_room(http)
        async with door.live(token) as live:
            await live.ask(t="sub", room=room)
            words = [f"number {number}" for number in range(12)]
            cids = [new_cid() for _ in words]

            async def send(first: int, last: int) -> list[Json]:
                """Sends some at once, and gives the replies, which come in the same order."""
                for number in range(first, last):
                    said = {"cid": cids[number], "text": words[number], "room": room}
                    await live.send(t="send", id=1_000 + number, **said)
                return [await live.reply(1_000 + number) for number in range(first, last)]

            stored = await send(0, 1)
            with away(tmp_path):
                accepted = await send(1, 11)
            await send(11, 12)  # sent when it was back, and behind what was accepted all the same
            assert [ack["state"] for ack in stored + accepted] == ["stored"] + ["accepted"] * 10
            assert [ack["cid"] for ack in accepted] == cids[1:11]
            seen = [
                await live.event("message.created", lambda frame: frame["d"]["text"] in words)
                for _ in words
            ]
            assert [frame["d"]["text"] for frame in seen] == words
            settled = [
                await live.push("ack", lambda ack: ack["state"] == "stored") for _ in accepted
            ]
            assert [ack["cid"] for ack in settled] == cids[1:11]
            assert [ack["seq"] for ack in settled] == [frame["seq"] for frame in seen[1:11]]
        assert await texts(http, room) == words


async def test_a_flood_is_slowed_down_and_then_cut_off(tmp_path: Path) -> None:
    async with open_door(tmp_path, frames_per_second=5) as door:
        token, _ = await door.guest()
        async with door.live(token) as live:
            with contextlib.suppress(ConnectionClosed):
                for number in range(2_000):
                    await live.send(t="ping", id=number)
            assert await live.closed() == 4008
            slowed = [frame for frame in live.pushed if frame.get("code") == "rate_limited"]
            assert slowed
            assert all(frame["retry_ms"] >= 1 for frame in slowed)
        async with door.live(token) as live:
            assert (await live.ask(t="ping"))["t"] == "pong", "and others are served"


async def test_a_request_in_the_very_moment_of_a_goodbye_leaves_no_work_unbegun(
    tmp_path: Path,
) -> None:
    """The frame comes after the writing task has ended, and before the others are told."""
    loop = asyncio.get_running_loop()
    last, parked = loop.create_future(), asyncio.Event()
    async with started(settings_for(tmp_path), encode=frames.encode) as core:
        token, _ = await core.identity.new_guest()
        first: list[dict[str, Any]] = [
            {"type": "websocket.connect"},
            came(json.dumps({"t": "hello", "v": 1, "token": token})),
        ]

        async def receive() -> dict[str, Any]:
            if first:
                return first.pop(0)
            parked.set()
            return await last

        async def send(message: MutableMapping[str, Any]) -> None:
            if any(json.loads(one)["t"] == "bye" for one in message.get("frames", ())):
                last.set_result(came('{"t":"send","id":1,"room":"r_1","cid":"c","text":"x"}'))

        scope: dict[str, Any] = {"type": "websocket", "path": "/ws", "headers": []}
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(serve(core, Socket(scope, receive, send)))
                await parked.wait()
                await core.drain(0)
            gc.collect()
        assert last.done()
        assert [str(one.message) for one in told] == []


def came(text: str) -> dict[str, Any]:
    """A frame, of which nothing else is to be said."""
    return defaultdict(int, type="websocket.receive", text=text)


async def test_a_frame_beyond_the_limit_ends_the_connection(door: Door) -> None:
    token, _ = await door.guest()
    async with door.live(token) as live:
        with contextlib.suppress(ConnectionClosed):
            await live.socket.send("x" * 17_000_000)
        assert await live.closed() == 1009


@pytest.mark.parametrize("character", ["x", "\x01", "\U0001f600"])
async def test_a_text_that_is_allowed_passes_every_door_in_every_escape(
    door: Door, character: str
) -> None:
    """The case `escaped-emoji`: 12 bytes for one character, which Python's `json.dumps` makes of it."""
    text = character * 100_000
    token, http = await door.guest()
    room = await new_room(http)
    json_body = {"content-type": "application/json"}
    async with door.live(token) as live:
        await live.ask(t="sub", room=room)
        for plain in (True, False):
            frame = {"t": "send", "id": 77, "room": room, "cid": new_cid(), "text": text}
            await live.socket.send(json.dumps(frame, ensure_ascii=plain))
            assert (await live.reply(77))["state"] == "stored"
            body = json.dumps({"cid": new_cid(), "text": text}, ensure_ascii=plain).encode()
            path = f"/api/rooms/{room}/messages"
            assert (await http.post(path, content=body, headers=json_body)).status_code == 201
        refused = await live.say(room, text + "x")
        assert (refused["t"], refused["code"]) == ("err", "text_too_long")
        over = {"cid": new_cid(), "text": text + "x"}
        assert (await http.post(f"/api/rooms/{room}/messages", json=over)).status_code == 413
    assert await texts(http, room) == [text] * 4


async def test_a_first_message_may_be_small_only(tmp_path: Path) -> None:
    async with open_door(tmp_path, hello_seconds=90) as door:
        token, http = await door.guest()
        async with door.socket() as socket:
            with contextlib.suppress(ConnectionClosed):
                await socket.send("x" * 40_000)
            assert await Live(socket).closed() == 1009
        rooms = {f"r_{number:032x}": 9_007_199_254_740_991 for number in range(64)}
        async with door.live(token, {"epoch": "e_other", "rooms": rooms}) as live:
            assert (await live.push("err"))["code"] == "room_not_found"
        room = await new_room(http)
        async with door.socket() as socket:  # who says all at once is heard, too
            live = Live(socket)
            await live.send(t="hello", id=1, v=1, token=token)
            await live.send(t="send", id=2, room=room, cid=new_cid(), text="x" * 100_000)
            assert (await live.reply(1))["t"] == "welcome"
            assert (await live.reply(2))["state"] == "stored"


async def test_a_foreign_page_and_a_token_in_the_url_are_refused(door: Door) -> None:
    for path, headers, status in (
        ("/ws", {"origin": "https://evil.example"}, 403),
        ("/ws", {"origin": "null"}, 403),
        ("/ws?token=SECRET", {}, 400),
    ):
        with pytest.raises(InvalidStatus) as refused:
            async with door.socket(path, additional_headers=headers):
                pass
        assert refused.value.response.status_code == status
        assert json.loads(refused.value.response.body or b"")["status"] == status
    async with door.socket(additional_headers={"origin": door.url}):
        pass


async def test_a_disconnect_never_stops_an_answer(door: Door) -> None:
    token, http = await door.guest()
    room = await new_room(http)
    async with door.live(token) as live:
        await live.ask(t="sub", room=room)
        await live.say(room, "/long 60")
        await live.push("s.open")
    async with door.live(token) as live:
        joined = await live.ask(t="sub", room=room)
        if joined["streams"]:
            await live.event("message.created", lambda frame: frame["d"]["role"] == "assistant")
    (answer,) = await texts(http, room, role="assistant")
    assert answer.split()[-1] == "w059"
