"""The events of a response: their order, their numbers, and that they add up to the response."""

from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from palaver.core.answers.pieces import Piece, ReasoningPiece, RefusalPiece, TextPiece, ToolPiece
from palaver.core.answers.tape import ExchangeRequest
from palaver.model import MessageId
from palaver.model.exchanges import ExchangeKind, ExchangeState
from palaver.strict_json import Json
from palaver.wire.openai.responses import events, requests
from palaver.wire.openai.responses.events import Composer, Ending

DIGITS = "0192" * 7 + "0000"
FIRST = MessageId(f"m_{DIGITS}")
EVENT = TypeAdapter[Any](ResponseStreamEvent)
DONE = Ending(
    state=ExchangeState.COMPLETED,
    ended_ms=2_000,
    envelope={
        "choices": [{"finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
    },
)


def composer(**wanted: Any) -> Composer:
    asked = ExchangeRequest(
        kind=ExchangeKind.RESPONSE, entries=(), model="m", request=wanted, metadata={"a": "b"}
    )
    return Composer(requests.skeleton(asked, "resp_1", 1_000), FIRST)


def cut(reason: str) -> Ending:
    envelope = {"choices": [{"finish_reason": reason}]}
    return Ending(state=ExchangeState.INCOMPLETE, envelope=envelope)


def told(*pieces: Piece, ending: Ending = DONE, **wanted: Any) -> list[Json]:
    """All events, which the real client must be able to read."""
    made = composer(**wanted)
    found = [*made.begin(), *made.rest(pieces, ending)]
    for event in found:
        EVENT.validate_python(event)
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    return found


def names(found: list[Json]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in found]


def test_words_come_in_the_order_of_the_api() -> None:
    found = told(TextPiece("Hel"), TextPiece("lo"))
    assert names(found) == [
        *("created", "in_progress", "output_item.added", "content_part.added"),
        *("output_text.delta", "output_text.delta", "output_text.done", "content_part.done"),
        *("output_item.done", "completed"),
    ]
    added, part = found[2], found[3]
    assert added["item"] == {
        "id": f"msg_{DIGITS}",
        "type": "message",
        "status": "in_progress",
        "role": "assistant",
        "content": [],
    }
    assert part["part"] == {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
    assert found[4]["delta"] == "Hel"
    place = {"item_id": f"msg_{DIGITS}", "output_index": 0, "content_index": 0}
    assert found[6].items() >= place.items()
    assert found[6]["text"] == found[7]["part"]["text"] == "Hello"
    assert found[8]["item"]["status"] == "completed"
    assert found[9]["response"]["output"] == [found[8]["item"]]


def test_the_object_has_every_key_also_where_it_is_null() -> None:
    response = told(TextPiece("x"))[-1]["response"]
    Response.model_validate(response)
    assert response["usage"] == {
        "input_tokens": 3,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 4,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 7,
    }
    assert (response["created_at"], response["completed_at"]) == (1, 2)
    nulls = {key for key, value in response.items() if value is None}
    assert {"error", "incomplete_details", "instructions", "max_output_tokens"} <= nulls
    numbers = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "top_logprobs")
    assert all(isinstance(response[name], int | float) for name in numbers)


def test_thoughts_are_an_item_before_the_words() -> None:
    found = told(ReasoningPiece("hm"), ReasoningPiece("m"), TextPiece("yes"))
    assert names(found)[2:8] == [
        *("output_item.added", "content_part.added", "reasoning_text.delta"),
        *("reasoning_text.delta", "reasoning_text.done", "content_part.done"),
    ]
    thought, said = found[-1]["response"]["output"]
    assert thought["content"] == [{"type": "reasoning_text", "text": "hmm"}]
    assert (thought["id"], said["id"]) == (f"rs_{DIGITS}", f"msg_{DIGITS}")


def test_words_that_turn_out_to_be_thoughts_end_as_an_item_of_thoughts() -> None:
    found = told(TextPiece("hm\n</think>"), TextPiece("\nyes"))
    thought, said = found[-1]["response"]["output"]
    assert thought["content"] == [{"type": "reasoning_text", "text": "hm"}]
    assert said["content"][0]["text"] == "yes"
    assert (thought["id"], said["id"]) == (f"rs_{DIGITS}", f"msg_{DIGITS}")


def test_tool_calls_are_items_with_the_ids_of_their_messages() -> None:
    found = told(
        TextPiece("well"),
        ToolPiece(0, "call_a", "add", ""),
        ToolPiece(0, "", "", '{"a":'),
        ToolPiece(0, "", "", "1}"),
        ToolPiece(1, "call_b", "sub", "{}"),
    )
    done = [event for event in found if event["type"].endswith("arguments.done")]
    assert [(one["name"], one["arguments"]) for one in done] == [("add", '{"a":1}'), ("sub", "{}")]
    _, first, second = found[-1]["response"]["output"]
    assert first == {
        "id": f"fc_{DIGITS[:-1]}1",
        "type": "function_call",
        "status": "completed",
        "call_id": "call_a",
        "name": "add",
        "arguments": '{"a":1}',
    }
    assert (second["id"], second["call_id"]) == (f"fc_{DIGITS[:-1]}2", "call_b")
    shown = names(found)
    assert shown.index("function_call_arguments.done") < shown.index("completed")
    assert shown.count("output_item.added") == shown.count("output_item.done") == 3


def test_a_call_ends_when_the_next_begins_unless_more_of_it_is_to_come() -> None:
    one, another = ToolPiece(0, "a", "f", '{"x":'), ToolPiece(1, "b", "g", '{"y":')
    rest = (ToolPiece(0, "", "", "1}"), ToolPiece(1, "", "", "2}"))
    mixed = told(one, another, *rest)[-1]["response"]["output"]
    in_order = told(one, rest[0], another, rest[1])
    assert [item["arguments"] for item in mixed] == ['{"x":1}', '{"y":2}']
    assert in_order[-1]["response"]["output"] == mixed
    first_done = names(in_order).index("output_item.done")
    assert in_order[first_done + 1]["type"] == "response.output_item.added"


def test_a_call_without_an_id_gets_one() -> None:
    (call,) = told(ToolPiece(0, "", "f", "{}"))[-1]["response"]["output"]
    assert call["call_id"] == f"call_{DIGITS}"


def test_a_refusal_is_a_part_of_the_message() -> None:
    found = told(RefusalPiece("I "), RefusalPiece("won't."))
    assert names(found)[3:8] == [
        *("content_part.added", "refusal.delta", "refusal.delta", "refusal.done"),
        "content_part.done",
    ]
    (said,) = found[-1]["response"]["output"]
    assert said["content"] == [{"type": "refusal", "refusal": "I won't."}]


def test_a_background_response_is_queued_first() -> None:
    found = told(TextPiece("x"), background=True)
    assert names(found)[:3] == ["created", "queued", "in_progress"]
    assert [event["response"]["status"] for event in found[:3]] == [
        *("queued", "queued", "in_progress")
    ]


@pytest.mark.parametrize(
    ("ending", "last", "expected"),
    [
        (
            cut("length"),
            "incomplete",
            {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
        ),
        (
            cut("content_filter"),
            "incomplete",
            {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
        ),
        (
            Ending(
                state=ExchangeState.FAILED, error={"code": "server_error", "message": "It broke."}
            ),
            "failed",
            {"status": "failed", "error": {"code": "server_error", "message": "It broke."}},
        ),
        (Ending(state=ExchangeState.CANCELLED), "incomplete", {"status": "cancelled"}),
    ],
)
def test_every_end_keeps_what_came(ending: Ending, last: str, expected: Json) -> None:
    found = told(TextPiece("half"), ending=ending)
    assert names(found)[-2:] == ["output_item.done", last]
    response = found[-1]["response"]
    assert {key: response[key] for key in expected} == expected
    (item,) = response["output"]
    assert (item["content"][0]["text"], item["status"]) == ("half", "incomplete")
    assert response["completed_at"] is None


def test_other_choices_are_nothing() -> None:
    found = told(TextPiece("no", 1), ToolPiece(0, "a", "f", "{}", 1))
    assert names(found) == ["created", "in_progress", "completed"]


def test_pieces_out_of_which_all_was_taken_still_count() -> None:
    whole = told(TextPiece("sk-"), TextPiece("a1"), CALL, ToolPiece(0, "", "", '"sk-a1"'))
    taken = told(TextPiece("[re"), TextPiece(""), CALL, ToolPiece(0, "", "", ""))
    assert names(taken) == names(whole)


CALL = ToolPiece(0, "a", "f", "")


def test_log_probabilities_stand_in_the_whole_text() -> None:
    logprobs: list[Json] = [{"token": "x", "bytes": [], **PROB}]
    envelope: Json = {"choices": [{"logprobs": {"content": logprobs}}]}
    ending = Ending(state=ExchangeState.COMPLETED, envelope=envelope)
    (item,) = told(TextPiece("x"), ending=ending)[-1]["response"]["output"]
    assert item["content"][0]["logprobs"] == logprobs


PROB: Json = {"logprob": -0.5, "top_logprobs": []}


def test_an_event_is_one_frame_with_its_name() -> None:
    frame = events.frame_of({"type": "response.created", "sequence_number": 0})
    assert frame == (
        b'event: response.created\ndata: {"type":"response.created","sequence_number":0}\n\n'
    )


WORDS = st.text(max_size=3)
PIECES = st.lists(
    st.builds(TextPiece, WORDS)
    | st.builds(ReasoningPiece, WORDS)
    | st.builds(RefusalPiece, WORDS)
    | st.builds(ToolPiece, st.integers(0, 2), st.just(""), st.sampled_from("fg"), WORDS),
    max_size=12,
)


@given(PIECES)
@settings(max_examples=150)
def test_whatever_a_model_says_the_events_add_up_to_the_response(pieces: list[Piece]) -> None:
    found = told(*pieces)
    built: dict[str, str] = {}
    done: dict[int, Json] = {}
    for event in found:
        if event["type"].endswith(".delta"):
            built[event["item_id"]] = built.get(event["item_id"], "") + event["delta"]
        elif event["type"] == "response.output_item.done":
            done[event["output_index"]] = event["item"]
    output = found[-1]["response"]["output"]
    assert [done[index] for index in range(len(output))] == output
    assert len({item["id"] for item in output}) == len(output)
    for item in output:
        parts = [part.get("text", part.get("refusal")) for part in item.get("content", ())]
        assert "".join(parts) + item.get("arguments", "") == built.get(item["id"], "")
    text = "".join(piece.text for piece in pieces if isinstance(piece, TextPiece))
    parts = [part for item in output for part in item.get("content", ())]
    assert text == "".join(part["text"] for part in parts if part["type"] == "output_text")
