"""What happens in all rooms, as programs hear it: batches of CloudEvents, long polls, and a feed that resumes."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent as Standard
from tests.wire.api.test_feed import Feed, say
from tests.wire.door import Door, Json, new_room, shaped

from palaver.model import EventType
from palaver.wire.cloudevents import BATCH, DATA, TYPE, CloudEvent

FEED = {"accept": "text/event-stream"}


async def events(http: httpx2.AsyncClient, after: str = "earliest", **query: Any) -> list[Json]:
    """What happened, each of its declared shape, as another program's library reads it, too."""
    got = await http.get("/api/events", params={"after": after, **query})
    assert got.status_code == 200, got.text
    assert got.headers["content-type"] == BATCH
    found: list[Json] = got.json()
    for one in found:
        shaped(CloudEvent, one)
        check_data(one)
        read = JSONFormat().read(Standard, json.dumps(one))
        assert (read.get_id(), read.get_type()) == (one["id"], one["type"])
        assert read.get_extension("partitionkey") == one["partitionkey"]
        assert read.get_data() == one["data"]
    return found


def check_data(event: Json) -> None:
    """That the data has no field that its shape does not have, and all that it must have."""
    shape = DATA[EventType(event["type"].removeprefix(TYPE))]
    assert shaped(shape, event["data"]) == event["data"]
    assert event["data"].keys() <= shape.__annotations__.keys()


async def cursor(http: httpx2.AsyncClient) -> str:
    """Where the feed is now."""
    got = await http.get("/api/events")
    assert got.json() == []
    return got.headers["x-palaver-cursor"]


@asynccontextmanager
async def feed(
    http: httpx2.AsyncClient, after: str | None = None, last: str | None = None
) -> AsyncGenerator[Feed]:
    headers = FEED | ({} if last is None else {"last-event-id": last})
    query = {} if after is None else {"after": after}
    async with http.stream("GET", "/api/events", headers=headers, params=query) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Feed(answer.aiter_lines())


async def heard(told: Feed, text: str) -> Json:
    while (event := await told.next())["data"].get("data", {}).get("text") != text:
        pass
    return event


async def test_a_batch_says_what_happened_and_from_where_to_go_on(door: Door) -> None:
    _, http = await door.guest()
    begun = await cursor(http)
    room = await new_room(http, "Plans")
    said = await say(http, room, "hello")
    found = await events(http, begun)
    (created,) = [
        one for one in found if one["subject" if "subject" in one else "id"] == said["msg"]
    ]
    assert created == {
        "specversion": "1.0",
        "id": f"{room}:{said['seq']}",
        "source": f"/rooms/{room}",
        "type": "chat.palaver.message.created",
        "subject": said["msg"],
        "time": created["data"]["at"],
        "datacontenttype": "application/json",
        "data": created["data"],
        "sequence": str(said["seq"]),
        "partitionkey": room,
        "actor": (await http.get("/api/me")).json()["id"],
    }
    got = (await http.get(f"/api/rooms/{room}/events", params={"after": said["seq"] - 1})).json()
    assert created["data"] == got["events"][0]["d"], "as the room's own door tells it"
    first = await http.get("/api/events", params={"after": begun, "limit": 1})
    assert first.json() == found[:1]
    place = first.headers["x-palaver-cursor"]
    assert re.fullmatch(r"e_[0-9a-f]{32}:[0-9]+(\.[0-9]+)?", place)
    assert await events(http, place, limit=200) == found[1:]
    stranger = (await door.guest())[1]
    assert room not in {one["partitionkey"] for one in await events(stranger, begun)}


async def test_each_type_of_event_has_the_data_that_is_declared(door: Door) -> None:
    """What a room may live through; what is told is looked at by `events`."""
    _, ada = await door.guest()
    begun = await cursor(ada)
    room, under = await new_room(ada, "Plans"), await new_room(ada, "Below")
    _, other = await door.guest()
    bo = (await other.get("/api/me")).json()["id"]
    async with feed(ada, begun) as told:
        await say(ada, room, "hello")
        while (answer := (await told.next())["data"])["data"].get("role") != "assistant":
            pass
    agents: list[Json] = (await ada.get("/api/agents")).json()["agents"]
    agent, base = agents[0]["id"], f"/api/rooms/{room}"
    calls: list[tuple[str, str, Any]] = [
        ("PATCH", base, {"title": "Other plans"}),
        ("PUT", f"/api/rooms/{under}/parent", {"parent": room}),
        ("PUT", f"{base}/speaking", {"turns": "in_turn", "chain_max": 3, "greets": False}),
        ("PUT", f"{base}/members/{agent}/speaks", {"speaks": "asked"}),
        ("PUT", f"{base}/members/{agent}/settings", {"instructions": "Be brief."}),
        ("POST", f"{base}/members", {"actor": bo}),
        ("PATCH", f"{base}/members/{bo}", {"role": "moderator"}),
        ("PATCH", "/api/me", {"name": "Ada L."}),
        ("DELETE", f"{base}/members/{bo}", None),
        ("POST", f"{base}/archive", None),
        ("POST", f"{base}/unarchive", None),
        ("PUT", f"{base}/visibility", {"visibility": "open", "open_to": "everyone"}),
        ("POST", f"{base}/members", {"actor": bo}),
        ("POST", f"{base}/transfer", {"actor": bo}),
        ("DELETE", f"/api/rooms/{under}", None),
        ("POST", f"/api/rooms/{under}/restore", None),
        ("POST", f"/api/messages/{answer['subject']}/retry", None),
    ]
    for method, path, body in calls:
        got = await ada.request(method, path, json=body)
        assert got.is_success, f"{path}: {got.text}"
    kinds = {one["type"].removeprefix(TYPE) for one in await events(ada, begun)}
    assert kinds >= {
        *(
            "message.created",
            "message.deleted",
            "room.created",
            "room.renamed",
            "room.moved",
            "room.settings",
        ),
        *("room.archived", "room.unarchived", "room.visibility", "room.transferred"),
        *("room.deleted", "room.restored", "member.joined", "member.removed", "member.role"),
        *("member.renamed", "member.speaks", "member.settings"),
    }


async def test_a_long_poll_is_answered_by_the_first_event(door: Door) -> None:
    _, http = await door.guest()
    room = await new_room(http, "Plans")
    begun = await cursor(http)
    async with asyncio.TaskGroup() as tasks:
        polling = tasks.create_task(events(http, begun, wait=30))
        await say(http, room, "now")
    assert [one["data"]["text"] for one in polling.result()][:1] == ["now"]


async def test_a_feed_tells_each_event_with_its_place_and_resumes_there(door: Door) -> None:
    _, http = await door.guest()
    rooms = [await new_room(http, "One"), await new_room(http, "Two")]
    begun = await cursor(http)
    async with feed(http, begun) as told:
        for number, room in enumerate(rooms):
            await say(http, room, f"{number}")
        place = (await heard(told, "0"))["id"]
    await say(http, rooms[0], "missed")
    async with feed(http, last=place) as told:
        await say(http, rooms[1], "now")
        await heard(told, "now")
        got = [event["data"]["data"].get("text") for event in told.seen if "event" not in event]
    assert {"1", "missed"} <= set(got)
    assert "0" not in got
    for event in told.seen:
        shaped(CloudEvent, event["data"])
    resumed = [event["data"] for event in told.seen]
    assert (await events(http, place))[: len(resumed)] == resumed, "the same as a batch"


async def test_a_feed_without_a_place_is_given_one_at_once(door: Door) -> None:
    _, http = await door.guest()
    async with http.stream("GET", "/api/events", headers=FEED) as answer:
        lines = answer.aiter_lines()
        line = await anext(lines)
    assert re.fullmatch(r"id: e_[0-9a-f]{32}:[0-9]+", line)


async def test_a_place_of_another_epoch_is_a_reset(door: Door) -> None:
    _, http = await door.guest()
    room = await new_room(http, "Plans")
    await say(http, room, "hello")
    got = await http.get("/api/events", params={"after": "e_other:3"})
    assert (got.status_code, got.json()["code"]) == (410, "cursor_expired")
    assert "after=earliest" in got.json()["detail"]
    async with feed(http, last="e_other:3") as told:
        first = await told.next()
        assert first["event"] == "reset"
        assert first["data"] == {"code": "cursor_expired", "after": "earliest"}
        await heard(told, "hello")


@pytest.mark.parametrize("after", ["x", "e_1:", "e_1:1.2.3", "0", "e_1:1\n", "earliest "])
async def test_a_cursor_that_is_none_is_refused(door: Door, after: str) -> None:
    _, http = await door.guest()
    for headers in ({}, FEED):
        got = await http.get("/api/events", params={"after": after}, headers=headers)
        assert (got.status_code, got.json()["code"]) == (400, "cursor_invalid")
    got = await http.get("/api/events", params={"limit": "0"})
    assert (got.status_code, got.json()["code"]) == (400, "limit_invalid")


async def test_a_feed_ends_with_the_session(door: Door) -> None:
    _, http = await door.guest()
    key = (await http.post("/api/keys", json={"scopes": ["read"]})).json()
    program = door.http(headers={"authorization": f"Bearer {key['token']}"})
    room = await new_room(http, "Plans")
    async with feed(program, "earliest") as told:
        await say(http, room, "before")
        await heard(told, "before")
        await http.delete(f"/api/keys/{key['key']['id']}")
        while (last := await told.next()).get("event") != "err":
            pass
        assert last["data"]["code"] == "unauthenticated"
        assert [line async for line in told.lines if line] == []
