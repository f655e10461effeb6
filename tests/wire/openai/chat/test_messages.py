from typing import Any, cast

import pytest
from hypothesis import given, settings, strategies as st

from palaver.model import Entry, Kind, Role
from palaver.wire.openai.chat.messages import entries_of, messages_of
from palaver.wire.openai.fields import Invalid

Json = dict[str, Any]


def called(number: int = 1, arguments: str = "{}", **more: Any) -> Json:
    function = {"name": "f", "arguments": arguments}
    return {"id": f"call_{number}", "type": "function", "function": function} | more


def test_a_conversation_is_one_entry_for_each_thing_that_was_said() -> None:
    entries = entries_of(
        [
            {"role": "system", "content": "Be kind."},
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": "hi", "name": "Ann"},
            {"role": "assistant", "content": "Let me see.", "tool_calls": [called()]},
            {"role": "tool", "tool_call_id": "call_1", "content": "5"},
            {"role": "assistant", "content": None, "refusal": "No."},
        ]
    )
    assert entries == (
        Entry(role=Role.SYSTEM, text="Be kind."),
        Entry(role=Role.DEVELOPER, text="Be brief."),
        Entry(role=Role.USER, text="hi", meta={"name": "Ann"}),
        Entry(role=Role.ASSISTANT, text="Let me see."),
        Entry(
            role=Role.ASSISTANT,
            kind=Kind.TOOL_CALL,
            text="{}",
            meta={"call_id": "call_1", "tool": "f"},
        ),
        Entry(role=Role.TOOL, kind=Kind.TOOL_RESULT, text="5", meta={"call_id": "call_1"}),
        Entry(role=Role.ASSISTANT, meta={"refusal": "No."}),
    )


def test_a_message_as_a_library_gives_it_back_is_the_message_that_it_got() -> None:
    dumped: Json = {
        "role": "assistant",
        "content": "yes",
        "refusal": None,
        "annotations": [],
        "audio": None,
        "function_call": None,
        "tool_calls": None,
    }
    assert entries_of([dumped]) == entries_of([{"role": "assistant", "content": "yes"}])


def test_pictures_are_kept_and_the_words_beside_them_are_the_text() -> None:
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
    ]
    (entry,) = entries_of([{"role": "user", "content": parts}])
    assert (entry.text, entry.meta) == ("What is this?", {"parts": parts})


def test_two_messages_in_a_row_stay_two() -> None:
    said = [
        {"role": "assistant", "content": "one"},
        {"role": "assistant", "content": None, "tool_calls": [called(1)]},
        {"role": "assistant", "content": None, "tool_calls": [called(2)]},
    ]
    assert messages_of(entries_of(said)) == said


WRONG: list[tuple[Any, str]] = [
    (None, "messages"),
    ("hi", "messages"),
    ([5], "messages[0]"),
    ([{"content": "hi"}], "messages[0].role"),
    ([{"role": "user", "content": 5}], "messages[0].content"),
    ([{"role": "user", "content": ["hi"]}], "messages[0].content[0]"),
    ([{"role": "assistant", "tool_calls": {}}], "messages[0].tool_calls"),
    ([{"role": "assistant", "tool_calls": [{}]}], "messages[0].tool_calls[0].function"),
    ([], "messages"),
    ([{"role": "assistant", "refusal": 5}], "messages[0].refusal"),
]


@pytest.mark.parametrize(("given", "param"), WRONG)
def test_what_is_no_message_is_refused_with_its_place(given: object, param: str) -> None:
    with pytest.raises(Invalid) as refused:
        entries_of(given)
    assert refused.value.param == param


def text_part(text: str) -> Json:
    return {"type": "text", "text": text}


def picture(url: str) -> Json:
    return {"type": "image_url", "image_url": {"url": url}}


def sound(data: str) -> Json:
    return {"type": "input_audio", "input_audio": {"data": data}}


def custom(text: str) -> Json:
    return {"id": "c", "type": "custom", "custom": {"name": "g", "input": text}}


def both(one: Json, more: Json) -> Json:
    return one | more


TEXT = st.text(max_size=8)
MORE = st.dictionaries(st.sampled_from(["x", "cache_control", "weight"]), st.integers(), max_size=1)
PART = st.one_of(*(st.builds(make, TEXT) for make in (text_part, picture, sound)))
CONTENT: st.SearchStrategy[Any] = st.one_of(st.none(), TEXT, st.lists(PART, max_size=3))
CALL = st.one_of(
    st.builds(called, st.integers(1, 9), TEXT),
    st.builds(called, st.integers(1, 9), TEXT, extra_content=st.just({"a": 1})),
    st.builds(custom, TEXT),
)


def message(role: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    always: dict[str, st.SearchStrategy[Any]] = {"role": st.just(role), "content": CONTENT}
    optional: dict[str, st.SearchStrategy[Any]] = {
        name: st.none() | value for name, value in fields.items()
    }
    return st.builds(both, st.fixed_dictionaries(always, optional=optional), MORE)


MESSAGE = st.one_of(
    *(message(role, name=TEXT) for role in ("system", "developer", "user", "critic")),
    message("tool", tool_call_id=TEXT),
    message("function", name=TEXT),
    message(
        "assistant",
        name=TEXT,
        refusal=TEXT,
        reasoning_content=TEXT,
        reasoning=TEXT,
        tool_calls=st.lists(CALL, max_size=3),
    ),
    message("assistant", function_call=st.just({"name": "f", "arguments": "{}"})),
)


def meant(one: Json) -> Json:
    """What a message means: null is absent, an empty text is none, and one plain part is its text."""
    found = {key: value for key, value in one.items() if value is not None}
    parts = found.get("content")
    if isinstance(parts, list):
        alone = cast("list[Json]", parts)
        if len(alone) == 1 and alone[0].get("type") == "text":
            found["content"] = alone[0]["text"]
    if found.get("content") == "":
        del found["content"]
    if one["role"] == "assistant":
        found = {key: value for key, value in found.items() if value not in ("", [])}
    return found


@settings(max_examples=300)
@given(st.lists(MESSAGE, min_size=1, max_size=6))
def test_what_was_said_can_be_told_again(said: list[Json]) -> None:
    told = messages_of(entries_of(said))
    assert [meant(one) for one in told] == [meant(one) for one in said]
    assert entries_of(told) == entries_of(said)
