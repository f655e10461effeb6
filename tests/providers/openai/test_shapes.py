"""Words of whatever shape: taken where their meaning is clear, and never dropped in silence."""

import json
from typing import Any

import pytest

from palaver.providers.base import ReasoningPiece, TextPiece
from palaver.providers.openai.accumulator import Assembly
from palaver.providers.openai.shapes import UNREAD_MAX, Words, chunk_of, values_in, words_in


def choice(**fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "finish_reason": None, **fields}]}


def said(*chunks: dict[str, Any]) -> tuple[str, str, str | None]:
    """Words, thoughts and the reason of the end."""
    assembly = Assembly()
    pieces = [piece for one in chunks for piece in assembly.take(one)] + [*assembly.rest()]
    assert not assembly.unread
    text = "".join(piece.text for piece in pieces if isinstance(piece, TextPiece))
    thought = "".join(piece.text for piece in pieces if isinstance(piece, ReasoningPiece))
    return text, thought, assembly.finish


HELLO: list[dict[str, Any]] = [
    choice(delta={"content": {"type": "text", "text": "Hello"}}),
    choice(delta={"content": {"parts": ["Hello"]}}),
    choice(delta={"content": {"parts": [{"text": "Hel"}, {"text": "lo"}]}}),
    choice(delta={"content": {"text": {"value": "Hello", "annotations": []}}}),
    choice(delta={"content": {"content": [{"type": "output_text", "text": "Hello"}]}}),
    choice(delta={"content": ["Hel", {"type": "text", "text": "lo"}]}),
    choice(delta={"text": "Hello"}),
    choice(delta={"content": None, "output_text": "Hello"}),
    choice(delta={"parts": [{"text": "Hello"}]}),
    choice(delta="Hello"),
    choice(delta=["Hel", "lo"]),
    choice(delta=None, message={"role": "assistant", "content": "Hello"}),
    choice(message="Hello"),
    choice(text="Hello"),
    choice(delta={}, text="Hello"),
    choice(content="Hello"),
    {"choices": [{"index": 1, "delta": {"content": "Hello"}}]},
    {"choices": [{"index": "0", "delta": {"content": "Hello"}}]},
    {"choices": ["Hello"]},
    {"choices": {"index": 0, "delta": {"content": "Hello"}}},
    {"choices": {"0": {"delta": {"content": "Hello"}}}},
    {"data": choice(delta={"content": "Hello"})},
    {"result": choice(message={"content": "Hello"})},
    {"output_text": "Hello"},
    {"output": [{"type": "message", "content": [{"type": "output_text", "text": "Hello"}]}]},
    {"type": "response.output_text.delta", "delta": "Hello"},
    {"model": "m", "message": {"role": "assistant", "content": "Hello"}, "done": False},
    {"model": "m", "response": "Hello", "done": False},
    {"candidates": [{"content": {"role": "model", "parts": [{"text": "Hello"}]}}]},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
    {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "Hello"}]},
    {"token": {"id": 1, "text": "Hello", "special": False}, "generated_text": None},
    {"generated_text": "Hello"},
    {"content": "Hello", "stop": False},
    {"result": {"response": "Hello"}, "success": True, "errors": []},
    {"completion": "Hello"},
]


@pytest.mark.parametrize("chunk", HELLO, ids=json.dumps)
def test_words_of_every_shape_are_words(chunk: dict[str, Any]) -> None:
    assert said(chunk)[:2] == ("Hello", "")


@pytest.mark.parametrize(
    "delta",
    [
        {"reasoning_content": "hm"},
        {"reasoning": "hm"},
        {"reasoning": {"content": "hm"}},
        {"thinking": "hm"},
        {"thinking_content": "hm"},
        {"thoughts": ["h", "m"]},
        {"thought": "hm"},
        {"reasoning_content": "hm", "reasoning": "hm"},
        {"reasoning_details": [{"type": "reasoning.text", "text": "hm"}]},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]},
        {"content": {"parts": [{"text": "hm", "thought": True}]}},
        {"content": "<think>hm</think>"},
    ],
    ids=json.dumps,
)
def test_thoughts_of_every_spelling_are_thoughts(delta: dict[str, Any]) -> None:
    assert said(choice(delta=delta), choice(delta={"content": "Hello"}))[:2] == ("Hello", "hm")


ENDS: list[tuple[dict[str, Any], str]] = [
    (choice(delta={}, finish_reason="STOP"), "stop"),
    (choice(delta={}, finish_reason="max_tokens"), "length"),
    (choice(delta={}, finish_reason="SAFETY"), "content_filter"),
    (choice(delta={}, finish_reason="odd"), "odd"),
    ({"candidates": [{"content": {}, "finishReason": "MAX_TOKENS"}]}, "length"),
    ({"message": {"content": ""}, "done": True, "done_reason": "length"}, "length"),
    ({"response": "", "done": True}, "stop"),
    ({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}, "stop"),
    ({"type": "response.completed", "response": {}}, "stop"),
]


@pytest.mark.parametrize(("end", "finish"), ENDS)
def test_the_reason_of_an_end_is_told_in_the_apis_words(end: dict[str, Any], finish: str) -> None:
    assert said(choice(delta={"content": "a"}), end) == ("a", "", finish)


@pytest.mark.parametrize(
    "content",
    [{"body": "Hello"}, True, [{"x": 1}], {"type": "text", "body": "Hello"}, {"a": {"text": ""}}],
    ids=json.dumps,
)
def test_what_cannot_be_read_where_words_should_stand_is_said_to_be_so(content: Any) -> None:
    assembly = Assembly()
    assembly.take(choice(delta={"content": content}))
    assert assembly.unread


@pytest.mark.parametrize(
    "content",
    [
        None,
        "",
        [],
        {},
        {"type": "image_url", "image_url": {}},
        {"type": "thinking", "signature": "x"},
    ],
    ids=json.dumps,
)
def test_what_is_no_words_is_none(content: Any) -> None:
    assert words_in(content) == Words()


def test_numbers_are_words_and_depth_has_a_bound() -> None:
    assert words_in([4, 2.5]) == Words("42.5")
    deep: Any = "x"
    for _ in range(2_000):
        deep = [deep]
    assert words_in(deep).unread


@pytest.mark.parametrize(
    "harmless",
    [{}, {"type": "ping"}, {"usage": {}}, {"choices": []}, {"status": "processing", "id": "x"}],
    ids=json.dumps,
)
def test_what_holds_no_answer_stays_as_it_is(harmless: dict[str, Any]) -> None:
    assert chunk_of(harmless) is harmless


@pytest.mark.parametrize(
    ("data", "values", "words", "torn"),
    [
        (b'{"a":1}', [{"a": 1}], [], 0),
        (b'\xef\xbb\xbf{"a":1}', [{"a": 1}], [], 0),
        (b'{"a":1}{"b":2}', [{"a": 1}, {"b": 2}], [], 0),
        (b'{"a":1}\ndata: {"b":2}', [{"a": 1}, {"b": 2}], [], 0),
        (b'{"a":1}data: {"b":2}', [{"a": 1}, {"b": 2}], [], 0),
        (b'{"x":"y.cdata: {"b":2}', [{"b": 2}], [], 1),
        (b'{"a":1}\n[DONE]', [{"a": 1}], ["[DONE]"], 0),
        (b"error: out of memory\n[DONE]", [], ["error: out of memory", "[DONE]"], 0),
        (b'{"a', [], [], 1),
        (b"[" * 100_000, [], ["[" * 100_000], 0),
        (b"", [], [], 0),
    ],
    ids=repr,
)
def test_data_is_read_value_by_value(
    data: bytes, values: list[Any], words: list[str], torn: int
) -> None:
    assert values_in(data) == (values, words, torn)


def test_the_looking_for_values_has_a_bound() -> None:
    _, words, torn = values_in(b"x\n" * 1_000_000)
    assert (len(words), torn) == (UNREAD_MAX, 1)
