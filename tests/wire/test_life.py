"""A recorded life: what every door says of it, and each row that it leaves, are what they were.

People talk on `palaver.v1` and over REST, programs over the OpenAI and the classic door. Ids, times, tokens and ports
are replaced by their place of first appearance. `tests/data/life.json` is the record; where something is changed on
purpose, `PALAVER_TEST_RECORD=1` writes it anew, and its difference is what a reader of the change looks at.
"""

import json
import os
import re
import sqlite3
from contextlib import closing
from difflib import unified_diff
from pathlib import Path
from typing import Any, cast

import httpx2
from tests.support.upstream import DONE, ScriptedUpstream, chunk, refuse, reply, stream, whole
from tests.wire.door import Door, Live, open_door

RECORD = Path(__file__).parents[1] / "data" / "life.json"
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
CALL = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "look"}}
ANSWER = {
    "id": "chatcmpl-9",
    "object": "chat.completion",
    "created": 1_700_000_000,
    "model": "m-1",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Whole.", "reasoning_content": "Hm."},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}
CHANGING = {"ms", "day", "created_ms", "first", "total", "at", "retry_ms", "port"}
SOME_TIME = 1_700_000_001
UNTOLD = {"alembic_version", "meta", "journal_marks", "waits"}
"""Tables of the database itself, and of how long something took: as many rows as there were different times."""

BEHIND = {("sessions", "used_ms"), ("sessions", "agent"), ("sessions", "address")}
"""What is written a minute later, of some sessions before the end of this life."""


class Names:
    """Gives what differs from one life to the next a name by the place where it comes first."""

    KINDS = re.compile(
        r"(?P<id>\b[a-z]{1,5}_[0-9a-f]{32}(?:[0-9a-f]{16})?\b|\b[0-9a-f]{32,64}\b)"
        r"|(?P<uuid>\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b)"
        r"|(?P<time>\b20\d\d-\d\d-\d\dT[\d:.]+(?:Z|\+00:00)?)"
        r"|(?P<guest>\bGuest [0-9a-f]{4}\b)"
        r"|(?P<port>127\.0\.0\.1:\d+)"
    )

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def _named(self, found: re.Match[str]) -> str:
        kind, text = found.lastgroup or "", found[0]
        if kind in {"time", "port"}:
            return f"<{kind}>"
        return self._known.setdefault(text, f"<{kind} {len(self._known)}>")

    def of(self, value: Any, key: str = "") -> Any:
        match value:
            case str():
                return "<token>" if key == "token" else self.KINDS.sub(self._named, value)
            case bytes():
                return f"<{len(value)} bytes>"
            case dict():
                named = cast("dict[str, Any]", value)
                return {self.of(name): self.of(one, name) for name, one in named.items()}
            case list() | tuple():
                return [self.of(one, key) for one in cast("list[Any]", value)]
            case bool() | None:
                return value
            case _:
                counted = key in CHANGING or key.endswith("_ms") or value > SOME_TIME
                return "<number>" if counted else value


def as_told(got: httpx2.Response) -> Any:
    kind = got.headers.get("content-type", "").split(";")[0]
    if kind == "text/event-stream":
        lines = [line for line in got.text.splitlines() if line]
        return [got.status_code, [json_or_text(line) for line in lines]]
    return [got.status_code, got.json() if kind.endswith("json") else kind]


def json_or_text(line: str) -> Any:
    name, _, data = line.partition(": ")
    try:
        return [name, json.loads(data)]
    except ValueError:
        return line


async def people(door: Door, told: list[Any]) -> httpx2.AsyncClient:
    """Two people, in a room of one's own and in the Lobby."""
    token, ada = await door.guest()
    other, bo = await door.guest()

    async def does(client: httpx2.AsyncClient, method: str, path: str, **more: Any) -> Any:
        got = await client.request(method, path, **more)
        told.append([f"{method} {path}", as_told(got)])
        return got.json() if got.content else None

    await does(ada, "PATCH", "/api/me", json={"name": "Ada"})
    room = (await does(ada, "POST", "/api/rooms", json={"title": "Plans"}))["id"]
    lobby = (await does(bo, "GET", "/api/rooms"))["rooms"][0]["id"]
    async with door.live(token) as one, door.live(other) as two:
        told.append(["sub", await one.ask(t="sub", room=lobby)])
        told.append(["sub", await one.ask(t="sub", room=room)])
        await two.ask(t="sub", room=lobby)
        for number, text in enumerate(("good morning", "/long 2", "/fail")):
            told.append([text, await one.say(room, text, f"c-{number}")])
            told.append(["answer", await answer_in(one, room)])
        told.append(["again", await one.say(room, "good morning", "c-0")])
        told.append(["lobby", await two.say(lobby, "hello @assistant", "c-lobby")])
        told.append(["answer", await answer_in(two, lobby)])
        told.append(["read", await one.ask(t="read", room=lobby, seq=1)])
        told.append(["refused", await two.say(room, "may I?", "c-no")])
        await does(ada, "PATCH", f"/api/rooms/{room}", json={"title": "Plans II"})
        found = await does(ada, "GET", f"/api/rooms/{room}/messages?limit=50")
        last = [one for one in found["messages"] if one["role"] == "assistant"][-1]
        await does(ada, "POST", f"/api/messages/{last['id']}/retry")
        told.append(["answer", await answer_in(one, room)])
    await does(ada, "GET", f"/api/rooms/{room}/events?after=2")
    await does(bo, "GET", f"/api/rooms/{room}")
    await does(ada, "DELETE", f"/api/rooms/{room}")
    await does(ada, "POST", f"/api/rooms/{room}/restore")
    await does(ada, "POST", "/api/rooms", json={"title": ""})
    return ada


async def answer_in(live: Live, room: str) -> Any:
    """The next answer of a room, once it is stored: what comes after it comes after it in every life."""
    return await live.event(
        "message.created", lambda one: one["room"] == room and one["d"]["role"] == "assistant"
    )


async def programs(door: Door, models: ScriptedUpstream, told: list[Any]) -> None:
    """A program that streams, asks for whole answers, uses tools, and is refused."""
    http = door.http(headers={"authorization": "Bearer any"})

    async def asks(path: str, **body: Any) -> Any:
        try:
            got = await http.post(f"/v1/{path}", json={"model": "m-1", **body})
        except httpx2.RemoteProtocolError:
            told.append([path, body, "cut"])  # as the model server's own answer was
            return None
        told.append([path, body, as_told(got)])
        return got.json() if got.headers["content-type"].startswith("application/json") else None

    hi = {"role": "user", "content": "hi"}
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    models.will(reply("He", "llo"))
    await asks("chat/completions", messages=[{"role": "system", "content": "Be brief."}, hi])
    models.will(stream(chunk("He"), chunk("llo"), chunk(finish="stop", usage=usage), DONE))
    await asks("chat/completions", messages=[hi], stream=True)
    models.will(whole(ANSWER))
    more = [hi, {"role": "assistant", "content": "Hello"}, {"role": "user", "content": "more"}]
    await asks("chat/completions", messages=more)
    models.will(stream(chunk(tool_calls=[CALL]), chunk(finish="tool_calls"), DONE))
    await asks("chat/completions", messages=[hi], tools=TOOLS, stream=True)
    models.will(refuse(429, {"error": {"message": "Slow down.", "type": "rate_limit_error"}}))
    await asks("chat/completions", messages=[hi])
    models.will(stream(chunk("Cut")))
    await asks("chat/completions", messages=[hi], stream=True, store=True, metadata={"a": "b"})
    models.will(reply("An", "swer"))
    first = await asks("responses", input="What?")
    models.will(reply("More"))
    await asks("responses", input="Go on", previous_response_id=first["id"], stream=True)
    made = await asks("conversations", items=[{"role": "user", "content": "kept"}])
    models.will(reply("In it"))
    await asks("responses", input="And?", conversation=made["id"])
    paths = (
        f"responses/{first['id']}",
        f"responses/{first['id']}/input_items",
        f"conversations/{made['id']}/items",
        "chat/completions",
        "models",
    )
    told += [[path, as_told(await http.get(f"/v1/{path}"))] for path in paths]


async def classic(door: Door, told: list[Any]) -> None:
    http = door.http()
    made = await http.post("/api/sessions", json={"title": "Old"})
    told.append(["session", as_told(made)])
    told.append(["sessions", as_told(await http.get("/api/sessions"))])


def rows_of(file: Path) -> dict[str, Any]:
    """Each row of each table in the order in which it was written, in a room by its number."""
    with closing(sqlite3.connect(file)) as db:
        names = [
            name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type='table'")
        ]
        found: dict[str, Any] = {}
        for name in sorted(names):
            if name in UNTOLD or name.startswith("sqlite_"):
                continue
            columns = [row[1] for row in db.execute(f"PRAGMA table_info({name})")]
            columns = [column for column in columns if (name, column) not in BEHIND]
            by_room = " ORDER BY room_key, seq" if {"room_key", "seq"} <= set(columns) else ""
            rows = db.execute(f"SELECT {', '.join(columns)} FROM {name}{by_room}")
            found[name] = [dict(zip(columns, map(parsed, row), strict=True)) for row in rows]
    return found


def parsed(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in {"{", "["}:
        return json.loads(value)
    return value


async def test_a_life_is_told_and_stored_as_it_was(
    tmp_path: Path, models: ScriptedUpstream
) -> None:
    told: list[Any] = []
    folder = tmp_path / "data"
    async with open_door(folder) as door:
        await people(door, told)
        await classic(door, told)
    async with open_door(folder, openai_base_url=models.base_url, openai_api_key="sk-up") as door:
        await programs(door, models, told)
    names = Names()
    life = {"told": names.of(told), "stored": names.of(rows_of(folder / "palaver.db"))}
    text = json.dumps(life, indent=1, ensure_ascii=False) + "\n"
    if os.environ.get("PALAVER_TEST_RECORD"):
        RECORD.write_text(text, encoding="utf-8")
    before = RECORD.read_text(encoding="utf-8")
    assert list(unified_diff(before.splitlines(), text.splitlines(), lineterm="")) == []
