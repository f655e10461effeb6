"""Cards of other programs (SillyTavern's V1, V2 and V3), as ours and back.

What we use of one becomes fields of ours. The rest, such as a lorebook and `extensions`, is kept as it came with the
whole card, and comes out again as it went in: only what was changed here since is written over it.

Texts may hold `{{char}}` and `{{user}}`, which `filled` replaces where the text is used, because names change.
"""

import re
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from palaver.cards.bounds import card_invalid
from palaver.model.agents import AgentCard, Card
from palaver.strict_json import Json, as_object

V2, V3 = "chara_card_v2", "chara_card_v3"
DESCRIPTION_CHARS_MAX, TAGS_MAX, TAG_CHARS_MAX, GREETINGS_MAX = 2_000, 20, 40, 20
_V1 = ("name", "description", "personality", "scenario", "first_mes", "mes_example")
_SAME = {
    "name": "name",
    "greeting": "first_mes",
    "examples": "mes_example",
    "post_history": "post_history_instructions",
    "description": "creator_notes",
    "tags": "tags",
    "group_greetings": "group_only_greetings",
}
"""Fields of ours, and what they are called there."""
_CHAR = re.compile(r"\{\{char\}\}|<char>|<bot>", re.IGNORECASE)
_USER = re.compile(r"\{\{user\}\}|<user>", re.IGNORECASE)
_ORIGINAL = re.compile(r"\{\{original\}\}", re.IGNORECASE)
_WHO = "You are {{char}}."


def filled(text: str, *, char: str, user: str) -> str:
    """A text of such a card with the names of the agent and of whom it answers."""
    return _USER.sub(lambda _: user, _CHAR.sub(lambda _: char, text))


def told_to(card: AgentCard, user: str) -> AgentCard:
    """The card of an agent for who is answered: with names in the texts that came from another program."""
    if card.source is None:
        return card
    texts = {name: getattr(card, name) for name in ("persona", "examples", "post_history")}
    return replace(
        card, **{name: filled(one, char=card.name, user=user) for name, one in texts.items()}
    )


def greeting_of(card: AgentCard, user: str, *, several: bool) -> str:
    """What an agent says when it comes into a room; "" for nothing. `several`: more than two are there."""
    text = card.group_greetings[0] if several and card.group_greetings else card.greeting
    return text if card.source is None else filled(text, char=card.name, user=user)


def is_character(document: Json) -> bool:
    """Whether it is a card of another program."""
    return document.get("spec") in {V2, V3} or ("name" in document and "first_mes" in document)


def fields_of(document: Json) -> dict[str, Any]:
    """What such a card says of ours. Refused: `card_invalid`, where something is not what it should be."""
    data = _data_of(document)
    who = _ORIGINAL.sub(_WHO, _text(data, "system_prompt")) or _WHO
    told = [who, *(_text(data, one) for one in ("description", "personality", "scenario"))]
    said = {
        "persona": "\n\n".join(one for one in told if one),
        "greeting": _text(data, "first_mes"),
        "group_greetings": _texts(data, "group_only_greetings")[:GREETINGS_MAX],
        "examples": _text(data, "mes_example"),
        "post_history": _ORIGINAL.sub("", _text(data, "post_history_instructions")),
    }
    if nickname := _text(data, "nickname"):
        for name, text in said.items():
            said[name] = (
                _CHAR.sub(lambda _: nickname, text)
                if isinstance(text, str)
                else tuple(_CHAR.sub(lambda _: nickname, one) for one in text)
            )
    return {
        **said,
        "name": " ".join(_text(data, "name").split()),
        "description": _text(data, "creator_notes")[:DESCRIPTION_CHARS_MAX],
        "tags": tuple(one[:TAG_CHARS_MAX] for one in _texts(data, "tags")[:TAGS_MAX]),
    }


def speaks_of(document: Json) -> str | None:
    """When it is meant to speak: `always`, `mentioned`, `never`, as it says by `talkativeness`."""
    said = as_object(_data_of(document).get("extensions")).get("talkativeness")
    try:
        talkative = float(said)  # pyright: ignore[reportArgumentType]  a text, too
    except (TypeError, ValueError):
        return None
    return "never" if talkative <= 0 else "mentioned" if talkative < 1 else "always"


def document_of(card: Card, source: Json | None, spec: str | None = None) -> Json:
    """A card as another program's: the one that it was made of, with what has changed since.

    `spec`: in this form; by default its own, or the second.
    """
    document = source or {}
    data = dict(_data_of(document))
    before = fields_of(document) if source is not None else {}
    for name, other in _SAME.items():
        value: str | tuple[str, ...] = getattr(card, name)
        if value != before.get(name):
            data[other] = value if isinstance(value, str) else [*value]
    if card.persona != before.get("persona"):
        data |= {
            "system_prompt": card.persona,
            "description": "",
            "personality": "",
            "scenario": "",
        }
    for name in (*_V1, "creator_notes", "system_prompt", "post_history_instructions", "creator"):
        data.setdefault(name, "")
    empty: Json = {"alternate_greetings": [], "tags": [], "extensions": {}}
    data = {**empty, **data}
    data.setdefault("character_version", "")
    spec = spec or (document["spec"] if document.get("spec") in {V2, V3} else V2)
    if spec == V3:
        data.setdefault("group_only_greetings", [])
    version = document.get("spec_version") if document.get("spec") == spec else None
    version = version or ("3.0" if spec == V3 else "2.0")
    top = {name: data[name] for name in _V1 if name in document}
    return {**document, **top, "spec": spec, "spec_version": version, "data": data}


def _data_of(document: Json) -> Json:
    """Where the fields stand: in `data`, of the first form at the top."""
    if document.get("spec") not in {V2, V3}:
        return {name: one for name, one in document.items() if name not in {"data", "spec"}}
    if not isinstance(document.get("data"), dict):
        raise card_invalid("The card has no 'data'.")
    return as_object(document["data"])


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    if value is not None and not isinstance(value, str):
        raise card_invalid(f"The field '{name}' of the card is no text.")
    return value or ""


def _texts(data: Mapping[str, Any], name: str) -> tuple[str, ...]:
    values = data.get(name)
    if values is None:
        return ()
    if not isinstance(values, list) or not all(isinstance(one, str) for one in values):  # pyright: ignore[reportUnknownVariableType]
        raise card_invalid(f"The field '{name}' of the card is no list of texts.")
    return tuple(values)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
