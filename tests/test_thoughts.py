"""Thoughts in tags: whatever the tags and wherever the pieces are cut, they are no words of the answer."""

import pytest
from hypothesis import given, strategies as st

from palaver.thoughts import TAGS, Splitter, parted


def split(*pieces: str) -> tuple[str, str]:
    splitter = Splitter()
    parts = [part for piece in pieces for part in splitter.feed(piece)] + [*splitter.close()]
    thought = "".join(text for thinks, text in parts if thinks)
    return thought, "".join(text for thinks, text in parts if not thinks)


@pytest.mark.parametrize(("opener", "closer"), TAGS)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_thoughts_in_tags_of_any_spelling_are_thoughts_wherever_they_are_cut(
    opener: str, closer: str, size: int
) -> None:
    for text in (
        f"{opener}\nlet me see{closer}\n\nHello",
        f"\n{opener.upper()}let me see{closer}Hello",
    ):
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        assert split(*pieces) == parted(text) == ("let me see", "Hello")


@pytest.mark.parametrize(
    ("text", "thought", "words"),
    [
        ("<think>never closed", "never closed", ""),
        ("<think></think>\n\nHello", "", "Hello"),
        ("<think>a</think>\n<think>b</think>c", "ab", "c"),
        ("<think>is a</th tag</think>b", "is a</th tag", "b"),
        ("<b>Hello</b>", "", "<b>Hello</b>"),
        ("  Hello <think>x</think>", "", "  Hello <think>x</think>"),
        ("a < b", "", "a < b"),
        ("<", "", "<"),
        ("\n", "", "\n"),
    ],
)
def test_only_what_stands_in_tags_at_the_beginning_is_thought(
    text: str, thought: str, words: str
) -> None:
    assert split(*text) == split(text) == (thought, words)


@pytest.mark.parametrize(
    ("text", "thought", "words"),
    [
        ("let me see\n</think>\n\nHello", "let me see", "Hello"),
        ("let me see</think>Hello", "let me see", "Hello"),
        ("let me see[/THINK]Hello", "let me see", "Hello"),
        ("a</think><think>b</think>c", "a\n\nb", "c"),
        ("</think>\nHello", "", "Hello"),
        ("Close it with `</think>`.", "", "Close it with `</think>`."),
        ('Close it with "</think>".', "", 'Close it with "</think>".'),
        ("```\n<x>\n</think>\n```", "", "```\n<x>\n</think>\n```"),
        ("A <think>pair</think> here", "", "A <think>pair</think> here"),
        ("Hello", "", "Hello"),
    ],
)
def test_without_an_opening_tag_what_stands_before_the_closing_one_is_thought(
    text: str, thought: str, words: str
) -> None:
    assert parted(text) == (thought, words)


def test_endless_white_space_is_not_held_for_ever() -> None:
    splitter = Splitter()
    assert "".join(text for _ in range(100) for _, text in splitter.feed(" " * 100))


@given(
    st.lists(
        st.sampled_from(["<think>", "</think>", "<", ">", "think", "İ", "a", " ", "\n", "`"])
        | st.text(max_size=3)
    ),
    st.integers(1, 5),
)
def test_any_cutting_says_the_same_and_no_word_is_lost(parts: list[str], size: int) -> None:
    text = "".join(parts)
    found = split(*(text[at : at + size] for at in range(0, len(text), size)))
    assert found == split(text)
    kept = [char for said in found for char in said if not char.isspace()]
    stripped = [char for char in text if not char.isspace()]
    if not text.lstrip().startswith("<think>"):
        assert kept == stripped
