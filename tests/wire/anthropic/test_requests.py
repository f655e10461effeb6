"""A request to this API as the chat completion that it becomes."""

from typing import Any

import pytest
from tests.wire.anthropic.client import Json, asked, assistant, text, user

from palaver.errors import Untellable
from palaver.wire.anthropic.messages import entries_of
from palaver.wire.anthropic.requests import chat_of


def chat(*messages: Json, **fields: Any) -> Json:
    body = asked(*messages, **fields)
    return chat_of(body, entries_of(body), None)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 10_000}}, {"reasoning_effort": "high"}),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 1_024}},
            {"reasoning_effort": "minimal"},
        ),
        ({"thinking": {"type": "adaptive"}}, {}),
        ({"thinking": {"type": "enabled", "budget_tokens": -1}}, {"reasoning_effort": "minimal"}),
        (
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}},
            {"reasoning_effort": "high"},
        ),
        ({"output_config": {"effort": "low"}}, {"reasoning_effort": "low"}),
        ({"temperature": 0, "top_p": 0.5, "top_k": 5}, {"temperature": 0, "top_p": 0.5}),
        ({"stop_sequences": ["X"], "metadata": {"user_id": "u"}}, {"stop": ["X"]}),
        ({"tool_choice": {"type": "none"}}, {}),
        (
            {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "answer", "schema": {"type": "object"}},
                }
            },
        ),
    ],
)
def test_settings_are_told_in_the_words_of_a_chat(fields: Json, told: Json) -> None:
    made = chat(user("Hi."), **fields)
    usual = ("model", "messages", "stream", "stream_options", "max_tokens")
    assert {name: one for name, one in made.items() if name not in usual} == told


def test_one_prompt_stands_first_without_what_differs_in_every_request() -> None:
    billing = text("x-anthropic-billing-header: cch=1;")
    made = chat(user("Hi."), system=[billing, text("Be brief."), text("Be kind.")])
    assert made["messages"][0] == {"role": "system", "content": "Be brief.\n\nBe kind."}


def test_words_in_blocks_that_a_chat_has_not_are_told_all_the_same() -> None:
    plain = {"type": "text", "media_type": "text/plain", "data": "A tale."}
    found = {"type": "search_result", "source": "s", "title": "t", "content": [text("Found.")]}
    made = chat(user(text("Read."), {"type": "document", "source": plain}, found))
    assert made["messages"][0]["content"] == [text("Read."), text("A tale."), text("Found.")]
    summary = {"type": "compaction", "content": "So far.", "encrypted_content": "x"}
    made = chat(user("Hi."), assistant(summary, text("Yes.")), user("Go on."))
    assert made["messages"][1]["content"] == "So far.\nYes."


def test_thoughts_that_another_server_signed_are_not_told() -> None:
    signed = {"type": "thinking", "thinking": "Deep.", "signature": "EqQB"}
    secret = {"type": "redacted_thinking", "data": "c2VjcmV0"}
    made = chat(user("Hi."), assistant(signed, secret, text("Yes.")), user("Go on."))
    assert made["messages"][1] == {"role": "assistant", "content": "Yes."}


def test_an_answer_that_was_begun_stands_last() -> None:
    assert chat(user("Hi."), assistant("Once"))["messages"][-1] == {
        "role": "assistant",
        "content": "Once",
    }


def test_pictures_of_a_tool_are_shown_behind_all_results() -> None:
    source = {"type": "base64", "media_type": "image/png", "data": "x"}
    image = {"type": "image", "source": source}

    def result(id_: str, *blocks: Json) -> Json:
        return {"type": "tool_result", "tool_use_id": id_, "content": list(blocks)}

    used: list[Json] = [
        {"type": "tool_use", "id": id_, "name": "look", "input": {}} for id_ in ("a", "b")
    ]
    made = chat(user("Hi."), assistant(*used), user(result("a", image), result("b", text("B."))))
    shown = {"type": "image_url", "image_url": {"url": "data:image/png;base64,x"}}
    assert made["messages"][2:] == [
        {"role": "tool", "tool_call_id": "a", "content": ""},
        {"role": "tool", "tool_call_id": "b", "content": "B."},
        {"role": "user", "content": [shown]},
    ]


def test_a_tool_that_failed_is_marked_once() -> None:
    used: Json = {"type": "tool_use", "id": "a", "name": "look", "input": {}}
    for words, told in (("No.", "Error: No."), ("<tool_use_error>No.", "<tool_use_error>No.")):
        result = {"type": "tool_result", "tool_use_id": "a", "content": words, "is_error": True}
        assert chat(user("Hi."), assistant(used), user(result))["messages"][-1]["content"] == told


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [{"type": "bash_20250124", "name": "bash"}]},
        {"messages": [user({"type": "container_upload", "file_id": "f"})]},
        {"messages": [user({"type": "image_url"})]},
        {"messages": [user("Hi."), assistant({"type": "file", "file": {"name": "image_url"}})]},
        {"system": [{"type": "image", "source": {"type": "url", "url": "https://a.example"}}]},
    ],
)
def test_what_cannot_be_told_is_named(fields: Json) -> None:
    body = asked(user("Hi.")) | fields
    with pytest.raises(Untellable, match=r"bash_20250124|container_upload|image_url|file"):
        chat_of(body, entries_of(body), None)
