"""What a request of the Responses API becomes: checked, and said as a chat completion."""

from typing import Any

import pytest
from msgspec.structs import replace

from palaver.model import (
    Actor,
    ActorId,
    ActorKind,
    Entry,
    ExchangeId,
    Kind,
    Message,
    MessageId,
    Role,
    RoomId,
    Status,
)
from palaver.model.agents import AgentCard
from palaver.strict_json import Json
from palaver.wire.openai import items
from palaver.wire.openai.items import Invalid
from palaver.wire.openai.models import as_agent
from palaver.wire.openai.responses import requests

HI: Json = {"model": "m", "input": "hi"}
MANY = {str(number): "x" for number in range(17)}


def chat_of(**fields: Any) -> Json:
    """The chat completion that a request becomes."""
    wanted = requests.read({**HI, **fields})
    return requests.chat_body(wanted.asked, requests.chat_messages(wanted.asked.entries))


def test_a_request_is_taken_apart() -> None:
    wanted = requests.read(
        {
            **HI,
            "conversation": {"id": f"conv_{'0' * 32}"},
            "metadata": {"a": "b"},
            "stream": True,
            "truncation": "auto",
            "unknown": 1,
        }
    )
    asked = wanted.asked
    assert asked.entries == (Entry(role=Role.USER, text="hi"),)
    assert asked.room == f"r_{'0' * 32}"
    assert (wanted.stream, wanted.background, wanted.store) == (True, False, True)
    assert asked.metadata == {"a": "b"}
    assert "input" not in asked.request
    assert (asked.request["truncation"], asked.request["unknown"]) == ("auto", 1)


WRONG: list[tuple[Json, str]] = [
    ({"stream": 1}, "stream"),
    ({"top_p": -0.1}, "top_p"),
    ({"top_p": True}, "top_p"),
    ({"max_output_tokens": 1.5}, "max_output_tokens"),
    ({"max_output_tokens": 0}, "max_output_tokens"),
    ({"top_logprobs": 21}, "top_logprobs"),
    ({"truncation": "some"}, "truncation"),
    ({"instructions": 1}, "instructions"),
    ({"text": []}, "text"),
    ({"tools": {}}, "tools"),
    ({"metadata": MANY}, "metadata"),
    ({"metadata": {"x" * 65: "y"}}, f"metadata.{'x' * 65}"),
    ({"metadata": {"x": "y" * 513}}, "metadata.x"),
    ({"include": ["message.output_text.logprobs", "odd"]}, "include[1]"),
    ({"conversation": 7}, "conversation"),
    ({"previous_response_id": 7}, "previous_response_id"),
]


@pytest.mark.parametrize(("fields", "param"), WRONG)
def test_what_is_out_of_its_range_is_refused(fields: Json, param: str) -> None:
    with pytest.raises(Invalid) as refused:
        requests.read({**HI, **fields})
    assert refused.value.param == param


def test_every_way_of_choosing_a_tool_is_said_as_a_chat_says_it() -> None:
    def add(name: str) -> Json:
        return {"type": "function", "name": name, "parameters": {}}

    tools = [add("f"), add("g")]
    plain = chat_of(tools=tools, tool_choice="none")
    assert [one["function"]["name"] for one in plain["tools"]] == ["f", "g"]
    assert plain["tool_choice"] == "none"
    named = chat_of(tools=tools, tool_choice={"type": "function", "name": "g"})
    assert named["tool_choice"] == {"type": "function", "function": {"name": "g"}}
    allowed = {"type": "allowed_tools", "mode": "required", "tools": [{"name": "g"}]}
    some = chat_of(tools=tools, tool_choice=allowed)
    assert [one["function"]["name"] for one in some["tools"]] == ["g"]
    assert some["tool_choice"] == "required"
    for nonsense in (5, "g", [5], [{"name": ["g"]}]):
        assert "tools" not in chat_of(
            tools=tools, tool_choice={"type": "allowed_tools", "tools": nonsense}
        )
    assert "tool_choice" not in chat_of(tool_choice="auto")
    with pytest.raises(Invalid, match="file_search"):
        chat_of(tools=tools, tool_choice={"type": "file_search"})
    with pytest.raises(Invalid):
        chat_of(tools=[{"type": "function"}])


def test_formats_and_log_probabilities_are_said_as_a_chat_says_them() -> None:
    chat = chat_of(
        text={"format": {"type": "json_object"}, "verbosity": "low"},
        include=["message.output_text.logprobs"],
        top_logprobs=3,
    )
    assert chat["response_format"] == {"type": "json_object"}
    assert chat["verbosity"] == "low"
    assert (chat["logprobs"], chat["top_logprobs"]) == (True, 3)
    assert not {"include", "text", "input"} & chat.keys()


def test_pictures_and_developers_are_said_as_every_server_knows_them() -> None:
    image = {"type": "input_image", "image_url": "data:,", "detail": "low"}
    given: list[Json] = [
        {"role": "developer", "content": "be kind"},
        {"role": "user", "content": [{"type": "input_text", "text": "see"}, image]},
        {"type": "reasoning", "summary": [], "content": []},
    ]
    assert chat_of(input=given)["messages"] == [
        {"role": "system", "content": "be kind"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "see"},
                {"type": "image_url", "image_url": {"url": "data:,", "detail": "low"}},
            ],
        },
    ]


def test_an_agent_says_its_own_words_first_and_has_its_own_settings() -> None:
    actor = Actor(id=ActorId("a_1"), kind=ActorKind.AGENT, name="Ada")
    card = AgentCard(
        id=actor.id, name=actor.name, persona="I am Ada.", parameters={"top_p": 0.1, "seed": 1}
    )
    chat = as_agent(card, chat_of(instructions="Now.", top_p=0.9), "real", "nobody")
    assert (chat["model"], chat["top_p"], chat["seed"]) == ("real", 0.9, 1)
    assert [one["content"] for one in chat["messages"]] == ["I am Ada.", "Now.", "hi"]


def test_a_call_that_was_cut_and_never_answered_is_not_told() -> None:
    def call(status: Status, call_id: str) -> Message:
        return Message(
            id=MessageId(f"m_{'0' * 32}"),
            room=RoomId(f"r_{'0' * 32}"),
            seq=1,
            author=ActorId("a_1"),
            name="",
            role=Role.ASSISTANT,
            status=status,
            text="{",
            created_ms=0,
            kind=Kind.TOOL_CALL,
            meta={"call_id": call_id, "tool": "f"},
        )

    cut, answered = call(Status.INTERRUPTED, "1"), call(Status.STOPPED, "2")
    result = Entry(role=Role.TOOL, kind=Kind.TOOL_RESULT, text="3", meta={"call_id": "2"})
    told = requests.chat_messages([cut, answered, call(Status.DONE, "4"), result])
    assert [one["id"] for one in told[0]["tool_calls"]] == ["2", "4"]
    assert requests.chat_messages([cut]) == []


def called(call: str) -> Entry:
    return Entry(role=Role.ASSISTANT, kind=Kind.TOOL_CALL, meta={"call_id": call})


def answered(call: str) -> Entry:
    return Entry(role=Role.TOOL, kind=Kind.TOOL_RESULT, meta={"call_id": call})


def test_a_result_needs_its_call() -> None:
    call, result = called("c"), answered("c")
    assert requests.unpaired([call, result], ()) is None
    refused = requests.unpaired([result, call], ())
    assert refused is not None
    assert refused.detail == "No tool call found for function call output with call_id c."
    assert refused.param == "input"


def test_a_call_needs_its_result_unless_a_user_has_spoken_past_it() -> None:
    calls, spoken = [called("a"), called("b")], Entry(role=Role.USER, text="leave it")
    assert requests.unpaired([*calls, answered("b"), answered("a")], ()) is None
    refused = requests.unpaired([*calls, answered("a")], ())
    assert refused is not None
    assert refused.detail == "No tool output found for function call b."
    assert requests.unpaired([*calls, spoken, called("c"), answered("c")], ()) is None


def test_tokens_are_counted_in_texts_and_not_in_pictures() -> None:
    assert requests.tokens_in([{"a": ["x" * 8]}, "y" * 4, None, 7]) == 3
    assert requests.tokens_in(["data:image/png;base64," + "A" * 4_000]) == 0


def test_the_object_shows_what_was_asked() -> None:
    wanted = requests.read({**HI, "tools": [{"type": "function", "name": "f"}], "top_p": 0.5})
    asked = replace(wanted.asked, previous=ExchangeId("x_0"))
    shown = requests.skeleton(asked, "resp_1", 1_999)
    assert shown["tools"] == [
        {"description": None, "parameters": None, "strict": None, "type": "function", "name": "f"}
    ]
    assert (shown["top_p"], shown["created_at"]) == (0.5, 1)
    assert (shown["previous_response_id"], shown["conversation"]) == ("resp_0", None)
    assert items.exchange_id("resp_1") is None
