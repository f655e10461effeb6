"""Queries: what somebody types into a search, read.

No query is a syntax error. An unclosed quote reaches to the end; an operator that is unknown, or whose value is none of
its, is a word as it stands; `AND`, `NEAR(` and the like are words. What has no letter, digit or emoji (`=>`) is nothing
beside words, and else looked for as it stands, which no index helps with (`Query.scans`).

Several `from:` or `in:` mean any of them, everything else all of them. Whom and which room a value names is for others
to find out. A date is a day, month or year of the asker's, without those around it: `after:2026` begins in 2027.
"""

import re
from calendar import monthrange
from collections.abc import Sequence
from datetime import date
from enum import StrEnum

from msgspec import Struct

from palaver.errors import Code, Refused
from palaver.store.tokens import Term, Unit, fold, terms_of, units

QUERY_CHARS_MAX = 500
TERMS_MAX = 32
"""Words, also those of phrases, and operators."""

Phrase = tuple[Unit, ...]
"""One word, or several that stand together."""

_DAY_MS = 86_400_000
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_QUOTES = str.maketrans(dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb\uff02", '"'))
_ITEM = re.compile(
    r"""(?P<no>-(?=[^\s-]))?"""
    r"""(?:(?P<key>[A-Za-z]+):(?:"(?P<quoted>[^"]*)"?|(?P<value>[^\s"]+))"""
    r"""|"(?P<phrase>[^"]*)"?|(?P<word>[^\s"]+))"""
)
_UNNAMED = re.compile("[\0\ud800-\udfff]")
_DATE = re.compile("([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2}))?)?")
_AGO = re.compile("([0-9]{1,4})([dw])")


class Trait(StrEnum):
    """What a message has (`has:`) or is (`is:`)."""

    LINK = "link"
    CODE = "code"
    FILE = "file"
    TOOL = "tool"
    THOUGHT = "thought"
    EDITED = "edited"
    FAILED = "failed"
    PINNED = "pinned"
    STARRED = "starred"
    REACTION = "reaction"


_TRAITS = {
    "has": {Trait.LINK, Trait.CODE, Trait.FILE, Trait.TOOL, Trait.THOUGHT, Trait.REACTION},
    "is": {Trait.EDITED, Trait.FAILED, Trait.PINNED, Trait.STARRED},
}
MARKS = frozenset({Trait.PINNED, Trait.STARRED, Trait.REACTION})
"""Traits that others give to a message, or the asker: the store knows them."""


class Query(Struct, frozen=True, kw_only=True):
    """What is looked for: texts with all that is `wanted` and nothing `unwanted`, among the messages that are named.

    `literals`: folded texts to look for instead, where no word is wanted. `since_ms` ≤ a message's time < `until_ms`.
    """

    wanted: tuple[Phrase, ...] = ()
    unwanted: tuple[Phrase, ...] = ()
    literals: tuple[str, ...] = ()
    authors: tuple[str, ...] = ()
    rooms: tuple[str, ...] = ()
    traits: frozenset[Trait] = frozenset()
    since_ms: int | None = None
    until_ms: int | None = None

    @property
    def scans(self) -> bool:
        """Whether no index knows which texts to look at."""
        return bool(self.literals)

    @property
    def terms(self) -> list[Term]:
        """What must be in the index of a text to be found."""
        return terms_of([unit for phrase in self.wanted for unit in phrase])


def parse(text: str, *, now_ms: int, offset_minutes: int = 0) -> Query:
    """The query that a text is, to somebody whose clock is `offset_minutes` ahead of UTC. Refused: `query_too_long`."""
    if len(text) > QUERY_CHARS_MAX:
        raise _too_long()
    reader = _Reader(now_ms, offset_minutes * 60_000)
    for item in _ITEM.finditer(text.translate(_QUOTES)):
        reader.take(item)
    return reader.query()


class _Reader:
    """The parts of a query so far."""

    def __init__(self, now_ms: int, ahead_ms: int) -> None:
        self._now_ms, self._ahead_ms = now_ms, ahead_ms
        self._wanted: list[Phrase] = []
        self._unwanted: list[Phrase] = []
        self._literals: list[str] = []
        self._named: dict[str, list[str]] = {"from": [], "in": []}
        self._traits: set[Trait] = set()
        self._since: list[int] = []
        self._until: list[int] = []
        self._terms = 0

    def take(self, item: re.Match[str]) -> None:
        """One more part."""
        if item["key"] and not item["no"]:
            value = item["value"] if item["quoted"] is None else item["quoted"].strip()
            if self._operator(item["key"].lower(), value):
                return self._count(1)
        said = item[0] if item["phrase"] is None else item["phrase"]
        phrase = units(said, prefix=item["phrase"] is None and said.endswith("*"))
        literal = fold(said).casefold().strip()
        if phrase:
            (self._unwanted if item["no"] else self._wanted).append(phrase)
        elif literal and (item["phrase"] is None or not item["no"]):
            self._literals.append(literal)
        return self._count(len(phrase) or 1)

    def query(self) -> Query:
        """All of them."""
        return Query(
            wanted=tuple(self._wanted),
            unwanted=tuple(self._unwanted),
            literals=() if self._wanted else tuple(self._literals),
            authors=tuple(self._named["from"]),
            rooms=tuple(self._named["in"]),
            traits=frozenset(self._traits),
            since_ms=max(self._since, default=None),
            until_ms=min(self._until, default=None),
        )

    def _count(self, terms: int) -> None:
        self._terms += terms
        if self._terms > TERMS_MAX:
            raise _too_long()

    def _operator(self, key: str, value: str) -> bool:
        """Whether this is an operator with a value of its own; it is taken then."""
        match key:
            case "from" | "in" if value and not _UNNAMED.search(value):
                self._named[key].append(value)
            case "has" | "is" if value.lower() in _TRAITS[key]:
                self._traits.add(Trait(value.lower()))
            case "before" | "after" | "on" if period := self._period(key, value.lower()):
                start, end = period
                if key != "before":
                    self._since.append(start if key == "on" else end)
                if key != "after":
                    self._until.append(end if key == "on" else start)
            case _:
                return False
        return True

    def _period(self, key: str, value: str) -> Sequence[int] | None:
        """When a date begins and ends. So long ago is a moment, or the day of it (`on:`)."""
        now_ms = self._now_ms
        if ago := _AGO.fullmatch(value):
            now_ms -= int(ago[1]) * (7 if ago[2] == "w" else 1) * _DAY_MS
            if key != "on":
                return now_ms, now_ms
        today = (now_ms + self._ahead_ms) // _DAY_MS
        if ago or value == "today":
            days = today, today + 1
        elif value == "yesterday":
            days = today - 1, today
        elif not (days := _days(value)):
            return None
        return [day * _DAY_MS - self._ahead_ms for day in days]


def _days(value: str) -> tuple[int, int] | None:
    """The days since 1970 at which a date begins and has ended."""
    found = _DATE.fullmatch(value)
    if found is None:
        return None
    year, month, day = (int(part) if part else None for part in found.groups())
    assert year is not None, "it is there where anything is"
    try:
        first = date(year, month or 1, day or 1)
        last = date(year, month or 12, day or monthrange(year, month or 12)[1])
    except ValueError:  # no such month or day
        return None
    return first.toordinal() - _EPOCH_DAY, last.toordinal() + 1 - _EPOCH_DAY


def _too_long() -> Refused:
    return Refused(
        Code.QUERY_TOO_LONG,
        f"A search has at most {QUERY_CHARS_MAX} characters, and {TERMS_MAX} words and operators.",
    )
