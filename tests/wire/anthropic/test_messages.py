"""Messages of this API as entries, and back: every part stays."""

from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from tests.wire.anthropic.client import PICTURE, Json, assistant, text, user

from palaver.model import Entry, Kind, Role
from palaver.store.fingerprints import likeness
from palaver.wire.anthropic.messages import OURS, call_of, entries_of, filled, told_again
from palaver.wire.openai.fields import Invalid

WORDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
IMAGE: Json = {
    "type": "image",
    "source": {"type": "base64", "media_type": "image/png", "data": PICTURE},
}


def block(kind: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries({"type": st.just(kind), **fields})


def one_of(*blocks: Json) -> st.SearchStrategy[Json]:
    return st.sampled_from(blocks)


TEXTS = block("text", text=WORDS)
PDF = {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="}
PLAIN = {"type": "text", "media_type": "text/plain", "data": "A tale."}
CONTENTS = st.lists(TEXTS | one_of(IMAGE), min_size=1, max_size=3)
RESULTS = block("tool_result", tool_use_id=st.just("t_1"), content=CONTENTS)
FAILED = block(
    "tool_result", tool_use_id=st.just("t_1"), content=CONTENTS, is_error=st.just(value=True)
)
OF_USER = TEXTS | one_of(
    IMAGE,
    {"type": "image", "source": {"type": "url", "url": "https://a.test/b.png"}},
    {"type": "document", "source": PDF, "title": "A"},
    {"type": "document", "source": PLAIN, "citations": {"enabled": True}},
    {"type": "yet_to_come", "field": {"deep": [1, None]}},
)
ARGUMENTS = st.dictionaries(WORDS, WORDS | st.integers(0, 9) | st.none(), max_size=2)
OF_ASSISTANT = (
    TEXTS
    | block("text", text=WORDS, citations=st.just([{"cited_text": "x"}]))
    | block("thinking", thinking=WORDS, signature=st.sampled_from(["EqQB", OURS]))
    | block("tool_use", id=st.sampled_from(["t_1", "t_2"]), name=st.just("look"), input=ARGUMENTS)
    | one_of(
        {"type": "redacted_thinking", "data": "c2VjcmV0"},
        {"type": "server_tool_use", "id": "s_1", "name": "web_search", "input": {"query": "x"}},
    )
)


@st.composite
def conversations(draw: st.DrawFn) -> list[Json]:
    found: list[Json] = []
    for _ in range(draw(st.integers(1, 3))):
        first = draw(st.lists(RESULTS | FAILED, max_size=2))
        found.append(user(*first, *draw(st.lists(OF_USER, min_size=1, max_size=3))))
        found.append(assistant(*draw(st.lists(OF_ASSISTANT, min_size=1, max_size=5))))
    return found


@given(conversations())
@settings(max_examples=200)
def test_every_part_of_a_conversation_comes_back(messages: list[Json]) -> None:
    system = [text("Be brief."), text("Be kind.")]
    found = entries_of({"system": system, "messages": messages})
    assert told_again(found) == {"system": system, "messages": messages}


def test_a_text_is_the_same_as_one_block_with_it() -> None:
    marked = text("Hi.", cache_control={"type": "ephemeral"})
    for content in ("Hi.", [text("Hi.")], [marked]):
        (entry,) = entries_of({"messages": [{"role": "user", "content": content}]})
        assert (entry.text, entry.meta) == ("Hi.", {})


def test_marks_of_a_cache_change_no_history() -> None:
    plain = [user(text("See"), IMAGE), assistant(text("Yes."))]
    mark = {"cache_control": {"type": "ephemeral"}}
    marked = [user(text("See", **mark), {**IMAGE, **mark}), assistant(text("Yes.", **mark))]
    likes = [[likeness(one) for one in entries_of({"messages": said})] for said in (plain, marked)]
    assert likes[0] == likes[1]


def test_a_picture_is_shown_as_that_of_any_other_client() -> None:
    (entry,) = entries_of({"messages": [user(text("See"), IMAGE)]})
    url = f"data:image/png;base64,{PICTURE}"
    assert entry.meta["parts"] == [
        {"type": "text", "text": "See"},
        {"type": "image_url", "image_url": {"url": url}},
    ]


def test_results_stand_before_the_words_and_calls_behind_them() -> None:
    result = {"type": "tool_result", "tool_use_id": "t", "content": "A tree."}
    used: Json = {"type": "tool_use", "id": "t", "name": "look", "input": {}}
    found = entries_of({"messages": [assistant(used, text("I look.")), user(text("So?"), result)]})
    assert [(one.role, one.kind, one.text) for one in found] == [
        (Role.ASSISTANT, Kind.TEXT, "I look."),
        (Role.ASSISTANT, Kind.TOOL_CALL, "{}"),
        (Role.TOOL, Kind.TOOL_RESULT, "A tree."),
        (Role.USER, Kind.TEXT, "So?"),
    ]


def test_bare_blocks_are_filled_with_what_the_room_holds() -> None:
    signed = [
        {"index": 0, "type": "thinking", "signature": "EqQB", "words": 0, "calls": 0},
        {"index": 1, "type": "redacted_thinking", "data": "c2Vj", "words": 3, "calls": 0},
    ]
    beside = {"origin": "o", "message": {"thinking_blocks": signed}}
    said = [
        Entry(role=Role.ASSISTANT, text="onetwo", meta={"reasoning": "Hm.", "beside": beside}),
        Entry(
            role=Role.ASSISTANT,
            kind=Kind.TOOL_CALL,
            text='{"a": 1}',
            meta={"call_id": "t", "tool": "look"},
        ),
    ]
    bare: list[Json] = [
        {"type": "thinking", "thinking": 3, "signature": 0},
        {"type": "text", "text": 3},
        {"type": "redacted_thinking", "data": 1},
        {"type": "tool_use", "id": "t", "name": "look", "input": 0, "caller": {"type": "direct"}},
        {"type": "text", "text": 3},
        {"type": "server_tool_use", "id": "s", "name": "web", "input": 0},
        {"type": "count", "count": 3},
    ]
    assert filled(bare, said) == [
        {"type": "thinking", "thinking": "Hm.", "signature": "EqQB"},
        text("one"),
        {"type": "redacted_thinking", "data": "c2Vj"},
        {**bare[3], "input": {"a": 1}},
        text("two"),
        *bare[5:],
    ]
    torn = Entry(role=Role.ASSISTANT, kind=Kind.TOOL_CALL, text='{"a"', meta={"tool": "look"})
    assert call_of(torn)["input"] == {"value": '{"a"'}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": [5]}, "messages.0.role"),
        ({"messages": [user("x")], "system": 5}, "system"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        ({"messages": [user("x"), assistant(text("x"), {"type": 5})]}, "messages.1.content.1.type"),
        ({"messages": [assistant({"type": "tool_use", "id": "t"})]}, "messages.0.content.0.name"),
    ],
)
def test_what_has_the_wrong_shape_is_refused_where_it_stands(body: Any, param: str) -> None:
    with pytest.raises(Invalid) as refused:
        entries_of(body)
    assert refused.value.param == param


def test_the_last_block_has_what_is_left_of_a_text_that_is_not_as_long_as_it_was() -> None:
    bare = [{"type": "text", "text": 3}, {"type": "text", "text": 2}]
    said = [Entry(role=Role.ASSISTANT, text="abc[redacted]")]
    assert [block["text"] for block in filled(bare, said)] == ["abc", "[redacted]"]
