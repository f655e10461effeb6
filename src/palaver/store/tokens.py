"""The tokens of a text: what the search index holds of a message, the same for every engine.

A text is folded first (`fold`): compatibility forms and width made one (NFKC), format characters such as soft hyphens
and joiners left out, and marks stripped where the base is Latin, Greek or Cyrillic; in kana, Thai or Devanagari they
are letters. Case is kept, because it says where words begin, and folded in the tokens. Then:

- *Words* are runs of letters and digits: a token each, and one for each part where case (`getUserName`) or digits
  (`gpt4`) make several.
- *Runs* of scripts written without spaces are their overlapping pairs, and their last character alone: whatever is
  asked for, however short, begins a token.
- An *emoji* is a token.

Everything else separates, `_` as well as `.`, `/`, `-` and `:`. Names joined by them (`get_user_name`, `a.b/c`) have no
token as a whole, which would double them in the index: the whole is all of its parts, and the matcher of a search sees
that they stand together.

Every token comes of letters, digits, marks and emoji: none holds a blank, a quote, a surrogate or a character of
private use, so those may mean something of their own in an index.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import pairwise
from typing import Literal

from msgspec import Struct

from palaver.marks import all_marks, few_marks

TOKENS_VERSION = f"1/{unicodedata.unidata_version}"
"""Of these rules, and of the Unicode tables that they read: an index of another version is made anew."""
TOKEN_CHARS_MAX = 64
"""Longer tokens are cut."""
FOLDED_CHARS_MAX = 130_000
"""So much of a text, folded, is looked at, here and by the matcher: it makes at most 8 bytes of tokens a character,
and 1 MB in all is what a `tsvector` holds."""
_GROWTH_MAX = 4
"""A text in NFD has at most so many times its characters."""

_RUN = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ebd\u0ec0-\u0ecd\u0edc-\u0edf"  # Thai, Lao
    "\u1000-\u103f\u1050-\u108f\u109a-\u109d\ua9e0-\ua9ef\ua9fa-\ua9fe\uaa60-\uaa76\uaa7a-\uaa7f"  # Myanmar
    "\u1780-\u17d3\u17d7\u17dc\u17dd"  # Khmer
    "\u1100-\u11ff\u3131-\u318e\ua960-\ua97c\uac00-\ud7a3\ud7b0-\ud7fb"  # Hangul
    "\u3041-\u309a\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\U0001aff0-\U0001b16f"  # kana
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3038-\u303b\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # Han
    "\U00020000-\U0003fffd"  # more Han
)
_EMOJI = "\u2300-\u2307\u230c-\u23ff\u2600-\u2767\u2776-\u27bf\u2b00-\u2bff\U0001f000-\U0001fbff"
_UNSEEN = (  # says how its neighbours look, and is no character of a word
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff"
)
_BASE = (
    "0-9A-Za-z\u00aa-\u02af\u1d00-\u1dbf\u1e00-\u1eff\u2c60-\u2c7f\ua722-\ua7ff\uab30-\uab64"
    "\u0370-\u03ff\u1f00-\u1fff\u0400-\u0482\u048a-\u052f\u1c80-\u1c8f\ua640-\ua66e\ua680-\ua69d"
)

_ASCII_WORD = re.compile("([A-Za-z0-9]+)")
_FORMATTING = re.compile(f"[{_UNSEEN}]+")
_BLANK = re.compile(r"\s+")
_GAP = re.compile(rf"(?:_|[^\w{_RUN}{_EMOJI}])+")

Kind = Literal["word", "run", "emoji"]
_KINDS: tuple[Kind, ...] = ("word", "word", "run", "emoji")


class Unit(Struct, frozen=True):
    """What a query asks for between two separators, in folded letters. `tight`: joined to the one before it.

    `prefix`: words that begin with it.
    """

    text: str
    kind: Kind
    tight: bool = False
    prefix: bool = False


class Term(Struct, frozen=True):
    """What must be in the index of a text; `prefix`: a token that begins with it."""

    text: str
    prefix: bool = False


def ready() -> None:
    """Makes what is made once, for texts of more than ASCII: it takes as long as many texts do."""
    _classes()


def tokens(text: str) -> list[str]:
    """The tokens of any text, each once, in the order in which they come."""
    cased = fold(text)
    if cased.isascii():
        return list(dict.fromkeys(_tokens_of(_ASCII_WORD.findall(cased))))
    found: dict[str, None] = {}
    words: list[str] = []
    for word, run, emoji in _classes().unit.findall(cased):
        if word:
            words.append(word)
        elif run:
            found.update(dict.fromkeys(map("".join, pairwise(run))))
            found[run[-1]] = None
        else:
            found[emoji] = None
    return list(dict.fromkeys(_tokens_of(words)) | found)


def units(text: str, *, prefix: bool = False) -> tuple[Unit, ...]:
    """What a piece of a query asks for, in its order. `prefix`: its last word may go on."""
    cased, end = fold(text), 0
    found: list[Unit] = []
    for match in _scanner(cased).finditer(cased):
        gap = cased[end : match.start()]
        tight = bool(found) and gap != "" and not any(map(str.isspace, gap))
        found.append(Unit(match[0].casefold(), _KINDS[match.lastindex or 0], tight))
        end = match.end()
    if prefix and found and found[-1].kind == "word" and len(found[-1].text) > 1:
        found[-1] = Unit(found[-1].text, "word", found[-1].tight, prefix=True)
    return tuple(found)


def terms_of(wanted: Sequence[Unit]) -> list[Term]:
    """What must be in the index of each text in which these units stand, in whatever order."""
    terms: list[Term] = []
    for unit in wanted:
        if unit.kind != "run":
            terms.append(Term(unit.text[:TOKEN_CHARS_MAX], unit.prefix))
        elif len(unit.text) == 1:
            terms.append(Term(unit.text, prefix=True))
        else:
            terms += map(Term, map("".join, pairwise(unit.text)))
    return list(dict.fromkeys(terms))


def fold(text: str) -> str:
    """The beginning of a text as it is compared, but for case: `casefold` of it has as many characters.

    Folding the `pieces` of a text one by one gives the same.
    """
    if text.isascii():
        return text[:FOLDED_CHARS_MAX]
    text = _FORMATTING.sub("", text[: _GROWTH_MAX * FOLDED_CHARS_MAX])
    text = unicodedata.normalize("NFKC", few_marks(text))
    text = _classes().accents.sub("", unicodedata.normalize("NFD", text))
    text = unicodedata.normalize("NFC", text)
    return text.replace("ß", "ss").replace("ẞ", "SS")[:FOLDED_CHARS_MAX]


def pieces(text: str, start: int = 0) -> Iterator[re.Match[str]]:
    """A text in pieces that fold by themselves: plain stretches (ASCII, folded one to one), and single characters.

    `start`: where one begins.
    """
    return _classes().piece.finditer(text, start)


def piece_start(text: str, start: int) -> int:
    """Where a text may be cut, so that both parts fold by themselves; its end, if nowhere from there on."""
    found = _classes().alone.search(text, start)
    return len(text) if found is None else found.start()


def words(cased: str, start: int, end: int) -> Iterator[tuple[int, int, bool]]:
    """Where words between two blanks of a folded text begin and end (True), and their parts (False)."""
    for match in _scanner(cased).finditer(cased, start, end):
        if match.lastindex == 1:
            first = match.start()
            yield first, match.end(), True
            for low, high in _parts(match[0]):
                yield first + low, first + high, False


def gap_end(cased: str, start: int) -> int:
    """Where what only separates ends in a folded text."""
    gap = _GAP.match(cased, start)
    return start if gap is None else gap.end()


def gaps_of(cased: str) -> Iterator[tuple[int, int]]:
    """Where what only separates begins and ends in a folded text."""
    end = 0
    for match in _scanner(cased).finditer(cased):
        yield end, match.start()
        end = match.end()
    yield end, len(cased)


def blanks_of(cased: str) -> Iterator[tuple[int, int]]:
    """Where the blanks in it begin and end."""
    return (blank.span() for blank in _BLANK.finditer(cased))


def _tokens_of(found: list[str]) -> Iterator[str]:
    for word in dict.fromkeys(found):
        folded = word.casefold()
        yield folded[:TOKEN_CHARS_MAX]
        for low, high in _parts(word):
            yield folded[low:high][:TOKEN_CHARS_MAX]


def _parts(word: str) -> Iterable[tuple[int, int]]:
    """Where the parts of a word begin and end, if it has several."""
    if word.isalpha() and (word.islower() or word.istitle()):
        return ()
    inner = [
        at
        for at, (left, right) in enumerate(pairwise(word), 1)
        if (left.islower() and right.isupper()) or left.isdecimal() != right.isdecimal()
    ]
    return pairwise([0, *inner, len(word)]) if inner else ()


def _scanner(cased: str) -> re.Pattern[str]:
    return _ASCII_WORD if cased.isascii() else _classes().unit


class _Classes(Struct, frozen=True):
    """What is asked of texts in more than ASCII.

    `unit`: a word, a run or an emoji; `accents`: marks that are no letters; `piece`: see `pieces`; `alone`: a character
    that does not become one with what is before it.
    """

    unit: re.Pattern[str]
    accents: re.Pattern[str]
    piece: re.Pattern[str]
    alone: re.Pattern[str]


@cache
def _classes() -> _Classes:
    """Made once: there are many marks."""
    run, marks = re.compile(f"[{_RUN}]"), all_marks()
    # What is looked for first is cheap to ask for; what comes after it is not.
    plain, letter = "0-9A-Za-z\u00df-\u00f6\u00f8-\u024f", rf"[^\W_{_RUN}{_EMOJI}]"
    inner = rf"(?![\x00-\u02ff])[{run.sub('', marks)}]"
    word = rf"(?:[{plain}]+|{letter}+)(?:[{plain}]+|(?![\x00-\xbf]){letter}+|{inner}+)*"
    # what may become one with the character before it
    joined = rf"(?![\w\x00-\xac])[{marks}{_UNSEEN}]"
    joined += r"|[\u0e33\u0eb3\u115f-\u11ff\u3131-\u318e\ud7b0-\ud7fb\uff9e\uff9f\uffa0-\uffdc]"
    return _Classes(
        unit=re.compile(f"({word})|([{_RUN}]+)|([{_EMOJI}])"),
        accents=re.compile(rf"(?<=[{_BASE}])(?![\w\x00-\u02ff])[{marks}]+"),
        piece=re.compile(rf"[\x00-\x7f]+(?!{joined})|(?s:.)(?:{joined})*"),
        alone=re.compile(rf"(?!{joined})(?s:.)"),
    )
