"""Items of the API and messages of a room: what goes in comes out, whichever door it came through."""

from typing import Any, cast

import pytest
from hypothesis import given, settings, strategies as st
from openai.types.conversations import ConversationItem
from openai.types.responses import ResponseItem
from pydantic import TypeAdapter

from palaver.model import (
    ActorId,
    Entry,
    ExchangeId,
    Kind,
    Message,
    MessageId,
    Meta,
    Role,
    RoomId,
    Status,
)
from palaver.strict_json import Json
from palaver.wire.openai import items
from palaver.wire.openai.items import Invalid

DIGITS = "0192" * 8
IMAGE = {"type": "input_image", "image_url": "data:image/png;base64,AA", "detail": "low"}
SHOWN = TypeAdapter[Any](ConversationItem)
LISTED = TypeAdapter[Any](ResponseItem)


def stored(entry: Entry, status: Status = Status.DONE) -> Message:
    return Message(
        id=MessageId(f"m_{DIGITS}"),
        room=RoomId(f"r_{DIGITS}"),
        seq=1,
        author=ActorId(f"u_{DIGITS}"),
        name="Ada",
        role=entry.role,
        status=status,
        text=entry.text,
        created_ms=0,
        kind=entry.kind,
        meta=cast("Meta", entry.meta),
    )


def there_and_back(item: object) -> Json:
    """An item as it is shown after it was stored; the real client must be able to read it."""
    (entry,) = items.entries_of([item])
    shown = items.item_of(stored(entry))
    SHOWN.validate_python(shown)
    return shown


def test_a_text_comes_back_as_parts() -> None:
    user = there_and_back({"role": "user", "content": "hi"})
    assert user == {
        "id": f"msg_{DIGITS}",
        "type": "message",
        "status": "completed",
        "role": "user",
        "content": [{"type": "input_text", "text": "hi"}],
    }
    answer = there_and_back({"type": "message", "role": "assistant", "content": "ho"})
    assert answer["content"] == [
        {"type": "output_text", "text": "ho", "annotations": [], "logprobs": []}
    ]


def test_a_text_alone_is_what_a_user_said() -> None:
    assert items.entries_of("hi") == (Entry(role=Role.USER, text="hi"),)
    assert items.entries_of(None) == ()


def test_one_plain_part_is_stored_as_its_text_only() -> None:
    content: list[Json] = [{"type": "output_text", "text": "ho", "annotations": [], "logprobs": []}]
    item: Json = {"type": "message", "role": "assistant", "status": "completed", "content": content}
    assert items.entries_of([item]) == (Entry(role=Role.ASSISTANT, text="ho"),)


def test_parts_of_any_kind_come_back_as_they_were() -> None:
    content = [
        {"type": "input_text", "text": "what is this?"},
        IMAGE,
        {"type": "input_file", "file_id": "file_1"},
        {"type": "input_text", "text": "and this?"},
    ]
    (entry,) = items.entries_of([{"role": "user", "content": content}])
    assert entry.text == "what is this?\nand this?"
    assert there_and_back({"role": "user", "content": content})["content"] == content


def test_what_else_a_message_says_comes_back() -> None:
    shown = there_and_back({"role": "assistant", "content": "x", "phase": "commentary"})
    assert shown["phase"] == "commentary"
    refusal = [{"type": "refusal", "refusal": "No."}]
    assert there_and_back({"role": "assistant", "content": refusal})["content"] == refusal


def test_a_tool_call_and_its_result_come_back() -> None:
    call = {"type": "function_call", "call_id": "call_1", "name": "add", "arguments": '{"a":1}'}
    done = {"status": "completed"}
    assert there_and_back(call) == {"id": f"fc_{DIGITS}"} | call | done
    result = {"type": "function_call_output", "call_id": "call_1", "output": "2"}
    assert there_and_back(result) == {"id": f"fco_{DIGITS}"} | result | done
    parts = [{"type": "input_text", "text": "2"}, IMAGE]
    assert there_and_back(result | {"output": parts})["output"] == parts
    assert items.entries_of([call])[0].meta == {"call_id": "call_1", "tool": "add"}


def test_thoughts_come_back() -> None:
    thought = {
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "short"}],
        "content": [{"type": "reasoning_text", "text": "long"}],
        "encrypted_content": "gAAA",
    }
    shown = there_and_back({"id": "rs_of_somebody_else", **thought})
    assert shown == {"id": f"rs_{DIGITS}", **thought, "status": "completed"}
    (entry,) = items.entries_of([thought])
    assert (entry.kind, entry.text) == (Kind.REASONING, "long")


def test_what_only_its_client_understands_is_kept_whole() -> None:
    item = {"type": "web_search_call", "status": "completed", "action": {"type": "search"}}
    assert there_and_back(item | {"id": "ws_1"}) == item | {"id": f"ws_{DIGITS}"}
    listed = there_and_back({"type": "compaction", "encrypted_content": "x"})
    assert LISTED.validate_python(listed).type == "compaction"


def test_an_answer_that_is_not_whole_says_so() -> None:
    entry = Entry(role=Role.ASSISTANT, text="half of")
    assert items.item_of(stored(entry, Status.STOPPED))["status"] == "incomplete"


def test_parts_of_chat_completions_are_shown_as_parts_of_items_and_back() -> None:
    parts: list[Json] = [
        {"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA", "detail": "low"}},
        {"type": "file", "file": {"file_data": "AA", "filename": "a.pdf"}},
        {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
    ]
    shown = items.shown_parts(parts, Role.USER)
    assert [part["type"] for part in shown] == [
        *("input_text", "input_image", "input_file", "input_audio")
    ]
    assert [items.chat_part(part, "input") for part in shown] == parts


@pytest.mark.parametrize(
    "part", [{"type": "input_image", "file_id": "f"}, {"type": "input_file", "file_url": "u"}]
)
def test_a_reference_to_a_file_is_nothing_for_a_chat_completion(part: Json) -> None:
    with pytest.raises(Invalid):
        items.chat_part(part, "input[0]")


WRONG: list[tuple[Any, str]] = [
    (7, "input"),
    ([7], "input[0]"),
    ([{}], "input[0].type"),
    ([{"role": "robot", "content": "x"}], "input[0].role"),
    ([{"role": "user"}], "input[0].content"),
    ([{"role": "user", "content": [{"text": "x"}]}], "input[0].content[0].type"),
    ([{"role": "user", "content": [{"type": "odd"}]}], "input[0].content[0].type"),
    ([{"role": "user", "content": [7]}], "input[0].content[0]"),
    ([{"role": "user", "content": [{"type": "input_text"}]}], "input[0].content[0].text"),
    (["x", {}], "input[0]"),
    ([{"type": "function_call", "name": "f", "arguments": ""}], "input[0].call_id"),
    ([{"type": "function_call_output", "call_id": "c"}], "input[0].output"),
]


@pytest.mark.parametrize(("given", "param"), WRONG)
def test_what_is_no_item_is_refused_with_its_place(given: object, param: str) -> None:
    with pytest.raises(Invalid) as refused:
        items.entries_of(given)
    assert refused.value.param == param


def test_ids_are_the_rooms_and_messages_own() -> None:
    room, message = RoomId(f"r_{DIGITS}"), MessageId(f"m_{DIGITS}")
    assert items.room_id(items.conversation_id(room)) == room == items.room_id(room)
    for kind in Kind:
        assert items.message_id(items.item_id(message, kind)) == message
    exchange = ExchangeId(f"x_{DIGITS}")
    assert items.exchange_id(items.response_id(exchange)) == exchange
    for wrong in ("", "conv_", "conv_xyz", f"conf_{DIGITS}", f"conv_{DIGITS}0", DIGITS.upper()):
        assert items.room_id(wrong) is None
    for wrong in ("", "msg_", "msg_xyz", f"1_{DIGITS}", f"_{DIGITS}", f"msg_{DIGITS}0", DIGITS):
        assert items.message_id(wrong) is None
        assert items.exchange_id(wrong) is None


def text_part(text: str) -> Json:
    return {"type": "input_text", "text": text}


def image_part(url: str) -> Json:
    return {"type": "input_image", "image_url": url, "detail": "auto"}


def message(role: str, content: list[Json]) -> Json:
    return {"type": "message", "status": "completed", "role": role, "content": content}


def call(status: str, call_id: str, name: str, arguments: str) -> Json:
    head = {"type": "function_call", "status": status}
    return head | {"call_id": call_id, "name": name, "arguments": arguments}


TEXTS = st.text(max_size=20)
PARTS = st.lists(st.builds(text_part, TEXTS) | st.builds(image_part, TEXTS), min_size=1, max_size=3)
ITEMS = st.builds(message, st.sampled_from(["user", "system", "developer"]), PARTS) | st.builds(
    call, st.sampled_from(["completed", "incomplete"]), st.text(min_size=1), TEXTS, TEXTS
)


@given(ITEMS)
@settings(max_examples=100)
def test_any_item_comes_back_as_it_was(item: Json) -> None:
    shown = there_and_back(item)
    assert {key: shown[key] for key in item} == item
