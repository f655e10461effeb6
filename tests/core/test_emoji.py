"""What is one emoji, and that each is written in one way."""

import unicodedata

import pytest

from palaver.core.emoji import CHARS_MAX, emoji
from palaver.errors import Code, Refused

HEART, PICTURE, JOINER = "\u2764", "\ufe0f", "\u200d"
FAMILY = JOINER.join("👨👩👧👦")
KISS = JOINER.join(("🧑🏻", HEART + PICTURE, "💋", "🧑🏽"))
SCOTLAND = "🏴" + "".join(chr(0xE0000 + ord(one)) for one in "gbsct") + "\U000e007f"
ONE = (
    "👍",
    "👍🏽",
    "🎉",
    "🫡",
    "🇵🇹",
    FAMILY,
    KISS,
    SCOTLAND,
    f"🏳{PICTURE}{JOINER}🌈",
    "🧑🏿‍🚀",
    "🐈‍⬛",
)
NONE = {
    "nothing": "",
    "a letter": "a",
    "a word": "ok",
    "a digit": "1",
    "a space": " ",
    "two": "👍👍",
    "one and a space": "👍 ",
    "one and a line": "👍\n",
    "a name": ":+1:",
    "a letter in a box of its own": "🄰",
    "half a flag": "🇵",
    "a flag and a half": "🇵🇹🇵",
    "a star of text": "★",
    "a sign alone": PICTURE,
    "a joiner alone": JOINER,
    "joined to nothing": "👍" + JOINER,
    "joined to a letter": "👍" + JOINER + "a",
    "two tones": "👍🏽🏽",
    "a letter with a sign": "a" + PICTURE,
    "accents": "👍" + "\u0301" * 10,
    "five joined": JOINER.join("👨👩👧👦👦"),
    "a bomb": JOINER.join("👍" * 2_000),
    "tags without an end": SCOTLAND[:-1],
    "tags on another": "👍" + SCOTLAND[1:],
    "a change of direction": "\u202e👍",
    "half a character": "\ud83d",
    "a zero": "\0",
}


@pytest.mark.parametrize("text", ONE)
def test_one_emoji_is_itself(text: str) -> None:
    assert emoji(text) == text
    assert len(text) <= CHARS_MAX


@pytest.mark.parametrize("text", NONE.values(), ids=NONE)
def test_what_is_not_one_emoji_is_refused(text: str) -> None:
    with pytest.raises(Refused) as refused:
        emoji(text)
    assert refused.value.code is Code.EMOJI_INVALID


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (HEART, HEART + PICTURE),
        (HEART + PICTURE, HEART + PICTURE),
        ("👍" + PICTURE, "👍"),
        ("☝🏽", "☝🏽"),
        ("1\u20e3", "1\ufe0f\u20e3"),
        (f"{HEART}{JOINER}🔥", f"{HEART}{PICTURE}{JOINER}🔥"),
        (f"🏴{JOINER}\u2620", f"🏴{JOINER}\u2620{PICTURE}"),
    ],
)
def test_each_is_written_in_one_way(text: str, written: str) -> None:
    assert emoji(text) == emoji(written) == written


def test_no_letter_and_no_control_character_is_one() -> None:
    """Of all that this Python knows."""
    other = {"Cc", "Cf", "Cs", "Ll", "Lo", "Lt", "Mc", "Me", "Mn", "Nd", "Pd", "Pe", "Ps", "Zs"}
    taken = {chr(code) for code in range(0x110000) if _is_one(chr(code))}
    kinds = {one: unicodedata.category(one) for one in taken}
    drawn = {"\u2139", "\u3030"}  # the sign of information, the wavy dash
    assert {one for one, kind in kinds.items() if kind in other} == drawn
    assert 1_300 < len(taken) < 1_600


def _is_one(text: str) -> bool:
    try:
        return bool(emoji(text))
    except Refused:
        return False
