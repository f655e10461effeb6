"""With `redact`, no secret reaches the disk through any door, and clients and model servers get what they got before.

Texts with secrets of random kinds at random places go through each door, both ways, whole and in random pieces; then
all bytes of the data directory are looked through. What stands there packed is looked at by having it told again.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.support.anthropic import (
    ScriptedAnthropic,
    events as anthropic_events,
    script as anthropic_script,
    scripted_anthropic,
    text as block,
    thinking,
    tool,
)
from tests.support.responses import CALL, Telling
from tests.support.secrets import Hiding, bytes_below
from tests.support.server import Serve
from tests.support.upstream import (
    DONE,
    Script,
    ScriptedUpstream,
    chunk,
    event,
    reply,
    scripted_upstream,
    stream,
    whole,
)
from tests.wire.anthropic.client import MESSAGES, asked, assistant, user
from tests.wire.door import Door, Json, new_room, open_door
from tests.wire.openai.client import CHAT, bare_client, room_texts

import palaver
from palaver.redact import MARK
from palaver.settings import settings_from

RESPONSES = "/v1/responses"
RETRY = {"x-stainless-retry-count": "1"}


@pytest.fixture(scope="module")
async def native() -> AsyncIterator[ScriptedUpstream]:
    """A model server that speaks the Responses API."""
    async with scripted_upstream(everywhere=True) as running:
        yield running


@pytest.fixture(scope="module")
async def claude() -> AsyncIterator[ScriptedAnthropic]:
    async with scripted_anthropic() as running:
        yield running


@pytest.fixture(scope="module")
async def house(
    tmp_path_factory: pytest.TempPathFactory, models: ScriptedUpstream
) -> AsyncIterator[Door]:
    folder = tmp_path_factory.mktemp("house") / "data"
    async with open_door(folder, openai_base_url=models.base_url, redact="secrets") as opened:
        yield opened


@pytest.fixture(scope="module")
async def relay(
    tmp_path_factory: pytest.TempPathFactory, native: ScriptedUpstream
) -> AsyncIterator[Door]:
    folder = tmp_path_factory.mktemp("relay") / "data"
    async with open_door(folder, openai_base_url=native.base_url, redact="secrets") as opened:
        yield opened


@pytest.fixture
def hiding(request: pytest.FixtureRequest) -> Hiding:
    return Hiding(request.node.name)


def answering(hiding: Hiding, *, finish: str = "stop") -> Script:
    """A streamed answer with secrets in its thoughts, its words, its calls and its probabilities."""
    thought, words = hiding.text(), hiding.text() + f" {hiding.secret()}."
    arguments = json.dumps({"command": hiding.text(), "password": hiding.value()})
    steps: list[Any] = []
    for piece in hiding.cut(thought):
        delta = {"reasoning_content": piece}
        steps += [event({"choices": [{"index": 0, "delta": delta}]})]
    for piece in hiding.cut(words):
        spelled: Json = {"content": [{"token": piece, "logprob": -1.0, "top_logprobs": []}]}
        choice: Json = {"index": 0, "delta": {"content": piece}, "logprobs": spelled}
        steps.append(event({"id": f"c-{hiding.name}", "choices": [choice]}))
    for place, piece in enumerate(["", *hiding.cut(arguments)]):
        head = {} if place else {"id": "call_1", "type": "function"}
        function = {"arguments": piece} | ({} if place else {"name": "run"})
        calls = [{"index": 0, **head, "function": function}]
        steps.append(event({"choices": [{"index": 0, "delta": {"tool_calls": calls}}]}))
    return stream(*steps, chunk(finish=finish), DONE)


def body_of(told: Script) -> bytes:
    return b"".join(step for step in told if isinstance(step, bytes))


async def test_chat_completions(house: Door, models: ScriptedUpstream, hiding: Hiding) -> None:
    client = bare_client(house, hiding.name)
    call = {"name": "run", "arguments": json.dumps({"command": hiding.text()})}
    messages: list[Json] = [
        {"role": "system", "content": hiding.text()},
        {"role": "user", "content": [{"type": "text", "text": hiding.text()}]},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "call_0", "type": "function", "function": call}]},
        {"role": "tool", "tool_call_id": "call_0", "content": hiding.text() + hiding.key()},
    ]  # fmt: skip
    tools = [{"type": "function", "function": {"name": "run", "description": hiding.text()}}]
    asks: Json = {"model": "scripted", "messages": messages, "tools": tools, "store": True}
    asks |= {"stream": True, "metadata": {"note": hiding.secret()}, "logprobs": True}
    told = answering(hiding, finish="tool_calls")
    models.will(told)
    sent = json.dumps(asks).encode()
    headers = {"content-type": "application/json"}
    got = await client.post(CHAT, content=sent, headers=headers)
    assert got.content == body_of(told)
    assert models.asked[-1].body == sent
    room = got.headers["x-palaver-room"]
    before = await room_texts(house.http(), room)

    again = await client.post(CHAT, content=sent, headers=headers | RETRY)
    assert MARK in again.text
    assert not hiding.found(again.content)
    assert await room_texts(house.http(), room) == before

    said = (await client.get(f"{CHAT}/c-{hiding.name}")).json()["choices"][0]["message"]
    assert MARK in said["content"]
    answer = palaver_message(told)
    more: list[Json] = [
        answer,
        {"role": "tool", "tool_call_id": "call_1", "content": hiding.text()},
    ]
    last = {"role": "assistant", "content": hiding.text()}
    choice = {"index": 0, "message": last, "finish_reason": "stop"}
    models.will(whole({"id": "w", "choices": [choice]}))
    goes_on = await client.post(CHAT, json={**asks, "stream": False, "messages": messages + more})
    assert goes_on.headers["x-palaver-room"] == room
    after = await room_texts(house.http(), room)
    assert after[: len(before)] == before
    assert [role for role, _ in after[len(before) :]] == ["tool", "assistant"]
    assert not hiding.on_disk(house.settings.data_dir)


def palaver_message(told: Script) -> Json:
    """The message that a client makes of a streamed answer, to send it again."""
    words, arguments = "", ""
    for step in told:
        if isinstance(step, bytes) and b"choices" in step:
            delta = json.loads(step[6:])["choices"][0]["delta"]
            words += delta.get("content") or ""
            for call in delta.get("tool_calls", ()):
                arguments += call["function"]["arguments"]
    function = {"name": "run", "arguments": json.dumps(json.loads(arguments), indent=1)}
    call = {"id": "call_1", "type": "function", "function": function}
    return {"role": "assistant", "content": words, "tool_calls": [call]}


def events_in(body: str) -> list[Json]:
    lines = [line[6:] for line in body.splitlines() if line.startswith("data: {")]
    return [json.loads(line) for line in lines]


def numbered(events: list[Json]) -> list[tuple[int, str]]:
    return [(one["sequence_number"], one["type"]) for one in events]


async def test_responses(house: Door, models: ScriptedUpstream, hiding: Hiding) -> None:
    client = bare_client(house, hiding.name)
    models.will(answering(hiding, finish="tool_calls"))
    question = hiding.text() + hiding.key()
    asks = {"model": "scripted", "input": question, "stream": True, "instructions": hiding.text()}
    live = await client.post(RESPONSES, json=asks)
    told = events_in(live.text)
    id_ = told[-1]["response"]["id"]
    asked_for = models.asked[-1].json["messages"]
    assert [one["content"] for one in asked_for] == [asks["instructions"], question]
    assert MARK not in live.text
    stored = await client.get(f"{RESPONSES}/{id_}?stream=true")
    again = events_in(stored.text)
    assert numbered(again) == numbered(told)
    assert not hiding.found(stored.content)
    newest = (await house.http().get("/api/rooms")).json()["rooms"][0]["id"]
    texts = [text for _, text in await room_texts(house.http(), newest)]
    for kind in ("output_text", "function_call_arguments"):
        assert (
            "".join(one["delta"] for one in again if one["type"] == f"response.{kind}.delta")
            in texts
        )
    assert not hiding.found((await client.get(f"{RESPONSES}/{id_}/input_items")).content)

    models.will(reply(*hiding.cut(hiding.text())))
    result = {"type": "function_call_output", "call_id": "call_1", "output": hiding.text()}
    next_ = {"model": "scripted", "input": [result], "previous_response_id": id_}
    assert (await client.post(RESPONSES, json=next_)).json()["status"] == "completed"
    assert models.asked[-1].json["messages"][-1]["content"] == result["output"]
    assert not hiding.on_disk(house.settings.data_dir)


async def test_responses_of_a_server_that_speaks_them(
    relay: Door, native: ScriptedUpstream, hiding: Hiding
) -> None:
    client = bare_client(relay, hiding.name)
    telling = Telling()
    summary = hiding.text()
    telling.item(
        {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": summary}]}
    )
    telling.say(*hiding.cut(hiding.text() + f" {hiding.secret()}."))
    telling.call({**CALL, "arguments": json.dumps({"command": hiding.text()})})
    telling.item(
        {"id": "xx_1", "type": "yet_to_come", "output": hiding.text(), "log": hiding.text()}
    )
    for piece in hiding.cut(hiding.text()):  # what no item holds
        telling.event("yet_to_come.delta", item_id="xx_1", output_index=3, delta=piece)
    native.will(telling.end())
    question = hiding.text()
    live = await client.post(RESPONSES, json={"model": "m", "input": question, "stream": True})
    told = events_in(live.text)
    assert native.requests[-1].json["input"][0]["content"][0]["text"] == question
    assert MARK not in live.text
    stored = await client.get(f"{RESPONSES}/{told[-1]['response']['id']}?stream=true")
    again = events_in(stored.text)
    assert numbered(again) == numbered(told)
    assert not hiding.found(stored.content)
    grown: dict[str, str] = {}
    for one in again:
        kind = one["type"].removesuffix(".delta").removesuffix(".done")
        if one["type"].endswith(".delta"):
            grown[kind] = grown.get(kind, "") + one["delta"]
            assert not hiding.found(grown[kind].encode())
        elif kind in grown and one["type"].endswith(".done"):
            assert grown[kind] == one.get("text", one.get("arguments"))
    assert MARK in grown["response.output_text"]
    assert not hiding.on_disk(relay.settings.data_dir)


async def test_responses_over_websocket(
    house: Door, models: ScriptedUpstream, hiding: Hiding
) -> None:
    models.will(answering(hiding, finish="tool_calls"), reply(*hiding.cut(hiding.text())))
    given = {"authorization": f"Bearer {hiding.name}"}
    async with house.socket(RESPONSES, additional_headers=given) as socket:
        previous = None
        for words in (hiding.text(), hiding.text()):
            asks = {"type": "response.create", "model": "m", "input": words}
            if previous is not None:
                result = {"type": "function_call_output", "call_id": "call_1", "output": words}
                asks |= {"input": [result], "previous_response_id": previous}
            await socket.send(json.dumps(asks))
            while (frame := json.loads(await socket.recv()))["type"] != "response.completed":
                assert frame["type"] not in {"error", "response.failed"}
            previous = frame["response"]["id"]
            assert models.asked[-1].json["messages"][-1]["content"] == words
    assert not hiding.on_disk(house.settings.data_dir)


async def test_messages_over_chat_completions(
    house: Door, models: ScriptedUpstream, hiding: Hiding
) -> None:
    client = bare_client(house, hiding.name)
    told = answering(hiding, finish="tool_calls")
    models.will(told)
    body = asked(user(hiding.text()), system=hiding.text(), stream=True)
    live = await client.post(MESSAGES, json=body)
    assert MARK not in live.text
    assert models.asked[-1].json["messages"][1]["content"] == body["messages"][0]["content"]
    room = live.headers["x-palaver-room"]
    message = palaver_message(told)
    call = message["tool_calls"][0]["function"]
    answer = assistant(
        block_of(message["content"]),
        {"type": "tool_use", "id": "call_1", "name": "run", "input": json.loads(call["arguments"])},
    )
    result = {
        "type": "tool_result",
        "tool_use_id": "call_1",
        "content": hiding.text() + hiding.key(),
    }
    models.will(reply(*hiding.cut(hiding.text())))
    body["messages"] += [answer, user(result)]
    goes_on = await client.post(MESSAGES, json={**body, "stream": False})
    assert goes_on.headers["x-palaver-room"] == room
    assert models.asked[-1].json["messages"][-1]["content"] == result["content"]
    assert len(await room_texts(house.http(), room)) == len(
        ["system", "user", "said", "call", "result", "said"]
    )
    again = await client.post(MESSAGES, json={**body, "stream": False}, headers=RETRY)
    assert not hiding.found(again.content)
    assert not hiding.on_disk(house.settings.data_dir)


def block_of(words: str) -> Json:
    return {"type": "text", "text": words}


async def test_messages_of_a_server_that_speaks_them(
    tmp_path: Path, claude: ScriptedAnthropic, hiding: Hiding
) -> None:
    folder = tmp_path / "data"
    server = {"anthropic_base_url": claude.base_url, "anthropic_api_key": "sk-up"}
    async with open_door(folder, model="claude-test", redact="secrets", **server) as door:
        client = bare_client(door, hiding.name)
        arguments = json.dumps({"command": hiding.text()})
        told = anthropic_events(
            thinking(*hiding.cut(hiding.text())),
            block(*hiding.cut(hiding.text())),
            block(*hiding.cut(hiding.text())),
            tool("toolu_1", "run", *hiding.cut(arguments)),
            stop="tool_use",
        )
        claude.will(anthropic_script(told))
        sent = json.dumps(asked(user(hiding.text()), system=hiding.text(), stream=True)).encode()
        headers = {"content-type": "application/json"}
        got = await client.post(MESSAGES, content=sent, headers=headers)
        assert got.content == b"".join(told)
        assert claude.asked[-1].body == sent
        again = await client.post(MESSAGES, content=sent, headers=headers | RETRY)
        assert MARK in again.text
        assert not hiding.found(again.content)
        deltas = [one["delta"] for one in events_in(again.text) if "delta" in one]
        retold = [one.get("text") or one.get("partial_json") for one in deltas]
        stored = await room_texts(door.http(), got.headers["x-palaver-room"])
        words, call = [text for role, text in stored if role == "assistant"]
        *told_words, told_call = filter(None, retold)
        assert "".join(told_words) == words
        assert json.loads(told_call) == json.loads(call)
        assert not hiding.on_disk(folder)


async def test_rooms_live_and_over_rest(
    house: Door, models: ScriptedUpstream, hiding: Hiding
) -> None:
    token, client = await house.guest()
    room = await new_room(client, "Mine")
    async with house.live(token) as live:
        await live.ask(t="sub", room=room)
        seen = (
            asyncio.Event()
        )  # only then the answer ends, which else may be over before it is told
        words = hiding.cut(hiding.text() + f" {hiding.secret()}. " + "No more. " * 20)
        models.will(stream(*words, seen, chunk(finish="stop"), DONE))
        question = hiding.secret() + " is my key. " + hiding.text()
        await live.say(room, question, "cid-1")
        mine = await live.event("message.created")
        shown = ""
        while MARK not in shown:
            shown += (await live.push("s.d")).get("x", "")
        seen.set()
        answer = await live.event("message.created")
        assert MARK in str(mine)
        assert MARK in str(answer)
        assert not hiding.found(json.dumps([mine, answer, live.pushed]).encode())
        shown += "".join(one.get("x", "") for one in live.pushed if one["t"] == "s.d")
        assert not hiding.found(shown.encode())
        assert (await live.say(room, question, "cid-1"))["dup"] is True
    assert not hiding.found(models.asked[-1].body)  # a room's model is told what the room holds
    models.will(reply("ok"))
    sent = await client.post(
        f"/api/rooms/{room}/messages", json={"text": hiding.text(), "cid": "cid-2"}
    )
    assert sent.is_success
    await client.patch(f"/api/rooms/{room}", json={"title": f"about {hiding.secret()}"})
    await new_room(client, hiding.secret())
    await client.post("/api/prompts", json={"name": "p", "text": hiding.text() + hiding.key()})
    await client.post("/v1/conversations", json={"metadata": {"a": hiding.secret()}, "items": [
        {"type": "message", "role": "user", "content": hiding.text()}]})  # fmt: skip
    listed = await client.get("/api/rooms")
    assert MARK in listed.text
    assert not hiding.found(listed.content)
    assert not hiding.on_disk(house.settings.data_dir)


async def test_a_title_holds_no_part_of_a_secret(
    house: Door, models: ScriptedUpstream, hiding: Hiding
) -> None:
    client = bare_client(house, hiding.name)
    secret = hiding.secret("openai project")  # which is cut where a title ends
    models.will(reply("ok"))
    words = "Here is the key that you asked for: " + secret
    item = {"type": "message", "role": "user", "content": words}
    made = (await client.post("/v1/conversations", json={"items": [item]})).json()
    found = await house.http().get(f"/api/rooms/r_{made['id'][5:]}")
    assert found.json()["title"] == "Here is the key that you asked for: " + MARK
    got = await client.post(CHAT, json={"model": "m", "messages": [user(words)]})
    room = (await house.http().get(f"/api/rooms/{got.headers['x-palaver-room']}")).json()
    assert room["title"] == "Here is the key that you asked for: " + MARK
    parts = [secret[at : at + 12].encode() for at in range(len(secret) - 12)]
    everything = bytes_below(house.settings.data_dir)
    assert not [part for part in parts if part in everything]


async def test_a_compaction(house: Door, models: ScriptedUpstream, hiding: Hiding) -> None:
    client = bare_client(house, hiding.name)
    models.will(reply(*hiding.cut(hiding.text())))
    items: list[Json] = [
        {"role": "user", "content": hiding.text()},
        {"role": "user", "content": "So?"},
    ]
    made = await client.post(
        f"{RESPONSES}/compact", json={"model": "m", "input": items, "store": False}
    )
    (item,) = [one for one in made.json()["output"] if one["type"] == "compaction"]
    models.will(reply("ok"))
    goes_on = {"model": "m", "input": [item, {"role": "user", "content": "Go on."}]}
    assert (await client.post(RESPONSES, json=goes_on)).json()["status"] == "completed"
    assert not hiding.found(models.asked[-1].body)
    assert not hiding.on_disk(house.settings.data_dir)


async def test_the_facade(tmp_path: Path, hiding: Hiding) -> None:
    settings = settings_from(data_dir=tmp_path / "data", detect=False, redact="secrets")
    async with palaver.open(settings=settings) as chat:
        room = await chat.room(f"at {hiding.secret()}")
        ada, helper = (
            await chat.person("ada"),
            await chat.agent("helper", system_prompt=hiding.text()),
        )
        question = hiding.text()
        first = await room.say(ada, question, cid="c-1")
        assert await room.say(ada, question, cid="c-1") == first
        words = hiding.text()
        async with room.answer(helper) as answer:
            for piece in hiding.cut(words):
                answer.write(piece)
            assert answer.text == words
            assert not hiding.on_disk(settings.data_dir)
        assert answer.message is not None
        assert MARK in answer.message.text
    assert not hiding.on_disk(settings.data_dir)


async def test_a_kill_in_the_middle_of_a_secret(serve: Serve, hiding: Hiding) -> None:
    """The one that is cut was told to its client, and is nowhere on the disk, nor any part of it."""
    whole_one, half = hiding.secret("anthropic"), hiding.secret("jwt")[:-20]
    call = {"index": 0, "id": "call_1", "function": {"name": "run", "arguments": ""}}
    arguments = json.dumps({"command": hiding.text()})
    steps: list[Any] = ["It ", "is ", *hiding.cut(whole_one), " and", ": "]
    for place, piece in enumerate(["", *hiding.cut(arguments)]):
        part = call if place == 0 else {"index": 0, "function": {"arguments": piece}}
        steps.append(event({"choices": [{"index": 0, "delta": {"tool_calls": [part]}}]}))
    environment = {"PALAVER_REDACT": "secrets"}
    async with AsyncExitStack() as ending:
        models = await ending.enter_async_context(scripted_upstream())
        models.will(stream(*steps, *hiding.cut(half), asyncio.Event()))
        process = await serve(environment={"OPENAI_BASE_URL": models.base_url, **environment})
        client = await ending.enter_async_context(
            httpx2.AsyncClient(base_url=process.url, trust_env=False, timeout=90)
        )
        told, said = list[Json](), ""
        asks = {"model": "m", "input": hiding.text(), "stream": True}
        async with client.stream("POST", RESPONSES, json=asks) as response:
            async for line in response.aiter_lines():
                told += events_in(line)
                if told and told[-1]["type"].endswith("text.delta") and line.startswith("data"):
                    said += told[-1]["delta"]
                if said.endswith(half):
                    break
        assert said.endswith(half)
        await process.kill()
        parts = [half[at : at + 12].encode() for at in range(len(half) - 12)]
        everything = bytes_below(process.data)
        assert not [part for part in parts if part in everything]
        assert not hiding.found(everything)
        await process.start()
        id_, last = told[0]["response"]["id"], told[-1]["sequence_number"]
        rest = await client.get(f"{RESPONSES}/{id_}?stream=true&starting_after={last}")
        numbers = [one["sequence_number"] for one in events_in(rest.text)]
        assert numbers == list(range(last + 1, last + 1 + len(numbers)))
        assert rest.text.rstrip().endswith("[DONE]")
        stored = (await client.get(f"{RESPONSES}/{id_}")).json()
        words, ran, _ = stored["output"]
        assert words["content"][0]["text"] == f"It is {MARK} and: "
        assert json.loads(ran["arguments"])["command"]
        assert not hiding.on_disk(process.data)
