"""Takes secrets out of what is to be stored: what an expression of the setting `redact` matches becomes a mark.

Theory of operation. An expression takes out all that it matches, or only its group `secret`. Texts are looked at whole.
Of one that comes in pieces `Withheld` holds the last word back until another begins, so that a secret that is cut over
pieces is found; it gives each piece once, if only as an empty text, so that their number stays.

A mark is found no more: a second time changes nothing. What is base64 from end to end (pictures, signatures) is not
looked into, and ids of our own are left alone. How likely a model held each token is left out: it spells the text.

The built-in expressions follow what public scanners of repositories look for. They take time in proportion to the
text, and are tried on a text that has one of their words; an operator's own are tried on all.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import accumulate, pairwise
from typing import Any, TypeVar, cast

from msgspec import Struct
from msgspec.structs import asdict, replace

MARK = "[redacted]"
SECRETS = "secrets"
"""What the built-in expressions are called in the setting."""
_SWITCHES = frozenset(
    {"0", "1", "all", "false", "no", "none", "off", "on", "secret", "true", "yes"}
)
WITHHELD_CHARS_MAX = 4_096
"""So much of a running text without a space is held back, and so much of a private key looked at again."""
BEFORE_CHARS = 256
"""So much of any other text before what is held back is looked at again: a secret's name stands there."""
CLEAN_CHARS_MIN, CLEAN_MAX = 256, 20_000
"""So many longer texts without a secret are remembered: clients send the same ones again and again."""

_KINDS = "api access account auth client encryption master private secret session shared signing"
_BEFORE = "|".join(f"(?<={kind})|(?<={kind}[_-])" for kind in _KINDS.split())
_NAMES = ("key", "secret", "token", "password", "passwd", "pwd", "passphrase", "authorization")
_NAME = rf"(?:(?<=[a-z_-])(?:{_BEFORE})key|{'|'.join(_NAMES[1:])})"
_SET = rf"(?i){_NAME}(?:\\*[\"'`])?\s{{0,4}}(?:=>|:=|[:=>])\s{{0,4}}(?:(?:bearer|basic|token)\s{{1,4}})?"
_MIXED = r"(?=[^\s\"'`\\]{0,200}\d)(?=[^\s\"'`\\]{0,200}[a-z])"
_BARE = (
    rf"(?P<secret>(?![$%*./~<]){_MIXED}[\w.~+/=!@#$%^&*:-]{{6,4000}}+)"
    r"(?=[^!-~]|[\"'`\\,;)}\]<>|]|\Z)"
)
_QUOTED = rf"\\*[\"'`](?P<secret>(?![$%<{{]){_MIXED}[^\s\"'`\\]{{6,4000}}+)(?=\\*[\"'`])"
_KEY_BEGINS = "-----BEGIN "
_GAP = r"(?:\s|\\+[nr])"
_BODY = (
    rf"(?:{_GAP}*+(?:[\w-]{{3,30}}: [^\n\\]{{1,100}}|[A-Za-z0-9+/=]{{16,}}+))++"
    rf"(?:{_GAP}++[A-Za-z0-9+/=]++)*+"
)
_BUILT_IN: Sequence[tuple[Sequence[str], *tuple[str, ...]]] = (
    (("sk-",), r"\bsk-(?=[\w-]{0,200}\d)[\w-]{20,}"),
    (("plv_",), r"\bplv_[\w-]{43}"),
    (("ghp_", "gho_", "ghr_", "ghs_", "ghu_"), r"\bgh._[A-Za-z0-9]{36,}"),
    (("github_pat_", "glpat-"), r"\b(?:github_pat_|glpat-)[\w-]{20,}"),
    (("akia", "asia"), r"\bA[KS]IA[A-Z0-9]{16}\b"),
    (("xox", "xapp-"), r"\bx(?:ox[a-z]|app)-[\w-]{10,}"),
    (("hooks.slack.com/",), r"\bhooks\.slack\.com/\w+/(?P<secret>[\w/+-]{20,})"),
    (("aiza",), r"\bAIza[\w-]{35}"),
    (("gocspx-", "ya29."), r"\b(?:GOCSPX-|ya29\.)[\w-]{20,}"),
    (("sk_live_", "sk_test_", "rk_live_", "rk_test_"), r"\b.k_...._[A-Za-z0-9]{10,}"),
    (("gsk_", "xai-", "hf_", "r8_"), r"\b(?:gsk_|xai-|hf_|r8_)[A-Za-z0-9]{30,}"),
    (("npm_", "pypi-"), r"\b(?:npm_[A-Za-z0-9]{36,}|pypi-[\w-]{50,})"),
    (("sg.",), r"\bSG\.[\w-]{16,}\.[\w-]{16,}"),
    (("eyj",), r"\beyJ[\w-]{10,4000}+\.eyJ[\w-]{10,}(?:\.[\w-]*)?"),
    (
        ("-----begin ",),
        rf"{_KEY_BEGINS}[A-Z0-9 ]{{0,30}}PRIVATE KEY(?: BLOCK)?-----{_GAP}*+(?P<secret>{_BODY})",
    ),
    (("://",), r"://[^\s/:@\"'`<>\\]{0,100}:(?P<secret>(?![$<{%*\[])[^\s/@\"'`<>\\]{3,200})@"),
    (
        ("bearer", "basic"),
        r"(?i)\b\w{5,6}\s{1,4}(?P<secret>(?=[a-z.~+/_-]{0,200}\d)[\w.~+/=-]{16,})",
    ),
    (_NAMES, _SET + _QUOTED, _SET + _BARE),
    (("--",), rf"(?i)(?<![\w-])--(?=[a-z])[\w-]{{0,30}}?{_NAME}\s{{1,4}}{_BARE}"),
)
"""Words of which one begins each match, in small letters, and expressions."""
_BASE64 = re.compile(r"(?:data:[^,\s]{0,200},)?[A-Za-z0-9+/_-]{1000,}={0,2}")
_LIKELY_BASE64 = re.compile(r"(?:data:[^,\s]{0,200},)?[A-Za-z0-9+/_-]{200}")
_NAMED = re.compile(rf"{_NAME}\Z", re.IGNORECASE)
_SMALL = str.maketrans({chr(one): chr(one + 32) for one in range(65, 91)})
_OUR_ID = re.compile(r"[a-z]{1,5}_[0-9a-f]{32}")
_ENDS_WORD = re.compile(r"[\s\u0e00-\U0010ffff]")
"""Also what scripts without spaces are written in, and no key."""
HOLDING = frozenset(
    {
        *(
            "about",
            "actor",
            "adding",
            "changes",
            "commands",
            "entries",
            "entry",
            "exchange",
            "item",
            "key",
        ),
        *("meta", "metadata", "model", "models", "more", "name", "new_room", "request", "response"),
        *("settings", "text", "title"),
    }
)
"""The fields of values, such as commands, in which words of others stand."""

T = TypeVar("T")
_Span = tuple[int, int]


class Redaction:
    """Takes out what some expressions match; `SECRETS` are the built-in ones. Raises `ValueError` for a bad one."""

    def __init__(self, expressions: Sequence[str]) -> None:
        self._tried: list[tuple[Sequence[str], list[re.Pattern[str]]]] = []
        self._clean: dict[bytes, None] = {}
        for number, one in enumerate(expressions, 1):
            if one == SECRETS:
                for words, *built_in in _BUILT_IN:
                    self._tried.append((words, [re.compile(each, re.ASCII) for each in built_in]))
                continue
            if one.lower() in _SWITCHES:
                raise ValueError(f"expression {number} is a word; write {SECRETS}, or nothing")
            try:
                own = re.compile(one)
            except re.error as error:
                words = f"expression {number} is no regular expression ({error.msg})"
                raise ValueError(words) from None
            if own.search(""):
                raise ValueError(f"expression {number} matches the empty text")
            self._tried.append(((), [own]))

    def text(self, said: str) -> str:
        """The text with marks in the places of its secrets; the same object where there is none."""
        return _cut(said, spans, (0, len(said)))[0] if (spans := self._spans(said)) else said

    def pieces(self, texts: Sequence[str]) -> list[str]:
        """A text in pieces, in as many pieces: a mark is cut where its secret was."""
        said = "".join(texts)
        return _cut(said, self._spans(said), [0, *accumulate(map(len, texts))])

    def said(self, value: T) -> T:
        """A command, or whatever else holds texts, without secrets; the same object where there is none."""
        return cast("T", self._said(value, ""))

    def found(self, said: str) -> list[_Span]:
        """Where secrets are, in their order; none touches another."""
        small, spans = said.lower(), list[_Span]()
        if len(small) != len(said):
            small = said.translate(_SMALL)
        for words, expressions in self._tried:
            begins = sorted(at for word in words for at in _places(small, word))
            for expression in expressions if begins or not words else ():
                found = _at(begins, expression, said) if words else expression.finditer(said)
                group = "secret" if "secret" in expression.groupindex else 0
                spans += [one.span(group) for one in found]
        apart: list[_Span] = []
        for start, end in sorted(spans):
            if apart and start <= apart[-1][1]:
                apart[-1] = (apart[-1][0], max(end, apart[-1][1]))
            elif start < end:
                apart.append((start, end))
        return apart

    def _spans(self, said: str) -> list[_Span]:
        """The same, where anything is looked for."""
        if len(said) < CLEAN_CHARS_MIN:
            return [] if _OUR_ID.fullmatch(said) else self.found(said)
        digest = blake2b(said.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if digest in self._clean or (_LIKELY_BASE64.match(said) and _BASE64.fullmatch(said)):
            return []
        spans = self.found(said)
        if not spans:
            self._clean[digest] = None
            if len(self._clean) > CLEAN_MAX:
                del self._clean[next(iter(self._clean))]
        return spans

    def _said(self, value: Any, key: str) -> Any:
        """The value that stands under a key."""
        untouched: Any = value
        match value:
            case str():
                named = _NAMED.search(key)
                return self.pieces([f"{key}: '", value, "'"])[1] if named else self.text(value)
            case list() if key == "lengths":  # of pieces, and there may be very many
                return untouched
            case Mapping() | list() if key == "logprobs":
                return None if isinstance(untouched, Mapping) else []
            case Mapping():
                given = cast("Mapping[str, Any]", value)
                new = {self.text(name): self._said(one, name) for name, one in given.items()}
                same = new.keys() == given.keys() and all(new[name] is given[name] for name in new)
            case list() | tuple():
                held = cast("Sequence[Any]", value)
                new = [one if type(one) is int else self._said(one, key) for one in held]
                same = all(one is other for one, other in zip(new, held, strict=True))
                new = new if isinstance(held, list) else tuple(new)
            case Struct():
                old = asdict(value)
                told = {name: self._said(old[name], name) for name in old.keys() & HOLDING}
                told = {name: one for name, one in told.items() if one is not old[name]}
                new, same = replace(untouched, **told), not told
            case _:
                return untouched
        return untouched if same else new


class Withheld:
    """A running text, of which the last word is held back."""

    def __init__(self, redaction: Redaction) -> None:
        self._redaction = redaction
        self._text = ""  # of what was given the end, and what is held back
        self._given = self._word = 0  # where the latter begins, and where the last word does

    def take(self, piece: str, *, last: bool = False) -> str:
        """Adds a piece, and gives what can be told in its place; all of it with the `last`."""
        self._text += piece
        length, given = len(self._text), self._given
        if ended := _ENDS_WORD.search(piece[::-1]):
            self._word = length - ended.start()
        least = length if last else max(given, length - WITHHELD_CHARS_MAX)
        cut = max(least, self._word)
        if cut == given:
            return ""
        spans = self._redaction.found(self._text)
        cut = max(least, next((start for start, end in spans if start < cut < end), cut))
        told = [(max(start, given), min(end, cut)) for start, end in spans]
        [text] = _cut(self._text, [one for one in told if one[0] < one[1]], (given, cut))
        key = self._text.rfind(_KEY_BEGINS, max(0, cut - WITHHELD_CHARS_MAX), cut)
        drop = max(0, cut - BEFORE_CHARS) if key < 0 else min(key, max(0, cut - BEFORE_CHARS))
        self._text = self._text[drop:]
        self._given, self._word = cut - drop, max(0, self._word - drop)
        return text


def _cut(said: str, spans: Sequence[_Span], places: Sequence[int]) -> list[str]:
    """The pieces between places of a text, with marks for spans of it."""
    rest = [0, *(end for _, end in spans)]
    kept = [said[at:start] for at, (start, _) in zip(rest, spans, strict=False)]
    told = MARK.join([*kept, said[rest[-1] :]])
    return [told[start:end] for start, end in pairwise(_moved(spans, places))]


def _moved(spans: Sequence[_Span], places: Iterable[int]) -> Iterator[int]:
    """Where ascending places are once the spans before them are marks."""
    number, shift = 0, 0
    for at in places:
        while number < len(spans) and spans[number][1] <= at:
            start, end = spans[number]
            shift += len(MARK) - (end - start)
            number += 1
        inside = at - spans[number][0] if number < len(spans) else 0
        yield at + shift + (min(inside, len(MARK)) - inside if inside > 0 else 0)


def _at(begins: Iterable[int], expression: re.Pattern[str], said: str) -> Iterator[re.Match[str]]:
    """What an expression matches at these places, outside of what it matched before."""
    end = 0
    for at in begins:
        if at >= end and (found := expression.match(said, at)):
            end = found.end()
            yield found


def _places(said: str, word: str) -> Iterator[int]:
    """Where a word stands in a text."""
    at = said.find(word)
    while at >= 0:
        yield at
        at = said.find(word, at + 1)
