"""What a model server told beside its words is told to it again, and to nobody else, at each door to a history."""

from typing import Any

import pytest
from openai.types.responses import ResponseFunctionToolCall
from tests.support.upstream import (
    DONE,
    Script,
    ScriptedUpstream,
    chunk,
    event,
    refuse,
    reply,
    stream,
    whole,
)
from tests.wire.door import Door
from tests.wire.openai.client import CHAT, HI, bare_client, client_of

SIGNED = {"google": {"thought_signature": "SIG=="}}
DETAILS = [
    {"type": "reasoning.text", "index": 0, "text": "I must", "signature": "S"},
    {"type": "reasoning.encrypted", "index": 1, "data": "ENC", "id": "r"},
]
CALL = {"name": "f", "arguments": '{"a":1}', "thought_signature": "F"}
TOLD: dict[str, Any] = {
    "role": "assistant",
    "content": None,
    "reasoning_content": "I must call f",
    "reasoning_details": DETAILS,
    "tool_calls": [{"id": "c1", "type": "function", "function": CALL, "extra_content": SIGNED}],
}
RESULT: Any = [{"type": "function_call_output", "call_id": "c1", "output": "2"}]


def deltas(*given: dict[str, Any]) -> Script:
    events = [event({"id": "c", "choices": [{"index": 0, "delta": one}]}) for one in given]
    return stream(*events, chunk(finish="tool_calls"), DONE)


def call_of(**fields: Any) -> dict[str, Any]:
    return {"tool_calls": [{"index": 0, **fields}]}


CALLING = deltas(
    {"reasoning_content": "I must"},
    {"reasoning_details": [{"type": "reasoning.text", "index": 0, "text": "I "}]},
    {"reasoning_details": [{"type": "reasoning.text", "index": 0, "text": "must"}]},
    {"reasoning_content": " call f", "reasoning_details": [{**DETAILS[1], "data": "E"}]},
    {"reasoning_details": [{"type": "reasoning.text", "index": 0, "signature": "S"}]},
    {"reasoning_details": [{"type": "reasoning.encrypted", "index": 1, "data": "NC"}]},
    call_of(id="c1", type="function", function={**CALL, "arguments": '{"a"'}),
    call_of(function={"arguments": ":1}"}, extra_content=SIGNED),
)
AT_ONCE = whole(
    {"id": "c", "choices": [{"index": 0, "message": TOLD, "finish_reason": "tool_calls"}]}
)


def assistant(models: ScriptedUpstream) -> dict[str, Any]:
    """The first answer, as the model server was told of it last."""
    said = models.asked[-1].json["messages"]
    return next(one for one in said if one["role"] == "assistant")


@pytest.mark.parametrize("script", [CALLING, AT_ONCE], ids=["streamed", "whole"])
async def test_a_response_that_goes_on_tells_its_server_all_that_stood_beside_a_call(
    relay: Door, models: ScriptedUpstream, script: Script
) -> None:
    client = client_of(relay)
    models.will(script, reply("two"), reply("no"))
    first = await client.responses.create(model="m", input="f of 1?")
    call = first.output[-1]
    assert isinstance(call, ResponseFunctionToolCall)
    assert (call.call_id, call.arguments) == ("c1", '{"a":1}')
    await client.responses.create(model="m", previous_response_id=first.id, input=RESULT)
    assert assistant(models) == TOLD
    await client.responses.create(model="other", previous_response_id=first.id, input=RESULT)
    assert assistant(models) == {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
        ],
    }


async def test_a_conversation_and_a_rooms_own_turn_tell_it_as_well(
    relay: Door, models: ScriptedUpstream
) -> None:
    client = client_of(relay)
    room = await client.conversations.create()
    kept = {"details": [{"index": 0, "text": "a"}]}
    said = deltas(
        {"content": "two", "reasoning": "so", **kept}, {"details": [{"index": 0, "text": "b"}]}
    )
    models.will(CALLING, said, reply("and"), reply("A title"))
    ask: dict[str, Any] = {"model": "scripted", "conversation": room.id}
    await client.responses.create(**ask, input="f of 1?")
    await client.responses.create(**ask, input=RESULT)
    assert assistant(models) == TOLD
    before = len(models.asked)
    _, http = await relay.guest()
    async with http:
        page = (await http.get(f"/api/rooms/r_{room.id[5:]}/messages")).json()["messages"]
        assert all("beside" not in one["meta"] for one in page), "nobody else needs it"
        stored = {"cid": "1", "text": "@assistant are you sure?"}
        await http.post(f"/api/rooms/r_{room.id[5:]}/messages", json=stored)
    await models.arrived(before + 2)  # the answer, and the title
    rules, *told = models.asked[before].json["messages"]
    assert rules["role"] == "system", "there are two people now"
    assert told[1] == TOLD
    # What led to words and no call is not told again, what is its server's own is.
    assert told[3] == {
        "role": "assistant",
        "content": "two",
        "details": [{"index": 0, "text": "ab"}],
    }


async def test_a_server_that_refuses_its_own_fields_is_asked_without_them(
    relay: Door, models: ScriptedUpstream
) -> None:
    client = client_of(relay)
    refused = refuse(400, {"error": {"message": "property 'reasoning_content' is unsupported"}})
    models.will(CALLING, refused, reply("two"))
    first = await client.responses.create(model="m", input="f of 1?")
    await client.responses.create(model="m", previous_response_id=first.id, input=RESULT)
    assert assistant(models).keys() == {"role", "content", "tool_calls"}
    assert [call.keys() for call in assistant(models)["tool_calls"]] == [{"id", "type", "function"}]


async def test_a_stored_completion_is_shown_as_it_came(
    relay: Door, models: ScriptedUpstream
) -> None:
    client = client_of(relay)
    models.will(CALLING, AT_ONCE)
    for streams in (True, False):
        async with bare_client(relay) as http:
            asked = {"model": "m", "messages": HI, "store": True, "stream": streams}
            await http.post(CHAT, json=asked)
            kept = (await http.get(CHAT, params={"order": "desc", "limit": 1})).json()["data"][0]
        assert kept["choices"][0]["message"] == {"refusal": None, **TOLD}
    await client.close()


@pytest.mark.parametrize("arguments", [{"arguments": None}, {}, {"arguments": ""}])
@pytest.mark.parametrize("streams", [True, False])
async def test_a_call_without_arguments_has_an_empty_object(
    relay: Door, models: ScriptedUpstream, *, arguments: dict[str, Any], streams: bool
) -> None:
    client = client_of(relay)
    models.will(
        deltas(call_of(id="c1", type="function", function={"name": "f", **arguments})),
        reply("fine"),
    )
    if streams:
        events = [
            one async for one in await client.responses.create(model="m", input="f?", stream=True)
        ]
        pieces = [
            one.delta for one in events if one.type == "response.function_call_arguments.delta"
        ]
        assert "".join(pieces) == "{}"
        assert events[-1].type == "response.completed"
        first = events[-1].response
    else:
        first = await client.responses.create(model="m", input="f?")
    assert [getattr(one, "arguments", None) for one in first.output] == ["{}"]
    again = await client.responses.retrieve(first.id)
    assert again.output == first.output
    await client.responses.create(model="m", previous_response_id=first.id, input=RESULT)
    assert assistant(models)["tool_calls"][0]["function"] == {"name": "f", "arguments": "{}"}
