"""Builds stored entries from streamed pieces, and rebuilds the pieces.

An answer is one entry of text for each choice (with what the model thought in its meta), and one for each tool call.
`lengths` keeps where one piece ended and the next began, so that a stream can be told again exactly as it was. Thoughts
whose opening tag is missing were told as words, and are stored as thoughts. What the model server told besides is
`beside` in the meta of the message that it belongs to. What came whole at the beginning is an entry of its own, before
all others.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any

import orjson
from msgspec import Struct, field
from msgspec.structs import replace

from palaver.model import NO_DATA, Entry, Kind, Message, Role
from palaver.providers.base import (
    BesidePiece,
    ItemPiece,
    Piece,
    ReasoningPiece,
    RefusalPiece,
    TextPiece,
    ToolPiece,
)
from palaver.providers.fields import grow
from palaver.redact import Redaction
from palaver.store.journal import KNOWN, PIECE, REASONING, TEXT
from palaver.thoughts import parted

_WORDS = {"t": TextPiece, "r": ReasoningPiece, "f": RefusalPiece}
_WORD_OF = {made: word for word, made in _WORDS.items()}
_Told = tuple[str, str, str, Mapping[str, Any]]
_NOTHING: _Told = ("", "", "", NO_DATA)


class _Tool(Struct):
    number: int
    id: str = ""
    name: str = ""
    more: Mapping[str, Any] = field(default_factory=lambda: NO_DATA)
    arguments: list[str] = field(default_factory=list[str])


class _Choice(Struct):
    words: dict[str, list[str]] = field(default_factory=lambda: {"t": [], "r": [], "f": []})
    tools: dict[int, _Tool] = field(default_factory=dict[int, _Tool])
    beside: dict[Any, Any] = field(default_factory=dict[Any, Any])


class AnswerBuilder:
    """An answer as far as it came. With a `redaction`, its entries are without secrets.

    `lengths`: runs of pieces, `["t", choice, n, n, …]` for words, `["c", choice, call, n, …]` for a tool call; and
    `["u", choice, before, between]`, what stood before and between thoughts and words that were told as one.
    """

    def __init__(self, redaction: Redaction | None = None) -> None:
        self.redaction = redaction
        self._choices: dict[int, _Choice] = {}
        self._items: list[Entry] = []
        self.lengths: list[list[Any]] = []
        self.chars = 0

    def take(self, piece: Piece) -> None:
        """Adds a piece."""
        match piece:
            case TextPiece(text, choice):
                self._word("t", text, choice)
            case ReasoningPiece(text, choice):
                self._word("r", text, choice)
            case RefusalPiece(text, choice):
                self._word("f", text, choice)
            case ToolPiece():
                tools = self._of(piece.choice).tools
                tool = tools.setdefault(piece.call, _Tool(number=len(tools)))
                tool.id, tool.name = tool.id or piece.id, tool.name or piece.name
                tool.more = tool.more or piece.more
                tool.arguments.append(piece.arguments)
                self._note(["c", piece.choice, tool.number], len(piece.arguments))
            case BesidePiece():
                self.chars += put_beside(self._of(piece.choice).beside, piece)
            case ItemPiece(item, text, more):
                meta = {**more, "item": item}
                self._items.append(Entry(role=Role.ASSISTANT, kind=Kind.ITEM, text=text, meta=meta))
            case _:
                pass

    def entries(self, meta: Mapping[str, Any], *, retold: bool = False) -> tuple[Entry, ...]:
        """The entries to store, the first with `meta`. At least one, if only an empty one.

        `retold`: with `lengths`, they must give the pieces again.
        """
        if self.redaction is not None:
            self._redact(self.redaction)
        found: list[Entry] = []
        for number, choice in sorted(self._choices.items()):
            self._part(number, choice, retold=retold)
            found += _entries_of(choice, {"choice": number} if number else {})
        beside = {} if 0 not in self._choices else _beside(self._choices[0])
        if not found and self._items and "error" not in meta:
            return headed(self._items, meta)
        answered = headed(found or [Entry(role=Role.ASSISTANT, meta=beside)], meta)
        own = {name: meta[name] for name in ("turn", "exchange") if name in meta}
        return *(replace(one, meta={**own, **one.meta}) for one in self._items), *answered

    def _redact(self, redaction: Redaction) -> None:
        """Takes secrets out of the texts that came in pieces. Their pieces stay as many."""
        cut: dict[tuple[Any, ...], Iterator[str]] = {}
        for number, choice in self._choices.items():
            for kind, texts in choice.words.items():
                choice.words[kind] = redaction.pieces(texts)
                cut[kind, number] = iter(choice.words[kind])
                if kind == "r" and choice.words[kind] != texts:
                    choice.beside.pop("message", None)  # a signature is of what was thought
            for tool in choice.tools.values():
                tool.arguments = redaction.pieces(tool.arguments)
                cut["c", number, tool.number] = iter(tool.arguments)
        for run in self.lengths:
            head = 3 if run[0] == "c" else 2
            run[head:] = [len(next(cut[tuple(run[:head])])) for _ in run[head:]]

    @property
    def text(self) -> str:
        """The text of the first choice."""
        return "".join(self._choices[0].words["t"]) if 0 in self._choices else ""

    def _part(self, number: int, choice: _Choice, *, retold: bool) -> None:
        """Takes thoughts out of the words, where their opening tag was missing."""
        said = "".join(choice.words["t"])
        thought, text = ("", said) if choice.words["r"] else parted(said)
        if text == said:
            return
        if (at := said.find(thought)) >= 0 and said.endswith(text):
            between = said[at + len(thought) : len(said) - len(text)]
            self.lengths.append(["u", number, said[:at], between])
        elif retold:
            return
        choice.words = {**choice.words, "r": [thought] if thought else [], "t": [text]}

    def _word(self, kind: str, text: str, choice: int) -> None:
        self._of(choice).words[kind].append(text)
        self._note([kind, choice], len(text))

    def _of(self, number: int) -> _Choice:
        """A choice, which begins with its first piece."""
        found = self._choices.get(number)
        if found is None:
            found = self._choices[number] = _Choice()
        return found

    def _note(self, head: list[Any], length: int) -> None:
        self.chars += length
        if self.lengths and self.lengths[-1][: len(head)] == head:
            self.lengths[-1].append(length)
        else:
            self.lengths.append([*head, length])


def put_beside(beside: dict[Any, Any], piece: BesidePiece) -> int:
    """Adds a piece to what stood beside a `message` or a call's number; how many bytes it has."""
    beside["origin"] = piece.origin
    if piece.thought_in:
        beside["thought_in"] = piece.thought_in
    if not piece.fields:
        return 0
    place = "message" if piece.call is None else piece.call
    grow(beside.setdefault(place, {}), deepcopy(dict(piece.fields)))
    return len(orjson.dumps(piece.fields))


def headed(entries: Sequence[Entry], meta: Mapping[str, Any]) -> tuple[Entry, ...]:
    """The entries, the first with `meta` beside its own."""
    first, *others = entries
    return replace(first, meta={**meta, **first.meta}), *others


def record_of(piece: Piece | None) -> tuple[bytes, bytes] | None:
    """Encodes a piece for the journal: its kind, and its data; None for what is not kept."""
    match piece:
        case TextPiece(text, 0):
            return TEXT, text.encode("utf-8", "surrogatepass")
        case ReasoningPiece(text, 0):
            return REASONING, text.encode("utf-8", "surrogatepass")
        case TextPiece() | ReasoningPiece() | RefusalPiece():
            return PIECE, orjson.dumps([_WORD_OF[type(piece)], piece.choice, piece.text])
        case ToolPiece():
            said = ["c", piece.choice, piece.call, piece.id, piece.name, piece.arguments]
            said += [dict(piece.more)] if piece.more else []
        case BesidePiece():
            said = ["b", piece.choice, piece.fields, piece.origin, piece.call, piece.thought_in]
        case ItemPiece(item, text, meta):
            said = ["i", 0, item, text, meta]
        case _:
            return None
    return PIECE, orjson.dumps(said)


def pieces_in(records: Iterable[tuple[bytes, bytes]]) -> list[Piece]:
    """Decodes the pieces that the journal kept."""
    found: list[Piece] = []
    for kind, data in records:
        if kind == TEXT:
            found.append(TextPiece(data.decode("utf-8", "surrogatepass")))
        elif kind == REASONING:
            found.append(ReasoningPiece(data.decode("utf-8", "surrogatepass")))
        elif kind == PIECE:
            word, choice, *rest = orjson.loads(data)
            if word == "c":
                call, id_, name, arguments, *more = rest
                found.append(ToolPiece(call, id_, name, arguments, choice, *more))
            elif word == "b":
                fields, origin, beside_call, thought_in = rest
                found.append(BesidePiece(fields, origin, choice, beside_call, thought_in))
            elif word == "i":
                found.append(ItemPiece(*rest))
            else:
                found.append(_WORDS[word](rest[0], choice))
    return found


def known_in(records: Iterable[tuple[bytes, bytes]]) -> dict[str, Any]:
    """Decodes what the journal kept of who gave an answer, as its message's meta has it."""
    known = [data for kind, data in records if kind == KNOWN]
    return orjson.loads(known[-1]) if known else {}


def pieces_left(text: str, reasoning: str) -> list[Piece]:
    """The pieces of an answer of which only its text and its thoughts are known."""
    return [one for one in (ReasoningPiece(reasoning), TextPiece(text)) if one.text]


def pieces_of(messages: Sequence[Message], lengths: Iterable[Sequence[Any]]) -> list[Piece]:
    """Rebuilds the pieces in which an answer was told from its messages."""
    left = _texts_of([one for one in messages if one.kind != Kind.ITEM])
    whole = [one for one in messages if one.kind == Kind.ITEM]
    found: list[Piece] = [ItemPiece(one.meta.get("item", {}), one.text, one.meta) for one in whole]
    for kind, choice, *around in lengths:
        if kind == "u":
            words = ("t", choice, 0)
            thought = left.pop(("r", choice, 0), _NOTHING)[2]
            whole = around[0] + thought + around[1] + left.get(words, _NOTHING)[2]
            left[words] = ("", "", whole, NO_DATA)
    for kind, choice, *run in lengths:
        if kind == "u":
            continue
        call = run.pop(0) if kind == "c" else 0
        id_, name, text, more = left.get((kind, choice, call), _NOTHING)
        at = 0
        for length in run:
            said = text[at : at + length]
            at += length
            if kind == "c":
                found.append(ToolPiece(call, id_, name, said, choice, more))
                id_, name, more = "", "", NO_DATA  # told once
            else:
                found.append(_WORDS[kind](said, choice))
        left[kind, choice, call] = ("", "", text[at:], NO_DATA)
    return found


def _entries_of(choice: _Choice, meta: Mapping[str, Any]) -> list[Entry]:
    text, thought, refusal = ("".join(choice.words[kind]) for kind in "trf")
    more = dict(meta)
    if thought:
        more["reasoning"] = thought
    if refusal:
        more["refusal"] = refusal
    more |= _beside(choice)
    found: list[Entry] = []
    if text or refusal or (thought and not choice.tools):
        found.append(Entry(role=Role.ASSISTANT, text=text, meta=more))
        more = dict(meta)
    for number, tool in choice.tools.items():
        call: dict[str, Any] = {"call_id": tool.id, "tool": tool.name}
        if tool.more:
            call["more"] = dict(tool.more)
        own = meta if tool.number else more
        if number in choice.beside:
            origin = {"origin": choice.beside["origin"]}
            call["beside"] = {**origin, **own.get("beside", {}), "call": choice.beside[number]}
        found.append(
            Entry(
                role=Role.ASSISTANT,
                kind=Kind.TOOL_CALL,
                text="".join(tool.arguments) or "{}",
                meta={**own, **call},
            )
        )
    return found


def _beside(choice: _Choice) -> dict[str, Any]:
    """What stood beside the words, as a message's meta has it."""
    words = {name: one for name, one in choice.beside.items() if isinstance(name, str)}
    return {"beside": words} if len(words) > 1 else {}  # more than its origin


def _texts_of(messages: Sequence[Message]) -> dict[tuple[str, int, int], _Told]:
    """The texts to cut into pieces: (id, name, text, more) by kind, choice, and number of the call."""
    texts: dict[tuple[str, int, int], _Told] = {}
    calls: dict[int, int] = {}
    for message in messages:
        meta = message.meta
        choice = int(meta.get("choice", 0))
        if message.kind == Kind.TOOL_CALL:
            number = calls[choice] = calls.get(choice, -1) + 1
            call = meta.get("call_id", ""), meta.get("tool", "")
            texts["c", choice, number] = (*call, message.text, meta.get("more", NO_DATA))
        else:
            texts["t", choice, 0] = ("", "", message.text, NO_DATA)
            texts["f", choice, 0] = ("", "", meta.get("refusal", ""), NO_DATA)
        if "reasoning" in meta:
            texts["r", choice, 0] = ("", "", meta["reasoning"], NO_DATA)
    return texts
