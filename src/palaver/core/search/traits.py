"""What a message has beside its words, as searches ask for it (`has:`, `is:`)."""

import re
from collections.abc import Mapping
from typing import Any

from palaver.core.search.query import Trait
from palaver.model import Kind, Message, Status

_LINK = re.compile(r"https?://\S", re.IGNORECASE)
_CODE = re.compile(r"```|~~~|`[^`\n]+`")
_WORDS = frozenset({"text", "refusal"})
"""What a part has that is words; any other part is something sent along."""


def lasting(kind: str, text: str, meta: Mapping[str, Any]) -> frozenset[Trait]:
    """The traits that a message keeps as long as its text does, which an index may hold."""
    found = {
        Trait.LINK: _LINK.search(text) is not None,
        Trait.CODE: _CODE.search(text) is not None,
        Trait.FILE: any(part.keys().isdisjoint(_WORDS) for part in meta.get("parts", ())),
        Trait.TOOL: kind in {Kind.TOOL_CALL, Kind.TOOL_RESULT},
        Trait.THOUGHT: kind == Kind.REASONING or bool(meta.get("reasoning")),
    }
    return frozenset([trait for trait, has in found.items() if has])


def traits_of(message: Message) -> frozenset[Trait]:
    """All traits of a message, as it is now."""
    found = set(lasting(message.kind, message.text, message.meta))
    if message.edited_ms is not None:
        found.add(Trait.EDITED)
    if message.status is Status.FAILED:
        found.add(Trait.FAILED)
    return frozenset(found)
