"""Whether a text is what a query asks for, and where: never what an index would not propose."""

import re
import unicodedata
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import assume, given, reject, settings, strategies as st
from tests.core.search.test_query import bad_texts
from tests.support.texts import texts

from palaver.core.search import match as match_module
from palaver.core.search.match import (
    RANGES_MAX,
    Facts,
    Match,
    match,
    ranges,
    score,
    snippet,
    stands_in,
)
from palaver.core.search.query import Query, Trait, parse
from palaver.errors import Refused
from palaver.store.tokens import FOLDED_CHARS_MAX, fold, tokens, units

DAY_MS = 86_400_000
STEPS_MAX = 10_000
"""From a word to the next, also in a text in which a phrase begins everywhere."""


def asked(text: str) -> Query:
    return parse(text, now_ms=0)


def found(query: str, text: str) -> list[str] | None:
    """The pieces of the text that are highlighted, or None."""
    hit = match(asked(query), text)
    return None if hit is None else [text[start:end] for start, end in ranges(text, hit)]


@pytest.mark.parametrize(
    ("query", "text", "expected"),
    [
        ("hello", "Well, HELLO there. Hello", ["HELLO", "Hello"]),
        ("world hello", "hello, World", ["hello", "World"]),
        ("hell", "hello", None),
        ("hello world", "hello", None),
        ("getusername", "call getUserName()", ["getUserName"]),
        ("name", "call getUserName()", ["Name"]),
        ("username", "call getUserName()", None),
        ("get_user_name", "a get_user_name, b", ["get_user_name"]),
        ("get_user_name", "get user name", None),
        ("user", "get_user_name", ["user"]),
        ("a.b/c", "see a.b/c!", ["a.b/c"]),
        ("a.b/c", "see a.b, c", None),
        ("don't", "I don\u2019t", ["don\u2019t"]),
        ("err*", "Errors, error, terror", ["Errors", "error"]),
        ('"user na*"', "a user named x", None),  # a star in a phrase is nothing
        ("user.na*", "user.name", ["user.name"]),
        ('"lazy dog"', "The lazy, dog", ["lazy, dog"]),
        ('"dog lazy"', "The lazy dog", None),
        ('"a c"', "a b c", None),
        ('"a b a c"', "a b a b a c", ["a b a c"]),
        ('"get user"', "getUserName", ["getUser"]),
        ('"get foo"', "getUser foo", None),
        ("bar -foo", "bar foo", None),
        ("bar -foo", "bar food", ["bar"]),
        ('bar -"foo baz"', "bar foo, then baz", ["bar"]),
        ("用户", "这个用户名", ["用户"]),
        ("名", "这个用户名", ["名"]),
        ("用名", "用户名", None),
        ("户名户", "户名 名户", None),
        ('"用户 foo"', "用户名 foo", None),
        ("用Python写", "我用 Python 写的", ["用 Python 写"]),
        ("国", "한국国", ["国"]),
        ("ไทย", "ภาษาไทยง่าย", ["ไทย"]),
        ("हिन्दी", "में हिन्दी है", ["हिन्दी"]),
        ("strasse", "Die Straße", ["Straße"]),
        ("STRASSE", "Die straße", ["straße"]),
        ("fine", "a ﬁne day", ["ﬁne"]),
        ("café", "CAFE cafe\u0301s cafe\u0301", ["CAFE", "cafe\u0301"]),
        ("株式", "㍿ソニー", ["㍿"]),
        ("ガ", "ｶﾞラス", ["ｶﾞ"]),
        ("カ", "ガラス", None),
        ("istanbul", "\u202eİSTANBUL \u202c", ["İSTANBUL"]),
        ("donaudampf", "Donau\u00addampf", ["Donau\u00addampf"]),
        ("paypal", "p\u0430yp\u0430l", None),  # two letters of it are Cyrillic
        ("👍", "ok 👍🏽!", ["👍"]),
        ("👩\u200d👧", "👩\u200d👩\u200d👧", ["👩\u200d👧"]),
        ("=>", "a => b\ud800", ["=>"]),
        ('=> "( x"', "a => b", None),
        ("->", "a -> b", ["->"]),
        ("…", "wait... and…", ["...", "…"]),
        ("a\ud800b", "a b", None),
        ("from:anna", "whatever", []),
    ],
)
def test_a_query_finds_this(query: str, text: str, expected: list[str] | None) -> None:
    assert found(query, text) == expected


def test_what_a_message_has_and_is_and_when_it_was_is_asked_for() -> None:
    query = asked("foo has:link is:edited on:1970-01-02")
    both = frozenset({Trait.LINK, Trait.EDITED, Trait.CODE})
    assert match(query, "foo", Facts(at_ms=DAY_MS, traits=both))
    assert match(query, "foo")
    assert not match(query, "foo", Facts(at_ms=DAY_MS, traits=frozenset({Trait.LINK})))
    assert not match(query, "foo", Facts(at_ms=DAY_MS - 1, traits=both))
    assert not match(query, "foo", Facts(at_ms=2 * DAY_MS, traits=both))


SHAPES: list[Callable[[str], str]] = [
    *(str, str.upper, str.lower, lambda piece: f'"{piece}"', lambda piece: f"{piece}*"),
    lambda piece: unicodedata.normalize("NFD", piece),
    lambda piece: unicodedata.normalize("NFKC", piece),
]


def pieces_of(text: str) -> st.SearchStrategy[str]:
    """What somebody may ask who has read this text."""
    ends = st.tuples(st.integers(0, len(text)), st.integers(0, len(text))).map(sorted)
    piece = ends.map(lambda pair: text[pair[0] : pair[1]])
    return st.tuples(st.sampled_from(SHAPES), piece).map(lambda both: both[0](both[1]))


def proposed(query: Query, text: str) -> bool:
    """Whether an index of the text's tokens proposes it."""
    index = tokens(text)
    return all(
        any(token.startswith(term.text) if term.prefix else token == term.text for token in index)
        for term in query.terms
    )


@settings(max_examples=400)
@given(st.data())
def test_what_the_matcher_finds_an_index_has_proposed(data: st.DataObject) -> None:
    text = data.draw(texts(48))
    asks = st.lists(pieces_of(text) | texts(12), min_size=1, max_size=3)
    try:
        query = asked(" ".join(data.draw(asks)))
    except Refused:
        reject()
    hit = match(query, text)
    if hit is None:
        return
    assert proposed(query, text)
    places = ranges(text, hit)
    for start, end in places:
        assert 0 <= start < end <= len(text)
    for (_, end), (start, _) in pairwise(places):
        assert end < start
    pieces = [fold(text[start:end]).casefold() for start, end in places]
    for phrase in query.wanted:
        assert any(phrase[0].text in piece for piece in pieces)
    for literal in query.literals:
        assert any(literal in piece for piece in pieces)


@settings(max_examples=300)
@given(st.data())
def test_a_whole_word_of_a_text_finds_it(data: st.DataObject) -> None:
    text = data.draw(texts(48))
    present = units(text)
    assume(present)
    words = st.lists(st.sampled_from(present), min_size=1, max_size=4)
    query = Query(wanted=tuple((unit,) for unit in data.draw(words)))
    assert match(query, text)
    phrase = Query(wanted=(present,))
    hit = match(phrase, text)
    assert hit
    assert present[0].text in fold(text[slice(*ranges(text, hit)[0])]).casefold()


@given(
    st.lists(st.sampled_from(["ab", "aB", "AB", "a1", "b", "a"])),
    st.sampled_from(["ab", "a", "b", "a1"]),
)
def test_simple_words_are_found_as_one_reads_them(words: list[str], wanted: str) -> None:
    parts = {"aB": {"ab", "a", "b"}, "a1": {"a1", "a", "1"}}
    there = any(wanted in parts.get(word, {word.lower()}) for word in words)
    text = ", ".join(words)
    assert (match(asked(wanted), text) is not None) == there
    assert (match(asked(f"-{wanted}"), text) is None) == there


@given(st.text("ab 用", max_size=30), st.text("ab 用", min_size=1, max_size=6))
def test_phrases_are_found_as_one_reads_them(text: str, phrase: str) -> None:
    sought = re.findall("[ab]+|用+", phrase)
    assume(sought)
    pattern = " *".join(  # a word is bounded, a run is not
        rf"(?<![ab]){unit}(?![ab])" if unit[0] in "ab" else unit for unit in sought
    )
    expected = re.search(pattern, text) is not None
    assert (match(asked(f'"{phrase}"'), text) is not None) == expected
    assert (match(asked(f'x -"{phrase}"'), f"x. {text}") is None) == expected


@settings(max_examples=400)
@given(st.data())
def test_many_places_are_looked_at_at_once_as_one_by_one(data: st.DataObject) -> None:
    letters = st.sampled_from(
        ["a", "A", "1", "aB", "ab", "b", "用", "户", "👍", " ", ".", "\u05b8", "é"]
    )
    text = data.draw(st.lists(letters, max_size=40).map("".join) | texts(48))
    pieces = pieces_of(text) | st.lists(letters, min_size=1, max_size=9).map("".join)
    try:
        query = asked(" ".join(data.draw(st.lists(pieces, min_size=1, max_size=3))))
    except Refused:
        reject()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(match_module, "_FEW", 10**9)
        one_by_one = match(query, text)
        patched.setattr(match_module, "_FEW", 0)
        assert match(query, text) == one_by_one


@pytest.mark.parametrize(
    ("query", "text", "places"),
    [
        ("lorem", "lorem ipsum dolor " * 60_000, RANGES_MAX),
        ('"dolor lorem ipsum sit"', "lorem ipsum dolor " * 60_000, None),
        ("needle", "lorem ipsum dolor " * 6_000 + "needle", 1),
        ("needle", "x" * FOLDED_CHARS_MAX + " needle", None),
        ("哈 哈哈 哈哈哈", "哈" * 1_000_000, 1),
        ('"' + "a " * 30 + 'b"', "b " + "a " * 60_000, None),
        ("(a+)+$", "a" * 100_000, None),
        ('"' + "用 " * 29 + '户 用"', "用" * 99_980 + "户户", None),
        (
            " ".join(f'-"{"用 " * 9}户{end}"' for end in "甲乙丙") + " 户户",
            "用" * 99_980 + "户户",
            1,
        ),
        (
            '"' + "".join(f"{'用' * n} " for n in range(1, 29)) + '户 用"',
            "用" * 99_980 + "户户",
            None,
        ),
        ('"' + "a " * 29 + 'b a"', "a " * 49_990 + "b b", None),
        ('"' + "a.b." * 14 + 'b"', "a-b-" * 25_000 + "a-b b", None),
        (
            " ".join(f"{chr(97 + n)}" for n in range(26)),
            "a b c d e f g h i j k l m n o p q r s t u v w x y z " * 2_000,
            RANGES_MAX,
        ),
        ('"' + "x " * 31, "x! " * 400, 1),
        ("e", "e\u0301\u0323" * 300_000, None),
        ("=>", "=>" * 500_000, 1),
        ("x", "… x " * 250_000, RANGES_MAX),
    ],
)
def test_long_texts_are_read_in_time_that_grows_with_them_alone(
    query: str, text: str, places: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[None] = []
    after = match_module._Text._after

    def counted(*asks: Any) -> Any:
        steps.append(None)
        return after(*asks)

    monkeypatch.setattr(match_module._Text, "_after", counted)
    hit = match(asked(query), text)
    assert len(steps) < STEPS_MAX
    if hit is not None:
        assert snippet(text, hit).ranges
    assert (None if hit is None else len(ranges(text, hit))) == places


def test_bad_inputs_are_matched() -> None:
    for query in bad_texts():
        try:
            asked_for = asked(query)
        except Refused:
            continue
        for text in ("", "plain", query):
            match(asked_for, text)
        assert asked_for == Query() or match(asked_for, query) or asked_for.unwanted


def test_relevance_counts_words_whole_words_order_title_and_age() -> None:
    def scored(query: str, text: str, *, in_title: bool = False, days: float = 0) -> float:
        hit = match(asked(query), text)
        assert hit is not None
        return score(hit, in_title=in_title, age_ms=int(days * DAY_MS))

    assert scored("foo", "foo") == 1 + 0.5 + 1
    assert scored("foo", "fooBar") == 1 + 1
    assert scored("foo*", "food") == 1 + 1
    assert scored("foo*", "food foo") == 1 + 0.5 + 1
    assert scored("foo bar", "bar foo") == 2 + 1 + 1
    assert scored("foo bar", "foo bar") == 2 + 1 + 2 + 1
    assert scored('"foo bar"', "foo bar") == 1 + 0.5 + 1
    assert scored("用户", "用户") == 1 + 1
    assert scored("foo", "foo", in_title=True) == 1 + 0.5 + 1 + 1
    assert scored("foo", "foo", days=30) == 1 + 0.5 + 0.5
    assert scored("foo", "foo", days=-5) == scored("foo", "foo")


def test_a_title_holds_all_words_or_is_none() -> None:
    assert stands_in(asked("weekend plan -foo has:link"), "Plan a foo weekend")
    assert not stands_in(asked("weekend plan"), "Plan a week")
    assert not stands_in(asked("has:link"), "Plan a week")


def test_a_snippet_begins_a_little_before_the_first_hit() -> None:
    text = "one two three four five six seven eight nine ten eleven twelve"
    hit = match(asked("seven eleven"), text)
    assert hit is not None
    piece = snippet(text, hit, 30)
    assert piece.text == "…five six seven eight nine ten…"
    assert [piece.text[start:end] for start, end in piece.ranges] == ["seven"]
    assert snippet(text, hit, 200).text == text
    assert snippet(text, Match(), 10).text == "one two…"
    assert snippet("", Match(), 10) == snippet("", Match())


@given(st.data(), st.integers(1, 60))
def test_a_snippet_is_a_piece_of_the_text_with_its_first_hit(
    data: st.DataObject, chars: int
) -> None:
    text = data.draw(texts(90)).replace("…", "")
    try:
        query = asked(data.draw(pieces_of(text)))
    except Refused:
        reject()
    hit = match(query, text) or Match()
    piece = snippet(text, hit, chars)
    inner = piece.text.strip("…")
    assert inner in text
    assert len(inner) <= chars
    places = ranges(text, hit)
    if places:
        start, end = piece.ranges[0]
        assert text[slice(*places[0])].startswith(piece.text[start:end])
        assert start < end
