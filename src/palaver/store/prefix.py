"""By what a history that a client sends again is recognised: digests of its beginnings.

Clients do not send a message back as they got it: they drop reasoning, fields they do not know, and space around the
words, and write the arguments of a tool in JSON of their own. What they change so does not count; who spoke, the
words, the tools and the pictures do.
"""

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any

import orjson

from palaver.model import Entry, Kind, Message, Role

START = bytes(16)
_TEXTS = frozenset({"text", "input_text", "output_text"})


def likeness(said: Entry | Message) -> bytes:
    """What two messages that are the same have in common; nothing for one that does not count."""
    if said.kind == Kind.REASONING:
        return b""
    role = Role.SYSTEM if said.role is Role.DEVELOPER else said.role
    meta = said.meta
    parts = [part for part in meta.get("parts", ()) if part.get("type") not in _TEXTS]
    same = (
        role.value,
        str(said.kind),
        _arguments(said.text) if said.kind == Kind.TOOL_CALL else said.text.strip(),
        meta.get("name"),
        meta.get("call_id"),
        meta.get("tool"),
        _plain(meta.get("item")),
        parts,
    )
    return orjson.dumps(same, option=orjson.OPT_SORT_KEYS)


def longer(before: bytes, said: Entry | Message) -> bytes:
    """The digest of a history with one more entry."""
    like = likeness(said)
    return blake2b(before + like, digest_size=16).digest() if like else before


def beginnings(entries: Iterable[Entry | Message], before: bytes = START) -> list[bytes]:
    """The digest after each entry."""
    digests: list[bytes] = []
    for entry in entries:
        before = longer(before, entry)
        digests.append(before)
    return digests


def _arguments(text: str) -> object:
    """What a tool is called with, however it is written; the text itself where it is no JSON."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text.strip()


def _plain(item: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """An item without what its server gave it."""
    if item is None:
        return None
    return {key: value for key, value in item.items() if key not in {"id", "status"}}
