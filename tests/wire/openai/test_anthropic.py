"""Anthropic's models at every door: chat completions streamed and whole, responses, a room's own turn, and the list."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, cast

import httpx2
import openai
import pytest
from openai import AsyncOpenAI
from tests.support.anthropic import (
    SIGNATURE,
    ScriptedAnthropic,
    events,
    overloaded,
    redacted,
    refused,
    said,
    script,
    scripted_anthropic,
    start,
    text,
    thinking,
    told,
    tool,
)
from tests.support.server import Serve
from tests.support.upstream import CUT, ScriptedUpstream, refuse, reply
from tests.wire.door import Door, Live, open_door
from tests.wire.openai.client import CHAT, HI, bare_client, client_of

Json = dict[str, Any]

TOOLS: list[Any] = [
    {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
]
LOOKS = (
    thinking("I must ", "look."),
    redacted("c2VjcmV0"),
    text("I look."),
    tool("toolu_1", "look", '{"at": ', '"M"}'),
)
BACK = [
    {"type": "thinking", "thinking": "I must look.", "signature": SIGNATURE},
    {"type": "redacted_thinking", "data": "c2VjcmV0"},
    {"type": "text", "text": "I look."},
    {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": "M"}},
]
USED = {
    "prompt_tokens": 19,
    "completion_tokens": 15,
    "total_tokens": 34,
    "prompt_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 3},
}


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[ScriptedAnthropic]:
    async with scripted_anthropic() as running:
        yield running


@pytest.fixture(autouse=True)
def _usual(server: ScriptedAnthropic) -> None:
    server.default = said(text("Hel", "lo"))
    server.requests.clear()


@pytest.fixture(scope="module")
async def house(
    tmp_path_factory: pytest.TempPathFactory, server: ScriptedAnthropic
) -> AsyncIterator[Door]:
    """A server with this provider alone."""
    folder = tmp_path_factory.mktemp("house") / "data"
    key = "sk-ant-0123456789"
    async with open_door(
        folder, anthropic_base_url=server.base_url, anthropic_api_key=key, model="claude-test"
    ) as opened:
        yield opened


@pytest.fixture
async def client(house: Door) -> AsyncOpenAI:
    return client_of(house)


@pytest.fixture
async def live(house: Door) -> AsyncIterator[Live]:
    token, _ = await house.guest()
    async with house.live(token) as live:
        yield live


async def stored(house: Door, room: str | None = None) -> list[Json]:
    """What a room holds, or the newest one."""
    _, client = await house.guest()
    if room is None:
        room = (await client.get("/api/rooms")).json()["rooms"][0]["id"]
    got = await client.get(f"/api/rooms/{room}/messages", params={"limit": 200})
    return got.json()["messages"]


@pytest.mark.parametrize("model", ["claude-sonnet-9", "anthropic/claude-sonnet-9"])
async def test_a_chat_completion_streams_and_is_stored(
    house: Door, client: AsyncOpenAI, server: ScriptedAnthropic, model: str
) -> None:
    options: Any = {"include_usage": True}
    raw = await client.chat.completions.with_raw_response.create(
        model=model, messages=HI, stream=True, stream_options=options
    )
    chunks = [chunk async for chunk in raw.parse()]
    assert [one.choices[0].delta.content for one in chunks if one.choices][:3] == ["", "Hel", "lo"]
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.to_dict() == USED
    assert server.asked[0].json["model"] == "claude-sonnet-9"
    room = raw.headers["x-palaver-room"]
    asked, answer = await stored(house, room)
    assert (asked["text"], answer["text"]) == ("hi", "Hello")
    assert answer["status"] == "done"
    assert answer["meta"]["finish"] == "stop"
    assert answer["meta"]["usage"] == {"input": 19, "output": 15, "cached": 5}


async def test_a_whole_chat_completion_is_one_body_and_can_be_fetched_again(
    client: AsyncOpenAI,
) -> None:
    made = await client.chat.completions.create(model="claude-test", messages=HI, store=True)
    assert (made.choices[0].message.content, made.choices[0].finish_reason) == ("Hello", "stop")
    assert made.usage is not None
    assert made.usage.to_dict() == USED
    again = await client.chat.completions.retrieve(made.id)
    assert again.choices[0].message.content == "Hello"


@pytest.mark.parametrize("streams", [True, False])
async def test_thoughts_and_tools_go_round_through_a_chat(
    client: AsyncOpenAI,
    server: ScriptedAnthropic,
    streams: bool,  # noqa: FBT001  a parameter of the test
) -> None:
    server.will(said(*LOOKS, stop="tool_use"))
    asked: Json = {
        "model": "claude-test",
        "tools": TOOLS,
        "extra_body": {"thinking": {"type": "enabled", "budget_tokens": 2_000}},
    }
    if streams:
        told_live: Any = client.chat.completions.stream(messages=HI, **asked)
        async with told_live as stream:
            final = await stream.get_final_completion()
            made = final.to_dict()
    else:
        create: Any = client.chat.completions.create
        whole = await create(messages=HI, **asked)
        made = whole.to_dict()
    (choice,) = cast("list[Json]", made["choices"])
    message = choice["message"]
    assert (choice["finish_reason"], message["content"]) == ("tool_calls", "I look.")
    assert message["reasoning_content"] == "I must look."
    result: Any = {"role": "tool", "tool_call_id": "toolu_1", "content": "A tree."}
    await client.chat.completions.create(messages=[*HI, message, result], **asked)
    first, second = (one.json for one in server.asked)
    assert first["tools"] == [{"name": "look", "input_schema": {"type": "object"}}]
    assert second["thinking"] == {"type": "enabled", "budget_tokens": 2_000}
    assert [one["role"] for one in second["messages"]] == ["user", "assistant", "user"]
    assert second["messages"][1]["content"] == BACK
    assert second["messages"][2]["content"] == [
        {
            "type": "tool_result",
            "tool_use_id": "toolu_1",
            "content": [{"type": "text", "text": "A tree."}],
        }
    ]


async def test_a_picture_is_shown(client: AsyncOpenAI, server: ScriptedAnthropic) -> None:
    url = "data:image/png;base64,iVBORw0KGgo="
    content: Any = [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": url}},
    ]
    await client.chat.completions.create(
        model="claude-test", messages=[{"role": "user", "content": content}]
    )
    shown = server.asked[0].json["messages"][0]["content"][1]
    assert shown["source"] == {
        "type": "base64",
        "media_type": "image/png",
        "data": "iVBORw0KGgo=",
    }
    part: Any = {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}
    with pytest.raises(openai.BadRequestError, match="input_audio"):
        await client.chat.completions.create(
            model="claude-test", messages=[{"role": "user", "content": [part]}]
        )


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (404, "not_found_error"),
        (429, "rate_limit_error"),
        (529, "overloaded_error"),
    ],
)
async def test_a_refusal_is_told_with_its_status_and_stored_as_a_failure(
    house: Door,
    client: AsyncOpenAI,
    server: ScriptedAnthropic,
    status: int,
    kind: str,
) -> None:
    server.default = refused(status, kind, "Because: sk-ant-0123456789", retry_after="60")
    with pytest.raises(openai.APIStatusError) as failed:
        await client.chat.completions.create(model="claude-test", messages=HI)
    assert failed.value.status_code == status
    assert "Because" in failed.value.message
    assert "sk-ant-0123456789" not in failed.value.message
    assert failed.value.response.headers["retry-after"] == "60"
    answer = (await stored(house))[-1]
    assert (answer["status"], answer["text"]) == ("failed", "")


@pytest.mark.parametrize("last", [overloaded(), CUT])
async def test_an_answer_that_breaks_says_so_and_keeps_what_came(
    house: Door, server: ScriptedAnthropic, last: Any
) -> None:
    server.will(script([*events(text("some"))[:-2], last]))
    body = {"model": "claude-test", "messages": HI, "stream": True}
    got = b""
    async with bare_client(house).stream("POST", CHAT, json=body) as response:
        with suppress(httpx2.RemoteProtocolError):  # a failure has no clean end
            async for part in response.aiter_bytes():
                got += part
    assert b'"content":"some"' in got
    assert b'"error":{' in got
    assert b"[DONE]" not in got
    answer = (await stored(house, response.headers["x-palaver-room"]))[-1]
    assert (answer["status"], answer["text"]) == ("failed", "some")


async def test_a_response_thinks_calls_a_tool_and_goes_on(
    client: AsyncOpenAI, server: ScriptedAnthropic
) -> None:
    tools: list[Any] = [{"type": "function", "name": "look", "parameters": {"type": "object"}}]
    server.will(said(*LOOKS, stop="tool_use"))
    stream = await client.responses.create(
        model="claude-test", input="hi", tools=tools, stream=True, max_output_tokens=900
    )
    last = [event async for event in stream][-1]
    assert last.type == "response.completed"
    first = last.response
    assert [one.type for one in first.output] == ["reasoning", "message", "function_call"]
    assert first.usage is not None
    assert first.usage.input_tokens_details.cached_tokens == 5
    output: Any = {"type": "function_call_output", "call_id": "toolu_1", "output": "A tree."}
    second = await client.responses.create(
        model="claude-test", input=[output], previous_response_id=first.id, tools=tools
    )
    assert (second.status, second.output_text) == ("completed", "Hello")
    one, two = (asked.json for asked in server.asked)
    assert one["max_tokens"] == 900
    assert two["messages"][1]["content"] == BACK
    replayed = await client.responses.retrieve(first.id)
    assert replayed.output_text == "I look."


async def test_a_response_that_is_cut_by_its_bound_is_incomplete(
    client: AsyncOpenAI, server: ScriptedAnthropic
) -> None:
    server.will(said(text("some"), stop="max_tokens"))
    made = await client.responses.create(model="claude-test", input="hi")
    assert made.status == "incomplete"
    assert made.incomplete_details is not None
    assert (made.incomplete_details.reason, made.output_text) == ("max_output_tokens", "some")


async def test_a_response_may_leave_out_what_is_too_long(
    client: AsyncOpenAI, server: ScriptedAnthropic
) -> None:
    words = "prompt is too long: 210000 tokens > 200000 maximum"
    history: Any = [{"role": "user", "content": str(number)} for number in range(6)]
    for number in (1, 3):
        history[number]["role"] = "assistant"
    server.will(refused(400, "invalid_request_error", words), said(text("short")))
    made = await client.responses.create(
        model="claude-test", input=history, truncation="auto", store=False
    )
    assert made.output_text == "short"
    lengths = [len(str(one.json["messages"])) for one in server.asked]
    assert lengths[0] > lengths[1]
    server.will(refused(400, "invalid_request_error", words))
    with pytest.raises(openai.BadRequestError) as failed:
        await client.chat.completions.create(model="claude-test", messages=HI)
    assert failed.value.code == "context_length_exceeded"


async def test_a_room_is_answered_and_its_thoughts_go_back_only_there(
    house: Door, live: Live, server: ScriptedAnthropic
) -> None:
    server.will(said(thinking("Hm."), text("Yes.")))
    client = house.http(headers={"authorization": f"Bearer {live.token}"})
    room: str = (await client.post("/api/rooms", json={"title": "A"})).json()["id"]
    await live.ask(t="sub", room=room)
    await live.say(room, "hi")
    answer = (await live.event("message.created", lambda one: one["d"]["role"] == "assistant"))["d"]
    assert (answer["text"], answer["status"]) == ("Yes.", "done")
    assert answer["meta"]["reasoning"] == "Hm."
    assert (answer["meta"]["provider"], answer["meta"]["model"]) == ("anthropic", "claude-test")
    assert SIGNATURE not in str(answer), "nobody is shown it"
    await live.say(room, "and?")
    await live.event("message.created", lambda one: one["d"]["role"] == "assistant")
    assert server.asked[-1].json["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "hi"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": SIGNATURE},
                {"type": "text", "text": "Yes."},
            ],
        },
        {"role": "user", "content": [{"type": "text", "text": "and?"}]},
    ]


async def test_a_room_is_told_why_nothing_came(
    house: Door, live: Live, server: ScriptedAnthropic
) -> None:
    server.default = refused(401, "authentication_error", "invalid x-api-key")
    client = house.http(headers={"authorization": f"Bearer {live.token}"})
    room: str = (await client.post("/api/rooms", json={"title": "A"})).json()["id"]
    await live.ask(t="sub", room=room)
    await live.say(room, "hi")
    answer = (await live.event("message.created", lambda one: one["d"]["role"] == "assistant"))["d"]
    assert (answer["status"], answer["text"]) == ("failed", "")
    assert answer["meta"]["error"]["code"] == "provider_auth"
    assert "ANTHROPIC_API_KEY" in answer["meta"]["error"]["detail"]


async def test_its_models_are_listed(client: AsyncOpenAI) -> None:
    found = [(one.id, one.owned_by) async for one in client.models.list()]
    assert found == [
        ("claude-test", "anthropic"),
        ("claude-opus-9", "anthropic"),
        ("claude-sonnet-9", "anthropic"),
        ("claude-haiku-9", "anthropic"),
        ("assistant", "palaver"),
    ]
    assert (await client.models.retrieve("anthropic/claude-opus-9")).id == "claude-opus-9"


async def test_beside_an_openai_server_the_models_name_decides_at_every_door(
    tmp_path: Any, models: ScriptedUpstream, server: ScriptedAnthropic
) -> None:
    models.default = reply("ours")
    async with open_door(
        tmp_path / "data",
        openai_base_url=models.base_url,
        anthropic_base_url=server.base_url,
        model="claude-test",
    ) as door:
        client = client_of(door)
        listed = {one.id async for one in client.models.list()}
        assert {"scripted", "claude-test", "claude-opus-9", "assistant"} <= listed
        for model, answer in (
            ("scripted", "ours"),
            ("openai/scripted", "ours"),
            ("claude-opus-9", "Hello"),
            ("anthropic/claude-opus-9", "Hello"),
        ):
            made = await client.chat.completions.create(model=model, messages=HI)
            assert made.choices[0].message.content == answer
            response = await client.responses.create(model=model, input="hi")
            assert response.output_text == answer
            assert (await client.models.retrieve(model)).id == model.rpartition("/")[2]
        for missing in ("anthropic/scripted", "openai/claude-opus-9", "openai/none"):
            with pytest.raises(openai.NotFoundError):
                await client.models.retrieve(missing)
        token, _ = await door.guest()
        async with door.live(token) as live:
            room = (await bare_client(door, token).post("/api/rooms", json={"title": "A"})).json()
            await live.ask(t="sub", room=room["id"])
            await live.say(room["id"], "hi")
            answered = await live.event(
                "message.created", lambda one: one["d"]["role"] == "assistant"
            )
        assert answered["d"]["text"] == "Hello"


@pytest.mark.parametrize(
    ("model", "provider", "status"),
    [
        ("claude-test", "anthropic", "done"),
        ("anthropic/claude-test", "anthropic", "failed"),
        ("scripted", "127.0.0.1", "done"),
        ("openai/scripted", "127.0.0.1", "failed"),
    ],
)
async def test_beside_an_openai_server_an_answer_names_the_provider_that_gave_it(
    tmp_path: Any,
    models: ScriptedUpstream,
    server: ScriptedAnthropic,
    *,
    model: str,
    provider: str,
    status: str,
) -> None:
    models.default = reply("ours")
    if status == "failed":
        models.default = refuse(401, {"error": {"message": "no"}})
        server.default = refused(401, "authentication_error", "no")
    async with open_door(
        tmp_path / "data",
        openai_base_url=models.base_url,
        anthropic_base_url=server.base_url,
        model=model,
    ) as door:
        token, _ = await door.guest()
        async with door.live(token) as live:
            room = (await bare_client(door, token).post("/api/rooms", json={"title": "A"})).json()
            await live.ask(t="sub", room=room["id"])
            await live.say(room["id"], "hi")
            answered = await live.event(
                "message.created", lambda one: one["d"]["role"] == "assistant"
            )
    assert (answered["d"]["meta"]["provider"], answered["d"]["status"]) == (provider, status)


@pytest.mark.slow
async def test_what_came_survives_the_death_of_this_server(
    serve: Serve, server: ScriptedAnthropic
) -> None:
    begun = [start(), *told(0, thinking("Hm.")), *told(1, text("one ", "two "))[:-1]]
    server.will(script([*begun, asyncio.Event()]))
    process = await serve(
        environment={"ANTHROPIC_BASE_URL": server.base_url, "PALAVER_MODEL": "claude-test"}
    )
    async with AsyncOpenAI(base_url=f"{process.url}/v1", api_key="any", max_retries=0) as client:
        stream = await client.responses.create(
            model="claude-test", input="hi", background=True, stream=True
        )
        words, response = "", ""
        async for one in stream:
            if one.type == "response.created":
                response = one.response.id
            words += one.delta if one.type == "response.output_text.delta" else ""
            if words == "one two ":
                break
        await process.kill()
        await process.start()
        async with asyncio.timeout(90):
            left = [one async for one in await client.responses.retrieve(response, stream=True)]
        assert left[-1].type == "response.failed"
        assert left[-1].response.output_text == "one two "
        await client.responses.create(
            model="claude-test", input="Go on.", previous_response_id=response
        )
    _, answer, person = server.asked[-1].json["messages"]
    assert answer["content"] == [{"type": "text", "text": "one two "}]
    assert person["content"] == [{"type": "text", "text": "Go on."}]
