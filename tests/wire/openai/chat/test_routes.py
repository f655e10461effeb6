"""Chat completions with the official client and with bare bytes: passed on as they are, and stored as what was said."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from structlog.testing import capture_logs
from tests.support.upstream import (
    CUT,
    DONE,
    Head,
    Script,
    ScriptedUpstream,
    chunk,
    event,
    refuse,
    reply,
    stream,
    whole,
)
from tests.wire.door import Door, open_door
from tests.wire.openai.client import CHAT, HI, bare_client, client_of, room_texts, said

FINISH = chunk(finish="stop")
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": "add", "parameters": {"type": "object", "properties": {}}},
}


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "m", "messages": HI, "stream": True} | fields).encode()


def sent(script: Script) -> bytes:
    return b"".join(step for step in script if isinstance(step, bytes))


def tool_event(part: Any, **delta: Any) -> bytes:
    choice = {"index": 0, "delta": {"tool_calls": [part], **delta}}
    return event({"id": "c", "object": "chat.completion.chunk", "choices": [choice]})


async def broken_stream(door: Door) -> bytes:
    """All that comes of a stream that has no end."""
    seen = bytearray()

    async def read() -> None:
        async with bare_client(door).stream("POST", CHAT, content=body()) as got:
            async for part in got.aiter_raw():
                seen.extend(part)

    with pytest.raises(httpx2.RemoteProtocolError):
        await read()
    return bytes(seen)


def completion(text: str) -> Script:
    message = {"role": "assistant", "content": text}
    return whole(
        {
            "id": "chatcmpl-9",
            "object": "chat.completion",
            "created": 5,
            "model": "m-2026",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "timings": {"ms": 1.50},
        }
    )


# passed on


@pytest.mark.parametrize(
    "script",
    [
        reply("Hello ", "world"),
        stream("a", FINISH),
        stream(chunk("a", timings={"ms": 1.50}), FINISH, DONE, DONE),
        (Head(), b": hello\r\n\r\ndata:{}\r\n\r\n", chunk("a"), FINISH, b"data: [DONE]\r\n\r\n"),
    ],
    ids=["ordinary", "no [DONE]", "unknown fields and two ends", "another dialect"],
)
async def test_a_stream_comes_byte_for_byte(
    relay: Door, models: ScriptedUpstream, script: Script
) -> None:
    models.will(script)
    got = await bare_client(relay).post(CHAT, content=body())
    assert got.content == sent(script)
    assert got.headers["content-type"].startswith("text/event-stream")
    assert got.headers["x-accel-buffering"] == "no"
    assert "content-encoding" not in got.headers


async def test_a_whole_answer_comes_byte_for_byte(relay: Door, models: ScriptedUpstream) -> None:
    script = completion("Hello")
    models.will(script)
    got = await bare_client(relay).post(CHAT, content=body(stream=False))
    assert got.content == sent(script)
    assert got.headers["content-type"] == "application/json"


async def test_the_request_goes_on_byte_for_byte_and_the_clients_key_does_not(
    relay: Door, models: ScriptedUpstream
) -> None:
    asked = (
        b'{ "model":"m","messages" : [{"role":"user","content":"\\u00e9"}],"stream":true, "x":1.50}'
    )
    client = bare_client(relay, "sk-secret")
    headers = {
        "openai-beta": "b=1",
        "x-custom": "c",
        "x-api-key": "sk-secret",
        "openai-organization": "org",
        "cookie": "a=b",
    }
    await client.post(CHAT, content=asked, headers=headers)
    arrived = models.asked[-1]
    assert arrived.body == asked
    assert arrived.headers["authorization"] == "Bearer sk-up"
    assert (arrived.headers["openai-beta"], arrived.headers["x-custom"]) == ("b=1", "c")
    assert "sk-secret" not in str(arrived.headers)
    assert not {"cookie", "openai-organization"} & arrived.headers.keys()


async def test_headers_about_the_request_come_back(relay: Door, models: ScriptedUpstream) -> None:
    names = {"x-request-id": "req_5", "x-ratelimit-remaining-tokens": "7", "set-cookie": "a=b"}
    head = Head(headers={"content-type": "text/event-stream", **names})
    models.will((head, *reply("a")[1:]))
    got = await bare_client(relay).post(CHAT, content=body())
    assert got.headers["x-request-id"] == "req_5"
    assert got.headers["x-ratelimit-remaining-tokens"] == "7"
    assert "set-cookie" not in got.headers
    other = await bare_client(relay).post(CHAT, content=body())
    assert other.headers["x-request-id"].startswith("req_"), "one of our own where there is none"


async def test_each_event_is_one_write_and_comes_at_once(
    relay: Door, models: ScriptedUpstream
) -> None:
    gate = asyncio.Event()
    models.will(stream(chunk("a") + chunk("b"), gate, chunk("c"), FINISH, DONE))
    async with bare_client(relay).stream("POST", CHAT, content=body()) as got:
        parts = got.aiter_raw()
        seen = await anext(parts)
        while len(seen) < len(chunk("a") + chunk("b")):
            seen += await anext(parts)
        gate.set()
        async for part in parts:
            seen += part
    assert seen == chunk("a") + chunk("b") + chunk("c") + FINISH + DONE


# with the official client


async def test_the_official_client_streams(relay: Door, models: ScriptedUpstream) -> None:
    models.will(reply("Hel", "lo"))
    options: Any = {"include_usage": True}
    got = await client_of(relay).chat.completions.create(
        model="m", messages=HI, stream=True, stream_options=options
    )
    chunks = [one async for one in got]
    assert "".join(one.choices[0].delta.content or "" for one in chunks if one.choices) == "Hello"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 9


async def test_the_official_client_gets_a_whole_answer_with_its_unknown_fields(
    relay: Door, models: ScriptedUpstream
) -> None:
    models.will(completion("Hello"))
    got = await client_of(relay).chat.completions.create(model="m", messages=HI)
    assert got.choices[0].message.content == "Hello"
    assert got.model_extra == {"timings": {"ms": 1.5}}


async def test_tools_go_round(relay: Door, models: ScriptedUpstream) -> None:
    client = client_of(relay, "tools")
    part = {
        "index": 0,
        "id": "call_1",
        "type": "function",
        "function": {"name": "add", "arguments": ""},
    }
    more = {"index": 0, "function": {"arguments": '{"a":1}'}}
    models.will(
        stream(
            tool_event(part, role="assistant"),
            tool_event(more),
            chunk(finish="tool_calls"),
            DONE,
        ),
        reply("It is 2."),
    )
    tools: Any = [TOOL]
    async with client.chat.completions.stream(model="m", messages=HI, tools=tools) as got:
        answer = (await got.get_final_completion()).choices[0].message
    assert answer.tool_calls is not None
    assert answer.tool_calls[0].function.arguments == '{"a":1}'
    history: Any = [
        *HI,
        answer.model_dump(exclude={"parsed"}),
        {"role": "tool", "tool_call_id": "call_1", "content": "2"},
    ]
    got = await bare_client(relay, "tools").post(CHAT, content=body(messages=history))
    room = got.headers["x-palaver-room"]
    assert await room_texts(relay.http(), room) == [
        ("user", "hi"),
        ("assistant", '{"a":1}'),
        ("tool", "2"),
        ("assistant", "It is 2."),
    ]


async def test_without_a_model_the_offline_agent_answers(door: Door) -> None:
    client = client_of(door)
    messages = said("/long 5")
    got = await client.chat.completions.create(model="any", messages=messages, stream=True)
    text = "".join([one.choices[0].delta.content or "" async for one in got])
    assert text == "w000 w001 w002 w003 w004"
    answer = await client.chat.completions.create(model="any", messages=said("/long 3"))
    assert answer.choices[0].message.content == "w000 w001 w002"
    assert answer.model == "any"


# stored


async def test_a_client_that_sends_its_history_again_goes_on_in_its_room(
    relay: Door, models: ScriptedUpstream
) -> None:
    client = bare_client(relay, "history")
    models.will(reply("one"), reply("two"))
    first = await client.post(CHAT, content=body(messages=said("a question")))
    second = await client.post(CHAT, content=body(messages=said("a question", "one", "and then?")))
    room = first.headers["x-palaver-room"]
    assert second.headers["x-palaver-room"] == room
    expected = [
        ("user", "a question"),
        ("assistant", "one"),
        ("user", "and then?"),
        ("assistant", "two"),
    ]
    assert await room_texts(relay.http(), room) == expected


async def test_a_whole_answer_is_stored_like_one_that_streams(
    relay: Door, models: ScriptedUpstream
) -> None:
    models.will(completion("Hello"))
    got = await bare_client(relay, "whole").post(CHAT, content=body(stream=False))
    room = got.headers["x-palaver-room"]
    assert await room_texts(relay.http(), room) == [("user", "hi"), ("assistant", "Hello")]


async def test_the_room_can_be_named_in_three_ways(relay: Door, models: ScriptedUpstream) -> None:
    client = bare_client(relay, "rooms")
    first = await client.post(CHAT, content=body(messages=said("first")))
    room = first.headers["x-palaver-room"]
    conversation = f"conv_{room[2:]}"
    ways: list[tuple[dict[str, Any], dict[str, str]]] = [
        ({"conversation": conversation}, {}),
        ({"conversation": {"id": conversation}}, {}),
        ({"metadata": {"room": room}}, {}),
        ({}, {"x-palaver-room": room}),
    ]
    for fields, headers in ways:
        asked = body(messages=said(f"by {fields or headers}"), **fields)
        got = await client.post(CHAT, content=asked, headers=headers)
        assert got.headers["x-palaver-room"] == room, fields
        assert "conversation" not in models.asked[-1].json
    assert len(await room_texts(relay.http(), room)) == 10
    gone = await client.post(CHAT, content=body(conversation="conv_" + "0" * 32))
    assert gone.status_code == 404
    assert gone.json()["error"]["code"] == "room_not_found"
    wrong = await client.post(CHAT, content=body(conversation="my chat"))
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "conversation")


async def test_what_is_not_to_be_stored_is_not(relay: Door, models: ScriptedUpstream) -> None:
    models.will(reply("secret"))
    got = await bare_client(relay).post(CHAT, content=body(store=False))
    assert b"secret" in got.content
    assert "x-palaver-room" not in got.headers


async def test_an_answer_goes_on_to_its_end_without_its_client(
    relay: Door, models: ScriptedUpstream
) -> None:
    gate = asyncio.Event()
    models.will(stream("half ", gate, "and half", FINISH, DONE))
    client = bare_client(relay, "leaver")
    async with client.stream("POST", CHAT, content=body(messages=said("leave"))) as got:
        room = got.headers["x-palaver-room"]
        await anext(got.aiter_raw())
    gate.set()
    token, reader = await relay.guest()
    async with relay.live(token) as live:
        joined = await live.ask(t="sub", room=room)
        if len(joined["messages"]) < 2:
            await live.event("message.created")
    assert (await room_texts(reader, room))[-1] == ("assistant", "half and half")


async def test_a_setting_ends_the_answer_with_its_client(
    tmp_path: Path, models: ScriptedUpstream
) -> None:
    async with open_door(
        tmp_path / "data", openai_base_url=models.base_url, openai_finish=False
    ) as door:
        models.hung_up.clear()
        models.will(stream("half ", asyncio.Event()))
        with capture_logs() as logs:
            async with bare_client(door).stream("POST", CHAT, content=body()) as got:
                room = got.headers["x-palaver-room"]
                await anext(got.aiter_raw())
            async with asyncio.timeout(90):
                await models.hung_up.wait()
            token, reader = await door.guest()
            async with door.live(token) as live:
                joined = await live.ask(t="sub", room=room)
                if len(joined["messages"]) < 2:
                    await live.event("message.created")
        kept = (await reader.get(f"/api/rooms/{room}/messages")).json()["messages"][-1]
        assert (kept["text"], kept["status"]) == ("half ", "stopped")
        assert "error" not in kept["meta"]
        told = [one["event"] for one in logs]
        assert "turn.stopped" in told
        assert "turn.failed" not in told, "nobody has failed"
        figures = (await reader.get("/metrics")).text
        assert 'code="provider_cut"' not in figures


async def test_a_repeated_request_is_answered_once(relay: Door, models: ScriptedUpstream) -> None:
    client = bare_client(relay, "repeats")
    models.will(reply("only once"))
    asked = body(messages=said("once"), stream_options={"include_usage": True})
    first = await client.post(CHAT, content=asked)
    count = len(models.asked)
    again = await client.post(CHAT, content=asked, headers={"x-stainless-retry-count": "1"})
    assert len(models.asked) == count, "the model server is not asked again"
    frames = again.content.strip().split(b"\n\n")
    assert frames[-1] == b"data: [DONE]"
    chunks = [json.loads(frame.removeprefix(b"data: ")) for frame in frames[:-1]]
    assert chunks[0]["choices"][0]["delta"]["content"] == "only once"
    assert chunks[-1]["usage"]["total_tokens"] == 8
    room = first.headers["x-palaver-room"]
    assert len(await room_texts(relay.http(), room)) == 2


# errors


@pytest.mark.parametrize(
    ("asked", "param", "code"),
    [
        (b"{", None, "invalid_json"),
        (b"[]", None, "bad_request"),
        (b'{"model":"m"}', "messages", "missing_required_parameter"),
        (body(messages=[]), "messages", "empty_array"),
        (body(messages=[{"content": "x"}]), "messages[0].role", "missing_required_parameter"),
        (body(stream="yes"), "stream", "invalid_type"),
        (body(store=1), "store", "invalid_type"),
    ],
)
async def test_what_is_no_request_is_a_400_in_the_apis_shape(
    relay: Door, asked: bytes, param: str | None, code: str
) -> None:
    got = await bare_client(relay).post(CHAT, content=asked)
    assert got.status_code == 400
    error = got.json()["error"]
    assert (error["param"], error["code"], error["type"]) == (param, code, "invalid_request_error")


async def test_a_refusal_of_the_model_server_comes_as_it_is(
    relay: Door, models: ScriptedUpstream
) -> None:
    models.will(refuse(429, {"error": {"message": "slow", "code": "x"}}, retry_after="7"))
    with pytest.raises(openai.RateLimitError) as limited:
        await client_of(relay).chat.completions.create(model="m", messages=HI)
    assert limited.value.response.headers["retry-after"] == "7"
    assert limited.value.body == {"message": "slow", "code": "x"}


async def test_a_refusal_in_plain_text_is_put_into_the_apis_shape(
    relay: Door, models: ScriptedUpstream
) -> None:
    models.will(refuse(500, "it burns"))
    with pytest.raises(openai.InternalServerError) as failed:
        await client_of(relay).chat.completions.create(model="m", messages=HI, stream=True)
    body: Any = failed.value.body
    assert (body["message"], body["type"]) == ("it burns", "server_error")


@pytest.mark.parametrize(("streams", "end"), [(True, CUT), (True, b""), (False, CUT)])
async def test_an_answer_that_breaks_never_looks_whole(
    relay: Door,
    models: ScriptedUpstream,
    streams: bool,  # noqa: FBT001  a parameter of the test
    end: Any,
) -> None:
    head = stream("half") if streams else whole({"choices": []})
    models.will((*head, end))
    client = client_of(relay, f"broken {streams} {end!r}")
    if streams:
        got = await client.chat.completions.create(model="m", messages=HI, stream=True)
        with pytest.raises(openai.APIError):
            async for _ in got:
                pass
    else:
        with pytest.raises(openai.InternalServerError):
            await client.chat.completions.create(model="m", messages=HI)


async def test_a_broken_stream_says_why_and_has_no_end(
    relay: Door, models: ScriptedUpstream
) -> None:
    models.will(stream("half", CUT))
    seen = await broken_stream(relay)
    first, error, rest = seen.split(b"\n\n")
    assert first + b"\n\n" == chunk("half")
    assert json.loads(error.removeprefix(b"data: "))["error"]["code"] == "provider_cut"
    assert rest == b""


async def test_an_error_in_the_stream_comes_as_it_is_and_once(
    relay: Door, models: ScriptedUpstream
) -> None:
    script = stream("half", event({"error": {"message": "overloaded"}}), DONE)
    models.will(script)
    assert (await bare_client(relay).post(CHAT, content=body())).content == sent(script)


async def test_a_model_server_that_is_not_there_is_a_bad_gateway(tmp_path: Path) -> None:
    async with open_door(tmp_path / "data", openai_base_url="http://127.0.0.1:9/v1") as door:
        with pytest.raises(openai.InternalServerError) as failed:
            await client_of(door).chat.completions.create(model="m", messages=HI, stream=True)
    assert failed.value.status_code == 502
    assert failed.value.code == "provider_unreachable"


# agents


async def test_an_agent_is_asked_like_a_model(relay: Door, models: ScriptedUpstream) -> None:
    asked = body(model="assistant", messages=said("who are you?"), temperature=0.5)
    await bare_client(relay, "agents").post(CHAT, content=asked)
    arrived = models.asked[-1].json
    assert (arrived["model"], arrived["temperature"]) == ("scripted", 0.5)
    assert arrived["messages"] == said("who are you?")


async def test_an_agents_instructions_come_first(tmp_path: Path, models: ScriptedUpstream) -> None:
    async with open_door(
        tmp_path / "data", openai_base_url=models.base_url, system_prompt="Be kind.", model="big"
    ) as door:
        got = await bare_client(door).post(CHAT, content=body(model="assistant"))
        arrived = models.asked[-1].json
        room = got.headers["x-palaver-room"]
        texts = await room_texts(door.http(), room)
    assert arrived["model"] == "big"
    assert arrived["messages"] == [{"role": "system", "content": "Be kind."}, *HI]
    assert texts[0] == ("user", "hi"), "what the agent is told is not what was said"


async def test_what_is_edited_in_its_room_is_recognised_by_what_was_sent(door: Door) -> None:
    """The client sends its history as it was; what it goes on with stands in the same room."""
    _, http = await door.guest()
    program = bare_client(door, (await http.post("/api/keys", json={})).json()["token"])
    asks: list[Any] = said("What is the capital of Portugal, please?")
    first = await program.post(CHAT, json={"model": "default", "messages": asks})
    answer = first.json()["choices"][0]["message"]["content"]
    rooms = (await http.get("/api/rooms")).json()["rooms"]
    (room,) = [one["id"] for one in rooms if one["door"] and one["role"] == "owner"]
    (asked, _) = (await http.get(f"/api/rooms/{room}/messages")).json()["messages"]
    path = f"/api/rooms/{room}/messages/{asked['id']}"
    edited = await http.patch(path, json={"text": "Another question."})
    assert edited.status_code == 200, edited.text
    asks = said(asks[0]["content"], answer, "And of Spain?")
    again = await program.post(CHAT, json={"model": "default", "messages": asks})
    assert again.status_code == 200, again.text
    texts = [text for _, text in await room_texts(http, room)]
    assert (texts[0], texts[2:3], len(texts)) == ("Another question.", ["And of Spain?"], 4)
