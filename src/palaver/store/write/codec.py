"""How accepted commands stand in the journal until they are stored: a format of our own files, no wire's.

A record is a JSON object with the command's fields, its class (`what`), and what the spool notes beside them. A field
that a record does not have gets its default; what other versions wrote besides is left out.
"""

import json
from collections.abc import Mapping
from enum import Enum
from functools import cache
from types import NoneType
from typing import Any, TypeAlias, cast, get_args, get_origin, get_type_hints

from msgspec import Struct
from msgspec.structs import fields

from palaver.store.write.exchanges import OpenExchange
from palaver.store.write.messages import AddMessage
from palaver.store.write.turns import FinishTurn

Accepted: TypeAlias = AddMessage | OpenExchange | FinishTurn
"""What may be accepted while the database is away."""
_WHAT = {one.__name__: one for one in (AddMessage, OpenExchange, FinishTurn)}


def encoded(command: Accepted, **beside: object) -> bytes:
    """The record of a command, with what is noted beside it."""
    return json.dumps(
        {"what": type(command).__name__, **beside, **_plain(command)}, default=_plain
    ).encode()


def decoded(data: bytes) -> tuple[Accepted, dict[str, Any]]:
    """The command of a record, and what was noted beside it. A message's record may not say what it is."""
    read: dict[str, Any] = json.loads(data)
    what = read.pop("what", AddMessage.__name__)
    if what == "FinishExchange":  # of versions in which an exchange had an end of its own
        told = {name: read.pop(name) for name in ("id", "state", "name", "response")}
        del read["ids"]
        read |= {"turn": f"t_{told['id'][2:]}", "exchange": told}
        what = FinishTurn.__name__
    room = read.get("new_room")
    if room and "door" in room.get("settings", {}):  # of versions in which the door was a setting
        room["door"] = room["settings"].pop("door")
    of = _WHAT[what]
    command = cast("Accepted", _made(of, read))
    return command, {name: value for name, value in read.items() if name not in _types(of)}


def _plain(value: Any) -> Any:
    """What JSON has no word for: a command or entry as an object, a digest in hex digits."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return dict(cast("Mapping[str, Any]", value))
    return {field.name: getattr(value, field.name) for field in fields(value)}


def _made(of: Any, value: Any) -> Any:
    """The value of this type that stands there in plain JSON."""
    inner = [one for one in get_args(of) if one is not NoneType]
    if value is None:
        return None
    if get_origin(of) is tuple:
        return tuple(_made(inner[0], one) for one in value)
    if NoneType in get_args(of):
        return _made(inner[0], value)
    if isinstance(of, type) and issubclass(of, Struct):
        types = _types(of)
        return of(**{name: _made(types[name], value[name]) for name in types if name in value})
    if of is bytes:
        return bytes.fromhex(value)
    return of(value) if isinstance(of, type) and issubclass(of, Enum) else value


@cache
def _types(of: Any) -> dict[str, Any]:
    """The fields of a command or of what stands in one, with their types."""
    hints = get_type_hints(of)
    return {field.name: hints[field.name] for field in fields(of)}
