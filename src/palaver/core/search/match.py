"""The matcher: whether a message is what a query asks for, and where. The index proposes, and this decides.

It reads the text that is stored, in the tokens of the index (`store/tokens`), so it is the same for every engine and
finds nothing that an index would not propose. A word stands in a text as a word or as a part of one; what is written
without spaces, as a piece of a run; an emoji anywhere. Words of a phrase follow each other with nothing but separators
between them, and where the query joins them (`a.b`), no blank.

It takes time in proportion to the text, and hardly more for more words: each word of a text is read once and looked up,
what follows what is asked of many places at once, and no pattern is made of a query.
Places are those of the folded text until somebody asks where that is in the original (`ranges`).

Relevance does not ask how rare a word is: every hit has every word, so that would be the same for all of them.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, islice

from msgspec import Struct

from palaver.core.search.query import Phrase, Query, Trait
from palaver.store.tokens import (
    Unit,
    blanks_of,
    fold,
    gap_end,
    gaps_of,
    piece_start,
    pieces,
    words,
)

RANGES_MAX = 100
_FEW = 64
"""So many places where a phrase may begin are looked at one by one."""
_SKIPPED_CHARS = (4_000, 60)
_GROWTH_MAX = 18
"""A character folds to so many, at most (U+FDFA)."""
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


def ranges(text: str, found: Match, chars: int | None = None) -> tuple[Range, ...]:
    """The places of a hit in the original text; a character that folds to several is in them as a whole.

    `chars`: those alone that begin less than so many folded characters behind the first one.
    """
    if text.isascii() or not found.places:
        return found.places
    first = found.places[0][0]
    places = [one for one in found.places if chars is None or one[0] < first + chars]
    skipped, passed = _skipped(text, first)
    starts: list[int] = []
    ends: list[int] = []
    for piece in pieces(text, skipped):
        low, high = piece.span()
        if piece[0].isascii():
            starts += range(low, high)
            ends += range(low + 1, high + 1)
        else:
            made = len(fold(piece[0]))
            starts += [low] * made
            ends += [high] * made
        if len(starts) >= places[-1][1] - passed:
            break
    return _merged((starts[start - passed], ends[end - 1 - passed]) for start, end in places)


def _skipped(text: str, until: int) -> tuple[int, int]:
    """How much of a text folds by itself before so many folded characters, and to how many, about."""
    skipped, passed = 0, 0
    for chars in _SKIPPED_CHARS:
        while (end := piece_start(text, skipped + chars)) < len(text):
            made = len(fold(text[skipped:end]))
            if passed + made > until:
                break
            skipped, passed = end, passed + made
    return skipped, passed


def snippet(text: str, found: Match, chars: int = 240) -> Snippet:
    """So many characters of a text, at most, from a little before its first hit, cut between words if there are any."""
    places = ranges(text, found, _GROWTH_MAX * chars)
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


_Places = dict[int, tuple[int, bool]]
"""Of a word, by where it begins: where it ends, and whether it is a whole one."""


class _Text:
    """Where words and phrases stand in a folded text.

    Sets of places are numbers, a bit for each place and one for the end, the first place highest: what follows what is
    asked of all places at once, in a few steps for each word of a phrase, however often they stand in a text.
    """

    def __init__(self, cased: str) -> None:
        self._cased, self.folded = cased, cased.casefold()
        self._edges: list[int] = []
        """Blanks, some way apart from each other: words are read from one to the next, once."""
        self._read: dict[int, dict[str, list[tuple[int, int, bool]]]] = {}
        self._words: dict[tuple[str, bool], _Places] = {}
        self._bits: dict[str, int] = {}
        self._gaps: dict[int, tuple[int, bool]] = {}
        """By where it begins: where what only separates ends, and whether a blank is in it."""

    def hits(self, phrase: Phrase) -> Iterator[tuple[int, int, bool]]:
        """Where a phrase begins and ends, and whether in whole words."""
        first, *others = phrase
        places = self._of(first)
        if others:
            few = list(islice(places, _FEW + 1))
            places = few if len(few) <= _FEW else self._among(self._begins(phrase), first)
        for start, end, whole in places:
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
        if (unit.tight and blank) or not self.folded.startswith(unit.text, start):
            return None
        if unit.kind == "word":
            return self._words_like(unit).get(start)
        return start + len(unit.text), False

    def _begins(self, phrase: Phrase) -> int:
        """Where a phrase begins, from its last word to its first."""
        following, tight = self._places(phrase[-1]), phrase[-1].tight
        for unit in reversed(phrase[:-1]):
            before = self._before(following, tight=tight)
            following = self._ending(unit, before)
            tight = unit.tight
        return following

    def _ending(self, unit: Unit, places: int) -> int:
        """Where a word or a piece of a run begins that ends at one of these places."""
        if not unit.prefix:
            return self._places(unit) & (places << len(unit.text))
        there = f"{places:0{len(self.folded) + 1}b}"
        like = self._words_like(unit).items()
        return self._bits_of((at, at + 1) for at, (end, _) in like if there[end] == "1")

    def _before(self, places: int, *, tight: bool) -> int:
        """The places, and where the gaps before them begin; `tight`: those that have a blank are none."""
        gaps = self._set("gaps", lambda: gaps_of(self._cased))
        # One more at its lower end, and the ones of a gap become zeros, with a one above them.
        through = ((gaps + ((places << 1) & gaps)) & ~gaps) >> 1
        if tight:
            blanks = self._set("blanks", lambda: blanks_of(self._cased))
            through &= ~(((gaps + blanks) & ~gaps) >> 1)
        return places | through

    def _places(self, unit: Unit) -> int:
        """Where a word or a piece of a run begins."""
        if unit.kind == "word":
            like = self._words_like(unit)
            return self._set(f"{unit.text} {unit.prefix}", lambda: ((at, at + 1) for at in like))
        found = ~0
        for at, char in enumerate(unit.text):
            found &= self._set(char, partial(self.all, char)) << at
        return found

    def _set(self, name: str, ranges: Callable[[], Iterable[Range]]) -> int:
        """A set of the places in ranges, made once."""
        if name not in self._bits:
            self._bits[name] = self._bits_of(ranges())
        return self._bits[name]

    def _bits_of(self, ranges: Iterable[Range]) -> int:
        digits = bytearray(b"0") * (len(self.folded) + 1)
        for start, end in ranges:
            digits[start:end] = b"1" * (end - start)
        return int(digits, 2)

    def _among(self, places: int, unit: Unit) -> Iterator[tuple[int, int, bool]]:
        """The places of a set, in order, at each of which this unit stands."""
        while places:
            top = places.bit_length()
            places ^= 1 << (top - 1)
            start = len(self.folded) + 1 - top
            if unit.kind == "word":
                yield start, *self._words_like(unit)[start]
            else:
                yield start, start + len(unit.text), False

    def _words_like(self, unit: Unit) -> "_Places":
        key = unit.text, unit.prefix
        if key not in self._words:
            places = self._words[key] = dict[int, tuple[int, bool]]()
            for low, high, whole in self._around(unit):
                places.setdefault(low, (high, whole))
        return self._words[key]

    def _around(self, unit: Unit) -> Iterator[tuple[int, int, bool]]:
        """Where a word stands, or one that begins so, and whether as a whole; read around where it may stand."""
        if not self._edges:
            edge = 0
            while edge >= 0:
                self._edges.append(edge)
                edge = self.folded.find(" ", edge + _AROUND_CHARS)
            self._edges.append(len(self.folded))
        at = 0
        while (at := self.folded.find(unit.text, at)) >= 0:
            part = bisect_right(self._edges, at)
            start, at = self._edges[part - 1 : part + 1]
            if start not in self._read:
                read: dict[str, list[tuple[int, int, bool]]] = {}
                for low, high, whole in words(self._cased, start, at):
                    read.setdefault(self.folded[low:high], []).append((low, high, whole))
                self._read[start] = read
            read = self._read[start]
            if unit.prefix:
                alike = [
                    (*place, word)
                    for word in read
                    if word.startswith(unit.text)
                    for place in read[word]
                ]
                alike.sort(key=lambda one: (one[0], -one[1]))  # a word comes before its parts
                yield from (
                    (low, high, whole and word == unit.text) for low, high, whole, word in alike
                )
            else:
                yield from read.get(unit.text, ())


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
