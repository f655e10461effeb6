"""Bad text is refused with its code; everything else is kept as it is."""

import time

import pytest
from hypothesis import given, strategies as st

from palaver.core import validation
from palaver.errors import Code, Refused


def code_of(call: object, *arguments: object) -> Code:
    assert callable(call)
    with pytest.raises(Refused) as refused:
        call(*arguments)
    return refused.value.code


def test_a_message_says_something_and_is_well_formed() -> None:
    assert code_of(validation.message_text, "a\ud800b", 10) is Code.INVALID_UNICODE
    assert code_of(validation.message_text, "a\0b", 10) is Code.INVALID_CHARACTER
    for blank in ("", " \n\t\u00a0\u3000", "\u200b\u200d\ufeff"):
        assert code_of(validation.message_text, blank, 10) is Code.EMPTY_MESSAGE


def test_length_is_counted_in_code_points() -> None:
    assert validation.message_text("😀" * 10, 10) == "😀" * 10
    assert code_of(validation.message_text, "é" * 11, 10) is Code.TEXT_TOO_LONG


@given(st.text(min_size=1, max_size=50).filter(lambda text: "\0" not in text))
def test_a_message_that_is_accepted_is_not_changed(text: str) -> None:
    if not validation.is_blank(text):
        assert validation.message_text(text, 50) == text


def test_a_name_is_visible_short_and_not_the_servers() -> None:
    assert validation.person_name("  Ada  Lovelace ", 80) == "Ada Lovelace"
    for name in ("", " ", "a\u202eb", "x" * 81, "a\nb\x07"):
        assert code_of(validation.person_name, name, 80) is Code.NAME_INVALID
    for name in ("system", "ADMIN", "\uff41dmin", "Assistant"):
        assert code_of(validation.person_name, name, 80) is Code.NAME_RESERVED


def test_a_title_is_one_line_and_bounded() -> None:
    assert validation.title(" a\n b ", 200) == "a b"
    assert code_of(validation.title, "x" * 201, 200) is Code.TITLE_TOO_LONG


def test_a_cid_is_short_visible_ascii() -> None:
    assert validation.cid("0192f0c1-7d2b-7000-8000-000000000001")
    for cid in ("", "a b", "é", "x" * 65, "a\n"):
        assert code_of(validation.cid, cid) is Code.CID_INVALID


def test_a_page_has_at_least_one_row_and_at_most_the_limit() -> None:
    assert validation.page_size(1_000, 200) == 200
    assert code_of(validation.page_size, 0, 200) is Code.LIMIT_INVALID


def test_the_first_line_that_says_something_is_the_title() -> None:
    assert validation.title_of("\n  \n  Hello   there \nmore", 50) == "Hello there"
    assert validation.title_of("x" * 60, 50) == "x" * 49 + "…"
    assert validation.title_of("\u200b", 50) == ""
    assert validation.title_of("**tides**, and `why`", 50) == "tides, and why"
    assert validation.title_of("# \n> Hello", 50) == "Hello"
    began = time.monotonic()
    assert validation.title_of("*a [" * 100_000, 50).startswith("*a [*a [")
    assert time.monotonic() - began < 1, "however long its line is"


@pytest.mark.parametrize(
    ("written", "title"),
    [
        ("# **Baking *bread***", "Baking bread"),
        ("**Title:** A trip", "A trip"),
        ("## 1. Plan", "Plan"),
        ("- item", "item"),
        ('"Quoted"', "Quoted"),
        ("[Rome](http://x) in `May`", "Rome in May"),
        ("snake_case and 2 * 3 * 4", "snake_case and 2 * 3 * 4"),
        ("1984 reviewed", "1984 reviewed"),
        ("I am a small model and like titles", ""),
        ("I\u2019m sorry", ""),
        ("Sure, a title: Tides", ""),
        ("Iambic verse", "Iambic verse"),
        ("A title of a model that goes on and on until nobody wants to read it", ""),
    ],
)
def test_a_models_title_has_no_markdown(written: str, title: str) -> None:
    assert validation.model_title(written) == title


@pytest.mark.parametrize(
    ("text", "at_ms"),
    [
        ("1970-01-02", 86_400_000),
        ("1970-01-01T00:00:01", 1_000),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T00:00:00.5Z", 500),
        ("0001-01-01", -62_135_596_800_000),
    ],
)
def test_a_moment_is_read_of_a_date(text: str, at_ms: int) -> None:
    assert validation.when(text) == at_ms


@pytest.mark.parametrize("text", ["", "soon", "2027-13-01", "1e9", "2027-01-01T25:00Z", "\ud800"])
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(Refused) as refused:
        validation.when(text)
    assert refused.value.code is Code.BAD_REQUEST
