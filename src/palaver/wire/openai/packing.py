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

from palaver.core.gather import answer_id
from palaver.model import Entry, Message, MessageId
from palaver.wire.openai.items import Json

REFERENCE = "$"
_TEXTS = frozenset(
    {"text", "refusal", "arguments", "result", "code", "input", "output", "encrypted_content"}
)
_IN_META = ("parts", "summary", "refusal", "encrypted", "item", "more")


def packed(told: Json, said: Sequence[Entry]) -> str:
    """What was told, without what the entries of the answer say."""
    packing = _Packing([list(_texts_of(entry)) for entry in said])
    return b64encode(zlib.compress(orjson.dumps(packing.without(told)))).decode()


def unpacked(data: str, first: MessageId, said: Iterable[Message]) -> Json:
    """The opposite, with what there is of the answer's messages; `first` is the id of its first."""
    places = {message.id: list(_texts_of(message)) for message in said}
    return _whole(orjson.loads(zlib.decompress(b64decode(data))), first, places)


class _Packing:
    """`delta`s follow each other: where the last one of a text ended, the next begins."""

    def __init__(self, texts: list[list[str]]) -> None:
        self._texts = texts
        self._whole = {
            text: [place, number]
            for place, found in enumerate(texts)
            for number, text in enumerate(found)
            if text
        }
        self._ends: dict[tuple[int, int], int] = {}

    def without(self, value: object, key: str = "") -> object:
        """A value with references instead of texts."""
        match value:
            case str() if key in _TEXTS and value in self._whole:
                return {REFERENCE: self._whole[value]}
            case str() if key == "delta" and value:
                return self._part(value)
            case dict():
                found = {name: self.without(one, name) for name, one in cast("Json", value).items()}
                return {REFERENCE: found} if REFERENCE in found else found
            case list():
                return [self.without(one) for one in cast("list[object]", value)]
            case _:
                return value

    def _part(self, delta: str) -> object:
        for place, texts in enumerate(self._texts):
            for number, text in enumerate(texts):
                end = self._ends.get((place, number), 0)
                if text.startswith(delta, end):
                    self._ends[place, number] = end + len(delta)
                    return {REFERENCE: [place, number, end, end + len(delta)]}
        return delta


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
            found = cast("Mapping[str, object]", value)
            for name in sorted(found):
                yield from _texts_in(found[name], name)
        case list() | tuple():
            for one in cast("Sequence[object]", value):
                yield from _texts_in(one, "")
        case _:
            pass


def _whole(value: Any, first: MessageId, places: Mapping[MessageId, Sequence[str]]) -> Any:
    match value:
        case {"$": [int(place), int(number), *ends]}:
            texts = places.get(answer_id(first, place), ())
            text = texts[number] if number < len(texts) else ""
            return text[ends[0] : ends[1]] if ends else text
        case dict():
            found = cast("Json", value)
            inside = found.get(REFERENCE, found)
            return {name: _whole(one, first, places) for name, one in inside.items()}
        case list():
            return [_whole(one, first, places) for one in cast("list[object]", value)]
        case _:
            return value
