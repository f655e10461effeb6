"""Stored responses over a model server that speaks the Responses API, with the official client."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI
from openai.types.responses import Response
from tests.support.responses import CALL, SEARCH, THOUGHT, Telling, message, response, says
from tests.support.server import Serve
from tests.support.upstream import (
    CUT,
    STALL,
    Head,
    ScriptedUpstream,
    event,
    refuse,
    reply,
    scripted_upstream,
    whole,
)
from tests.wire.door import Door, Json, open_door, texts
from tests.wire.openai.client import client_of, said

from palaver.wire.openai.responses import relay as relayed

SECONDS_MAX = 90.0
WEB: Any = [{"type": "web_search"}]


@pytest.fixture
async def models() -> AsyncIterator[ScriptedUpstream]:
    async with scripted_upstream(everywhere=True) as upstream:
        yield upstream


@pytest.fixture
async def relay(tmp_path: Path, models: ScriptedUpstream) -> AsyncIterator[Door]:
    async with open_door(tmp_path / "data", openai_base_url=models.base_url) as opened:
        yield opened


@pytest.fixture
def client(relay: Door) -> AsyncOpenAI:
    return client_of(relay)


async def heard(events: Any, upto: str | None = None) -> list[Json]:
    found: list[Json] = []
    async for one in events:
        found.append(one.to_dict())
        if found[-1]["type"] == upto:
            break
    return found


async def replayed(client: AsyncOpenAI, response: str, after: int = -1) -> list[Json]:
    return await heard(await client.responses.retrieve(response, stream=True, starting_after=after))


def conversation_of(made: Response) -> str:
    assert made.conversation is not None
    return made.conversation.id


def paths(models: ScriptedUpstream) -> list[str]:
    return [one.path.removeprefix("/v1") for one in models.requests]


def numbers(found: list[Json]) -> list[int]:
    return [one["sequence_number"] for one in found]


async def test_all_that_only_that_api_can_say_is_told_and_kept(
    client: AsyncOpenAI, relay: Door, models: ScriptedUpstream
) -> None:
    telling = Telling()
    telling.item(THOUGHT)
    telling.item(SEARCH)
    telling.say("Look ", "here.")
    models.will(telling.end(own={"of": "theirs"}))
    asked: Any = {"model": "m", "input": "find", "tools": WEB, "instructions": "Be kind."}
    more = {"their_field": {"a": [1, None]}}
    found = await heard(
        await client.responses.create(**asked, stream=True, metadata={"a": "b"}, extra_body=more)
    )
    assert models.requests[-1].json == {
        **asked,
        **more,
        "input": said("find"),
        "store": False,
        "stream": True,
    }
    assert numbers(found) == list(range(len(found)))
    assert [one["type"] for one in found[:2]] == ["response.created", "response.in_progress"]
    begun, final = found[0]["response"], found[-1]["response"]
    assert found[-1]["type"] == "response.completed"
    assert (final["id"], final["store"], final["metadata"]) == (begun["id"], True, {"a": "b"})
    assert final["conversation"] == begun["conversation"]
    assert (final["own"], final["model"]) == ({"of": "theirs"}, "their-model")
    assert final["usage"]["output_tokens_details"] == {"reasoning_tokens": 2}
    ids = [item["id"] for item in final["output"]]
    assert [id_.partition("_")[0] for id_ in ids] == ["rs", "ws", "msg"]
    kept = zip((THOUGHT, SEARCH, message("Look here.")), ids, strict=True)
    assert final["output"] == [item | {"id": id_} for item, id_ in kept]
    assert {one["item_id"] for one in found if "item_id" in one} == {ids[2]}
    # and again
    assert await replayed(client, final["id"]) == found
    assert await replayed(client, final["id"], 5) == found[6:]
    assert (await client.responses.retrieve(final["id"])).to_dict() == final
    items = await client.conversations.items.list(final["conversation"]["id"], order="asc")
    shown: list[Json] = [item.to_dict() for item in items.data]
    assert [item["id"] for item in shown[1:]] == ids
    assert shown[2] == SEARCH | {"id": ids[1]}
    assert shown[3]["content"] == message("Look here.")["content"]
    assert shown[1]["encrypted_content"] == THOUGHT["encrypted_content"]
    one = await client.conversations.items.retrieve(
        ids[1], conversation_id=final["conversation"]["id"]
    )
    assert one.to_dict() == shown[2]
    room = final["conversation"]["id"].replace("conv_", "r_")
    assert (await texts(relay.http(), room, role="assistant"))[-1] == "Look here."


async def test_what_came_before_is_told_in_full_with_its_encrypted_thoughts(
    client: AsyncOpenAI, models: ScriptedUpstream
) -> None:
    telling = Telling()
    telling.item(THOUGHT)
    telling.call(CALL)
    models.will(telling.end(), says("Three."))
    add: Any = {"type": "function", "name": "add", "parameters": {}, "strict": True}
    first = await client.responses.create(model="m", input="1 + 2", tools=[add])
    result: Any = {"type": "function_call_output", "call_id": "call_1", "output": "3"}
    second = await client.responses.create(
        model="m", input=[result], previous_response_id=first.id, tools=[add]
    )
    assert second.output_text == "Three."
    asked = models.requests[-1].json
    assert "previous_response_id" not in asked
    thought = {key: value for key, value in THOUGHT.items() if key != "id"}
    question: Json = {"type": "message", "role": "user"}
    question["content"] = [{"type": "input_text", "text": "1 + 2"}]
    ids = [item.id for item in first.output]
    assert asked["input"] == [
        question,
        {**thought, "id": ids[0]},
        {**CALL, "id": ids[1]},
        result,
    ]
    listed = [item async for item in client.responses.input_items.list(second.id, order="asc")]
    assert [item.id for item in listed[1:3]] == ids
    models.will(says("Yes."))
    await client.responses.create(model="m", input="Sure?", conversation=conversation_of(first))
    kinds = [item["type"] for item in models.requests[-1].json["input"]]
    assert kinds == [
        *("message", "reasoning", "function_call", "function_call_output", "message", "message")
    ]


async def test_an_encrypted_thought_is_told_to_whom_it_is_from_and_nobody_else(
    client: AsyncOpenAI, models: ScriptedUpstream
) -> None:
    telling = Telling()
    telling.item(THOUGHT)
    telling.say("one")
    models.will(telling.end(), says("two"), says("three"))
    first = await client.responses.create(model="m", input="a")
    told: list[list[str]] = []
    for model in ("m", "another"):
        await client.responses.create(model=model, input="b", previous_response_id=first.id)
        told.append([item["type"] for item in models.requests[-1].json["input"]])
    assert told[0] == ["message", "reasoning", "message", "message"]
    assert told[1] == ["message", "message", "message"]


async def test_a_thought_that_only_its_server_could_look_up_is_not_told_again(
    client: AsyncOpenAI, models: ScriptedUpstream
) -> None:
    telling = Telling()
    telling.item(THOUGHT | {"encrypted_content": None})
    telling.say("one")
    models.will(telling.end(), says("two"))
    first = await client.responses.create(model="m", input="a")
    await client.responses.create(model="m", input="b", previous_response_id=first.id)
    kinds = [item["type"] for item in models.requests[-1].json["input"]]
    assert kinds == ["message", "message", "message"]


async def test_what_is_not_kept_but_goes_on_is_told_by_such_a_server_too(
    client: AsyncOpenAI, models: ScriptedUpstream
) -> None:
    models.will(says("one"), says("two"))
    first = await client.responses.create(model="m", input="a")
    second = await client.responses.create(
        model="m", input="b", previous_response_id=first.id, store=False, tools=WEB
    )
    assert (second.output_text, second.to_dict()["store"]) == ("two", False)
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(second.id)


async def test_a_history_that_is_sent_whole_goes_on_in_its_room(
    client: AsyncOpenAI, models: ScriptedUpstream
) -> None:
    telling = Telling()
    telling.item(THOUGHT)
    telling.item(SEARCH)
    telling.say("one")
    models.will(telling.end(), says("two"))
    first = await client.responses.create(model="m", input="a", tools=WEB)
    again: Any = [*said("a"), *(item.to_dict() for item in first.output), *said("b")]
    second = await client.responses.create(model="m", input=again, tools=WEB)
    assert conversation_of(second) == conversation_of(first)
    assert models.requests[-1].json["input"] == again
    items = await client.conversations.items.list(conversation_of(first))
    assert len(items.data) == 6


async def test_an_answer_is_live_in_its_room_and_its_last_event_waits_for_the_store(
    client: AsyncOpenAI, relay: Door, models: ScriptedUpstream
) -> None:
    gate = asyncio.Event()
    models.will(says("one ", gate, "two"))
    conversation = await client.conversations.create()
    room = conversation.id.replace("conv_", "r_")
    token, _ = await relay.guest()
    async with relay.live(token) as live, asyncio.timeout(SECONDS_MAX):
        await live.ask(t="sub", room=room)
        made = await client.responses.create(
            model="m", input="hi", conversation=conversation.id, background=True
        )
        assert made.status == "queued"
        assert (await live.push("s.d"))["x"] == "one "
        gate.set()
        stored = await live.event("message.created", _by_assistant)
        assert (stored["d"]["text"], stored["d"]["status"]) == ("one two", "done")
        found = await replayed(client, made.id)
    assert [one["type"] for one in found[:3]] == [
        *("response.created", "response.queued", "response.in_progress")
    ]
    assert numbers(found) == list(range(len(found)))
    assert (found[-1]["type"], found[-1]["response"]["background"]) == ("response.completed", True)
    assert await replayed(client, made.id) == found


def _by_assistant(frame: Json) -> bool:
    return frame["d"]["role"] == "assistant"


async def test_a_cancelled_answer_keeps_what_came(
    client: AsyncOpenAI, models: ScriptedUpstream
) -> None:
    telling = Telling()
    telling.item(SEARCH)
    telling.say("half", asyncio.Event())
    models.will(telling.end())
    events = await client.responses.create(model="m", input="a", background=True, stream=True)
    found = await heard(events, upto="response.output_text.delta")
    async with asyncio.timeout(SECONDS_MAX):
        cancelled = await client.responses.cancel(found[0]["response"]["id"])
        found += await heard(events)
    assert (cancelled.status, cancelled.output_text) == ("cancelled", "half")
    assert cancelled.output[0].type == "web_search_call"
    assert cancelled.output[1].to_dict()["status"] == "incomplete"
    assert found[-1]["response"] == cancelled.to_dict()
    assert await replayed(client, cancelled.id) == found


async def test_of_an_answer_that_was_cut_only_what_can_be_gone_on_from_is_told(
    client: AsyncOpenAI, models: ScriptedUpstream
) -> None:
    telling = Telling()
    telling.item(THOUGHT)
    telling.call(CALL)
    models.will((*telling.steps, CUT), says("Yes."))
    first = await client.responses.create(model="m", input="a")
    assert (first.status, len(first.output)) == ("failed", 2)
    await client.responses.create(model="m", input="b", previous_response_id=first.id)
    kinds = [item["type"] for item in models.requests[-1].json["input"]]
    assert kinds == ["message", "message"]


async def test_the_helper_of_the_client_reads_it(
    client: AsyncOpenAI, models: ScriptedUpstream
) -> None:
    telling = Telling()
    telling.item(SEARCH)
    telling.say("one ", "two")
    telling.call(CALL)
    models.will(telling.end())
    async with client.responses.stream(model="m", input="a") as events:
        kinds = [one.type async for one in events]
        final = await events.get_final_response()
    assert kinds[-1] == "response.completed"
    assert (final.output_text, len(final.output)) == ("one two", 3)


async def test_an_answer_that_breaks_has_failed_and_keeps_what_came(
    client: AsyncOpenAI, models: ScriptedUpstream
) -> None:
    cut = Telling()
    cut.say("half", CUT)
    silent = Telling()
    at = silent.begin(message(""))
    silent.event("output_text.delta", **at, delta="half", logprobs=[])
    flat = Telling()
    flat.say("half")
    flat.event("error", code="server_error", message="It broke.", param=None)
    failed = Telling()
    failed.say("half")
    error = {"code": "server_error", "message": "It broke."}
    models.will((*cut.steps,), (*silent.steps,), (*flat.steps,), failed.end("failed", error=error))
    for _ in range(4):
        found = await heard(await client.responses.create(model="m", input="a", stream=True))
        final = found[-1]["response"]
        assert (found[-1]["type"], final["status"]) == ("response.failed", "failed")
        assert final["error"]["code"] == "server_error"
        assert final["output"][0]["content"][0]["text"] == "half"
        assert await replayed(client, final["id"]) == found
        assert (await client.responses.retrieve(final["id"])).to_dict() == final


@pytest.mark.parametrize("tools", [[], WEB])
async def test_a_server_that_falls_silent_is_left_after_a_while_and_what_came_is_kept(
    tmp_path: Path, models: ScriptedUpstream, tools: Any
) -> None:
    silent = Telling()
    at = silent.begin(message(""))
    silent.event("output_text.delta", **at, delta="half", logprobs=[])
    models.will((*silent.steps, STALL))
    given: Json = {"openai_base_url": models.base_url, "provider_idle_seconds": 0.2}
    async with asyncio.timeout(SECONDS_MAX), open_door(tmp_path / "data", **given) as door:
        client = client_of(door)
        made = await client.responses.create(model="m", input="a", tools=tools)
        assert (made.status, made.output_text) == ("failed", "half")
        assert made.error is not None
        assert "fell silent" in made.error.message
        assert await client.responses.retrieve(made.id) == made


async def test_an_answer_whose_events_are_too_large_is_cut_and_kept(
    client: AsyncOpenAI, models: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relayed, "EVENTS_BYTES_MAX", 2_000)
    telling = Telling()
    telling.say("half")
    for index in range(20):
        image = "A" * 1_000
        telling.event("image_generation_call.partial_image", index=index, partial_image_b64=image)
    models.will(telling.end())
    made = await client.responses.create(model="m", input="a")
    assert (made.status, made.output_text) == ("failed", "half")
    assert made.error is not None
    assert "too long" in made.error.message
    assert await client.responses.retrieve(made.id) == made


async def test_an_answer_that_was_cut_short_says_why(
    client: AsyncOpenAI, models: ScriptedUpstream
) -> None:
    telling = Telling()
    telling.say("half")
    models.will(telling.end("incomplete", incomplete_details={"reason": "content_filter"}))
    made = await client.responses.create(model="m", input="a")
    assert (made.status, made.output_text) == ("incomplete", "half")
    assert made.incomplete_details is not None
    assert made.incomplete_details.reason == "content_filter"


async def test_what_the_model_server_refuses_is_told_as_it_told_it(
    client: AsyncOpenAI, models: ScriptedUpstream
) -> None:
    wrong = {"message": "No.", "type": "invalid_request_error", "param": "tools", "code": None}
    models.will(refuse(400, {"error": wrong}), refuse(400, {"error": wrong}))
    asked: Any
    for asked in ({"tools": WEB}, {}):
        with pytest.raises(openai.BadRequestError) as refused:
            await client.responses.create(model="m", input="a", **asked)
        assert refused.value.response.json()["error"] == wrong


async def test_words_that_come_only_whole_and_ids_that_change_are_understood(
    client: AsyncOpenAI, models: ScriptedUpstream
) -> None:
    telling = Telling()
    telling.item(message("All at once."), status="in_progress", content=[])
    telling.output = [message("All at once.", id_="msg_other")]
    models.will(telling.end())
    made = await client.responses.create(model="m", input="a")
    assert (len(made.output), made.output_text) == (1, "All at once.")
    items = await client.conversations.items.list(conversation_of(made))
    assert [item.id for item in items.data][:1] == [made.output[0].id]


async def test_a_deleted_message_says_nothing_in_its_response(
    client: AsyncOpenAI, models: ScriptedUpstream
) -> None:
    models.will(says("A ", "secret."))
    made = await client.responses.create(model="m", input="a")
    conversation = conversation_of(made)
    await client.conversations.items.delete(str(made.output[0].id), conversation_id=conversation)
    assert "secret" not in str(await replayed(client, made.id))
    assert (await client.responses.retrieve(made.id)).output_text == ""


# servers that speak it in part, or not at all


async def test_events_that_nobody_can_follow_are_left_for_a_chat_completion(
    client: AsyncOpenAI, models: ScriptedUpstream
) -> None:
    created = event({"type": "response.created", "response": {"id": "resp_theirs"}})
    models.will((Head(), created), reply("one"), reply("two"))
    for text in ("one", "two"):
        made = await client.responses.create(model="m", input="a")
        assert made.output_text == text
    assert paths(models) == ["/responses", "/chat/completions", "/chat/completions"]
    with pytest.raises(openai.BadRequestError, match="web_search"):
        await client.responses.create(model="m", input="a", tools=WEB)


async def test_an_answer_that_does_not_stream_is_left_for_a_chat_completion(
    client: AsyncOpenAI, models: ScriptedUpstream
) -> None:
    models.will(whole(response("completed", [message("whole")])), reply("one"))
    assert (await client.responses.create(model="m", input="a")).output_text == "one"


async def test_a_server_without_it_is_asked_once_and_refuses_its_tools(
    client: AsyncOpenAI, relay: Door, models: ScriptedUpstream
) -> None:
    models.everywhere = False
    with pytest.raises(openai.BadRequestError) as refused:
        await client.responses.create(model="m", input="a", tools=WEB)
    assert refused.value.response.json()["error"]["code"] == "unsupported_tool"
    for _ in range(2):
        assert (await client.responses.create(model="m", input="a")).output_text
    assert paths(models) == ["/responses", "/chat/completions", "/chat/completions"]
    rooms = (await relay.http().get("/api/rooms")).json()["rooms"]
    assert len([room for room in rooms if room["title"] == "a"]) == 2


async def test_a_model_that_is_not_there_does_not_mean_that_the_api_is_not(
    client: AsyncOpenAI, models: ScriptedUpstream
) -> None:
    missing = refuse(404, {"error": {"message": "The model `x` does not exist.", "code": None}})
    models.will(missing, missing, says("one"))
    with pytest.raises(openai.NotFoundError):
        await client.responses.create(model="x", input="a")
    assert (await client.responses.create(model="m", input="a")).output_text == "one"
    assert paths(models) == ["/responses", "/chat/completions", "/responses"]


async def test_a_palaver_can_be_the_model_server_of_another(
    tmp_path: Path, relay: Door, models: ScriptedUpstream
) -> None:
    models.everywhere = False
    models.will(reply("one ", "two"), reply("three"))
    async with open_door(tmp_path / "front", openai_base_url=f"{relay.url}/v1") as front:
        client = client_of(front)
        found = await heard(await client.responses.create(model="m", input="a", stream=True))
        final = found[-1]["response"]
        assert final["output"][0]["content"][0]["text"] == "one two"
        assert await replayed(client, final["id"]) == found
        second = await client.responses.create(
            model="m", input="b", previous_response_id=final["id"]
        )
        assert second.output_text == "three"
    assert models.requests[-1].json["messages"] == said("a", "one two", "b")
    rooms = (await relay.http().get("/api/rooms")).json()["rooms"]
    assert [room["title"] for room in rooms] == ["Lobby"]


async def test_it_can_be_switched_off(tmp_path: Path, models: ScriptedUpstream) -> None:
    models.will(reply("one"), reply("two"))
    async with open_door(
        tmp_path / "data", openai_base_url=models.base_url, openai_responses="chat"
    ) as relay:
        client = client_of(relay)
        for store in (True, False):
            await client.responses.create(model="m", input="a", store=store)
    assert paths(models) == ["/chat/completions"] * 2


# a dead server


async def test_what_was_seen_is_kept_when_the_server_is_killed(
    serve: Serve, models: ScriptedUpstream
) -> None:
    models.will(says("one ", "two ", asyncio.Event()))
    environment = {"OPENAI_BASE_URL": models.base_url}
    server = await serve(environment=environment)
    async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0) as client:
        events = await client.responses.create(model="m", input="a", stream=True)
        found: list[Json] = []
        async for one in events:
            found.append(one.to_dict())
            if found[-1].get("delta") == "two ":
                break
        await server.kill()
        await server.start()
        async with asyncio.timeout(SECONDS_MAX):
            rest = await replayed(client, found[0]["response"]["id"], found[-1]["sequence_number"])
        assert numbers(found + rest) == list(range(len(found + rest)))
        final = rest[-1]["response"]
        assert (rest[-1]["type"], final["error"]["code"]) == ("response.failed", "server_error")
        assert final["output"][0]["content"][0]["text"] == "one two "
        assert final["output"][0]["id"] == found[2]["item"]["id"]
