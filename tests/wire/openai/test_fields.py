"""What the API says of a field that is not what it should be: OpenAI's words, the field, and the kind of mistake.

The words are those that OpenAI gave to the same requests.
"""

from typing import Any

import pytest
from tests.wire.door import Door
from tests.wire.openai.client import CHAT, bare_client

from palaver.strict_json import Json
from palaver.wire.anthropic import messages as anthropic
from palaver.wire.openai import items
from palaver.wire.openai.chat import messages as chat
from palaver.wire.openai.fields import (
    ECHO_CHARS_MAX,
    ITEMS_MAX,
    Field,
    Invalid,
    decimal,
    whole,
    wrong_value,
)
from palaver.wire.openai.items import PARTS
from palaver.wire.openai.params import INCLUDABLE

RESPONSES, CONVERSATIONS = "/v1/responses", "/v1/conversations"
ASK: dict[str, Any] = {"model": "m", "input": "hi"}
MANY, LONG = "Invalid 'metadata': too many properties.", "Invalid 'metadata.k': string too long."
LEAST = "context_management[0].compact_threshold"
EITHER = (
    """One of "input" or "previous_response_id" or 'prompt' or 'conversation' must be provided."""
)


def listed(known: tuple[str, ...]) -> str:
    return ", ".join(f"'{one}'" for one in known[:-1]) + f", and '{known[-1]}'."


def part(kind: str) -> dict[str, Any]:
    return {"input": [{"role": "user", "content": [{"type": kind}]}]}


Told = tuple[str | None, str, str]
SAID: list[tuple[str, dict[str, Any], str | None, str, str]] = [
    (
        RESPONSES,
        {"temperature": 3},
        "temperature",
        "decimal_above_max_value",
        "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 3 instead.",
    ),
    (
        RESPONSES,
        {"temperature": "hot"},
        "temperature",
        "invalid_type",
        "Invalid type for 'temperature': expected a decimal, but got a string instead.",
    ),
    (
        RESPONSES,
        {"max_output_tokens": 15},
        "max_output_tokens",
        "integer_below_min_value",
        "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got 15 instead.",
    ),
    (
        RESPONSES,
        {"top_logprobs": 1.5},
        "top_logprobs",
        "invalid_type",
        "Invalid type for 'top_logprobs': expected an integer, but got a decimal number instead.",
    ),
    (
        RESPONSES,
        {"truncation": "odd"},
        "truncation",
        "invalid_value",
        "Invalid value: 'odd'. Supported values are: 'auto' and 'disabled'.",
    ),
    (
        RESPONSES,
        {"include": ["odd"]},
        "include[0]",
        "invalid_value",
        f"Invalid value: 'odd'. Supported values are: {listed(INCLUDABLE)}",
    ),
    (
        RESPONSES,
        {"input": 7},
        "input",
        "invalid_type",
        "Invalid type for 'input': expected one of a string or array of input items, but got an integer instead.",
    ),
    (
        RESPONSES,
        {"input": [None]},
        "input[0]",
        "invalid_type",
        "Invalid type for 'input[0]': expected an input item, but got null instead.",
    ),
    (RESPONSES, {"input": []}, None, "missing_required_parameter", EITHER),
    (RESPONSES, {"input": ""}, None, "missing_required_parameter", EITHER),
    (
        RESPONSES,
        part("odd"),
        "input[0].content[0].type",
        "invalid_value",
        f"Invalid value: 'odd'. Supported values are: {listed(PARTS)}",
    ),
    (
        RESPONSES,
        part("input_text"),
        "input[0].content[0].text",
        "missing_required_parameter",
        "Missing required parameter: 'input[0].content[0].text'.",
    ),
    (
        RESPONSES,
        {"model": None},
        "model",
        "missing_required_parameter",
        "Missing required parameter: 'model'.",
    ),
    (
        RESPONSES,
        {"previous_response_id": "nothing"},
        "previous_response_id",
        "invalid_value",
        "Invalid 'previous_response_id': 'nothing'. Expected an ID that begins with 'resp'.",
    ),
    (
        RESPONSES,
        {"conversation": "nothing"},
        "conversation",
        "invalid_value",
        "Invalid 'conversation': 'nothing'. Expected an ID that begins with 'conv'.",
    ),
    (
        RESPONSES,
        {"previous_response_id": "resp_1", "conversation": "conv_1"},
        "previous_response_id",
        "mutually_exclusive_parameters",
        "'previous_response_id' and 'conversation' exclude each other.",
    ),
    (  # as chat completions have them
        RESPONSES,
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        "tools[0].name",
        "missing_required_parameter",
        "Missing required parameter: 'tools[0].name'.",
    ),
    (
        RESPONSES,
        {"tools": [{"type": "custom", "name": 7}]},
        "tools[0].name",
        "invalid_type",
        "Invalid type for 'tools[0].name': expected a string, but got an integer instead.",
    ),
    (
        RESPONSES,
        {"context_management": [{"type": "compaction", "compact_threshold": 0}]},
        LEAST,
        "integer_below_min_value",
        f"Invalid '{LEAST}': integer below minimum value. Expected a value >= 1, but got 0 instead.",
    ),
    (
        CONVERSATIONS,
        {"metadata": {str(number): "x" for number in range(17)}},
        "metadata",
        "object_above_max_properties",
        f"{MANY} Expected an object with at most 16 properties, but got an object with 17 properties instead.",
    ),
    (
        CONVERSATIONS,
        {"metadata": {"k": "x" * 513}},
        "metadata.k",
        "string_above_max_length",
        f"{LONG} Expected a string with maximum length 512, but got a string with length 513 instead.",
    ),
    (
        CONVERSATIONS,
        {"metadata": "x"},
        "metadata",
        "invalid_type",
        "Invalid type for 'metadata': expected a metadata object, but got a string instead.",
    ),
    (
        CHAT,
        {"messages": "hi"},
        "messages",
        "invalid_type",
        "Invalid type for 'messages': expected an array of objects, but got a string instead.",
    ),
]


@pytest.mark.parametrize(("path", "fields", "told"), [(one[0], one[1], one[2:]) for one in SAID])
async def test_a_wrong_field_is_told_in_openais_words(
    relay: Door, path: str, fields: dict[str, Any], told: Told
) -> None:
    param, code, words = told
    got = await bare_client(relay).post(path, json={**ASK, **fields})
    assert got.status_code == 400, got.text
    kind = "invalid_request_error"
    assert got.json()["error"] == {"message": words, "type": kind, "param": param, "code": code}


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("order=up", "Invalid value: 'up'. Supported values are: 'asc' and 'desc'."),
        (
            "limit=x",
            "Invalid type for 'limit': expected an integer, but got a string instead.",
        ),
    ],
)
async def test_a_wrong_field_of_an_address_is_told_so_too(
    relay: Door, query: str, told: str
) -> None:
    got = await bare_client(relay).get(f"{CHAT}?{query}")
    assert got.status_code == 400
    error = got.json()["error"]
    assert (error["message"], error["param"]) == (told, query.partition("=")[0])


async def test_a_conversation_that_cannot_be_there_is_not_found(relay: Door) -> None:
    for given in ("conv_1", f"conv_{'0' * 32}"):
        got = await bare_client(relay).post(RESPONSES, json={**ASK, "conversation": given})
        assert (got.status_code, got.json()["error"]["code"]) == (404, "room_not_found")
        assert got.json()["error"]["message"] == f"Conversation with id '{given}' not found."


def test_the_ends_of_bounds_are_within() -> None:
    for value in (16, 17, 10**30):
        whole(16).check("n", value)
    for value in (0, 0.5, 2):
        decimal(0, 2).check("t", value)
    for field, value in ((whole(16), True), (decimal(0, 2), 2.01), (decimal(0, 2), True)):
        with pytest.raises(Invalid):
            field.check("n", value)


def test_a_value_that_nobody_knows_may_be_of_any_type() -> None:
    known = Field((list,), "an array of strings", known=("a", "b"))
    known.check("list", ["b", "a"])
    wrong: list[list[Any]] = [[None], [{}], ["c"]]
    for value in wrong:
        with pytest.raises(Invalid) as refused:
            known.check("list", value)
        assert refused.value.param == "list[0]"


def test_a_long_value_is_told_back_in_part() -> None:
    told = wrong_value("p", "x" * 10_000, ("a", "b")).detail
    assert f"'{'x' * ECHO_CHARS_MAX}'" in told


def test_a_request_has_so_many_messages_and_no_more() -> None:
    one: Json = {"role": "user", "content": "a"}
    part: Json = {"type": "input_text", "text": "a"}
    block: Json = {"type": "text", "text": "a"}
    parts, blocks = ({"role": "user", "content": [it] * (ITEMS_MAX + 1)} for it in (part, block))
    assert len(items.entries_of([one] * ITEMS_MAX)) == ITEMS_MAX
    cases: list[tuple[Any, Any]] = [
        (items.entries_of, [one] * (ITEMS_MAX + 1)),
        (items.entries_of, [parts]),
        (chat.entries_of, [one] * (ITEMS_MAX + 1)),
        (anthropic.entries_of, {"messages": [one] * (ITEMS_MAX + 2)}),
        (anthropic.entries_of, {"messages": [blocks]}),
    ]
    for read, given in cases:
        with pytest.raises(Invalid) as refused:
            read(given)
        assert refused.value.reason == "array_above_max_length"
        assert f"maximum length {ITEMS_MAX}" in refused.value.detail
