"""What a model thinks, where its server leaves it in the words of the answer: told apart by the tags around it.

Rules: thoughts stand at the beginning, between tags of one of the `TAGS`, in any case; several blocks may follow each
other. Where the closing tag is missing, all of it is thought. Some servers leave the opening tag out: then what stands
before the closing one is thought, unless the tag is quoted, as in an answer that speaks about tags. White space around
tags and thoughts is nobody's words.
"""

import re
from collections.abc import Iterator

TAGS: tuple[tuple[str, str], ...] = (
    *((f"<{name}>", f"</{name}>") for name in ("think", "thinking", "thought", "thoughts")),
    *((f"<{name}>", f"</{name}>") for name in ("reasoning", "reason", "seed:think", "antthinking")),
    ("[think]", "[/think]"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|channel|>analysis<|message|>", "<|start|>assistant<|channel|>final<|message|>"),
    ("◁think▷", "◁/think▷"),
)
_CLOSERS: dict[str, str] = dict(TAGS)
_TAG_CHARS_MAX = max(map(len, _CLOSERS))
_TAG = {tag: re.compile(re.escape(tag), re.IGNORECASE) for pair in TAGS for tag in pair}
_CLOSING = re.compile("|".join(re.escape(closer) for _, closer in TAGS), re.IGNORECASE)
_HELD_CHARS_MAX = 4_096
"""So much white space may stand before the first word or tag."""
_QUOTES = frozenset("`'\"\u201c\u201d\u2018\u2019\u00ab\u00bb")


class Splitter:
    """Tells thoughts from words in an answer that comes in pieces, cut at any place."""

    def __init__(self) -> None:
        self._held = ""
        self._closer: str | None = None
        self._tagged = self._thought = self._words = False

    def feed(self, piece: str) -> Iterator[tuple[bool, str]]:
        """What the piece completes: whether it is thought, and the text. The beginning of a tag waits for its end."""
        if self._words:
            yield False, piece
            return
        self._held += piece
        while self._held:
            if self._closer is not None:
                found = _TAG[self._closer].search(self._held)
                waits = _begun(self._held, self._closer) if found is None else 0
                end = found.start() if found else len(self._held) - waits
                thought = self._held[:end] if self._thought else self._held[:end].lstrip()
                if thought:
                    self._thought = True
                    yield True, thought
                if found is None:
                    self._held = self._held[end:]
                    return
                self._held, self._closer = self._held[found.end() :], None
            elif opener := _opened(self._held):
                self._closer, self._tagged = _CLOSERS[opener], True
                self._held = self._held.lstrip()[len(opener) :]
            else:
                start = self._held.lstrip()[:_TAG_CHARS_MAX].lower()
                waits = any(tag.startswith(start) for tag in _CLOSERS)
                if waits and len(self._held) <= _HELD_CHARS_MAX:
                    return
                yield from self.close()

    def close(self) -> Iterator[tuple[bool, str]]:
        """What waited for more that did not come."""
        held, self._held = self._held, ""
        if self._closer is None:
            self._words = True
            held = held.lstrip() if self._tagged else held
        if held:
            yield self._closer is not None, held


def parted(text: str) -> tuple[str, str]:
    """The thoughts and the words of a whole answer, whose thoughts may have lost their opening tag."""
    before = ""
    if _opened(text) is None:
        closing = _CLOSING.search(text)
        if closing is None or not _unopened(text, closing):
            return "", text
        before, text = text[: closing.start()].strip(), text[closing.end() :].lstrip()
    splitter = Splitter()
    parts = [*splitter.feed(text), *splitter.close()]
    thought = "".join(part for thinks, part in parts if thinks).strip()
    words = "".join(part for thinks, part in parts if not thinks)
    return "\n\n".join(filter(None, (before, thought))), words


def _unopened(text: str, closing: re.Match[str]) -> bool:
    """Whether a closing tag was never opened, and is not quoted."""
    at, end = closing.span()
    opener = next(opener for opener, closer in TAGS if closer == closing[0].lower())
    quoted = text.count("`", 0, at) % 2 or _QUOTES & {text[at - 1 : at], text[end : end + 1]}
    return not quoted and _TAG[opener].search(text, 0, at) is None


def _opened(text: str) -> str | None:
    """The opening tag with which a text begins."""
    start = text.lstrip()[:_TAG_CHARS_MAX].lower()
    return next((tag for tag in _CLOSERS if start.startswith(tag)), None)


def _begun(text: str, tag: str) -> int:
    """How many characters at the end of a text may be the beginning of a tag."""
    end = text[1 - len(tag) :].lower()
    return next((n for n in range(min(len(end), len(tag) - 1), 0, -1) if end.endswith(tag[:n])), 0)
