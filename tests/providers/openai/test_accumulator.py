import copy
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from palaver.providers.base import ReasoningPiece, RefusalPiece, TextPiece, ToolPiece
from palaver.providers.openai.accumulator import Assembly, as_text, bare

Json = dict[str, Any]


def chunk(*choices: Json, **fields: Any) -> Json:
    head = {"id": "c1", "object": "chat.completion.chunk", "created": 7, "model": "m"}
    return head | {"choices": list(choices)} | fields


def part(delta: Json | None = None, *, index: int = 0, finish: str | None = None) -> Json:
    return {"index": index, "delta": delta or {}, "finish_reason": finish}


def tools(*parts: Json) -> Json:
    return chunk(part({"tool_calls": list(parts)}))


def called(index: int | None, arguments: str = "", *, id: str = "", name: str = "") -> Json:  # noqa: A002  the API's word
    function = {"arguments": arguments} | ({"name": name} if name else {})
    made: Json = {"function": function}
    return made | ({} if index is None else {"index": index}) | ({"id": id} if id else {})


def assembled(*chunks: Json, over: bool = True, choices: int = 1) -> Assembly:
    assembly = Assembly(choices)
    for one in chunks:
        assembly.take(one)
    assembly.rest()
    assembly.over = over
    return assembly


def calls_of(assembly: Assembly) -> list[tuple[str, str, str]]:
    message = assembly.envelope()["choices"][0]["message"]
    return [
        (call["id"], call["function"]["name"], call["function"]["arguments"])
        for call in message["tool_calls"]
    ]


def test_chunks_become_the_completion_that_a_whole_answer_would_have_been() -> None:
    assembly = assembled(
        chunk(part({"role": "assistant", "content": ""})),
        chunk(part({"content": "Hel"})),
        chunk(part({"content": "lo"})),
        chunk(part(finish="stop")),
        chunk(usage={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}),
    )
    assert assembly.whole
    assert assembly.envelope() == {
        "id": "c1",
        "object": "chat.completion",
        "created": 7,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    }


def test_each_delta_is_a_piece_of_its_choice() -> None:
    assembly = Assembly(2)
    assert assembly.take(chunk(part({"reasoning_content": "hm"}))) == (ReasoningPiece("hm"),)
    assert assembly.take(chunk(part({"refusal": "no"}, index=1))) == (RefusalPiece("no", 1),)
    assert assembly.take(chunk(part({"content": "a"}), part({"content": "b"}, index=1))) == (
        TextPiece("a"),
        TextPiece("b", 1),
    )
    assert assembly.take(tools(called(0, '{"x', id="call_1", name="f"))) == (
        ToolPiece(0, "call_1", "f", '{"x'),
    )
    assert assembly.take(tools(called(0, '":1}'))) == (ToolPiece(0, "", "", '":1}'),)


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param(
            [called(0, id="a", name="f"), called(0, "{}"), called(1, "[]", id="b", name="g")],
            id="as the API says",
        ),
        pytest.param(
            [called(1, "{", id="a", name="f"), called(1, "}"), called(2, "[]", id="b", name="g")],
            id="counted from one",
        ),
        pytest.param(
            [called(0, "{", id="a", name="f"), called(0, "}"), called(0, "[]", id="b", name="g")],
            id="one index for both",
        ),
        pytest.param(
            [
                called(None, "{", id="a", name="f"),
                called(None, "}"),
                called(None, "[]", id="b", name="g"),
            ],
            id="no index",
        ),
        pytest.param(
            [
                called(0, "{", id="a", name="f"),
                called(1, "[", id="b", name="g"),
                called(0, "}", id="a"),
                called(1, "]", id="b"),
            ],
            id="interleaved, each with its id",
        ),
        pytest.param(
            [called(0, "{", id="a", name="f"), called(7, "}"), called(1, "[]", id="b", name="g")],
            id="an index that nobody knows",
        ),
        pytest.param(
            [called(0, "{", name="f"), called(0, "}", id="a"), called(1, "[]", id="b", name="g")],
            id="the id comes later",
        ),
    ],
)
def test_the_parts_of_tool_calls_find_their_calls_in_every_dialect(parts: list[Json]) -> None:
    assert calls_of(assembled(*map(tools, parts))) == [("a", "f", "{}"), ("b", "g", "[]")]


def test_calls_without_ids_and_with_one_index_are_told_apart_by_being_complete() -> None:
    both = tools(called(0, '{"n":1}', name="f")), tools(called(0, '{"n":2}', name="f"))
    assert calls_of(assembled(*both)) == [("", "f", '{"n":1}'), ("", "f", '{"n":2}')]


def test_a_name_that_is_repeated_opens_no_other_call() -> None:
    both = tools(called(0, '{"n":', name="f")), tools(called(0, "1}", name="f"))
    assert calls_of(assembled(*both)) == [("", "f", '{"n":1}')]


def test_arguments_that_come_as_an_object_are_their_json() -> None:
    part = {"index": 0, "id": "a", "function": {"name": "f", "arguments": {"n": 1}}}
    assert calls_of(assembled(tools(part))) == [("a", "f", '{"n":1}')]


def test_the_old_function_call_is_kept_as_one() -> None:
    assembly = assembled(
        chunk(part({"function_call": {"name": "f", "arguments": "{"}})),
        chunk(part({"function_call": {"arguments": "}"}}, finish="function_call")),
    )
    message = assembly.envelope()["choices"][0]["message"]
    assert message["function_call"] == {"name": "f", "arguments": "{}"}
    assert "tool_calls" not in message


def test_an_answer_is_whole_when_every_choice_has_ended() -> None:
    first, second = (
        chunk(part({"content": "a"}, finish="stop")),
        chunk(part({"content": "b"}, index=1, finish="length")),
    )
    assert not assembled(first, over=False, choices=2).whole
    assert not assembled(first, chunk(part({"content": "b"}, index=1)), over=False).whole
    assert assembled(first, second, over=False, choices=2).whole
    assert assembled(first, over=False).whole


def test_words_and_then_the_end_are_an_answer_without_a_reason_too() -> None:
    assert assembled(chunk(part({"content": "a"}))).whole
    assert not assembled(chunk(part({"content": "a"})), over=False).whole
    assert not assembled(chunk(part({"role": "assistant"}))).whole
    assert not assembled().whole


@pytest.mark.parametrize("at", range(4))
def test_usage_counts_wherever_it_stands(at: int) -> None:
    chunks = [
        chunk(),
        chunk(part({"content": "a"})),
        chunk(part(finish="stop")),
        chunk(),
    ]
    usage = {"prompt_tokens": 3}
    chunks[at]["usage"] = usage
    chunks[at - 1]["usage"] = None
    assert assembled(*chunks).envelope()["usage"] == usage


def test_a_role_is_no_beginning_and_anything_else_is_one() -> None:
    assembly = Assembly()
    assembly.take(chunk(part({"role": "assistant", "content": None, "annotations": []})))
    assert not assembly.began
    assert assembled(tools({"index": 0})).began
    assert assembled(chunk(part({"reasoning_details": [{"text": "hm"}]}))).began


def test_fields_that_nobody_knows_are_kept() -> None:
    assembly = assembled(
        chunk(part({"content": "a", "annotations": [1]}), system_fingerprint="fp"),
        chunk(part({"annotations": [2]}) | {"stop_reason": 5}, timings={"ms": 1}),
        chunk(part({"audio": {"id": "au", "data": "AA"}})),
        chunk(part({"audio": {"id": "au", "data": "BB"}})),
        chunk(part() | {"logprobs": {"content": [1]}}),
        chunk(part(finish="stop") | {"logprobs": {"content": [2]}}, obfuscation="xyz"),
    )
    envelope = assembly.envelope()
    (choice,) = envelope["choices"]
    assert choice["message"]["annotations"] == [1, 2]
    assert choice["message"]["audio"] == {"id": "au", "data": "AABB"}
    assert choice["stop_reason"] == 5
    assert choice["logprobs"] == {"content": [1, 2]}
    assert (envelope["system_fingerprint"], envelope["timings"]) == ("fp", {"ms": 1})
    assert "obfuscation" not in envelope


def test_thoughts_that_are_told_twice_count_once() -> None:
    assembly = assembled(chunk(part({"reasoning_content": "hm", "reasoning": "hm"})))
    message = assembly.envelope()["choices"][0]["message"]
    assert message["reasoning_content"] == "hm"
    assert "reasoning" not in message


def test_content_in_parts_is_text_and_thoughts() -> None:
    content = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "text", "text": "a"},
    ]
    pieces = Assembly().take(chunk(part({"content": content})))
    assert pieces == (ReasoningPiece("hm"), TextPiece("a"))


def test_half_a_character_waits_for_the_other_half() -> None:
    assembly = Assembly()
    assert assembly.take(chunk(part({"content": "a\ud83d"}))) == (TextPiece("a"),)
    assert assembly.take(chunk(part({"content": "\ude00"}))) == (TextPiece("😀"),)
    assembly.take(chunk(part({"content": "\ud83d"})))
    assert assembly.rest() == (TextPiece("�"),)


def test_a_completion_in_one_body_is_its_own_envelope() -> None:
    body = chunk(
        {
            "index": 0,
            "message": {"role": "assistant", "content": "a", "x": 1},
            "finish_reason": "stop",
        }
    )
    before = copy.deepcopy(body)
    assembly = Assembly()
    assert assembly.take_whole(body) == (TextPiece("a"),)
    assert assembly.envelope() == before
    assert assembly.whole
    assert assembly.finish == "stop"


def test_a_bare_envelope_has_no_text_and_keeps_its_places() -> None:
    assembly = assembled(
        chunk(part({"content": "secret", "reasoning": "secret", "refusal": "secret"})),
        tools(called(0, '"secret"', id="a", name="f")),
        chunk(part(finish="stop")),
    )
    left = bare(assembly.envelope())
    assert "secret" not in str(left)
    message = left["choices"][0]["message"]
    assert message["content"] == message["refusal"] == message["reasoning"] == ""
    assert message["tool_calls"][0]["function"] == {"name": "f", "arguments": ""}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "delta",
                    "content",
                    "tool_calls",
                    "function",
                    "index",
                    "id",
                    "usage",
                    "text",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=200)
@given(
    st.lists(
        st.dictionaries(st.sampled_from(["choices", "usage", "id", "model"]), JSON), max_size=4
    )
)
def test_no_json_breaks_it(chunks: list[Json]) -> None:
    assembly = assembled(*chunks)
    assembly.rest()
    bare(assembly.envelope())


@given(st.lists(st.text(max_size=4), max_size=20), st.data())
@settings(max_examples=50)
def test_no_word_is_lost_doubled_or_moved(words: list[str], data: st.DataObject) -> None:
    places = [data.draw(st.integers(0, 2)) for _ in words]
    assembly = assembled(
        *(chunk(part({"content": word}, index=at)) for at, word in zip(places, words, strict=True)),
        choices=3,
    )
    for choice in assembly.envelope()["choices"]:
        wanted = "".join(w for at, w in zip(places, words, strict=True) if at == choice["index"])
        assert (choice["message"]["content"] or "") == wanted


def test_the_text_of_anything_is_a_text() -> None:
    assert as_text([{"text": "a"}, {"text": 1}, 5, {"text": "b"}]) == "ab"
    assert as_text(5) == ""
