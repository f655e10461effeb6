"""The tokens of texts in all scripts: what a search can find them by."""

import re
import unicodedata
from itertools import pairwise

import pytest
from hypothesis import example, given, strategies as st
from tests.support.texts import texts

from palaver.store.tokens import (
    FOLDED_CHARS_MAX,
    TOKEN_CHARS_MAX,
    TOKENS_VERSION,
    Term,
    fold,
    pieces,
    terms_of,
    tokens,
    units,
)

TSVECTOR_BYTES_MAX = 1 << 20


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("=> :-) … ¿?", ""),
        ("Hello, hello WORLD", "hello world"),
        ("getUserName", "getusername get user name"),
        ("HTTPServer iOS8", "httpserver ios8 i os 8"),
        ("get_user_name __init__", "get user name init"),
        ("see a.b/c-d:e", "see a b c d e"),
        ("gpt4 3.14 0x3f", "gpt4 gpt 4 3 14 0x3f 0 x f"),
        ("Café Ångström ñandú", "cafe angstrom nandu"),
        ("Ёжик Άλφα", "ежик αλφα"),
        ("Straße ﬁne ½ \uff46\uff55\uff4c\uff4c", "strasse fine 1 2 full"),
        ("İstanbul \u0131slak", "istanbul \u0131slak"),
        ("हिन्दी में", "हिन्दी में"),
        ("שָׁלוֹם", unicodedata.normalize("NFC", "שָׁלוֹם")),
        ("用户名", "用户 户名 名"),
        ("用Python写", "python 用 写"),
        ("食べる ｶﾞ ", "食べ べる る ガ"),
        ("한국", "한국 국"),
        ("ไทย", "ไท ทย ย"),
        ("א\u0e31\u0e01", "א \u0e31\u0e01 \u0e01"),  # a mark of a run is no mark of a word
        ("ok👍🏽 👩\u200d👧", "ok 👍 🏽 👩 👧"),
        ("Donau\u00addampf a\u200bb", "donaudampf ab"),
        ("1\ufe0f\u20e3", "1"),
        ("a\ud800b \udc00 \0 \ue000", "a b"),
    ],
)
def test_a_text_has_these_tokens(text: str, expected: str) -> None:
    assert tokens(text) == expected.split()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("getUserName", [Term("getusername")]),
        ("get_user", [Term("get"), Term("user")]),
        ("用", [Term("用", prefix=True)]),
        ("用户", [Term("用户")]),
        ("用户名", [Term("用户"), Term("户名")]),
        ("x" * 100, [Term("x" * TOKEN_CHARS_MAX)]),
        ("to be or not to be", [Term("to"), Term("be"), Term("or"), Term("not")]),
        ('NEAR("x" =>', [Term("near"), Term("x")]),
    ],
)
def test_a_piece_of_a_query_needs_these_terms(text: str, expected: list[Term]) -> None:
    assert terms_of(units(text)) == expected


def test_only_the_last_word_is_a_prefix_and_only_from_two_characters_on() -> None:
    assert terms_of(units("foo ba", prefix=True)) == [Term("foo"), Term("ba", prefix=True)]
    assert terms_of(units("foo b", prefix=True)) == [Term("foo"), Term("b")]
    assert terms_of(units("👍", prefix=True)) == [Term("👍")]


def test_what_is_joined_in_a_query_is_known() -> None:
    assert [unit.tight for unit in units("a.b c_d")] == [False, True, False, True]


@given(texts())
@example("e\u0327\u0301")
@example("\u1100\u1161\u11a8")
def test_a_text_and_its_decomposed_form_have_the_same_tokens(text: str) -> None:
    assert tokens(unicodedata.normalize("NFD", text)) == tokens(text)


@given(texts() | st.text(st.characters(categories=("L", "M", "N", "P", "S", "Z", "C"))))
def test_tokens_are_made_of_what_can_stand_in_a_word(text: str) -> None:
    found = tokens(text)
    assert len(set(found)) == len(found)
    for token in found:
        assert 0 < len(token) <= TOKEN_CHARS_MAX
        assert not {"Cc", "Cf", "Cs", "Co", "Zs", "Zl", "Zp"} & set(
            map(unicodedata.category, token)
        )
        assert not re.search(r"[\x00-/:-@\[-`{-\x7f]", token)


@given(texts())
@example("ㅋㅏ")
@example("ｶﾞ\u0301")
@example("e" + "\u0301\u0323" * 40)
@example("İ\u05b8")  # a mark of another script, which sorts before the letter's own
@example("1\u0e33")  # which folds to a mark and a letter
@example("ΰ\u05b8 \u05d0\u0301")
def test_the_pieces_of_a_text_fold_by_themselves(text: str) -> None:
    found = [piece[0] for piece in pieces(text)]
    assert "".join(found) == text
    assert "".join(map(fold, found)) == fold(text)
    assert len(fold(text).casefold()) == len(fold(text))
    assert all(len(fold(piece)) == len(piece) for piece in found if piece.isascii())


@given(st.text(st.sampled_from("abXY19_. -é用户"), max_size=40))
def test_words_and_their_parts_are_those_that_one_reads_off(text: str) -> None:
    expected: set[str] = set()
    for word in re.findall("[^\\W_用户]+", text):
        border = r"(?<=[a-zé])(?=[A-Z])|(?<=[0-9])(?=[^0-9])|(?<=[^0-9])(?=[0-9])"
        expected |= {one.lower().replace("é", "e") for one in (word, *re.split(border, word))}
    for run in re.findall("[用户]+", text):
        expected |= {*map("".join, pairwise(run)), run[-1]}
    assert set(tokens(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "a" + "\u0301\u0323" * 50_000,
        "ﾞ\u0301" * 50_000,
        "ㅋ" * 200_000,
        "\ufdfa" * 100_000,
        "_" * 1_000_000,
        "aB" * 500_000,
        "".join(map(chr, range(0x20000, 0x2A6D0))) * 4,
        " ".join(chr(0x1F600 + at % 60) + f"𐐨𐐩{at}" for at in range(100_000)),
    ],
    ids=["marks", "voiced", "jamo", "ligature", "underscores", "borders", "han", "distinct"],
)
def test_no_text_makes_more_tokens_than_an_index_holds(text: str) -> None:
    found = tokens(text)
    assert sum(len(token.encode()) for token in found) < TSVECTOR_BYTES_MAX
    assert len(fold(text)) <= FOLDED_CHARS_MAX


def test_marks_without_end_are_cut_for_sorting_them_would_take_quadratic_time() -> None:
    assert len(fold("א" + "\u0301\u0323" * 50_000)) == 31
    assert len(fold("ｶ" + "ﾞ\u0323" * 50_000)) <= 31


def test_another_table_of_unicode_is_another_version() -> None:
    assert TOKENS_VERSION.endswith(unicodedata.unidata_version)
