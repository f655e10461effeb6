"""What the pieces of an answer come to, and back again."""

from typing import Any, cast

from hypothesis import given, strategies as st

from palaver.core.answers.pieces import AnswerBuilder, pieces_in, pieces_of, record_of
from palaver.model import ActorId, Entry, Message, MessageId, Meta, RoomId, Status
from palaver.providers.base import (
    BesidePiece,
    Piece,
    ReasoningPiece,
    RefusalPiece,
    TextPiece,
    ToolPiece,
)
from palaver.redact import Redaction

words = st.text(min_size=1, max_size=5) | st.sampled_from(["hm</think>", "</think>\n", " x\n"])
choices = st.integers(min_value=0, max_value=2)
spoken = st.one_of(
    st.builds(TextPiece, words, choices),
    st.builds(ReasoningPiece, words, choices),
    st.builds(RefusalPiece, words, choices),
)
called = st.lists(
    st.tuples(st.integers(0, 2), choices, st.text(max_size=5)), max_size=8, unique_by=id
)


def told(said: list[Piece], calls: list[tuple[int, int, str]]) -> list[Piece]:
    """A call's first piece has its id and name, and the calls of a choice are numbered as they come."""
    numbers: dict[tuple[int, int], int] = {}
    found = list(said)
    for call, choice, arguments in calls:
        new = (choice, call) not in numbers
        if new:
            numbers[choice, call] = sum(known[0] == choice for known in numbers)
        number = numbers[choice, call]
        names = (f"c{choice}{number}", f"f{number}") if new else ("", "")
        found.append(ToolPiece(number, *names, arguments, choice))
    return found


def stored(entry: Entry, seq: int) -> Message:
    return Message(
        id=MessageId("m_1"),
        room=RoomId("r_1"),
        seq=seq,
        author=ActorId("a_1"),
        name="",
        role=entry.role,
        status=Status.DONE,
        text=entry.text,
        created_ms=0,
        kind=str(entry.kind),
        meta=cast("Meta", entry.meta),
    )


@given(st.lists(spoken, max_size=12), called)
def test_what_was_stored_is_told_again_in_the_same_pieces(
    said: list[Piece], calls: list[tuple[int, int, str]]
) -> None:
    pieces = told(said, calls)
    gather = AnswerBuilder()
    for piece in pieces:
        gather.take(piece)
    messages = [stored(entry, seq) for seq, entry in enumerate(gather.entries({}), 1)]
    assert pieces_of(messages, gather.lengths) == pieces
    assert pieces_in([record for piece in pieces if (record := record_of(piece))]) == pieces


def test_without_its_secrets_an_answer_is_told_again_in_as_many_pieces() -> None:
    """Also where a mark is longer than the secret was, and thoughts have lost what their signature is of."""
    said = ["tok", "en=ab1", "2cd7", " and pass", "word: ab12cd7", "."]
    pieces: list[Piece] = [
        *(ReasoningPiece(one) for one in said),
        *(TextPiece(one) for one in said),
        BesidePiece({"signature": "s"}, "them"),
        *(ToolPiece(0, "c" * (not n), "f" * (not n), one) for n, one in enumerate(said)),
    ]
    answer = AnswerBuilder(Redaction(["secrets"]))
    for piece in pieces:
        answer.take(piece)
    entries = answer.entries({}, retold=True)
    messages = [stored(entry, seq) for seq, entry in enumerate(entries, 1)]
    again = pieces_of(messages, answer.lengths)
    assert [type(one) for one in again] == [type(one) for one in pieces if one != pieces[12]]
    found: dict[str, str] = dict.fromkeys(("ReasoningPiece", "TextPiece", "ToolPiece"), "")
    for one in again:
        text = one.arguments if isinstance(one, ToolPiece) else cast("TextPiece", one).text
        found[type(one).__name__] += text
    assert set(found.values()) == {"token=[redacted] and password: [redacted]"}
    assert "beside" not in entries[0].meta


def test_thoughts_that_were_told_as_words_are_stored_as_thoughts_and_told_again_as_they_were() -> (
    None
):
    for more in ((), (ToolPiece(0, "c", "f", "{}"),)):
        gather, pieces = AnswerBuilder(), [TextPiece("hm\n</th"), TextPiece("ink>\n\nHello"), *more]
        for piece in pieces:
            gather.take(piece)
        entries = gather.entries({})
        assert (entries[0].text, entries[0].meta) == ("Hello", {"reasoning": "hm"})
        messages = [stored(entry, seq) for seq, entry in enumerate(entries, 1)]
        assert pieces_of(messages, gather.lengths) == pieces


def test_what_stood_beside_the_words_and_the_calls_is_kept_with_them_and_in_the_journal() -> None:
    def beside(fields: dict[str, Any], call: int | None = None, thought_in: str = "") -> Piece:
        return BesidePiece(fields, "here m", 0, call, thought_in)

    pieces = [
        beside({}, thought_in="reasoning"),
        ReasoningPiece("hm"),
        beside({"details": [{"index": 0, "type": "t", "text": "a"}], "note": "x"}),
        beside({"details": [{"index": 0, "type": "t", "text": "b"}, {"index": 0, "type": "u"}]}),
        beside({"note": "y", "more": {"a": 1}}),
        beside({"more": {"b": [1]}}),
        beside({"more": {"b": [2]}}),
        ToolPiece(0, "c0", "f", ""),
        ToolPiece(1, "c1", "f", "{}"),
        beside({"signature": "S"}, call=1),
    ]
    gather = AnswerBuilder()
    for piece in pieces_in([record for piece in pieces if (record := record_of(piece))]):
        gather.take(piece)
    first, second = gather.entries({})
    assert first.text == "{}"
    assert first.meta["reasoning"] == "hm"
    assert first.meta["beside"] == {
        "origin": "here m",
        "thought_in": "reasoning",
        "message": {
            "details": [{"index": 0, "type": "t", "text": "ab"}, {"index": 0, "type": "u"}],
            "note": "xy",
            "more": {"a": 1, "b": [1, 2]},
        },
    }
    assert second.meta["beside"] == {"origin": "here m", "call": {"signature": "S"}}


def test_an_answer_of_nothing_is_one_empty_entry() -> None:
    (entry,) = AnswerBuilder().entries({"turn": "t_1"})
    assert (entry.text, entry.meta) == ("", {"turn": "t_1"})


def test_each_choice_is_an_entry_of_its_own() -> None:
    gather = AnswerBuilder()
    for piece in (TextPiece("a"), TextPiece("x", 1), TextPiece("b"), ReasoningPiece("y", 1)):
        gather.take(piece)
    first, second = gather.entries({"turn": "t_1"})
    assert (first.text, first.meta) == ("ab", {"turn": "t_1"})
    assert (second.text, second.meta) == ("x", {"choice": 1, "reasoning": "y"})
