"""Tells a database's revision, and brings it to this program's.

A server starts quickly: at the newest revision it reads one row and imports no Alembic. An older SQLite file is copied
beside itself (`<name>.<revision>.bak`) before it is touched; an older PostgreSQL database is refused, because other
processes may be using it, and upgraded by `palaver db upgrade`. All steps happen in one transaction: a crash in the
middle leaves the database as it was. A database that is newer than this program is never touched.
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import TypeVar

from sqlalchemy import (
    URL,
    Connection,
    bindparam,
    column,
    inspect,
    literal_column,
    select,
    table,
    text,
    update,
)

from palaver.clock import Clock, SystemClock
from palaver.errors import Code, Refused
from palaver.settings import Settings
from palaver.store import files
from palaver.store.engine import errors
from palaver.store.engine.base import POSTGRESQL, SQLITE, Database, file_of, parsed
from palaver.store.engine.connect import connect
from palaver.store.engine.executors import InlineLanes
from palaver.store.engine.lock import taken
from palaver.store.engine.offline import Place, alone
from palaver.store.engine.sqlite import writing_engine
from palaver.store.engine.statement import Statement, inserting
from palaver.store.schema import meta, metadata

T = TypeVar("T")

Progress = Callable[[str], None]

DERIVED = frozenset({"search_index", "search_progress"})
"""Tables that no revision makes: the search index, see `store.search`."""
VERSIONS = (Path(__file__).parent / "migrations" / "versions",)
"""The folder of the revisions, in files whose names begin with their numbers."""
ADVISORY_LOCK = 7_308_332_046_010_253_926
"""So that of several processes at an empty PostgreSQL database one makes the tables."""

_version = table("alembic_version", column("version_num"))
_VERSION = Statement(select(_version.c.version_num))
META = Statement(select(meta.c.value).where(meta.c.name == bindparam("name")), "name")
INSERT_META = inserting(meta, "name", "value")
_RENEW_EPOCH = Statement(
    update(meta)
    .where(meta.c.name == literal_column("'epoch'"), meta.c.value == bindparam("known"))
    .values(value=bindparam("new")),
    "new",
    "known",
)


def revisions() -> tuple[str, ...]:
    """Every revision, oldest first."""
    names = [path.name for folder in VERSIONS for path in folder.glob("[0-9]*_*.py")]
    return tuple(sorted([name.partition("_")[0] for name in names]))


def head() -> str:
    """The revision of this program."""
    return revisions()[-1]


def current(url: str) -> str | None:
    """The revision of a database; None for one that is empty or not there. Makes no file.

    Like `upgrade` and `check` it is for commands: it blocks, and may not be called where an event loop runs.
    """
    return _asked(url, revision)


def check(url: str) -> list[str]:
    """How a database differs from what this program declares; nothing when all is well."""
    return _asked(url, differences)


def upgrade(url: str, progress: Progress) -> None:
    """Brings a database to this program's revision. Refused: `database_newer`, `database_locked`."""
    path = file_of(parsed(url))
    with ExitStack() as ending:
        if path is not None:
            ending.callback(taken(path).release)
        alone(partial(upgraded, path, progress), Place(url, writes=True))


async def prepare(database: Database, path: Path | None, clock: Clock, *, migrate: bool) -> str:
    """Makes a database ready for a server, and gives its epoch."""
    found = await database.writing(0, revision)
    if found != head():
        _refuse_newer(found)
        if not migrate or (found is not None and path is None):
            raise _older(found)
        await database.writing(0, partial(_upgrade, path, clock, lambda _: None))
    return await database.writing(0, epoch)


def revision(conn: Connection) -> str | None:
    """The database's revision; None for an empty one."""
    if not inspect(conn).has_table("alembic_version"):
        return None
    return _VERSION.value(conn)


def differences(conn: Connection) -> list[str]:
    """What Alembic's comparison finds between the database and the declared tables."""
    from alembic.autogenerate import compare_metadata  # noqa: PLC0415  only where it is needed
    from alembic.migration import MigrationContext  # noqa: PLC0415

    context = MigrationContext.configure(
        conn,
        opts={
            "compare_type": True,
            "compare_server_default": True,
            "include_name": _is_declared,
        },
    )
    return [str(difference) for difference in compare_metadata(context, metadata)]


def _is_declared(name: str | None, kind: str, _: object) -> bool:
    return kind != "table" or name not in DERIVED


def back_up(path: Path, found: str) -> Path:
    """Copies a SQLite file, also one that is in use, to `<name>.<revision>.bak` beside it."""
    target = path.with_name(f"{path.name}.{found}.bak")
    unfinished = target.with_name(f"{target.name}.part")
    files.removed(unfinished)
    files.new_file(unfinished)
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(unfinished)) as copy:
        source.backup(copy)
    files.put(unfinished, target)
    return target


def refuse_others(conn: Connection) -> None:
    """Refused: `database_older`, `database_newer`, when the database is not at this program's revision."""
    found = revision(conn)
    _refuse_newer(found)
    if found != head():
        raise _older(found)


def _upgrade(path: Path | None, clock: Clock, progress: Progress, conn: Connection) -> None:
    """In one transaction, which a crash undoes."""
    if conn.dialect.name == POSTGRESQL:
        conn.execute(
            text("SET LOCAL idle_in_transaction_session_timeout = 0")
        )  # Python may be slow
        conn.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
    found = revision(conn)
    _refuse_newer(found)
    if found == head():
        progress(f"already at revision {found}")
        return
    if found is None:
        _refuse_strangers(conn)
    elif path is not None:
        progress(f"copied to {back_up(path, found)}")
    _migrate(conn, progress)
    if found is None:
        INSERT_META.many(
            conn, [("epoch", f"e_{clock.new_id()}"), ("created_ms", str(clock.now_ms()))]
        )
    progress(f"now at revision {head()}")


def _migrate(conn: Connection, progress: Progress) -> None:
    from alembic import command  # noqa: PLC0415  a server at the newest revision does without
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("version_locations", os.pathsep.join(map(str, VERSIONS)))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = conn
    config.attributes["progress"] = progress
    command.upgrade(config, "head")


def _asked(url: str, query: Callable[[Connection], T]) -> T:
    """What a query says of a database that a server may have open; within a server's deadline, where it may hang."""
    found = parsed(url)
    if found.drivername != SQLITE:
        return asyncio.run(_asked_in_time(found, query))
    path = file_of(found)
    if path is not None and files.there(path):
        return alone(query, Place(url))
    engine = writing_engine(None)  # an empty one
    try:
        with engine.connect() as conn:
            return query(conn)
    finally:
        engine.dispose()


async def _asked_in_time(url: URL, query: Callable[[Connection], T]) -> T:
    database = connect(url, Settings(), SystemClock(), InlineLanes())
    try:
        return await database.reading(query)
    except Exception as error:
        raise errors.temporary(error) or error from error
    finally:
        await database.close()


def upgraded(path: Path | None, progress: Progress, conn: Connection) -> None:
    """As `upgrade`, of the database of this connection; `path` is copied before it is touched."""
    with conn.begin():
        _upgrade(path, SystemClock(), progress, conn)


def epoch(conn: Connection) -> str:
    """The database's epoch. Refused: `database_incomplete`, a copy that was not brought to its end."""
    found = META.value(conn, "epoch")
    if found is None:
        raise Refused(
            Code.DATABASE_INCOMPLETE,
            "The database is an unfinished copy; repeat the command that made it.",
        )
    return found


def renew_epoch(conn: Connection, new: str, *, known: str) -> str:
    """Another epoch, unless it is not the `known` one any more; what it is then."""
    _RENEW_EPOCH.run(conn, new, known)
    return epoch(conn)


def _older(found: str | None) -> Refused:
    return Refused(
        Code.DATABASE_OLDER,
        f"The database is at revision {found or 'none'}, this program needs {head()}; "
        "run `palaver db upgrade`.",
    )


def _refuse_newer(found: str | None) -> None:
    if found is not None and found not in revisions():
        raise Refused(
            Code.DATABASE_NEWER,
            f"The database is at revision {found}, which this program does not know; "
            "it was made by a newer one.",
        )


def _refuse_strangers(conn: Connection) -> None:
    """Tables of our names that no revision of ours has made are somebody else's."""
    names = set(inspect(conn).get_table_names()) & set(metadata.tables)
    if names:
        raise Refused(
            Code.DATABASE_URL_INVALID,
            f"The database has tables that are not Palaver's: {', '.join(sorted(names))}.",
        )
