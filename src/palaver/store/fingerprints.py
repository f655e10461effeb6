"""By what a conversation that a client sends again is recognised: digests of what was said, in normal form.

Clients do not send a message back as they got it: they drop reasoning, fields they do not know, and space around the
words, change line ends, leave thoughts in an answer, and write the arguments of a tool in JSON of their own. What they
change so does not count; who spoke, the words, the tools and the pictures do. Neither do system and developer prompts,
which many clients change with each request.

Three kinds of digest lead to an exchange: that of a whole history, that of an answer with the words before it (of one
with calls also by their ids, for clients fill defaults into the arguments, and of one with thoughts also with these
as words), and that of an answer alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, cast

import orjson

from palaver.model import Entry, Kind, Message, Role
from palaver.strict_json import WHOLE_NUMBER_MAX, Json, is_shallow
from palaver.thoughts import TAGS, parted

START = bytes(16)
_TAGS = tuple(tag for pair in TAGS for tag in pair)
_PROMPTS = frozenset({Role.SYSTEM, Role.DEVELOPER})


def is_prompt(said: Entry | Message) -> bool:
    """Whether it tells a model what to do, and belongs to a request more than to the conversation."""
    return said.role in _PROMPTS or said.meta.get("context", False)


def likeness(said: Entry | Message) -> bytes:
    """What two messages that are the same have in common; nothing for one that does not count."""
    if said.kind == Kind.REASONING:
        return b""
    role = Role.SYSTEM if said.role is Role.DEVELOPER else said.role
    meta = said.meta
    parts = [_part(part) for part in meta.get("parts", ()) if not _is_text(part)]
    same = (
        role.value,
        str(said.kind),
        _words(said),
        meta.get("name"),
        meta.get("call_id"),
        meta.get("tool"),
        _plain(meta.get("item")),
        parts,
    )
    return orjson.dumps(same, option=orjson.OPT_SORT_KEYS)


def by_id(said: Entry | Message) -> bytes:
    """The likeness of a tool's call that has an id, whatever its arguments; that of anything else."""
    id_ = said.meta.get("call_id")
    if said.kind != Kind.TOOL_CALL or not id_:
        return likeness(said)
    return orjson.dumps(("call", id_, said.meta.get("tool")))


def aloud(said: Entry | Message) -> bytes:
    """The likeness of a thought told in words, as some clients do: before an answer's, or by itself before a call."""
    thought = said.meta.get("reasoning", "")
    text = f"{thought}\n{said.text}" if said.kind == Kind.TEXT else thought
    return likeness(Entry(role=Role.ASSISTANT, text=text))


def fills(one: Entry | Message, other: Entry | Message) -> bool:
    """Whether the arguments of a call are another's, but for what one of them leaves out.

    Clients fill defaults into the calls that they repeat, and leave out what a tool does not know.
    """
    some, others = _arguments(one.text), _arguments(other.text)
    return _covers(some, others) or _covers(others, some)


def words_of(said: Entry | Message) -> str:
    """A message's text in normal form."""
    text = said.text.replace("\r\n", "\n").replace("\r", "\n").strip()
    if said.role is Role.ASSISTANT and said.kind == Kind.TEXT:
        lower = text.lower()  # nearly all answers have no tag, and some are long
        if any(tag in lower for tag in _TAGS):
            return parted(text)[1].strip()
    return text


def longer(before: bytes, like: bytes) -> bytes:
    """The digest of a history with one more entry."""
    return blake2b(before + like, digest_size=16).digest() if like else before


def beginnings(likes: Iterable[bytes], before: bytes = START) -> list[bytes]:
    """The digest after each entry."""
    digests: list[bytes] = []
    for like in likes:
        before = longer(before, like)
        digests.append(before)
    return digests


def pair(words: bytes, answer: Sequence[bytes]) -> bytes:
    """The digest of an answer with that of the last words before it."""
    return blake2b(words + b"".join(answer), digest_size=16, person=b"pair").digest()


def alone(answer: Sequence[bytes]) -> bytes:
    """The digest of an answer whatever it was asked."""
    return blake2b(b"".join(answer), digest_size=16, person=b"answer").digest()


def _words(said: Entry | Message) -> object:
    """The words that count: an item is itself, whatever text it stands for."""
    if said.kind == Kind.ITEM:
        return ""
    return _arguments(said.text) if said.kind == Kind.TOOL_CALL else words_of(said)


def _arguments(text: str) -> object:
    """What a tool is called with, however it is written; the text itself where it is no JSON, or too deep for any."""
    try:
        found = orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        return text.strip()
    return (_plain_numbers(found) or {}) if is_shallow(found, text.encode()) else text.strip()


def _plain_numbers(value: object) -> object:
    """JSON with its numbers as JavaScript tells them again: there is one kind, and 2.0 is 2."""
    if isinstance(value, dict):
        return {name: _plain_numbers(one) for name, one in cast("Json", value).items()}
    if isinstance(value, list):
        return [_plain_numbers(one) for one in cast("list[object]", value)]
    if type(value) not in {int, float}:
        return value
    number = float(cast("float", value))
    return int(number) if number.is_integer() and abs(number) <= WHOLE_NUMBER_MAX else number


def _covers(less: object, more: object) -> bool:
    """Whether JSON has all that another one has."""
    if isinstance(less, dict) and isinstance(more, dict):
        some, others = cast("Json", less), cast("Json", more)
        return all(name in others and _covers(one, others[name]) for name, one in some.items())
    if isinstance(less, list) and isinstance(more, list):
        ones, others = cast("list[object]", less), cast("list[object]", more)
        return len(ones) == len(others) and all(map(_covers, ones, others))
    return less == more


def _is_text(part: Mapping[str, Any]) -> bool:
    """Whether a part only repeats words: its type is named so in every API, with or without a direction before it."""
    return str(part.get("type")).endswith("text")


def _part(part: Mapping[str, Any]) -> Any:
    """A part of a content that is no text; of a picture only itself counts, not how closely it is looked at."""
    image: Any = part.get("image_url")
    if image is not None:
        return getattr(image, "get", {"url": image}.get)("url")
    return {key: value for key, value in part.items() if key != "cache_control"}


def _plain(item: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """An item without what its server gave it."""
    if item is None:
        return None
    return {key: value for key, value in item.items() if key not in {"id", "status"}}
