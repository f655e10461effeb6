"""JSON, read strictly and written compactly.

What comes in is UTF-8 without a byte order mark; no NaN or Infinity, no number beyond a double, no key twice in one
object, at most `DEPTH_MAX` levels, well-formed Unicode. An object is the same for every parser, or it is refused
(`invalid_json`, `invalid_unicode`).

What a model server says cannot be refused: `mended`, `copied` and `lenient` make of it what can be kept and told. What
is kept for other programs is read by `exact`, and has the same numbers when `dump_exact` writes it.
"""

import json
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NoReturn, cast

import orjson
from msgspec.json import Encoder, format as indented

from palaver.errors import Code, Refused

DEPTH_MAX = 32
WHOLE_NUMBER_MAX = 2**53 - 1
LEVELS_MAX = 64
"""Of what goes on as it came, in either direction: nothing that means something is deeper, nor could it be kept."""
WHOLE_DIGITS_MAX = 18
"""Whole numbers of more digits are told as others."""

_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")

_EXACT = Encoder(decimal_format="number")

Json = dict[str, Any]


def dump(value: Any) -> bytes:
    """Writes JSON, compactly; copied, because orjson keeps up to forty times as much memory for it."""
    return bytes(memoryview(orjson.dumps(value)))


def load(data: bytes) -> Json:
    """One JSON object, read strictly. Refused: `invalid_json`, `invalid_unicode`, `bad_request` (no object)."""
    return _checked(read(data), data)


def exact(data: bytes, levels: int = DEPTH_MAX) -> Json:
    """The same with any numbers: one that is neither a double nor a short whole number is a `Decimal`."""
    try:
        value: object = json.loads(
            data.decode(), parse_int=_whole, parse_float=_real, parse_constant=_not_json
        )
        text = json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, ArithmeticError, RecursionError):
        raise Refused(Code.INVALID_JSON, "That is not JSON.") from None
    if _SURROGATE.search(text):
        raise _half_a_character()
    return _checked(value, data, levels)


def dump_exact(value: Json, *, indent: bool = False) -> bytes:
    """Writes what `exact` read."""
    data = _EXACT.encode(value)
    return indented(data, indent=2) if indent else data


def read(data: bytes) -> Json:
    """One JSON object of what goes on as it came: a key may stand in it twice, `LEVELS_MAX` deep. Refused as above."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as problem:
        raise _unreadable(data) from problem
    found = _object(value)
    if not is_shallow(found, data):
        raise Refused(Code.INVALID_JSON, f"That is nested more than {LEVELS_MAX} levels deep.")
    return found


def mended(text: str) -> str:
    """Well-formed text: surrogate pairs joined, halves of one replaced by U+FFFD."""
    if text.isascii() or _SURROGATE.search(text) is None:
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def copied(fields: Json) -> Json:
    """The same fields in well-formed text and numbers."""
    try:
        return orjson.loads(orjson.dumps(fields))
    except orjson.JSONEncodeError:
        return json.loads(mended(json.dumps(fields, ensure_ascii=False)), parse_int=number)


def number(digits: str) -> float:
    """A whole number, as one that can be kept."""
    return int(digits) if len(digits) <= WHOLE_DIGITS_MAX else float(digits)


def lenient(data: bytes) -> Json:
    """One JSON object with what is wrong in its texts and numbers mended; an empty one for anything else."""
    try:
        value = as_object(orjson.loads(data))
    except orjson.JSONDecodeError:
        try:
            read: object = json.loads(data.decode(errors="replace"), strict=False, parse_int=number)
        except (ValueError, RecursionError):
            return {}
        return copied(as_object(read)) if is_shallow(read, data) else {}
    return value if is_shallow(value, data) else {}


def is_shallow(value: object, data: bytes) -> bool:
    """Whether a value, read of these bytes, is nested no deeper than `LEVELS_MAX`."""
    return data.count(b"[") + data.count(b"{") <= LEVELS_MAX or _is_within(value, LEVELS_MAX)


def keys_in(value: object, levels: int) -> int:
    """How many keys a value holds, all levels together. Refused: `invalid_json`, one of more levels."""
    if not isinstance(value, dict | list):
        return 0
    if levels <= 0:
        raise Refused(Code.INVALID_JSON, "That is nested too many levels deep.")
    if isinstance(value, list):
        return sum(keys_in(one, levels - 1) for one in cast("list[object]", value))
    found = cast("Json", value)
    return len(found) + sum(keys_in(one, levels - 1) for one in found.values())


def parsed(data: bytes | str) -> object:
    """Any JSON value, read as its writer meant it; None for what is no JSON."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return None


def as_object(value: object) -> Json:
    """A JSON object; an empty one for anything else."""
    return cast("Json", value) if isinstance(value, dict) else {}


def as_list(value: object) -> list[object]:
    """A JSON array; an empty one for anything else."""
    return cast("list[object]", value) if isinstance(value, list) else []


def text_of(frame: Mapping[str, Any], name: str) -> str:
    """A field that must be a text. Refused: `bad_request`."""
    value = frame.get(name)
    if not isinstance(value, str):
        raise Refused(Code.BAD_REQUEST, f"The field '{name}' must be a text.")
    return value


def text_or_none_of(frame: Mapping[str, Any], name: str) -> str | None:
    """A field that may be missing or null, else a text. Refused: `bad_request`."""
    return None if frame.get(name) is None else text_of(frame, name)


def texts_or_none_of(frame: Mapping[str, Any], name: str) -> list[str] | None:
    """A field that may be missing or null, else a list of texts. Refused: `bad_request`."""
    value = frame.get(name)
    texts = as_list(value)
    if value is not None and (not texts or not all(isinstance(one, str) for one in texts)):
        raise Refused(Code.BAD_REQUEST, f"The field '{name}' must be a list of texts.")
    return cast("list[str]", texts) or None


def whole_of(frame: Mapping[str, Any], name: str) -> int:
    """A field that must be a whole number from 0. Refused: `bad_request`."""
    value = frame.get(name)
    if type(value) is not int or not 0 <= value <= WHOLE_NUMBER_MAX:
        raise Refused(Code.BAD_REQUEST, f"The field '{name}' must be a whole number from 0.")
    return value


def whole_or_none_of(frame: Mapping[str, Any], name: str) -> int | None:
    """A field that may be missing or null, else a whole number from 0. Refused: `bad_request`."""
    return None if frame.get(name) is None else whole_of(frame, name)


def _object(value: object) -> Json:
    if not isinstance(value, dict):
        raise Refused(Code.BAD_REQUEST, "That is JSON, but not an object.")
    return cast("Json", value)


def _checked(value: object, data: bytes, levels: int = DEPTH_MAX) -> Json:
    """A value that is an object, not too deep, and has no key twice."""
    found = _object(value)
    # Outside of strings a colon stands for a key and for nothing else; a key that came twice is one too many.
    if keys_in(found, levels) != _STRING.sub(b"", data).count(b":"):
        raise Refused(Code.INVALID_JSON, "A key stands twice in one object.")
    return found


def _whole(digits: str) -> int | Decimal:
    is_short = len(digits) <= WHOLE_DIGITS_MAX and digits != "-0"
    return int(digits) if is_short else Decimal(digits)


def _real(digits: str) -> float | Decimal:
    near, same = float(digits), Decimal(digits)
    return near if math.isfinite(near) and Decimal(repr(near)) == same else same


def _not_json(_: str) -> NoReturn:
    raise ValueError


def _is_within(value: object, levels: int) -> bool:
    if isinstance(value, dict):
        value = list(cast("Json", value).values())
    inner = as_list(value)
    return not inner or (levels > 0 and all(_is_within(one, levels - 1) for one in inner))


def _unreadable(data: bytes) -> Refused:
    """Why it cannot be read: half a character is told apart, because everything else about it is right."""
    if _SURROGATE_ESCAPE.search(data):
        try:
            json.loads(data)
        except (ValueError, RecursionError):
            pass
        else:
            return _half_a_character()
    return Refused(Code.INVALID_JSON, "That is not JSON.")


def _half_a_character() -> Refused:
    return Refused(Code.INVALID_UNICODE, "A text holds half of a character (a lone surrogate).")
