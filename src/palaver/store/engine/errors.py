"""Maps a driver's error to its meaning: try again later, the disk is full, or a bug of ours.

Callers never see SQL or a driver's words. What is not listed is unexpected: it is logged with its traceback where it is
caught, and told as `internal`.
"""

import sqlite3
from collections.abc import Collection

from sqlalchemy.exc import DBAPIError, PendingRollbackError

from palaver.errors import Code, Refused, Unavailable

_SQLITE_AWAY = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
    }
)
_SQLITE_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
"""Also what SQLite says when the system cannot read a page of the file (EIO)."""
_SQLITE_SPOILT = _SQLITE_DAMAGED | {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY}
_SQLITE_READING = frozenset(
    {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ}
)
_POSTGRES_FULL = "53100"
_POSTGRES_NO_TABLE = "42P01"
_POSTGRES_CROSSED = frozenset({"40001", "40P01"})
_POSTGRES_CONFLICT_CLASS = "23"
_POSTGRES_AWAY_CLASSES = ("08", "53", "57", "58", "40")
_POSTGRES_AWAY = frozenset({"25006", "55P03", "25P03", "28000", "28P01", "3D000"})
RETRY_MS = 1_000
_PRIMARY = 0xFF
"""An extended SQLite error code holds the primary one in its lowest byte."""


def temporary(error: BaseException) -> Unavailable | None:
    """The `Unavailable` that an engine's error stands for; None for what is unexpected."""
    if isinstance(error, Unavailable):
        return error
    cause = cause_of(error)
    if isinstance(cause, sqlite3.Error):
        return _sqlite(cause)
    state = _state(cause)
    if state is not None:
        return _postgresql(state)
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    if lost or isinstance(cause, (OSError, PendingRollbackError)) or _is_of_connection(cause):
        return away()  # TimeoutError is an OSError
    return None


def crossed(error: BaseException) -> bool:
    """Whether PostgreSQL rolled back because of another transaction, so that the same may go through now."""
    return _state(cause_of(error)) in _POSTGRES_CROSSED


def conflicts(error: BaseException) -> bool:
    """Whether what was to be unique is there already, because another process stored it in between."""
    cause = cause_of(error)
    unique = (_state(cause) or "").startswith(_POSTGRES_CONFLICT_CLASS)
    return unique or isinstance(cause, sqlite3.IntegrityError)


def spoils(error: BaseException) -> bool:
    """Whether a SQLite connection may be of no more use after an error, or what it wrote not be on the disk."""
    return _is(error, _SQLITE_SPOILT) or isinstance(error, PendingRollbackError)


def of_writing(error: BaseException | None) -> bool:
    """Whether SQLite could not write, where it reads one file and writes another."""
    cause = None if error is None else cause_of(error)
    if not isinstance(cause, sqlite3.Error) or cause.sqlite_errorcode in _SQLITE_READING:
        return False
    return _is(cause, {sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR})


def damaged(error: BaseException) -> Refused | None:
    """For what begins with a SQLite file: the refusal of one that is damaged; None for other errors.

    A server that runs already is merely without its database: the disk may be read again.
    """
    if not _is(error, _SQLITE_DAMAGED):
        return None
    detail = f"The file is damaged or no database, or its disk cannot be read: {cause_of(error)}."
    return Refused(Code.DATABASE_DAMAGED, detail)


def lacks_table(error: BaseException) -> bool:
    """Whether a table is not there."""
    cause = cause_of(error)
    told = str(cause) if isinstance(cause, sqlite3.OperationalError) else ""
    return told.startswith("no such table") or _state(cause) == _POSTGRES_NO_TABLE


def full() -> Unavailable:
    """The disk is full."""
    return Unavailable(Code.DATABASE_FULL, "The database's disk is full.")


def away() -> Unavailable:
    """The database does not answer, or not now."""
    return Unavailable(Code.DATABASE_UNAVAILABLE, "The database cannot be reached right now.")


def internal() -> Unavailable:
    """Something unexpected, which the log tells about."""
    return Unavailable(Code.INTERNAL, "Something went wrong on the server; its log says what.")


def cause_of(error: BaseException) -> BaseException:
    """The driver's own error inside SQLAlchemy's."""
    return error.orig if isinstance(error, DBAPIError) and error.orig else error


def _is(error: BaseException, codes: Collection[int]) -> bool:
    code = getattr(cause_of(error), "sqlite_errorcode", None)
    return code is not None and code & _PRIMARY in codes


def _sqlite(error: sqlite3.Error) -> Unavailable | None:
    if _is(error, {sqlite3.SQLITE_FULL}):
        return full()
    return away() if _is(error, _SQLITE_AWAY | _SQLITE_DAMAGED) else None


def _postgresql(state: str) -> Unavailable | None:
    if state == _POSTGRES_FULL:
        return full()
    if state in _POSTGRES_CROSSED:
        return Unavailable(
            Code.TOO_BUSY, "Others are writing to the same rooms.", retry_ms=RETRY_MS
        )
    known = state in _POSTGRES_AWAY or state.startswith(_POSTGRES_AWAY_CLASSES)
    return away() if known else None


def _state(error: BaseException) -> str | None:
    """The SQLSTATE of a PostgreSQL error, of SQLAlchemy's wrapper or of asyncpg itself."""
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    return state if isinstance(state, str) else None


def _is_of_connection(error: BaseException) -> bool:
    """Whether asyncpg's connection is closed, or what it has prepared fits the tables no more.

    Known by name, so that SQLite needs no asyncpg.
    """
    name = type(error).__name__
    return type(error).__module__.startswith(("asyncpg", "sqlalchemy.dialects.postgresql")) and (
        "Interface" in name or name == "InvalidCachedStatementError" or "closed" in str(error)
    )
