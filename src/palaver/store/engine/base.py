"""What the store asks of a database: run a function in a transaction, on the writing or the reading side.

Also which database a URL means.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from sqlalchemy import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError

from palaver.errors import Code, Refused
from palaver.settings import sqlite_file

T = TypeVar("T")

SQLITE = "sqlite"
POSTGRESQL = "postgresql"
MEMORY = ":memory:"


class Database(Protocol):
    """One database with its connections. Errors are the driver's own; `errors` says what they mean."""

    @property
    def shared(self) -> bool:
        """Whether other processes may use it at the same time."""
        ...

    @property
    def writers(self) -> int:
        """How many may write at once."""
        ...

    async def writing(self, writer: int, work: Callable[[Connection], T]) -> T:
        """Runs `work` in a transaction of that writer and commits it; rolls back what raises."""
        ...

    async def reading(self, work: Callable[[Connection], T]) -> T:
        """Runs `work`, which writes nothing."""
        ...

    async def scrub(self) -> bool:
        """Takes what is stored no more out of the database's own files; False: it is to be tried again later."""
        ...

    async def close(self) -> None:
        """Closes all connections, once nobody uses them."""
        ...


def parsed(url: str) -> URL:
    """The URL, with the name of an engine that we know. Refused: `database_url_invalid`."""
    try:
        found = make_url(url)
        (found.host or "").encode("idna")
    except (ArgumentError, ValueError):
        raise Refused(Code.DATABASE_URL_INVALID, "The database URL is not a URL.") from None
    name = found.drivername
    if name in {SQLITE, "sqlite+pysqlite"}:
        if found.host or "?" in url:
            raise Refused(
                Code.DATABASE_URL_INVALID,
                "A SQLite URL is sqlite:///path, with three slashes and without parameters; %3F is a ? in the path.",
            )
        file = sqlite_file(url)
        return URL.create(SQLITE, database=MEMORY if file is None else f"{file}")
    if name in {"postgres", POSTGRESQL, "postgresql+asyncpg"}:
        return found.set(drivername="postgresql+asyncpg")
    raise Refused(
        Code.DATABASE_URL_INVALID,
        f"The database {name!r} is not known; use sqlite:///path or postgresql://host/name.",
    )


def file_of(url: URL) -> Path | None:
    """The file of a SQLite URL; None for one in memory, and for PostgreSQL."""
    name = url.database
    return None if url.drivername != SQLITE or not name or name == MEMORY else Path(name)
