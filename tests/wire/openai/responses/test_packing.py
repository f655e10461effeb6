"""What a model server told, kept without the words that stand in messages."""

from base64 import b64decode
from typing import Any, cast
from zlib import decompress

from hypothesis import given, strategies as st

from palaver.model import ActorId, Entry, Message, MessageId, Meta, RoomId, Status, answer_id
from palaver.wire.openai.items import entries_of
from palaver.wire.openai.responses.packing import packed, unpacked

Told = tuple[list[dict[str, Any]], dict[str, Any]]

FIRST = MessageId("m_" + "0192" * 8)


def stored(*entries: Entry) -> list[Message]:
    """The entries as the messages that they become."""
    return [
        Message(
            id=answer_id(FIRST, place),
            room=RoomId("r_" + "0" * 32),
            seq=place + 1,
            author=ActorId("a_" + "0" * 32),
            name="assistant",
            role=entry.role,
            status=Status.DONE,
            text=entry.text,
            created_ms=0,
            kind=entry.kind,
            meta=cast("Meta", entry.meta),
        )
        for place, entry in enumerate(entries)
    ]


def told(*texts: str) -> Told:
    """Each text in three pieces, and then whole."""
    found: list[dict[str, Any]] = []
    for place, text in enumerate(texts):
        half = len(text) // 2
        found += [
            {"delta": text[:half], "output_index": place},
            {"delta": text[half : half + 1], "output_index": place},
            {"delta": text[half + 1 :], "output_index": place},
            {"text": text, "odd": [None, 1.5, True], "more": {"$": "no reference"}},
        ]
    return found, {"output": [{"text": text} for text in texts]}


def said(*texts: str) -> tuple[Entry, ...]:
    return entries_of([{"role": "assistant", "content": text} for text in texts])


def test_the_words_are_not_in_it() -> None:
    data = packed(
        *told("A long secret.", "Another secret."), said("A long secret.", "Another secret.")
    )
    assert b"secret" not in decompress(b64decode(data))


def test_the_words_of_a_message_that_is_gone_are_gone() -> None:
    entries = said("A long secret.", "Another.")
    data = packed(*told("A long secret.", "Another."), entries)
    found = unpacked(data, FIRST, stored(*entries)[1:])
    assert "secret" not in str(found)
    assert found[1]["output"] == [{"text": ""}, {"text": "Another."}]


def test_texts_in_parts_and_in_what_only_the_client_understands_are_found_too() -> None:
    items: list[dict[str, Any]] = [
        {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "aW1n"},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
    ]
    response: dict[str, Any] = {"output": items}
    entries = entries_of(items)
    data = packed([], response, entries)
    plain = decompress(b64decode(data))
    assert b"aW1n" not in plain
    assert b"Hm." not in plain
    assert unpacked(data, FIRST, stored(*entries)) == ([], response)


def test_many_pieces_of_one_text_cost_little() -> None:
    words = [f"w{number:03d} " for number in range(1000)]
    events = [{"type": "response.output_text.delta", "delta": word} for word in words]
    entries = said("".join(words))
    data = packed(events, {}, entries)
    assert len(data) < 300
    assert unpacked(data, FIRST, stored(*entries)) == (events, {})


@given(st.lists(st.text(), max_size=4))
def test_what_was_told_comes_back_as_it_was(texts: list[str]) -> None:
    entries = said(*texts)
    given_out = told(*texts)
    assert unpacked(packed(*given_out, entries), FIRST, stored(*entries)) == given_out


@given(st.lists(st.text(), max_size=3), st.lists(st.text(), max_size=3))
def test_it_comes_back_though_the_words_are_not_those_of_the_messages(
    texts: list[str], others: list[str]
) -> None:
    entries = said(*others)
    given_out = told(*texts)
    assert unpacked(packed(*given_out, entries), FIRST, stored(*entries)) == given_out
