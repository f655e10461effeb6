"""How values lie in the tables: ids as 16 bytes, client ids compactly, words, JSON, and text that any engine can keep.

The processors are plain functions, so that `store.engine.statement` can call them without SQLAlchemy in between.

Text: PostgreSQL cannot store U+0000, so it is escaped, on both engines alike, as U+F8FF followed by `0`; U+F8FF itself
(a private-use character) as U+F8FF twice. Every other well-formed text lies there as it is. Lone surrogates are refused
on every door and never come here.
"""

import re
from enum import StrEnum
from typing import Any, Protocol

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


class Processor(Protocol):
    """Turns a value into what the driver keeps, or back."""

    def __call__(self, value: Any) -> Any:
        """The other form."""
        ...


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


def text_in(value: str) -> str:
    """Text as both engines can keep it."""
    if _ESCAPE in value:
        value = value.replace(_ESCAPE, _ESCAPE + _ESCAPE)
    if "\0" in value:
        value = value.replace("\0", _ESCAPE + "0")
    return value


def text_out(value: str) -> str:
    """The opposite of `text_in`."""
    if _ESCAPE not in value:
        return value
    return _ESCAPED.sub(lambda found: "\0" if found[1] == "0" else _ESCAPE, value)


def cid_in(value: str) -> bytes:
    """A client's id: 16 bytes for a UUID in its usual text form, else its UTF-8, never of 16 bytes."""
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


def cid_out(value: bytes) -> str:
    """The opposite of `cid_in`."""
    if len(value) == UUID_BYTES:
        digits = value.hex()
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
    return (value if len(value) < UUID_BYTES else value[1:]).decode()


class _Kept(TypeDecorator[Any]):
    """A type whose values go in by `kept` and come out by `found`."""

    impl = Text
    cache_ok = True

    def kept(self, value: Any) -> Any:
        """What the driver gets."""
        return value

    def found(self, value: Any) -> Any:
        """What the driver's value stands for."""
        return value

    def bind_processor(self, dialect: Dialect) -> Processor | None:  # noqa: ARG002  SQLAlchemy's shape
        """As SQLAlchemy asks."""
        return self.kept

    def result_processor(self, dialect: Dialect, coltype: object) -> Processor | None:  # noqa: ARG002
        """As SQLAlchemy asks."""
        return self.found


class Id(_Kept):
    """A public id as 16 bytes. Read back with `prefix`, which for an actor depends on its kind and is added later."""

    impl = LargeBinary
    cache_ok = True

    def __init__(self, prefix: str = "") -> None:
        super().__init__()
        self.prefix = prefix

    def kept(self, value: Any) -> Any:
        """See `id_bytes`."""
        return id_bytes(value)

    def found(self, value: Any) -> Any:
        """The opposite."""
        return None if value is None else self.prefix + value.hex()


class Digest(_Kept):
    """16 bytes that both drivers take and give as they are; the usual type would wrap each one."""

    impl = LargeBinary
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> None:
        """None is needed."""

    def result_processor(self, dialect: Dialect, coltype: object) -> None:
        """None is needed."""


class SafeText(_Kept):
    """Text of people and models; see the module's docstring."""

    cache_ok = True

    def kept(self, value: Any) -> Any:
        """See `text_in`."""
        return None if value is None else text_in(value)

    def found(self, value: Any) -> Any:
        """See `text_out`."""
        return None if value is None else text_out(value)


class Cid(_Kept):
    """A client's id of its message, as few bytes."""

    impl = LargeBinary
    cache_ok = True

    def kept(self, value: Any) -> Any:
        """See `cid_in`."""
        return None if value is None else cid_in(value)

    def found(self, value: Any) -> Any:
        """See `cid_out`."""
        return None if value is None else cid_out(value)


class Json(_Kept):
    """A JSON object as text, null when it is empty. Text, because `jsonb` refuses U+0000 and reorders keys."""

    cache_ok = True

    def kept(self, value: Any) -> Any:
        """The text; `orjson` writes U+0000 as an escape."""
        return orjson.dumps(dict(value)).decode() if value else None

    def found(self, value: Any) -> Any:
        """The object."""
        return NO_DATA if value is None else orjson.loads(value)


class Choice(_Kept):
    """One word of an enumeration, as text."""

    cache_ok = True

    def __init__(self, words: type[StrEnum]) -> None:
        super().__init__()
        self.words = words
        self._by_value = {word.value: word for word in words}

    def kept(self, value: Any) -> Any:
        """The word itself, not its subclass of `str`, which drivers are slower with."""
        return str(value)

    def found(self, value: Any) -> Any:
        """The member of the enumeration."""
        return None if value is None else self._by_value[value]
