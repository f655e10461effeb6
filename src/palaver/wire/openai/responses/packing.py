"""What a model server told of an answer in its own API, kept beside the messages that it became.

`packed` makes one short text of it: each word that a message holds is only named, by the message's place in the answer,
so that nothing is stored twice and a deleted message says nothing here either; the rest, which repeats itself a great
deal, is compressed. `unpacked` is the way back, to the very same events.

What a message does not hold (where a source was found, how likely a word was) stands in it as it came.
"""

import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import orjson

from palaver.model import Entry, Message, MessageId, answer_id
from palaver.strict_json import Json

REFERENCE = "$"
_TEXTS = frozenset(
    {"text", "refusal", "arguments", "result", "code", "input", "output", "encrypted_content"}
)
_IN_META = ("parts", "summary", "refusal", "encrypted", "item", "more")


def packed(events: Iterable[Json], response: Json, said: Sequence[Entry]) -> str:
    """Packs what was told, without what the entries of the answer say."""
    packing = _Packing([list(_texts_of(entry)) for entry in said])
    told = [list(packing.runs(events)), packing.without(response)]
    return b64encode(zlib.compress(orjson.dumps(told))).decode()


def unpacked(data: str, first: MessageId, said: Iterable[Message]) -> tuple[list[Json], Json]:
    """Unpacks it with what there is of the answer's messages; `first` is the id of its first."""
    texts = {message.id: list(_texts_of(message)) for message in said}

    def text(place: int, number: int) -> str:
        found = texts.get(answer_id(first, place), ())
        return found[number] if number < len(found) else ""

    def value(packed: Any) -> Any:
        match packed:
            case {"$": [int(place), int(number)]}:
                return text(place, number)
            case dict():
                found = cast("Json", packed)
                inside = found.get(REFERENCE, found)
                return {name: value(one) for name, one in inside.items()}
            case list():
                return [value(one) for one in cast("list[object]", packed)]
            case _:
                return packed

    def events(runs: Iterable[Any]) -> Iterator[Json]:
        for one in runs:
            if not isinstance(one, list):
                yield value(one)
                continue
            rest, place, number, begin, lengths = cast("list[Any]", one)
            event, whole = value(rest), text(place, number)
            for length in lengths:
                yield {**event, "delta": whole[begin : begin + length]}
                begin += length

    told, response = orjson.loads(zlib.decompress(b64decode(data)))
    return list(events(told)), value(response)


class _Packing:
    """The pieces of a text follow each other: where one ended, the next begins."""

    def __init__(self, texts: list[list[str]]) -> None:
        self._places = [
            (place, number, text)
            for place, found in enumerate(texts)
            for number, text in enumerate(found)
        ]
        self._whole = {text: [place, number] for place, number, text in self._places if text}
        self._ends: dict[tuple[int, int], int] = {}

    def runs(self, events: Iterable[Json]) -> Iterator[object]:
        """Events; those that differ in nothing but their `delta` are one list: the event, a reference, the lengths."""
        rest: Json = {}
        at: tuple[int, int] | None = None
        lengths: list[int] = []
        for event in events:
            found = self._part(event.get("delta"))
            if found is None:
                at = None
                yield self.without(event)
                continue
            place, number, begin, length = found
            other = {name: value for name, value in event.items() if name != "delta"}
            if at == (place, number) and other == rest:
                lengths.append(length)
                continue
            rest, at, lengths = other, (place, number), [length]
            yield [self.without(rest), place, number, begin, lengths]

    def without(self, value: object, key: str = "") -> object:
        """Puts references in the place of texts."""
        match value:
            case str() if key in _TEXTS and value in self._whole:
                return {REFERENCE: self._whole[value]}
            case dict():
                found = {name: self.without(one, name) for name, one in cast("Json", value).items()}
                return {REFERENCE: found} if REFERENCE in found else found
            case list():
                return [self.without(one) for one in cast("list[object]", value)]
            case _:
                return value

    def _part(self, delta: object) -> tuple[int, int, int, int] | None:
        """Finds where a piece of a text stands: place, number, begin and length."""
        if not isinstance(delta, str) or not delta:
            return None
        for place, number, text in self._places:
            end = self._ends.get((place, number), 0)
            if text.startswith(delta, end):
                self._ends[place, number] = end + len(delta)
                return place, number, end, len(delta)
        return None


def _texts_of(said: Entry | Message) -> Iterator[str]:
    """The texts of a message in an order that the store does not change."""
    yield said.text
    for name in _IN_META:
        yield from _texts_in(said.meta.get(name), name)


def _texts_in(value: object, key: str) -> Iterator[str]:
    match value:
        case str() if key in _TEXTS or key == "encrypted":
            yield value
        case Mapping():
            for name, one in sorted(cast("Mapping[str, object]", value).items()):
                yield from _texts_in(one, name)
        case list() | tuple():
            for one in cast("Sequence[object]", value):
                yield from _texts_in(one, "")
        case _:
            pass
