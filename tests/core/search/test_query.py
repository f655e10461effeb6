"""How queries are read: any text is one."""

from datetime import UTC, datetime
from typing import cast

import pytest
from hypothesis import given, strategies as st
from tests.support.texts import texts
from tests.wire.test_bad_inputs import CASES, payloads

from palaver.core.search.query import QUERY_CHARS_MAX, TERMS_MAX, Phrase, Query, Trait, parse
from palaver.errors import Code, Refused
from palaver.store.tokens import Term

DAY_MS = 86_400_000


def ms(*date: int) -> int:
    return int(datetime(*cast(tuple[int, int, int], date), tzinfo=UTC).timestamp()) * 1_000


NOW_MS = ms(2026, 11, 30, 21)


def read(text: str, offset_minutes: int = 0) -> Query:
    return parse(text, now_ms=NOW_MS, offset_minutes=offset_minutes)


def said(phrases: tuple[Phrase, ...]) -> list[str]:
    return [" ".join(unit.text + "*" * unit.prefix for unit in phrase) for phrase in phrases]


@pytest.mark.parametrize(
    ("text", "wanted", "unwanted"),
    [
        ("", [], []),
        ("  Plan\tB ", ["plan", "b"], []),
        ('"plan a weekend" soon', ["plan a weekend", "soon"], []),
        ('say "half a sentence', ["say", "half a sentence"], []),
        ("\u201cplan b\u201d \u00abau lait\u00bb", ["plan b", "au lait"], []),
        ("err* a* x.ba*", ["err*", "a", "x ba*"], []),
        ('foo -bar -"b c" -ba*', ["foo"], ["bar", "b c", "ba*"]),
        ("use --verbose a-b -", ["use", "verbose", "a b"], []),
        ("AND OR NOT NEAR(x col:y", ["and", "or", "not", "near x", "col y"], []),
        ('* " ( foo => "" {', ["foo"], []),
        ("用户 getUserName 👍🏽", ["用户", "getusername", "👍 🏽"], []),
        ("from: has:edited is:link is:old", ["from", "has edited", "is link", "is old"], []),
        ("on:2026-13 after:soon before:2026-02-30", ["on 2026 13", "after soon", "before 2026 02 30"], []),
        ("on:0000 on:10000d -from:x", ["on 0000", "on 10000d"], ["from x"]),
        ('from:\ud800 in:"a\0b"', ["from", "in a b"], []),
    ],
)  # fmt: skip
def test_words_phrases_and_nots_are_read(text: str, wanted: list[str], unwanted: list[str]) -> None:
    query = read(text)
    assert query == Query(wanted=query.wanted, unwanted=query.unwanted)
    assert (said(query.wanted), said(query.unwanted)) == (wanted, unwanted)


def test_operators_name_authors_rooms_and_traits() -> None:
    query = read('from:@anna FROM:"Bob B" in:"Plan a weekend" has:link Has:Code is:edited')
    assert query == Query(
        authors=("@anna", "Bob B"),
        rooms=("Plan a weekend",),
        traits=frozenset({Trait.LINK, Trait.CODE, Trait.EDITED}),
    )


@pytest.mark.parametrize(
    ("text", "since", "until"),
    [
        ("on:2026-11-30", ms(2026, 11, 30), ms(2026, 12, 1)),
        ("on:2026-12", ms(2026, 12, 1), ms(2027, 1, 1)),
        ("on:2024-02", ms(2024, 2, 1), ms(2024, 3, 1)),
        ("on:2026", ms(2026, 1, 1), ms(2027, 1, 1)),
        ("on:9999", ms(9999, 1, 1), ms(9999, 12, 31) + DAY_MS),
        ("before:2026-11", None, ms(2026, 11, 1)),
        ("after:2026-11", ms(2026, 12, 1), None),
        ("after:2025 before:2027 after:2024", ms(2026, 1, 1), ms(2027, 1, 1)),
        ("on:today", ms(2026, 11, 30), ms(2026, 12, 1)),
        ("on:Yesterday", ms(2026, 11, 29), ms(2026, 11, 30)),
        ("before:today", None, ms(2026, 11, 30)),
        ("after:7d", NOW_MS - 7 * DAY_MS, None),
        ("before:2w", None, NOW_MS - 14 * DAY_MS),
        ("on:7d", ms(2026, 11, 23), ms(2026, 11, 24)),
        ("on:9999w", (NOW_MS // DAY_MS - 69_993) * DAY_MS, (NOW_MS // DAY_MS - 69_992) * DAY_MS),
    ],
)
def test_dates_are_ranges_without_their_end(
    text: str, since: int | None, until: int | None
) -> None:
    assert read(text) == Query(since_ms=since, until_ms=until)


def test_a_day_is_the_askers() -> None:
    in_tokyo = read("on:today", offset_minutes=9 * 60)  # where it is six in the morning
    begun = ms(2026, 11, 30, 15)
    assert (in_tokyo.since_ms, in_tokyo.until_ms) == (begun, begun + DAY_MS)
    assert read("on:2026-12-01", offset_minutes=9 * 60) == in_tokyo


def test_what_has_no_token_is_looked_for_as_it_stands_where_there_is_nothing_else() -> None:
    assert read('=> :-) -> "{ }"').literals == ("=>", ":-)", "->", "{ }")
    assert read("=> from:anna").scans
    assert not read("=> foo").scans
    assert not read('from:anna "" \u200b').scans
    assert read("-foo =>").scans


def test_the_terms_are_those_of_all_that_is_wanted() -> None:
    terms = [Term("foo"), Term("用户"), Term("户名"), Term("ba", prefix=True)]
    assert read('"foo 用户名" -not ba* foo').terms == terms


@pytest.mark.parametrize(
    "text",
    [
        "x" * (QUERY_CHARS_MAX + 1),
        "x" * 10_000_000,
        " OR ".join(f"a{at}" for at in range(1_000)),
        "a " * (TERMS_MAX + 1),
        '"' + "a " * (TERMS_MAX + 1),
        "is:edited " * (TERMS_MAX + 1),
        "-a " * (TERMS_MAX + 1),
        "= " * (TERMS_MAX + 1),
        "\ufdfa" * QUERY_CHARS_MAX,
    ],
)
def test_a_query_beyond_its_bounds_is_refused(text: str) -> None:
    with pytest.raises(Refused) as refused:
        read(text)
    assert refused.value.code == Code.QUERY_TOO_LONG
    assert refused.value.status == 400


def test_a_query_at_its_bounds_is_read() -> None:
    assert len(read("a " * TERMS_MAX).wanted) == TERMS_MAX
    assert len(read("x" * QUERY_CHARS_MAX).wanted) == 1


@given(texts(60) | st.text(max_size=60))
def test_no_query_is_a_syntax_error_and_no_term_is_one(text: str) -> None:
    query = read(text)
    for term in query.terms:
        assert term.text
        assert not set(term.text) & set("\"'*():-^{}\\ \0")
        term.text.encode()  # no half of a character


WORST = (
    *(
        "\ud800",
        "a\udfff b",
        "a\0b",
        '"',
        '""',
        "NEAR(",
        "col:",
        "col:umn",
        "*",
        "-",
        "\\",
        ") OR (",
    ),
    *("(a+)+$ " + "a" * 400, " OR ".join(["a"] * 1_000), "x" * 10_000_000, "'; DROP TABLE x"),
)
"""What breaks searches elsewhere."""


def bad_texts() -> list[str]:
    """The same, and what the catalogue has somebody say or ask, or a model answer."""
    wheres = ("search.q", "message.body", "model.output", "room.name")
    known = [one for one, case in CASES.items() if case["where"] in wheres]
    return [*WORST, *[text for name in known for text in payloads(name)]]


def test_bad_inputs_are_read_or_refused() -> None:
    cases = bad_texts()
    assert len(cases) > 10
    for text in cases:
        if len(text) > QUERY_CHARS_MAX:
            with pytest.raises(Refused):
                read(text)
        else:
            assert read(text)
