"""How commands talk: one line for people or one JSON object for programs, and stable exit codes.

What comes out of a database or a server is never trusted by a terminal: control characters are shown escaped.
Results go to standard output; errors go to standard error as one line and what to do about it, or, with `--json`,
to standard output as `{"error": {…}}`.
"""

import json
import re
import sys
import unicodedata
from collections.abc import Mapping
from enum import IntEnum

from palaver.errors import Code, PalaverError

HIDDEN = "********"
_PASSWORD = re.compile(r"(?<=://)([^/@:]*):[^@]*@")


class Exit(IntEnum):
    """The exit codes, which scripts may rely on."""

    OK = 0
    FAILED = 1
    USAGE = 2  # the argument parser's own
    REFUSED = 3
    UNAVAILABLE = 4
    STOPPED = 130  # by Ctrl+C, as shells have it


REFUSED_CODES = frozenset(
    {
        Code.DATABASE_NEWER,
        Code.DATABASE_OLDER,
        Code.DATABASE_LOCKED,
        Code.DATABASE_MISSING,
        Code.DATABASE_NOT_EMPTY,
        Code.DATABASE_INCOMPLETE,
        Code.DATABASE_URL_INVALID,
        Code.BIND_REFUSED,
        Code.PORT_TAKEN,
        Code.SETTINGS_INVALID,
        Code.PLACE_UNUSABLE,
    }
)
"""Why a command or a server does not even start: what is configured must change first."""


def exit_of(error: PalaverError) -> Exit:
    """The exit code that tells this error."""
    if error.code in REFUSED_CODES:
        return Exit.REFUSED
    return Exit.UNAVAILABLE if error.temporary else Exit.FAILED


def escaped(text: str) -> str:
    """The text with control and direction characters shown, not obeyed; line breaks and tabs stay."""
    return "".join(_shown(char) for char in text)


def _shown(char: str) -> str:
    if char in "\n\t" or unicodedata.category(char) not in {"Cc", "Cf", "Cs"}:
        return char
    return char.encode("unicode_escape").decode("ascii")


def without_password(url: str) -> str:
    """A database's URL as it may be shown."""
    return _PASSWORD.sub(rf"\1:{HIDDEN}@", url)


def counted(number: int, one: str) -> str:
    """Writes a number of things, such as `1 answer` and `2 answers`."""
    return f"{number:,} {one}" + ("" if number == 1 else "s")


def tell(text: str) -> None:
    """A line for people, on standard output."""
    sys.stdout.write(f"{escaped(text)}\n")


def warn(text: str) -> None:
    """A line for people, on standard error."""
    sys.stderr.write(f"palaver: {escaped(text)}\n")


def tell_json(value: Mapping[str, object], *, indent: int | None = 2) -> None:
    """One JSON object, on standard output; ASCII only, so that no terminal obeys anything in it."""
    sys.stdout.write(f"{json.dumps(value, ensure_ascii=True, indent=indent)}\n")


def tell_error(error: PalaverError, *, as_json: bool) -> None:
    """What went wrong, for the one who can do something about it."""
    if as_json:
        problem = {"code": str(error.code), "detail": error.detail, "temporary": error.temporary}
        tell_json({"error": problem})
    else:
        warn(f"{error.detail} [{error.code}]")
