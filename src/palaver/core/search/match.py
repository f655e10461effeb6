"""The matcher: whether a message is what a query asks for, and where. The index proposes, and this decides.

It reads the text that is stored, in the tokens of the index (`store/tokens`), so it is the same for every engine and
finds nothing that an index would not propose. A word stands in a text as a word or as a part of one; what is written
without spaces, as a piece of a run; an emoji anywhere. Words of a phrase follow each other with nothing but separators
between them, and where the query joins them (`a.b`), no blank.

It takes time in proportion to the text and the words asked for: words are looked up, and no pattern is made of a query.
Places are those of the folded text until somebody asks where that is in the original (`ranges`).

Relevance does not ask how rare a word is: every hit has every word, so that would be the same for all of them.
"""

from collections.abc import Iterable, Iterator
from itertools import chain, islice

from msgspec import Struct

from palaver.core.search.query import Phrase, Query, Trait
from palaver.store.tokens import Unit, fold, gap_end, pieces, words

RANGES_MAX = 100
_AROUND_CHARS = 64
"""So much is read at once around what may be a word."""
_DAY_MS = 86_400_000

Range = tuple[int, int]
"""Where something begins and ends, in characters."""


class Facts(Struct, frozen=True, kw_only=True):
    """What a query asks of a message beside its text."""

    at_ms: int = 0
    traits: frozenset[Trait] = frozenset()


class Match(Struct, frozen=True, kw_only=True):
    """A hit: where, in the folded text (at most `RANGES_MAX`, in order, apart from each other), and how well.

    `terms`: how many words and phrases were asked for, and how many of them stand there as whole words (`whole`), not
    as parts or beginnings. `together`: there were several, and they stand side by side as in the query.
    """

    places: tuple[Range, ...] = ()
    terms: int = 0
    whole: int = 0
    together: bool = False


class Snippet(Struct, frozen=True):
    """A piece of a text, with `…` where it was cut, and the hits in it."""

    text: str
    ranges: tuple[Range, ...]


def match(query: Query, text: str, facts: Facts | None = None) -> Match | None:
    """How a message is found by a query, or None. `facts`: not asked for when None."""
    if facts is not None and not _fits(query, facts):
        return None
    seen = _Text(fold(text))
    needed = chain(query.literals, (unit.text for phrase in query.wanted for unit in phrase))
    if any(one not in seen.folded for one in needed):
        return None
    if any(any(seen.hits(phrase)) for phrase in query.unwanted):
        return None
    found = [list(islice(seen.hits(phrase), RANGES_MAX)) for phrase in query.wanted]
    if not all(found):
        return None
    literals = chain.from_iterable(islice(seen.all(one), RANGES_MAX) for one in query.literals)
    places = [(start, end) for hits in found for start, end, _ in hits]
    return Match(
        places=_merged([*places, *literals]),
        terms=len(found),
        whole=sum(any(whole for _, _, whole in hits) for hits in found),
        together=len(found) > 1 and any(seen.hits(tuple(chain.from_iterable(query.wanted)))),
    )


def stands_in(query: Query, title: str) -> bool:
    """Whether all words of a query are in a title."""
    return bool(query.wanted) and match(Query(wanted=query.wanted), title) is not None


def score(found: Match, *, in_title: bool, age_ms: int) -> float:
    """The relevance of a hit: 1 for a word, 1.5 for a whole one, 2 for their order, 1 for the title, up to 1 if new."""
    days = max(age_ms, 0) / _DAY_MS
    return found.terms + 0.5 * found.whole + 2 * found.together + in_title + 1 / (1 + days / 30)


def ranges(text: str, found: Match) -> tuple[Range, ...]:
    """The places of a hit in the original text; a character that folds to several is in them as a whole."""
    if text.isascii() or not found.places:
        return found.places
    starts: list[int] = []
    ends: list[int] = []
    for piece in pieces(text):
        low, high = piece.span()
        if piece[0].isascii():
            starts += range(low, high)
            ends += range(low + 1, high + 1)
        else:
            made = len(fold(piece[0]))
            starts += [low] * made
            ends += [high] * made
        if len(starts) >= found.places[-1][1]:
            break
    return _merged((starts[start], ends[end - 1]) for start, end in found.places)


def snippet(text: str, found: Match, chars: int = 240) -> Snippet:
    """So many characters of a text, at most, from a little before its first hit, cut between words if there are any."""
    places = ranges(text, found)
    first, first_end = places[0] if places else (0, 0)
    start = max(0, min(first - chars // 3, len(text) - chars))
    if 0 < start < first:
        start = next((at + 1 for at in range(start - 1, first) if text[at].isspace()), start)
    end = min(len(text), start + chars)
    if first_end < end < len(text):
        end = next((at for at in range(end, first_end, -1) if text[at].isspace()), end)
    before, after = "…" * (start > 0), "…" * (end < len(text))
    moved = len(before) - start
    return Snippet(
        before + text[start:end] + after,
        tuple((low + moved, min(high, end) + moved) for low, high in places if low < end),
    )


class _Text:
    """Where words and phrases stand in a folded text."""

    def __init__(self, cased: str) -> None:
        self._cased, self.folded = cased, cased.casefold()
        self._words: dict[tuple[str, bool], _Places] = {}
        self._gaps: dict[int, tuple[int, bool]] = {}
        """By where it begins: where what only separates ends, and whether a blank is in it."""

    def hits(self, phrase: Phrase) -> Iterator[tuple[int, int, bool]]:
        """Where a phrase begins and ends, and whether in whole words."""
        first, *others = phrase
        for start, end, whole in self._of(first):
            reached = end, whole
            for unit in others:
                followed = self._after(reached[0], unit)
                if followed is None:
                    break
                reached = followed[0], reached[1] and followed[1]
            else:
                yield start, *reached

    def all(self, literal: str) -> Iterator[Range]:
        """Where a text stands, letter for letter."""
        start = -1
        while (start := self.folded.find(literal, start + 1)) >= 0:
            yield start, start + len(literal)

    def _of(self, unit: Unit) -> Iterator[tuple[int, int, bool]]:
        if unit.kind == "word":
            return ((start, *place) for start, place in self._words_like(unit).items())
        return ((start, end, False) for start, end in self.all(unit.text))

    def _after(self, end: int, unit: Unit) -> tuple[int, bool] | None:
        """Where what comes next ends, if it is this."""
        if end not in self._gaps:
            start = gap_end(self._cased, end)
            self._gaps[end] = start, any(map(str.isspace, self._cased[end:start]))
        start, blank = self._gaps[end]
        if unit.tight and blank:
            return None
        if unit.kind == "word":
            return self._words_like(unit).get(start)
        if self.folded.startswith(unit.text, start):
            return start + len(unit.text), False
        return None

    def _words_like(self, unit: Unit) -> "_Places":
        key = unit.text, unit.prefix
        if key not in self._words:
            self._words[key] = dict[int, tuple[int, bool]]()
            self._look(unit, self._words[key])
        return self._words[key]

    def _look(self, unit: Unit, places: "_Places") -> None:
        """Read the words around each place that may be one, from blank to blank."""
        end = 0
        while (at := self.folded.find(unit.text, end)) >= 0:
            start = max(end, self.folded.rfind(" ", end, at))
            end = self.folded.find(" ", at + _AROUND_CHARS)
            end = len(self.folded) if end < 0 else end
            for low, high, whole in words(self._cased, start, end):
                word = self.folded[low:high]
                same = word == unit.text
                if same or (unit.prefix and word.startswith(unit.text)):
                    places.setdefault(low, (high, same and whole))  # a word comes before its parts


_Places = dict[int, tuple[int, bool]]
"""Of a word, by where it begins: where it ends, and whether it is a whole one."""


def _fits(query: Query, facts: Facts) -> bool:
    since_ms, until_ms = query.since_ms, query.until_ms
    return (
        query.traits <= facts.traits
        and (since_ms is None or since_ms <= facts.at_ms)
        and (until_ms is None or facts.at_ms < until_ms)
    )


def _merged(places: Iterable[Range]) -> tuple[Range, ...]:
    """The first places, in order; those that touch or overlap are one."""
    merged: list[Range] = []
    for start, end in sorted(places):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return tuple(merged[:RANGES_MAX])
