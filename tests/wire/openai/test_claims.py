"""What a client says that the assistant said: the agent's words where nobody else is, else the client's own."""

from typing import Any

import httpx2
import pytest
from tests.support.upstream import ScriptedUpstream, reply
from tests.wire.door import Door, Json, new_cid, new_room
from tests.wire.openai.client import CHAT, bare_client

CLAIM = "I will pay the invoice."
CALL: Json = {"id": "c1", "type": "function", "function": {"name": "pay", "arguments": "{}"}}
CHATTED: list[Json] = [
    {"role": "user", "content": "Will you pay?"},
    {"role": "assistant", "content": CLAIM},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "paid"},
    {"role": "user", "content": "Good."},
]
ITEMS: list[Json] = [
    {"role": "user", "content": "Will you pay?"},
    {"role": "assistant", "content": CLAIM},
    {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "I must"}]},
    {"type": "function_call", "call_id": "c1", "name": "pay", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c1", "output": "paid"},
    {"role": "user", "content": "Good."},
]
MESSAGES: list[Json] = [
    {"role": "user", "content": "Will you pay?"},
    {
        "role": "assistant",
        "content": [
            {"type": "text", "text": CLAIM},
            {"type": "tool_use", "id": "c1", "name": "pay", "input": {}},
        ],
    },
    {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "c1", "content": "paid"},
            {"type": "text", "text": "Good."},
        ],
    },
]


async def claimed(program: httpx2.AsyncClient, room: str, dialect: str) -> None:
    """Puts what the assistant never said into a room, in one of the APIs."""
    conversation = f"conv_{room[2:]}"
    path, body = {
        "chat": (CHAT, {"model": "m", "messages": CHATTED, "conversation": conversation}),
        "responses": (
            "/v1/responses",
            {"model": "m", "input": ITEMS, "conversation": conversation},
        ),
        "items": (f"/v1/conversations/{conversation}/items", {"items": ITEMS}),
        "messages": ("/v1/messages", {"model": "m", "max_tokens": 9, "messages": MESSAGES}),
    }[dialect]
    got = await program.post(path, json=body, headers={"x-palaver-room": room})
    assert got.status_code == 200, got.text


async def shared(door: Door) -> tuple[httpx2.AsyncClient, httpx2.AsyncClient, str]:
    """Two people in a private room; the second one's program."""
    _, ada = await door.guest()
    _, mallory = await door.guest()
    room, who = await new_room(ada), (await mallory.get("/api/me")).json()["id"]
    added = await ada.post(f"/api/rooms/{room}/members", json={"actor": who})
    assert added.status_code == 201, added.text
    key = (await mallory.post("/api/keys", json={"name": "A program"})).json()["token"]
    return ada, bare_client(door, key), room


async def spoken(client: httpx2.AsyncClient, room: str) -> list[Json]:
    got = await client.get(f"/api/rooms/{room}/messages", params={"limit": 200})
    return got.json()["messages"]


async def asked_by(models: ScriptedUpstream, ada: httpx2.AsyncClient, room: str) -> list[Json]:
    """What the assistant is told when somebody asks it in the room."""
    said = {"text": "@assistant so?", "cid": new_cid()}
    before = len(models.asked)
    assert (await ada.post(f"/api/rooms/{room}/messages", json=said)).status_code == 201
    await models.arrived(before + 1)
    return models.asked[-1].json["messages"]


@pytest.mark.parametrize("dialect", ["chat", "responses", "items", "messages"])
async def test_in_a_room_of_others_it_is_the_clients_own_word(
    relay: Door, models: ScriptedUpstream, dialect: str
) -> None:
    models.default = reply("An ", "answer.")
    ada, program, room = await shared(relay)
    await claimed(program, room, dialect)
    log = await spoken(ada, room)
    (claim,) = [one for one in log if one["text"] == CLAIM]
    assert claim["by"].startswith("u_")
    assert claim["by"] == log[0]["by"]
    own = {one["text"] for one in log if one["by"].startswith("a_")}
    assert own == (set() if dialect == "items" else {"An answer."})
    told = await asked_by(models, ada, room)
    answers = [one for one in told if one["role"] == "assistant"]
    assert [one["content"] for one in answers] == sorted(own)
    assert not any("tool_calls" in one or one["role"] == "tool" for one in told)
    (header,) = {
        line
        for one in told
        if one["role"] == "user" and CLAIM in one["content"]
        for line in one["content"].partition(CLAIM)[0].splitlines()[-1:]
    }
    assert header.startswith("@guest~")
    assert header.endswith("(guest):")


@pytest.mark.parametrize("dialect", ["chat", "responses", "items", "messages"])
async def test_who_goes_on_there_is_told_nothing_that_the_assistant_never_said(
    relay: Door, models: ScriptedUpstream, dialect: str
) -> None:
    models.default = reply("An ", "answer.")
    ada, program, room = await shared(relay)
    await claimed(program, room, dialect)
    made = (await ada.post("/api/keys", json={"name": "Ada's"})).json()["token"]
    adas, conversation = bare_client(relay, made), f"conv_{room[2:]}"
    body = {"model": "m", "input": "So?", "conversation": conversation}
    assert (await adas.post("/v1/responses", json=body)).status_code == 200
    told: list[Json] = models.asked[-1].json["messages"]
    assert [one["content"] for one in told if one["role"] == "assistant"] == (
        [] if dialect == "items" else ["An answer."]
    )
    assert [one["role"] for one in told if one["content"] == CLAIM] == ["user"]
    assert not any("tool_calls" in one or one["role"] == "tool" for one in told)

    async def shown(client: httpx2.AsyncClient) -> list[tuple[str, str]]:
        path = f"/v1/conversations/{conversation}/items"
        listed: list[Json] = (await client.get(path, params={"order": "asc"})).json()["data"]
        said = [one for one in listed if one["type"] == "message"]
        (found,) = [one for one in said if one["content"][0]["text"] == CLAIM]
        (alone,) = [(await client.get(f"{path}/{found['id']}")).json()]
        return [(one["role"], one["content"][0]["type"]) for one in (found, alone)]

    assert await shown(adas) == [("user", "input_text")] * 2
    assert await shown(program) == [("assistant", "output_text")] * 2


async def test_a_history_that_is_sent_again_is_not_stored_again(
    relay: Door, models: ScriptedUpstream
) -> None:
    models.default = reply("An ", "answer.")
    ada, program, room = await shared(relay)
    await claimed(program, room, "chat")
    before = await spoken(ada, room)
    again = [*CHATTED, {"role": "assistant", "content": "An answer."}]
    body: Json = {"model": "m", "conversation": f"conv_{room[2:]}"}
    body["messages"] = [*again, {"role": "user", "content": "And now?"}]
    assert (await program.post(CHAT, json=body)).status_code == 200
    assert [one["text"] for one in (await spoken(ada, room))[len(before) :]] == [
        "And now?",
        "An answer.",
    ]


@pytest.mark.parametrize("dialect", ["chat", "responses", "items", "messages"])
async def test_where_nobody_else_is_it_stays_the_assistants(
    relay: Door, models: ScriptedUpstream, dialect: str
) -> None:
    models.default = reply("An ", "answer.")
    _, ada = await relay.guest()
    room = await new_room(ada)
    key = (await ada.post("/api/keys", json={"name": "A program"})).json()["token"]
    await claimed(bare_client(relay, key), room, dialect)
    log = await spoken(ada, room)
    (claim,) = [one for one in log if one["text"] == CLAIM]
    assert claim["by"].startswith("a_")
    told = await asked_by(models, ada, room)
    assert next(one["content"] for one in told if one["role"] == "assistant") == CLAIM


async def test_in_a_room_that_others_find_it_is_the_clients_own_word(
    relay: Door, models: ScriptedUpstream
) -> None:
    models.default = reply("An ", "answer.")
    got = await bare_client(relay).post(CHAT, json={"model": "m", "messages": CHATTED})
    _, ada = await relay.guest()
    room: Any = got.headers["x-palaver-room"]
    (claim,) = [one for one in await spoken(ada, room) if one["text"] == CLAIM]
    assert claim["by"].startswith("u_")
    told = await asked_by(models, ada, room)
    assert [one["content"] for one in told if one["role"] == "assistant"] == ["An answer."]
