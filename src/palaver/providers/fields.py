"""Fields that a model server tells bit by bit: texts and lists grow, and of anything else the last word counts."""

from collections.abc import Mapping
from typing import Any, cast

from palaver.strict_json import as_object

_NAMING = frozenset({"id", "type", "index", "role", "name", "format", "status"})
"""Fields that are not told in parts, although they are texts."""


def grow(
    known: dict[str, Any], found: Mapping[str, Any], without: frozenset[str] = frozenset()
) -> None:
    """Adds fields to what is known of them."""
    for name, value in found.items():
        if name not in without and value is not None:
            known[name] = value if name in _NAMING else grown(known.get(name), value)


def grown(known: object, value: object) -> object:
    """A value with what came of it later."""
    if isinstance(known, str) and isinstance(value, str):
        return known + value
    if isinstance(known, list) and isinstance(value, list):
        for one in cast("list[object]", value):
            _extend(cast("list[object]", known), one)
        return cast("object", known)
    if isinstance(known, dict) and isinstance(value, dict):
        grow(cast("dict[str, Any]", known), cast("dict[str, Any]", value))
        return cast("object", known)
    return value


def _extend(known: list[object], value: object) -> None:
    """Adds to a list what is new in it; what has an index grows where it stands."""
    new = as_object(value)
    if isinstance(new.get("index"), int):
        for one in map(as_object, reversed(known)):
            ids = {one.get("id"), new.get("id")} - {None, ""}
            if len(ids) < 2 and all(one.get(name) == new.get(name) for name in ("index", "type")):  # noqa: PLR2004  another id
                return grow(one, new)
    known.append(value)
    return None
