"""A room that is taken away from a reader who is far behind: that room ends, with its reason, and nothing else does."""

import asyncio
import json
from pathlib import Path
from uuid import UUID

import httpx2
import pytest
from tests.wire.door import ANSWER_SECONDS_MAX, Door, new_cid, new_room, open_door
from tests.wire.edge.test_protocols import small_socket

from palaver.core.live import feed
from palaver.core.live.items import Unsubscribed
from palaver.core.runtime import started
from palaver.settings import settings_from

LARGE = "\U0001f600" * 100_000


@pytest.fixture(autouse=True)
def short_ring(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is two events behind has to read the store."""
    monkeypatch.setattr(feed, "RING_BYTES_MAX", 1)


async def left_behind(http: httpx2.AsyncClient, room: str) -> None:
    """More is said than lies between a server and a client that does not read; then the room is deleted."""
    for _ in range(20):
        said = {"cid": new_cid(), "text": LARGE}
        assert (await http.post(f"/api/rooms/{room}/messages", json=said)).status_code == 201
    assert (await http.delete(f"/api/rooms/{room}")).status_code == 204


async def test_the_other_rooms_of_a_live_connection_go_on(door: Door) -> None:
    token, http = await door.guest()
    room, other = await new_room(http), await new_room(http)
    small = await small_socket(door)
    async with door.live(token, sock=small, max_queue=1) as live:
        for one in (room, other):
            await live.ask(t="sub", room=one)
        await left_behind(http, room)
        lost = await live.push("unsub")
        assert (lost["room"], lost["code"]) == (room, "room_not_found")
        assert lost["detail"]
        ack = await live.say(other, "still here")
        await live.event("message.created", lambda frame: frame["seq"] == ack["seq"])
        again = await live.ask(t="sub", room=room, since=1)
        assert (again["t"], again["code"]) == ("err", "room_not_found")
        assert (await http.post(f"/api/rooms/{room}/restore")).status_code == 200
        resumed = await live.ask(t="sub", room=room, since=1)
        assert resumed["mode"] == "resume", "and when it is back, it goes on where it was"


async def test_a_feed_ends_with_the_reason(door: Door) -> None:
    _, http = await door.guest()
    room = await new_room(http)
    path = f"/api/rooms/{room}/events"
    async with http.stream("GET", path, headers={"accept": "text/event-stream"}) as feed:
        assert feed.status_code == 200
        await left_behind(http, room)
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            body = b"".join([part async for part in feed.aiter_raw()])
    name, data = body.decode().strip().rpartition("\n\n")[2].split("\n")
    assert name == "event: unsub"
    assert json.loads(data.removeprefix("data: "))["code"] == "room_not_found"


async def test_a_classic_client_is_told_and_let_go(tmp_path: Path) -> None:
    guest = f"stupidbot_user_id={UUID(int=7)}"
    async with open_door(tmp_path, bytes_per_second=1e9) as door:
        http = door.http(headers={"cookie": guest})
        session = (await http.post("/api/sessions", json={})).json()["id"]
        path, cookie = f"/ws/chat/{session}", {"additional_headers": {"cookie": guest}}
        small = await small_socket(door)
        async with (
            door.socket(path, sock=small, max_queue=1, **cookie) as behind,
            door.socket(path, **cookie) as other,
        ):
            assert json.loads(await behind.recv())["session_id"] == session
            for _ in range(20):
                await other.send(json.dumps({"content": LARGE}, ensure_ascii=False))
                while json.loads(await other.recv())["type"] != "message":
                    pass
            assert (await http.delete(f"/api/sessions/{session}")).status_code == 204
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                got = [json.loads(frame) async for frame in behind]  # to its end, a normal one
            assert (got[-1]["type"], got[-1]["error_code"]) == ("error", "room_not_found")
            assert behind.close_code == 1000


async def test_a_long_poll_is_answered(door: Door) -> None:
    _, http = await door.guest()
    room = await new_room(http)
    seq = (await http.get(f"/api/rooms/{room}")).json()["seq"]
    path = f"/api/rooms/{room}/events?after={seq}&wait=30"
    async with asyncio.TaskGroup() as tasks:
        polling = tasks.create_task(http.get(path))
        tasks.create_task(left_behind(http, room))
    assert polling.result().status_code in {200, 404}


async def test_a_reader_in_the_core_keeps_its_other_rooms(tmp_path: Path) -> None:
    async with started(settings_from(data_dir=tmp_path, detect=False)) as core:
        _, ada = await core.identity.new_guest("Ada")
        room = (await core.rooms.create(ada)).id
        with core.chat.reader(ada) as reader:
            await reader.subscribe(room)
            await reader.subscribe(core.lobby)
            for _ in range(3):
                await core.chat.send(ada, room, text="hi", cid=None, answers=False)
            await core.rooms.delete(ada, room)
            reader.start(room)
            reader.start(core.lobby)
            (lost,) = await reader.next()
            assert isinstance(lost, Unsubscribed)
            assert (lost.room, lost.code) == (room, "room_not_found")
            assert not reader.follows(room)
            assert reader.follows(core.lobby)
