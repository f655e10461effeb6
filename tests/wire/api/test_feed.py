"""A room as a feed of server-sent events: in order, resumable, and reset where it must be."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
from tests.wire.door import ANSWER_SECONDS_MAX, Door, new_cid, new_room


@dataclass
class Feed:
    """Reads a feed as a browser's EventSource would."""

    lines: AsyncIterator[str]
    seen: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    async def next(self) -> dict[str, Any]:
        event: dict[str, Any] = {}
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            async for line in self.lines:
                if not line and "data" in event:
                    break
                name, colon, value = line.partition(": ")
                if name and colon:
                    event[name] = value
        event["data"] = json.loads(event["data"])
        self.seen.append(event)
        return event

    async def until(self, text: str) -> dict[str, Any]:
        while (event := await self.next())["data"].get("d", {}).get("text") != text:
            pass
        return event


@asynccontextmanager
async def feed(
    http: httpx2.AsyncClient, room: str, query: str = "", last: str = ""
) -> AsyncGenerator[Feed]:
    headers = {"accept": "text/event-stream"} | ({"last-event-id": last} if last else {})
    async with http.stream("GET", f"/api/rooms/{room}/events{query}", headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        yield Feed(answer.aiter_lines())


async def say(http: httpx2.AsyncClient, room: str, text: str) -> dict[str, Any]:
    said = await http.post(f"/api/rooms/{room}/messages", json={"cid": new_cid(), "text": text})
    return said.json()


async def test_a_first_look_is_a_reset_with_the_newest_messages(door: Door) -> None:
    http = door.http()
    room = await new_room(http)
    async with feed(http, room) as events:
        first = await events.next()
        assert first["event"] == "reset"
        assert (first["data"]["mode"], first["data"]["reason"]) == ("reset", "new")
        epoch, _, seq = first["id"].partition(":")
        assert epoch.startswith("e_")
        assert int(seq) == first["data"]["seq"]


async def test_events_come_once_in_order_and_resume_where_they_were_left(door: Door) -> None:
    http = door.http()
    room = await new_room(http)
    async with feed(http, room, "?after=1") as events:
        await say(http, room, "one")
        await events.until("one")
        left = [event["id"] for event in events.seen if "id" in event][-1]
    await say(http, room, "missed")
    async with feed(http, room, last=left) as events:
        await say(http, room, "now")
        await events.until("now")
        seqs = [event["data"]["seq"] for event in events.seen if "id" in event]
        start = int(left.rpartition(":")[2])
        assert seqs == list(range(start + 1, start + 1 + len(seqs)))
        assert "missed" in [
            event["data"]["d"].get("text") for event in events.seen if "id" in event
        ]


async def test_what_passes_has_a_name_and_no_id(door: Door) -> None:
    http = door.http()
    room = await new_room(http)
    async with feed(http, room, "?after=1") as events:
        await say(http, room, "/long 20")
        text, answer = "", ""
        while not answer:
            event = await events.next()
            if event.get("event") == "s.d":
                text += event["data"].get("x", "")
            elif event["data"].get("d", {}).get("role") == "assistant":
                answer = event["data"]["d"]["text"]
        named = {event["event"] for event in events.seen if "event" in event}
        assert named == {"s.open", "s.d"}
        assert all("id" not in event for event in events.seen if "event" in event)
        assert answer.startswith(text)


async def test_a_late_joiner_gets_the_running_text(door: Door) -> None:
    http = door.http()
    room = await new_room(http)
    async with feed(http, room, "?after=1") as early:
        (turn,) = (await say(http, room, "/slow"))["turns"]
        while (await early.next()).get("event") != "s.d":
            pass
        async with feed(http, room) as late:
            assert (await late.next())["data"]["streams"]
            assert (await late.next())["event"] == "s.open"
            assert (await late.next())["data"]["x"]
    assert (await http.post(f"/api/turns/{turn}/stop")).status_code == 202


async def test_another_epoch_and_a_seq_from_the_future_are_resets(door: Door) -> None:
    http = door.http()
    room = await new_room(http)
    async with feed(http, room, last="e_other:1") as events:
        assert (await events.next())["data"]["reason"] == "epoch"
    async with feed(http, room, "?after=999999") as events:
        assert (await events.next())["data"]["reason"] == "gap"
    async with feed(http, room, last="nonsense") as events:
        assert (await events.next())["data"]["reason"] == "new"


async def test_a_feed_of_somebody_elses_room_is_a_problem(door: Door) -> None:
    room = await new_room(door.http())
    got = await door.http().get(
        f"/api/rooms/{room}/events", headers={"accept": "text/event-stream"}
    )
    assert (got.status_code, got.json()["code"]) == (404, "room_not_found")
