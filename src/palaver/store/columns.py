"""Converts values for the tables and back: ids to 16 bytes, client ids compactly, words, JSON, text for any engine.

The processors are plain functions, so that `store.engine.statement` can call them without anything in between: they
run for each value of each row.

Text: PostgreSQL cannot store U+0000, so it is escaped, on both engines alike, as U+F8FF followed by `0`; U+F8FF itself
(a private-use character) as U+F8FF twice. Every other well-formed text lies there as it is. Lone surrogates are refused
on every door and never come here.
"""

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, TypeVar

import orjson
from sqlalchemy import BigInteger, Dialect, Integer, LargeBinary, Text
from sqlalchemy.types import TypeDecorator

from palaver.model import NO_DATA

ID_LENGTH = 34
"""Characters of a public id: a letter, an underscore, 32 hex digits."""
UUID_BYTES = 16
UUID_LENGTH = 36
INTEGER_MAX = 2**63 - 1
"""The largest integer that both engines keep. What callers give as a bound is clamped to it."""

_ESCAPE = "\uf8ff"
_ESCAPED = re.compile("\uf8ff(.)")


Processor = Callable[[Any], Any]
"""Turns a value into what the driver keeps, or back."""
Text_ = TypeVar("Text_", str, None)


Key = BigInteger().with_variant(Integer, "sqlite")
"""An internal key. On SQLite only `INTEGER PRIMARY KEY` is the row's own address."""


def id_bytes(value: str) -> bytes:
    """The 16 bytes of a public id; no bytes, which match nothing, for what is no id."""
    if len(value) != ID_LENGTH:
        return b""
    digits = value[2:]
    try:
        raw = bytes.fromhex(digits)
    except ValueError:
        return b""
    return raw if raw.hex() == digits else b""


def text_in(value: Text_) -> Text_:
    """Text as both engines can keep it."""
    if value is None:
        return value
    if _ESCAPE in value:
        value = value.replace(_ESCAPE, _ESCAPE + _ESCAPE)
    if "\0" in value:
        value = value.replace("\0", _ESCAPE + "0")
    return value


def text_out(value: Text_) -> Text_:
    """The opposite of `text_in`."""
    if value is None or _ESCAPE not in value:
        return value
    return _ESCAPED.sub(lambda found: "\0" if found[1] == "0" else _ESCAPE, value)


def cid_in(value: str | None) -> bytes | None:
    """A client's id: 16 bytes for a UUID in its usual text form, else its UTF-8, never of 16 bytes."""
    if value is None:
        return None
    if len(value) == UUID_LENGTH and value[8] == value[13] == value[18] == value[23] == "-":
        digits = value.replace("-", "")
        try:
            uuid = bytes.fromhex(digits)
        except ValueError:
            uuid = b""
        if uuid.hex() == digits and len(uuid) == UUID_BYTES:
            return uuid
    raw = value.encode()
    return raw if len(raw) < UUID_BYTES else b"\0" + raw


def cid_out(value: bytes | None) -> str | None:
    """The opposite of `cid_in`."""
    if value is None:
        return None
    if len(value) == UUID_BYTES:
        digits = value.hex()
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
    return (value if len(value) < UUID_BYTES else value[1:]).decode()


def json_in(value: Mapping[str, Any] | None) -> str | None:
    """A JSON object as text, in which `orjson` writes U+0000 as an escape."""
    return orjson.dumps(dict(value)).decode() if value else None


def json_out(value: str | None) -> Mapping[str, Any]:
    """The opposite of `json_in`."""
    return NO_DATA if value is None else orjson.loads(value)


class _Kept(TypeDecorator[Any]):
    """A type whose values go in by `kept` and come out by `found`; None: as they are."""

    impl = Text
    cache_ok = True
    kept: Processor | None = None
    found: Processor | None = None

    def bind_processor(self, dialect: Dialect) -> Any:  # noqa: ARG002  SQLAlchemy's shape
        """As SQLAlchemy asks."""
        return self.kept

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:  # noqa: ARG002
        """As SQLAlchemy asks."""
        return self.found


class Id(_Kept):
    """A public id as 16 bytes. Read back with `prefix`, which for an actor depends on its kind and is added later.

    With another prefix it is no id: whatever is known by its id has one.
    """

    impl = LargeBinary
    cache_ok = True

    def __init__(self, prefix: str = "") -> None:
        super().__init__()
        self.prefix = prefix
        self.kept = self._bytes
        self.found = lambda value: None if value is None else prefix + value.hex()

    def _bytes(self, value: str | None) -> bytes | None:
        if value is None:
            return None
        return id_bytes(value) if value.startswith(self.prefix) else b""


class Digest(_Kept):
    """Bytes that both drivers take and give as they are; the usual type would wrap each one."""

    impl = LargeBinary
    cache_ok = True


class SafeText(_Kept):
    """Text of people and models; see the module's docstring."""

    cache_ok = True
    kept = staticmethod(text_in)
    found = staticmethod(text_out)


class Cid(_Kept):
    """A client's id of its message, as few bytes."""

    impl = LargeBinary
    cache_ok = True
    kept = staticmethod(cid_in)
    found = staticmethod(cid_out)


class Json(_Kept):
    """A JSON object as text, null when it is empty. Text, because `jsonb` refuses U+0000 and reorders keys."""

    cache_ok = True
    kept = staticmethod(json_in)
    found = staticmethod(json_out)


class Choice(_Kept):
    """One word of an enumeration, as plain text: drivers are slower with its subclass of `str`."""

    cache_ok = True
    kept = str

    def __init__(self, words: type[StrEnum]) -> None:
        super().__init__()
        self.words = words
        self.found = {None: None, **{word.value: word for word in words}}.__getitem__


class OptionalChoice(Choice):
    """A word that may be missing."""

    cache_ok = True

    @staticmethod
    def kept(word: StrEnum | None) -> str | None:
        """What the driver takes."""
        return None if word is None else str(word)
