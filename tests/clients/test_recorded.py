"""Programs that cannot be run here, and those that can, by what they sent: whole runs, request by request.

A recording (tests/data/clients) has all messages that its program `said`, and the `turns`: the places of those that a
request brought, what else it sent, and what the model answered; `fails` is a status with which it was refused at first,
`task` says that the program asks beside the conversation. The `story` is what the room tells in the end, without
prompts.
"""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.upstream import DONE, Script, ScriptedUpstream, chunk, event, refuse, stream
from tests.wire.door import Door, open_door
from tests.wire.openai.client import CHAT, bare_client

Json = dict[str, Any]
THOUGHT = re.compile("^<thinking>.*</thinking>", re.DOTALL)
RECORDED: dict[str, Json] = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((Path(__file__).parents[1] / "data" / "clients").glob("*.json"))
}


@pytest.fixture(scope="module")
async def door(
    tmp_path_factory: pytest.TempPathFactory, models: ScriptedUpstream
) -> AsyncIterator[Door]:
    folder = tmp_path_factory.mktemp("recorded") / "data"
    async with open_door(folder, openai_base_url=models.base_url) as opened:
        yield opened


def told(turn: Json) -> Script:
    """The model's answer to a turn."""
    texts = {"reasoning_content": turn.get("thought"), "content": turn.get("answer")}
    deltas: list[Json] = [{name: text} for name, text in texts.items() if text]
    for place, one in enumerate(turn.get("calls", ())):
        function = {"name": one["name"], "arguments": one["arguments"]}
        deltas.append({"tool_calls": [{"index": place, "id": one["id"], "function": function}]})
    events = [event({"id": "c", "choices": [{"index": 0, "delta": delta}]}) for delta in deltas]
    return stream(*events, chunk(finish="tool_calls" if "calls" in turn else "stop"), DONE)


def line(message: Json) -> str:
    """A message of the story: who says it, or what it is, and its first words."""
    kind = message["role"] if message["kind"] == "text" else message["kind"]
    return f"{kind}: {' '.join(message['text'].split())[:40]}"


@pytest.mark.parametrize("name", RECORDED)
async def test_a_run_is_one_room_that_can_be_read(
    name: str, door: Door, models: ScriptedUpstream
) -> None:
    run, client = RECORDED[name], bare_client(door, name)
    _, reader = await door.guest()
    rooms: set[str] = set()
    tasks: set[str] = set()
    for turn in run["turns"]:
        asked = turn["more"] | {"messages": [run["said"][place] for place in turn["messages"]]}
        if "fails" in turn:
            models.will(refuse(turn["fails"], {"error": {"message": "No."}}))
            refused = await client.post(CHAT, json=asked, headers=turn["headers"])
            assert refused.status_code == turn["fails"]
        models.will(told(turn))
        got = await client.post(CHAT, json=asked, headers=turn["headers"])
        assert got.status_code == 200, got.text
        room = got.headers["x-palaver-room"]
        (tasks if turn.get("task") else rooms).add(room)
        said = (await reader.get(f"/api/rooms/{room}/messages", params={"limit": 99})).json()
        asks = [one["meta"]["exchange"] for one in said["messages"] if "exchange" in one["meta"]]
        shown = (await reader.get(f"/api/exchanges/{asks[-1]}")).json()["request"]["messages"]
        if not turn.get("task"):
            assert [plain(one) for one in shown] == [plain(one) for one in asked["messages"]]
    assert (len(rooms), len(tasks & rooms)) == (1, 0)
    assert len(tasks) == any(turn.get("task") for turn in run["turns"])
    (room,) = rooms
    assert (await reader.get(f"/api/rooms/{room}")).json()["title"] == run["title"]
    said = (await reader.get(f"/api/rooms/{room}/messages", params={"limit": 99})).json()
    story = [
        line(one)
        for one in said["messages"]
        if one["role"] != "system" and not one["meta"].get("context") and one["text"]
    ]
    assert story == run["story"]


def plain(message: Json) -> Json:
    """A message in normal form: without what was thought, space around the words, and what is empty."""
    found = {name: one for name, one in message.items() if one and name != "reasoning_content"}
    if isinstance(found.get("content"), str):
        found["content"] = THOUGHT.sub("", found["content"]).strip()
    return found
