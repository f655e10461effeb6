"""Combining marks: which there are, and a text with no more of them in a row than can be sorted quickly."""

import re
import unicodedata
from functools import cache

MARKS_MAX = 30
"""More marks than this in a row are cut, as Unicode's stream-safe text has it: sorting them takes quadratic time."""

_MANY = re.compile(rf"[^\w\x00-\u02ff]{{{MARKS_MAX}}}")


def few_marks(text: str) -> str:
    """A text to normalise: at most `MARKS_MAX` marks stand in a row, also of the letters that become marks."""
    text = text.replace("\uff9e", "\u3099").replace("\uff9f", "\u309a")
    return _too_many().sub(r"\1", text) if _MANY.search(text) else text


@cache
def all_marks() -> str:
    """All marks, read off this Python's Unicode tables: regular expressions know letters, but no marks."""
    return "".join(
        char for char in map(chr, range(0x300, 0x20000)) if unicodedata.category(char)[0] == "M"
    )


@cache
def _too_many() -> re.Pattern[str]:
    marks = all_marks()
    return re.compile(rf"([{marks}]{{{MARKS_MAX}}})[{marks}]+")
