"""Messages over a model server that speaks chat completions, asked with Anthropic's own library."""

import asyncio
from typing import Any

import anthropic
import pytest
from tests.clients.answers import CALL
from tests.support.upstream import (
    CUT,
    DONE,
    ScriptedUpstream,
    chunk,
    event,
    refuse,
    reply,
    stream,
)
from tests.wire.anthropic.client import (
    MESSAGES,
    PICTURE,
    TOOLS,
    Json,
    asked,
    assistant,
    bare_client,
    client_of,
    text,
    user,
)
from tests.wire.door import Door
from tests.wire.openai.client import room_texts

from palaver.wire.anthropic.messages import OURS

KINDS = ("message", "content_block")
THINKS: Any = {"type": "enabled", "budget_tokens": 6_000}


RESULTS: list[Json] = [
    {"type": "tool_result", "tool_use_id": "call_1", "content": "No entry.", "is_error": True},
    {
        "type": "tool_result",
        "tool_use_id": "call_2",
        "content": [
            text("A map.", cache_control={"type": "ephemeral"}),
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": PICTURE},
            },
        ],
    },
]
PART = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PICTURE}"}}
TOLD: list[Json] = [
    {"role": "user", "content": "Weather?"},
    {
        "role": "assistant",
        "content": "I look.",
        "reasoning_content": "Hm.",
        "tool_calls": [
            {"id": f"call_{n}", "type": "function", "function": CALL["function"]} for n in (1, 2)
        ],
    },
    {"role": "tool", "tool_call_id": "call_1", "content": "Error: No entry."},
    {"role": "tool", "tool_call_id": "call_2", "content": "A map."},
    {"role": "user", "content": [PART, text("So?")]},
]


def delta(**fields: Any) -> bytes:
    return event({"id": "c", "choices": [{"index": 0, "delta": fields}]})


def calling(*calls: Json, thought: str = "") -> Any:
    """An answer that thinks, speaks and calls."""
    told = [delta(tool_calls=[{"index": place, **one}]) for place, one in enumerate(calls)]
    said = [delta(reasoning_content=thought)] if thought else []
    usage = {
        "prompt_tokens": 30,
        "completion_tokens": 9,
        "prompt_tokens_details": {"cached_tokens": 20},
    }
    end = [chunk(finish="tool_calls"), event({"choices": [], "usage": usage}), DONE]
    return stream(*said, "I look.", *told, *end)


async def test_an_answer_is_told_whole_and_stored(relay: Door, models: ScriptedUpstream) -> None:
    models.will(reply("Hel", "lo"))
    create = client_of(relay, "whole").messages.with_raw_response.create
    got = await create(
        **asked(user("Hi."), system="Be brief.", stop_sequences=["X"], extra_body={"top_k": 3})
    )
    message: Any = await got.parse()
    assert [block.to_dict() for block in message.content] == [text("Hello")]
    assert (message.role, message.model, message.stop_reason) == ("assistant", "m", "end_turn")
    assert (message.usage.input_tokens, message.usage.output_tokens) == (7, 2)
    assert message.id.startswith("msg_")
    assert got.headers["request-id"].startswith("req_")
    sent = models.asked[-1].json
    assert sent["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi."},
    ]
    assert (sent["max_tokens"], sent["stop"]) == (100, ["X"])
    assert "top_k" not in sent
    told = await room_texts(bare_client(relay, "whole"), got.headers["x-palaver-room"])
    assert told == [("system", "Be brief."), ("user", "Hi."), ("assistant", "Hello")]


async def test_thoughts_words_and_calls_stream_and_go_back_as_they_came(
    relay: Door, models: ScriptedUpstream
) -> None:
    models.will(calling({**CALL, "id": "call_1"}, {**CALL, "id": "call_2"}, thought="Hm."))
    client = client_of(relay, "tools")
    tools = [{**TOOLS[0], "name": "get_weather"}]
    choice: Any = {"type": "any", "disable_parallel_tool_use": True}
    body = asked(user("Weather?"), tools=tools, tool_choice=choice, thinking=THINKS)
    kinds: list[str] = []
    async with client.messages.stream(**body) as told:
        kinds += [one.type async for one in told if one.type.startswith(KINDS)]
        message = await told.get_final_message()
        room = told.response.headers["x-palaver-room"]
    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]
    assert kinds.count("content_block_start") == kinds.count("content_block_stop") == 4
    assert message.stop_reason == "tool_use"
    usage = message.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (10, 20, 9)
    content = [block.to_dict() for block in message.content]
    used = {"type": "tool_use", "name": "get_weather", "input": {"city": "Oslo"}}
    assert content == [
        {"type": "thinking", "thinking": "Hm.", "signature": OURS},
        text("I look."),
        {**used, "id": "call_1"},
        {**used, "id": "call_2"},
    ]
    again = asked(user("Weather?"), assistant(*content), user(*RESULTS, text("So?")), tools=tools)
    got = await client.messages.with_raw_response.create(**again)
    assert got.headers["x-palaver-room"] == room
    first, second = (one.json for one in models.asked[-2:])
    assert (first["tool_choice"], first["parallel_tool_calls"]) == ("required", False)
    assert first["reasoning_effort"] == "medium"
    function = {"name": "get_weather", "description": "Looks around."}
    function["parameters"] = TOOLS[0]["input_schema"]
    assert first["tools"] == [{"type": "function", "function": function}]
    assert second["messages"] == TOLD
    told_all = await room_texts(bare_client(relay, "tools"), room)
    assert [role for role, _ in told_all] == [
        *("user", "assistant", "assistant", "assistant", "tool", "tool", "user", "assistant")
    ]


async def test_thoughts_are_told_to_nobody_who_did_not_ask_for_them(
    relay: Door, models: ScriptedUpstream
) -> None:
    told = calling({**CALL, "id": "call_3"}, thought="Hm.")
    models.will(told, told)
    client = client_of(relay, "quiet")
    whole = await client.messages.create(**asked(user("Quietly.")))
    assert [block.type for block in whole.content] == ["text", "tool_use"]
    async with client.messages.stream(**asked(user("Quietly, again."))) as events:
        streamed = await events.get_final_message()
    assert [block.type for block in streamed.content] == ["text", "tool_use"]


async def test_a_long_name_of_a_tool_is_short_there_and_its_own_here(
    relay: Door, models: ScriptedUpstream
) -> None:
    name = "mcp__" + "server_" * 10 + "_tool"
    create = client_of(relay, "names").messages.with_raw_response.create
    tools = [{**TOOLS[0], "name": name}]
    choice: Any = {"type": "tool", "name": name}
    for place in range(2):
        short = f"{name[:55]}_"
        models.will(reply("Hm."))
        await create(**asked(user("Which?"), tools=tools, tool_choice=choice))
        short = models.asked[-1].json["tools"][0]["function"]["name"]
        assert len(short) == 64
        assert models.asked[-1].json["tool_choice"]["function"]["name"] == short
        models.will(calling({"id": "c", "type": "function", "function": {"name": short}}))
        got = await create(**asked(user(f"Look {place}."), tools=tools))
        message: Any = await got.parse()
        assert message.content[-1].name == name
        back = assistant(*(block.to_dict() for block in message.content))
        result = {"type": "tool_result", "tool_use_id": "c", "content": "A tree."}
        again = await create(**asked(user(f"Look {place}."), back, user(result), tools=tools))
        assert again.headers["x-palaver-room"] == got.headers["x-palaver-room"]
        called = models.asked[-1].json["messages"][1]["tool_calls"][0]
        assert called["function"]["name"] == short


async def test_what_is_no_choice_is_passed_by(relay: Door) -> None:
    none: Any = {"type": ["any"]}
    body = asked(user("Hi."), tools=TOOLS, thinking=none, tool_choice=none)
    assert (await client_of(relay, "no choice").messages.create(**body)).content


async def test_what_only_a_server_of_this_api_can_do_is_refused_by_its_name(relay: Door) -> None:
    client = client_of(relay, "refused")
    search: Any = [{"type": "web_search_20250305", "name": "web_search"}]
    upload: Any = {"type": "container_upload", "file_id": "file_1"}
    for body, words in (
        (asked(user("Search."), tools=search), "tools.0: the tool 'web_search_20250305'"),
        (asked(user(upload)), "A block of the type 'container_upload'"),
        (asked(user("Hi."), tools=[{}]), "required parameter: 'tools.0.name'"),
    ):
        with pytest.raises(anthropic.BadRequestError, match=words):
            await client.messages.create(**body)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"model": "m"}, "messages: must be a list"),
        ({"messages": [user("Hi.")]}, "model: must be"),
        ({"model": "m", "messages": [{"role": "tool", "content": "x"}]}, r"messages\.0\.role"),
        ({"model": "m", "messages": [user(5, 5)]}, r"messages\.0\.content\.0\.type"),
        ({"model": "m", "messages": [user({"type": "text"})]}, r"messages\.0\.content\.0\.text"),
        ({"model": "m", "messages": [user("Hi.")], "stream": "yes"}, "stream: must be"),
    ],
)
async def test_what_has_the_wrong_shape_is_refused_where_it_stands(
    relay: Door, body: Json, words: str
) -> None:
    client = client_of(relay, "shapes")
    with pytest.raises(anthropic.BadRequestError, match=words):
        await client.post(MESSAGES, cast_to=object, body=body)


@pytest.mark.parametrize(
    ("status", "told", "kind"),
    [
        (400, 400, "invalid_request_error"),
        (401, 401, "authentication_error"),
        (404, 404, "not_found_error"),
        (429, 429, "rate_limit_error"),
        (500, 500, "api_error"),
        (503, 529, "overloaded_error"),
    ],
)
async def test_a_refusal_of_the_model_server_has_this_apis_shape(
    relay: Door, models: ScriptedUpstream, status: int, told: int, kind: str
) -> None:
    usual = models.default
    models.default = refuse(status, {"error": {"message": "Because."}}, retry_after="0")
    with pytest.raises(anthropic.APIStatusError) as failed:
        await client_of(relay, f"status {status}").messages.create(**asked(user("Hi.")))
    models.default = usual
    answer: Any = failed.value.response
    assert answer.status_code == told
    body = answer.json()
    assert body["type"] == "error"
    assert body["error"] == {"type": kind, "message": "Because."}
    assert body["request_id"] == answer.headers["request-id"]


@pytest.mark.parametrize(
    ("last", "why"),
    [(CUT, "ended in the middle"), (event({"error": {"message": "No power."}}), "No power")],
)
async def test_an_answer_that_breaks_says_so_and_what_came_is_kept(
    relay: Door, models: ScriptedUpstream, last: Any, why: str
) -> None:
    models.will(stream("half", last))
    client = client_of(relay, f"broken {why}")
    async with client.messages.stream(**asked(user("Break."))) as told:
        room = told.response.headers["x-palaver-room"]
        words = told.text_stream
        assert await anext(words) == "half"
        with pytest.raises(anthropic.APIError, match=why):
            await anext(words)
    stored = await room_texts(bare_client(relay, f"broken {why}"), room)
    assert stored == [("user", "Break."), ("assistant", "half")]


async def test_a_request_that_comes_again_is_told_the_same_answer_in_either_way(
    relay: Door, models: ScriptedUpstream
) -> None:
    before = len(models.asked)
    models.will(calling({**CALL, "id": "call_4"}, thought="Hm."))
    client = client_of(relay, "again")
    body = asked(user("Once."), thinking=THINKS)
    first = await client.messages.create(**body)
    headers = {"x-stainless-retry-count": "1"}
    whole = await client.messages.with_raw_response.create(**body, extra_headers=headers)
    same: Any = await whole.parse()
    async with client.messages.stream(**body, extra_headers=headers) as told:
        streamed = await told.get_final_message()
    assert len(models.asked) == before + 1
    content = [block.to_dict() for block in first.content]
    assert [block.to_dict() for block in same.content] == content
    assert [{**block.to_dict(), "caller": None} for block in streamed.content] == [
        {**block, "caller": None} for block in content
    ]
    assert same.usage == streamed.usage == first.usage
    assert (same.id, same.stop_reason) == (first.id, "tool_use")


@pytest.mark.parametrize(
    ("named", "headers"),
    [
        ({}, {"x-stainless-retry-count": "1"}),
        ({"x-claude-code-session-id": "joined"}, {"x-claude-code-session-id": "joined"}),
    ],
)
async def test_a_request_joins_an_answer_that_is_under_way(
    relay: Door, models: ScriptedUpstream, named: dict[str, str], headers: dict[str, str]
) -> None:
    gate, before = asyncio.Event(), len(models.asked)
    models.will(stream("one ", gate, "two", chunk(finish="stop"), DONE))
    client = client_of(relay, "joined")
    body = asked(user("Slowly."))
    first = client.messages.stream(**body, extra_headers=named)
    async with first as told, asyncio.TaskGroup() as tasks:
        words = told.text_stream
        assert await anext(words) == "one "
        joins = tasks.create_task(client.messages.create(**body, extra_headers=headers))
        async with client.messages.stream(**body, extra_headers=headers) as other:
            assert await anext(other.text_stream) == "one "
            gate.set()
            assert (await other.get_final_text()) == "one two"
        assert (await joins).content[0].to_dict() == text("one two")
    assert len(models.asked) == before + 1


async def test_side_tasks_of_claude_code_are_no_rooms_and_its_prompts_no_history(
    relay: Door, models: ScriptedUpstream
) -> None:
    client = bare_client(relay, "claude")
    headers = {"x-claude-code-session-id": "s_1", "anthropic-version": "2023-06-01"}
    billing = text("x-anthropic-billing-header: cc_version=1; cch=abc;")

    async def ask(*messages: Json, system: str, **fields: Any) -> str:
        head = [billing, text("You are Claude Code."), text(system)]
        body = asked(*messages, system=head, **fields)
        got = await client.post(f"{MESSAGES}?beta=true", json=body, headers=headers)
        assert got.status_code == 200, got.text
        return got.headers["x-palaver-room"]

    words = text("Mend it.", cache_control={"type": "ephemeral"})
    first = user(text("<system-reminder>A date.</system-reminder>"), words)
    models.default = reply("Done.")
    room = await ask(first, system="Tools.")
    assert [one["content"] for one in models.asked[-1].json["messages"][:1]] == [
        "You are Claude Code.\n\nTools."
    ]
    shown = (await client.get(f"/api/rooms/{room}")).json()
    assert shown["title"] == "Mend it."
    tasks = await ask(
        user("<session>Mend it.</session>"),
        system="Generate a concise, sentence-case title (3-7 words).",
    )
    quota = await client.post(MESSAGES, json=asked(user("quota"), max_tokens=1), headers=headers)
    assert quota.headers["x-palaver-room"] == tasks != room
    first["content"][1] = text("Mend it.")
    middle = {"role": "system", "content": "The date changed."}
    assert room == await ask(first, assistant("Done."), middle, user("More."), system="Tools.")
    assert [one["role"] for one in models.asked[-1].json["messages"]] == [
        *("system", "user", "assistant", "system", "user")
    ]
    seen = await room_texts(client, room)
    assert [one for one in seen if one[0] == "user"] == [
        ("user", "<system-reminder>A date.</system-reminder>\nMend it."),
        ("user", "More."),
    ]


async def test_what_was_asked_and_answered_is_inspected_as_it_was(
    relay: Door, models: ScriptedUpstream
) -> None:
    models.will(calling({**CALL, "id": "call_5"}, thought="Hm."))
    client, looker = client_of(relay, "inspected"), bare_client(relay, "inspected")
    signed = {"type": "thinking", "thinking": "Deep.", "signature": "EqQB"}
    used = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"where": "up"}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [text("A tree.")]}
    secret = {"type": "redacted_thinking", "data": "c2VjcmV0"}
    pdf = {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="}
    said = [
        user(text("See"), {"type": "document", "source": pdf, "title": "A.pdf"}),
        assistant(signed, text("I look."), used),
        user(result, text("And?")),
        assistant(secret, text("Wait."), signed, text("Now.")),
        user(text("Yes.")),
    ]
    body = asked(*said, system=[text("Be brief."), text("Be kind.")], thinking=THINKS)
    got = await client.messages.with_raw_response.create(**body)
    message: Any = await got.parse()
    room = got.headers["x-palaver-room"]
    stored = (await looker.get(f"/api/rooms/{room}/messages", params={"limit": 200})).json()
    metas = [one["meta"] for one in stored["messages"]]
    (exchange,) = [meta["exchange"] for meta in metas if "exchange" in meta]
    shown = (await looker.get(f"/api/exchanges/{exchange}")).json()
    assert shown["kind"] == "messages"
    request = {**shown["request"], "messages": shown["request"]["messages"]}
    assert request.pop("stream", None) in (None, False)
    assert request == body
    assert [block["type"] for block in shown["response"]["content"]] == [
        *("thinking", "text", "tool_use")
    ]
    assert shown["response"]["id"] == message.id
