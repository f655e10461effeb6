"""Texts with more combining marks in a row than anybody writes."""

import unicodedata

import pytest

from palaver.marks import MARKS_MAX, all_marks, few_marks


@pytest.mark.parametrize("mark", ["\u0301", "\u0323", "\u3099", "\U0001d167"])
def test_marks_without_end_are_cut_and_others_stay(mark: str) -> None:
    assert few_marks(f"a{mark * MARKS_MAX}b") == f"a{mark * MARKS_MAX}b"
    assert few_marks(f"a{mark * 10_000}b") == f"a{mark * MARKS_MAX}b"


def test_letters_that_become_marks_are_counted_too() -> None:
    told = unicodedata.normalize("NFKC", few_marks("\uff9e\uff9f" * 10_000))
    assert len(told) == MARKS_MAX


def test_all_that_is_combined_is_a_mark() -> None:
    combined = {char for char in map(chr, range(0x110000)) if unicodedata.combining(char)}
    assert combined <= {*all_marks()}
