"""What a conversation becomes in the Messages API, without a server."""

from base64 import b64encode
from typing import Any

import pytest

from palaver.errors import Code, ProviderError
from palaver.model import Role
from palaver.providers.anthropic.request import adapted, body_of
from palaver.providers.base import Request, Said
from palaver.providers.errors import ErrorBody
from palaver.providers.openai.compose import request_of
from palaver.providers.openai.request import BOUNDS

ORIGIN = "them m"
PIXEL = b64encode(b"picture").decode()


def body(*messages: Any, **fields: Any) -> dict[str, Any]:
    """The body for a chat completion with these messages."""
    asked = {"model": "m", "messages": list(messages), **fields}
    return body_of(request_of(asked, ORIGIN), "m", origin=ORIGIN)


def user(content: Any, **fields: Any) -> dict[str, Any]:
    return {"role": "user", "content": content, **fields}


def words(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def call(id_: str = "c1", arguments: str = '{"at": 1}', **fields: Any) -> dict[str, Any]:
    function = {"name": "look", "arguments": arguments}
    made = {"id": id_, "type": "function", "function": function}
    return {"role": "assistant", "content": None, "tool_calls": [made], **fields}


def result(content: Any, id_: str = "c1") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": id_, "content": content}


def test_roles_alternate_and_what_is_the_systems_stands_apart() -> None:
    made = body(
        {"role": "system", "content": "Be kind."},
        user("one"),
        user("two"),
        {"role": "assistant", "content": "three"},
        {"role": "developer", "content": "Be short."},
        {"role": "assistant", "content": "four"},
        user("five"),
    )
    assert made["system"] == [words("Be kind."), words("Be short.")]
    assert made["messages"] == [
        {"role": "user", "content": [words("one\n\ntwo")]},
        {"role": "assistant", "content": [words("three\n\nfour")]},
        {"role": "user", "content": [words("five")]},
    ]


def test_a_conversation_begins_with_a_person() -> None:
    made = body({"role": "assistant", "content": "Welcome."}, user("hi"))
    assert [one["role"] for one in made["messages"]] == ["user", "assistant", "user"]


def test_an_answer_that_is_gone_on_from_does_not_end_in_space() -> None:
    made = body(user("hi"), {"role": "assistant", "content": "It is \n"})
    assert made["messages"][-1]["content"] == [words("It is")]


def test_blank_words_are_left_out() -> None:
    made = body(user("hi"), {"role": "assistant", "content": " \n"}, user(""), user("there"))
    assert made["messages"] == [{"role": "user", "content": [words("hi\n\nthere")]}]


def test_several_people_are_told_apart() -> None:
    picture = {"type": "input_image", "image_url": "http://x/y"}
    history = (
        Said(role=Role.USER, text="hi", name="Ann"),
        Said(role=Role.USER, text="", name="Bob", parts=(picture,)),
    )
    (message,) = body_of(Request(history=history), "m", origin=ORIGIN)["messages"]
    assert message["content"] == [
        words("Ann: hi\n\nBob: "),
        {"type": "image", "source": {"type": "url", "url": "http://x/y"}},
    ]


def test_tools_their_calls_and_their_results_are_told() -> None:
    schema = {"type": "object", "properties": {"at": {"type": "integer"}}}
    tool = {"name": "look", "description": "Looks.", "parameters": schema, "strict": True}
    made = body(
        user("hi"),
        call("c1", content="I look."),
        result("a tree"),
        user("and?"),
        call("functions.look:0", ""),
        result(
            [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}], "functions.look:0"
        ),
        tools=[{"type": "function", "function": tool}, {"type": "web_search_1", "name": "web"}],
    )
    assert made["tools"] == [
        {"name": "look", "description": "Looks.", "strict": True, "input_schema": schema},
        {"type": "web_search_1", "name": "web"},
    ]
    _, first, second, third, fourth = made["messages"]
    assert first["content"] == [
        words("I look."),
        {"type": "tool_use", "id": "c1", "name": "look", "input": {"at": 1}},
    ]
    assert second["content"] == [
        {"type": "tool_result", "tool_use_id": "c1", "content": [words("a tree")]},
        words("and?"),
    ]
    assert third["content"][0]["id"] == fourth["content"][0]["tool_use_id"] == "functions_look_0"
    assert third["content"][0]["input"] == {}
    source = {"type": "url", "url": "https://x/y.png"}
    assert fourth["content"][0]["content"] == [{"type": "image", "source": source}]


def test_results_stand_before_words_in_one_message() -> None:
    made = body(call("a"), call("b"), user("wait"), result("1", "a"), result("2", "b"))
    assert [one["type"] for one in made["messages"][-1]["content"]] == [
        "tool_result",
        "tool_result",
        "text",
    ]


@pytest.mark.parametrize(
    ("arguments", "given"),
    [
        ("", {}),
        ("{}", {}),
        ("[1]", {"value": [1]}),
        ('{"a', {"value": '{"a'}),
    ],
)
def test_arguments_are_an_object_whatever_was_written(arguments: str, given: Any) -> None:
    assert body(call(arguments=arguments))["messages"][1]["content"][0]["input"] == given


@pytest.mark.parametrize(
    ("choice", "made"),
    [
        ("auto", {"type": "auto"}),
        ("required", {"type": "any"}),
        ("none", {"type": "none"}),
        ({"type": "function", "function": {"name": "f"}}, {"type": "tool", "name": "f"}),
        ({"type": "any"}, {"type": "any"}),
    ],
)
def test_the_choice_of_a_tool_is_told(choice: Any, made: dict[str, Any]) -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert body(user("hi"), tools=tools, tool_choice=choice)["tool_choice"] == made
    alone = body(user("hi"), tools=tools, tool_choice=choice, parallel_tool_calls=False)
    assert alone["tool_choice"] == made | {"disable_parallel_tool_use": True}
    assert "tool_choice" not in body(user("hi"), tool_choice=choice)


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": PIXEL},
            },
        ),
        (
            {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
            {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
        ),
        (
            {"type": "input_image", "image_url": "https://x/y.png"},
            {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
        ),
        (
            {
                "type": "file",
                "file": {
                    "filename": "a.pdf",
                    "file_data": f"data:application/pdf;base64,{PIXEL}",
                },
            },
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": PIXEL},
                "title": "a.pdf",
            },
        ),
        (
            {"type": "input_file", "file_data": f"data:text/csv;base64,{PIXEL}"},
            {
                "type": "document",
                "source": {"type": "text", "media_type": "text/plain", "data": "picture"},
            },
        ),
        (
            {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
            {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
        ),
        (
            {"type": "document", "source": {"type": "file", "file_id": "f"}},
            {"type": "document", "source": {"type": "file", "file_id": "f"}},
        ),
    ],
)
def test_pictures_and_files_are_shown(part: dict[str, Any], block: dict[str, Any]) -> None:
    (message,) = body(user([part]))["messages"]
    assert message["content"] == [block]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}},
        {"type": "image_url", "image_url": {"url": "data:image/png,raw"}},
        {"type": "file", "file": {"file_id": "f_1"}},
        {},
    ],
)
def test_what_cannot_be_shown_is_refused_and_not_dropped(part: dict[str, Any]) -> None:
    with pytest.raises(ProviderError) as refused:
        body(user([part]))
    assert (refused.value.code, refused.value.temporary) == (Code.PROVIDER_REFUSED, False)


def test_settings_are_said_in_the_apis_words() -> None:
    schema = {"type": "object"}
    made = body(
        user("hi"),
        max_completion_tokens=50,
        temperature=1.7,
        top_p=0.9,
        top_k=5,
        stop="END",
        seed=1,
        frequency_penalty=0.5,
        user="ann",
        metadata={"room": "r"},
        service_tier="flex",
        reasoning_effort="high",
        response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": schema}},
    )
    assert {key: one for key, one in made.items() if key != "messages"} == {
        "model": "m",
        "stream": True,
        "max_tokens": 50,
        "temperature": 1,
        "top_p": 0.9,
        "top_k": 5,
        "stop_sequences": ["END"],
        "output_config": {
            "effort": "high",
            "format": {"type": "json_schema", "schema": schema},
        },
    }
    assert body(user("hi"), stop=["a", "b"])["stop_sequences"] == ["a", "b"]
    assert body(user("hi"), service_tier="auto")["service_tier"] == "auto"


def test_thinking_has_room_beside_the_answer() -> None:
    thinking = {"type": "enabled", "budget_tokens": 5_000}
    made = body(user("hi"), thinking=thinking)
    assert (made["thinking"], made["max_tokens"]) == (thinking, 5_000 + 16_384)
    assert body(user("hi"), thinking=thinking, max_tokens=6_000)["max_tokens"] == 6_000


@pytest.mark.parametrize("name", BOUNDS)
def test_a_bound_is_told_whatever_it_is_called(name: str) -> None:
    assert body(user("hi"), **{name: 50})["max_tokens"] == 50
    assert body(user("hi"), max_tokens=60, **{BOUNDS[1]: 50, "n_predict": -1})["max_tokens"] == 50


SIGNED = {"type": "thinking", "signature": "s", "words": 0, "calls": 0, "chars": 3}


def test_thoughts_stand_where_they_stood_between_words_and_calls() -> None:
    second = call("c2")["tool_calls"]
    blocks = [
        SIGNED,
        {"type": "redacted_thinking", "data": "x", "words": 4, "calls": 0},
        SIGNED | {"words": 8, "calls": 1, "chars": 2, "signature": "t"},
    ]
    said = call("c1", content="One.Two.", reasoning_content="Hm.So", thinking_blocks=blocks)
    said["tool_calls"] = [*said["tool_calls"], *second]
    content = body(user("hi"), said, result("1", "c1"), result("2", "c2"))["messages"][1]["content"]
    assert [one.get("id") or one.get("text") or one["type"] for one in content] == [
        "thinking",
        "One.",
        "redacted_thinking",
        "Two.",
        "c1",
        "thinking",
        "c2",
    ]
    assert content[0] == {"type": "thinking", "thinking": "Hm.", "signature": "s"}
    assert content[5] == {"type": "thinking", "thinking": "So", "signature": "t"}


@pytest.mark.parametrize(
    "fields",
    [
        {"thinking_blocks": [SIGNED]},
        {"reasoning_content": "H", "thinking_blocks": [SIGNED]},
        {"reasoning_content": "Hm.", "thinking_blocks": [{**SIGNED, "signature": None}]},
        {"reasoning_content": "Hm.", "thinking_blocks": "none"},
    ],
)
def test_a_signature_whose_words_are_not_there_is_not_sent(fields: dict[str, Any]) -> None:
    said = {"role": "assistant", "content": "Yes.", **fields}
    assert body(user("hi"), said, user("so?"))["messages"][1]["content"] == [words("Yes.")]


def test_thoughts_that_a_client_sends_whole_are_sent_on() -> None:
    block = {"type": "thinking", "thinking": "Hm.", "signature": "s"}
    said = {"role": "assistant", "content": "Yes.", "thinking_blocks": [block]}
    assert body(user("hi"), said, user("so?"))["messages"][1]["content"] == [block, words("Yes.")]


def test_places_that_nobody_can_have_told_lose_no_words() -> None:
    wild = [
        SIGNED | {"words": 9_999, "calls": 77},
        SIGNED | {"words": -3, "calls": "x", "chars": 0, "signature": "t"},
    ]
    said = call("c1", content="One. Two.", reasoning_content="Hm.", thinking_blocks=wild)
    content = body(user("hi"), said, result("1"))["messages"][1]["content"]
    assert "".join(one["text"] for one in content if one["type"] == "text") == "One. Two."
    assert [one["id"] for one in content if one["type"] == "tool_use"] == ["c1"]


def test_thinking_is_not_asked_for_behind_a_call_whose_thoughts_are_lost() -> None:
    thinking = {"type": "enabled", "budget_tokens": 2_000}
    assert "thinking" not in body(user("hi"), call(), result("1"), thinking=thinking)
    said = call(reasoning_content="Hm.", thinking_blocks=[SIGNED])
    assert body(user("hi"), said, result("1"), thinking=thinking)["thinking"] == thinking


def refused(words: str, status: int = 400) -> ErrorBody:
    return ErrorBody(status=status, message=words, code="invalid_request_error")


@pytest.mark.parametrize(
    ("told", "gone"),
    [
        ("`temperature` and `top_p` cannot both be specified for this model.", {"temperature"}),
        ("`top_k` may only be set when thinking is off", {"top_k"}),
        ("adaptive thinking is not supported on this model", {"thinking"}),
        ("output_config.effort: this model does not support it", set[str]()),
        ("context_management: Extra inputs are not permitted", {"context_management"}),
    ],
)
def test_a_setting_that_is_not_taken_is_left_out(told: str, gone: set[str]) -> None:
    made = body(
        user("hi"),
        temperature=0.5,
        top_p=0.5,
        top_k=3,
        thinking={"type": "adaptive"},
        output_config={"effort": "low", "format": {}},
        context_management={},
    )
    changed = adapted(made, refused(told))
    assert changed is not None
    assert made.keys() - changed.keys() == gone
    assert ("effort" in changed["output_config"]) == ("effort" not in told)


def test_thoughts_that_are_refused_are_left_out() -> None:
    said = call(reasoning_content="Hm.", thinking_blocks=[SIGNED])
    made = body(user("hi"), said, result("1"), thinking={"type": "enabled", "budget_tokens": 2_000})
    words_told = "messages.1.content.0: Invalid `signature` in `thinking` block"
    changed = adapted(made, refused(words_told))
    assert changed is not None
    assert "thinking" not in changed
    assert [one["type"] for one in changed["messages"][1]["content"]] == ["tool_use"]
    assert adapted(changed, refused(words_told)) is None


@pytest.mark.parametrize(
    "told",
    [
        refused("prompt is too long: 210000 tokens > 200000 maximum"),
        refused("temperature: Input should be less than or equal to 1"),
        refused("`temperature` is not supported", 429),
        refused("max_tokens: 9 > 99"),
    ],
)
def test_anything_else_is_a_refusal(told: ErrorBody) -> None:
    assert adapted(body(user("hi"), temperature=0.5, max_tokens=9), told) is None
