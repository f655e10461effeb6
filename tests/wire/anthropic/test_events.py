"""Pieces as the events of a message, and a whole message as events."""

from typing import Any

import orjson
from hypothesis import given, strategies as st
from tests.wire.anthropic.client import Json, text

from palaver.core.answers.pieces import (
    AnswerBuilder,
    Piece,
    ReasoningPiece,
    RefusalPiece,
    TextPiece,
    ToolPiece,
)
from palaver.model import MessageId
from palaver.wire.anthropic.events import Composer, ending, events_of, skeleton, usage_of
from palaver.wire.anthropic.messages import OURS, content_of
from palaver.wire.openai.responses.events import frame_of

STOPS: Json = {"stop_sequences": ["X"]}
FIRST = MessageId("m_" + "0" * 31 + "1")


def composed(*pieces: Piece, finish: str = "stop", **request: Any) -> tuple[list[Json], Json]:
    composer = Composer(skeleton("msg_1", "m"), FIRST, thinks=True)
    told = [*composer.begin()]
    for piece in pieces:
        told += composer.take(piece)
    told += composer.end({"choices": [{"finish_reason": finish}]}, request)
    return [orjson.loads(orjson.dumps(one)) for one in told], composer.message


def built(told: list[Json]) -> Json:
    """The message that events build up, as a client does it."""
    message: Json = {}
    for one in told:
        match one["type"]:
            case "message_start":
                message = one["message"]
            case "content_block_start":
                assert one["index"] == len(message["content"])
                message["content"].append({**one["content_block"], "json": ""})
            case "content_block_delta":
                block, delta = message["content"][one["index"]], dict(one["delta"])
                kind = delta.pop("type").removesuffix("_delta")
                (found,) = delta.values()
                name = "json" if kind == "input_json" else kind
                block[name] = block.get(name, "") + found
            case "content_block_stop":
                block = message["content"][one["index"]]
                if found := block.pop("json"):
                    block["input"] = orjson.loads(found)
            case "message_delta":
                message |= {**one["delta"], "usage": one["usage"]}
            case _:
                pass
    return message


def test_the_events_build_the_message() -> None:
    told, message = composed(
        ReasoningPiece("Hm"),
        ReasoningPiece("."),
        TextPiece("I "),
        TextPiece("look."),
        ToolPiece(0, "c_1", "look", '{"where"'),
        ToolPiece(0, "", "", ':"up"}'),
        ToolPiece(1, "c_2", "listen", ""),
        finish="tool_calls",
    )
    assert [one["type"] for one in told[:2]] == ["message_start", "ping"]
    assert message["content"] == [
        {"type": "thinking", "thinking": "Hm.", "signature": OURS},
        text("I look."),
        {"type": "tool_use", "id": "c_1", "name": "look", "input": {"where": "up"}},
        {"type": "tool_use", "id": "c_2", "name": "listen", "input": {}},
    ]
    assert message["stop_reason"] == "tool_use"
    assert built(told) == message
    assert built([*events_of(message)]) == message
    assert frame_of(told[-1]) == b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


def test_calls_whose_arguments_come_mixed_are_each_whole() -> None:
    told, message = composed(
        ToolPiece(0, "c_1", "look", '{"a":'),
        ToolPiece(1, "c_2", "look", '{"b":'),
        ToolPiece(0, "", "", "1}"),
        ToolPiece(1, "", "", "2}"),
        TextPiece("Both."),
        ToolPiece(1, "", "", "\n"),
    )
    inputs = [block.get("input") for block in message["content"]]
    assert inputs == [{"a": 1}, {"b": 2}, None]
    assert message["stop_reason"] == "tool_use"
    assert built(told) == message


def test_a_call_without_an_id_has_that_of_its_message() -> None:
    _, message = composed(TextPiece("I"), ToolPiece(0, "", "look", "no json"))
    call = message["content"][1]
    assert call["id"] == "call_" + "0" * 31 + "2"
    assert call["input"] == {"value": "no json"}


def test_why_it_ended_is_told_in_this_apis_words() -> None:
    cases: list[tuple[Json, Json, str, str | None]] = [
        ({"finish_reason": "stop"}, {}, "end_turn", None),
        ({"finish_reason": "length"}, {}, "max_tokens", None),
        ({"finish_reason": "content_filter"}, {}, "refusal", None),
        ({"finish_reason": "stop", "stop_reason": "X"}, STOPS, "stop_sequence", "X"),
        ({"finish_reason": "stop", "stop_reason": 7}, {}, "end_turn", None),
    ]
    for choice, request, stop, sequence in cases:
        told = ending({"choices": [choice]}, request, called=False)
        assert (told["stop_reason"], told["stop_sequence"]) == (stop, sequence)
    _, refused = composed(RefusalPiece("I won't."), finish="content_filter")
    assert (refused["content"], refused["stop_reason"]) == ([text("I won't.")], "refusal")


def test_tokens_of_the_cache_are_counted_apart() -> None:
    counts = {
        "prompt_tokens": 30,
        "completion_tokens": 9,
        "prompt_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 5},
    }
    assert usage_of(counts) == {
        "input_tokens": 6,
        "cache_creation_input_tokens": 4,
        "cache_read_input_tokens": 20,
        "output_tokens": 9,
        "output_tokens_details": {"thinking_tokens": 5},
    }
    assert usage_of({"prompt_tokens": True})["input_tokens"] == 0


WORDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)
CALLS = st.dictionaries(WORDS, WORDS, max_size=2).map(lambda one: orjson.dumps(one).decode())


@given(st.lists(WORDS, max_size=3), st.lists(WORDS, max_size=3), st.lists(CALLS, max_size=3))
def test_what_is_told_is_what_is_stored_with_every_part(
    thoughts: list[str], words: list[str], calls: list[str]
) -> None:
    pieces: list[Piece] = [*map(ReasoningPiece, thoughts), *map(TextPiece, words)]
    for number, arguments in enumerate(calls):
        cut = len(arguments) // 2
        pieces.append(ToolPiece(number, f"c_{number}", "look", arguments[:cut]))
        pieces.append(ToolPiece(number, "", "", arguments[cut:]))
    told, message = composed(*pieces)
    assert built(told) == message
    answer = AnswerBuilder()
    for piece in pieces:
        answer.take(piece)
    assert content_of(answer.entries({})) == message["content"]
