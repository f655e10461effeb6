r"""Renders who said what in a room of several, so that nobody can speak for somebody else. No room and no network here.

What each one said stands below a line that only the server writes, `@handle (kind):`. A line of theirs that looks like
one, to whom letters that look alike and letters that are not seen are the same, gets a `\` in front; so does one that
begins with `\` already. So what is rendered can be parsed back, whatever was said. An agent's own words have no header,
and a `\` only where a line, behind any `\`, looks like one: a program may have said them for it, and it writes what it
reads. An answer goes the other way: the line with its agent's own handle is cut, and one with another's ends it.
"""

import re
import unicodedata
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from palaver.errors import ProviderError
from palaver.marks import few_marks
from palaver.providers.base import Done, Piece, TextPiece

OTHER_SPEAKER = "other_speaker"
"""How an answer ended that went on with the words of somebody else."""
HELD_CHARS_MAX = 80
"""So much of a line is held back while it may become a header."""

_BREAKS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
"""Where `str.splitlines` ends a line."""
_LINE = re.compile(rf"[^{_BREAKS}]*(?:\r\n|[{_BREAKS}])?")
_AT = re.compile("[@\uff20\ufe6b]")
"""What an @ may be written as."""
_UNSEEN = frozenset({"Cc", "Cf", "Mn"})
_FILLERS = frozenset("\u115f\u1160")
_BRACKETS = {"Ps": "(", "Pe": ")"}
_HEADER = re.compile(r"@([a-z0-9][a-z0-9._~-]*) \((person|guest|agent|system)\):")
_SPOKEN_HEADER = re.compile(
    r"\s*@([a-z0-9][a-z0-9._~-]*) ?\((?:person|guest|agent|system)\):", re.IGNORECASE
)
_HEADER_BEGINS = re.compile(r"\s*(?:@[a-z0-9._~-]*(?: ?(?:\([a-z]{0,6}\)?)?)?)?", re.IGNORECASE)
_LIKE_HEADER = re.compile(
    r"[^\w@]*@\s*\S{1,200}?\s*[()]{1,3}\s*([^()\s](?:[^()]{0,58}?[^()\s])?)\s*[()]"
)
_KIND_CHARS_MAX = 6


class Words(Struct, frozen=True):
    """What one speaker said. `handle` is "" where no header stands before it."""

    handle: str
    kind: str
    text: str


def header(handle: str, kind: str) -> str:
    """The line below which the words of a speaker stand."""
    return f"@{handle} ({kind}):"


def escaped(text: str) -> str:
    """A text in which no line looks like a header."""
    return "".join(f"\\{line}" if _needs_escape(line) else line for line in _lines(text))


def own(text: str) -> str:
    """What an agent said itself, in which nobody else begins to speak."""
    return "".join(f"\\{line}" if _is_like_header(line) else line for line in _lines(text))


def below(header: str, text: str) -> str:
    """What somebody said, below their header."""
    return f"{header}\n{escaped(text)}"


def parts_below(header: str, parts: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    """The same of content in several parts. Each text begins a line, whatever joins them."""
    told: list[Mapping[str, Any]] = [{"type": "text", "text": f"{header}\n"}]
    begins = True
    for part in parts:
        text = part.get("text")
        if not isinstance(text, str) or not text:
            told.append(part)
            continue
        told.append({**part, "text": escaped(text) if begins else f"\n{escaped(text)}"})
        begins = text[-1] in _BREAKS
    return tuple(told)


def parse(text: str) -> list[Words]:
    """Takes apart what several said, joined by empty lines."""
    found: list[Words] = []
    lines: list[str] = []
    for line in [*_lines(text), None]:
        at = None if line is None else _HEADER.fullmatch(line.removesuffix("\n"))
        if line is not None and at is None:
            lines.append(line.removeprefix("\\"))
            continue
        said = "".join(lines)
        if found:
            said = said if line is None else said[:-2]
            found[-1] = replace(found[-1], text=said)
        elif said:
            found.append(Words("", "", said))
        if at is not None:
            found.append(Words(at[1], at[2], ""))
        lines = []
    return found


class OwnWords:
    """Passes on what an agent itself says, as it comes. `ended`: it has begun to speak for somebody else."""

    def __init__(self, handle: str) -> None:
        self._handle = handle
        self._held = ""
        self._within = False  # a line that is no header
        self._cut = False  # its own header, and nothing behind it so far
        self.ended = False

    def feed(self, piece: str) -> str:
        """What of the answer so far may be told now."""
        text, told, at = self._held + piece, "", 0
        self._held = ""
        while at < len(text) and not self.ended:
            found = _LINE.match(text, at)
            assert found is not None, "a line may be empty"
            line = found[0]
            if self._cut:  # what stands between its own header and its words
                at += len(line) - len(line.lstrip())
                self._cut = not line.strip()
                continue
            begin, whole = line[:HELD_CHARS_MAX], line[-1] in _BREAKS
            speaker = None if self._within else _SPOKEN_HEADER.match(_seen(begin))
            if speaker is not None:
                self._cut = speaker[1].lower() == self._handle
                self.ended = not self._cut
                at += _end_of_header(begin)
                continue
            undecided = not (self._within or whole) and begin == line
            if undecided and _HEADER_BEGINS.fullmatch(_seen(line)):
                self._held = line
                break
            told += line
            at += len(line)
            self._within = not whole
        return told

    def close(self) -> str:
        """What was held back in vain."""
        held, self._held = self._held, ""
        return held


async def own_words(
    pieces: AsyncGenerator[Piece, None], handle: str, model: str | None
) -> AsyncGenerator[Piece, None]:
    """The pieces of an answer in a room of several, without what the agent of this handle says for others."""
    own = OwnWords(handle)
    async with aclosing(pieces):
        try:
            async for piece in pieces:
                if isinstance(piece, TextPiece) and piece.choice == 0:
                    if words := own.feed(piece.text):
                        yield TextPiece(words)
                    if own.ended:
                        yield Done(model=model or "", finish=OTHER_SPEAKER)
                        return
                    continue
                if isinstance(piece, Done) and (words := own.close()):
                    yield TextPiece(words)
                yield piece
        except ProviderError:
            if words := own.close():
                yield TextPiece(words)
            raise
    if words := own.close():
        yield TextPiece(words)


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def _seen(line: str) -> str:
    """A line as it looks: in plain letters and brackets, without those that are not seen."""
    line = unicodedata.normalize("NFKC", few_marks(line))
    plain = [(char, unicodedata.category(char)) for char in line]
    kept = [(char, kind) for char, kind in plain if kind not in _UNSEEN and char not in _FILLERS]
    return "".join(_BRACKETS.get(kind, char) for char, kind in kept)


def _needs_escape(line: str) -> bool:
    return line.startswith("\\") or _is_like_header(line)


def _is_like_header(line: str) -> bool:
    like = _LIKE_HEADER.match(_seen(line)) if _AT.search(line) else None
    if like is None:
        return False
    words = like[1].split()
    return len(words) == 1 or len("".join(words)) <= _KIND_CHARS_MAX


def _end_of_header(line: str) -> int:
    """How much of a line that begins with a header is that header."""
    ends = (end for end in range(1, len(line) + 1) if _SPOKEN_HEADER.match(_seen(line[:end])))
    return next(ends)
