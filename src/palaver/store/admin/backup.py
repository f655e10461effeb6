"""Backups: a whole database in one portable SQLite file, of either engine, made while servers write.

A file appears under its name only when it is complete, checked and on the disk. Restoring renews the epoch, so that
clients which know more than the backup begin anew; a SQLite file that is replaced is kept beside the new one.
"""

import os
import sqlite3
from collections.abc import Generator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import cast

from sqlalchemy import Connection

from palaver.clock import SystemClock
from palaver.errors import Code, Refused, Unavailable
from palaver.settings import Settings, sqlite_url
from palaver.store import files, migrate
from palaver.store.admin.copy import copy_rows
from palaver.store.admin.high_water import FILE
from palaver.store.admin.verify import Progress, Verdict, verify
from palaver.store.engine import errors
from palaver.store.engine.base import SQLITE, file_of, parsed
from palaver.store.engine.lock import FileLock, swept, taken
from palaver.store.engine.offline import Place, alone

OTHER_PLACE = "choose another place"
STEP_PAGES = 2_000
"""How much is copied before the progress is told."""


def backup(url: str, file: Path, progress: Progress, *, force: bool = False) -> Verdict:
    """Writes a backup.

    Refused: `database_not_empty` (the file is there), `database_locked` (another command writes it),
    `database_damaged`, `place_unusable`.
    """
    with _target(file), _unfinished(file) as part:
        if file.exists() and (not force or _same(url, file)):
            raise Refused(Code.DATABASE_NOT_EMPTY, f"{file} is there already; choose another name.")
        if parsed(url).drivername == SQLITE:
            alone(partial(_copy_file, part, progress), Place(url))
        else:
            _upgrade(sqlite_url(part))
            alone(partial(_copy_rows, progress), Place(url), Place(sqlite_url(part), writes=True))
        with closing(sqlite3.connect(part)) as made:
            made.execute("PRAGMA journal_mode = DELETE")  # one file, readable anywhere
        verdict = _whole(part, progress)
        files.put(part, file)
    return verdict


def restore(settings: Settings, file: Path, progress: Progress, *, force: bool = False) -> Verdict:
    """Puts a backup in the place of a database, whose mark it takes away.

    Refused: `database_missing` (no such backup), `database_not_empty` (without `force`), `database_locked`,
    `database_damaged` (the backup is), `place_unusable`.
    """
    url = settings.url
    path = file_of(parsed(url))
    mark = settings.data_dir / FILE
    if path is None:
        verdict = _whole(file, progress)
        migrate.upgrade(url, _nothing)
        copying = partial(_copy_rows, progress, force=force)
        alone(copying, Place(sqlite_url(file)), Place(url, writes=True))
        mark.unlink(missing_ok=True)
        return verdict
    with ExitStack() as ending:
        ending.callback(taken(path).release)
        if path.exists() and not force:
            raise Refused(Code.DATABASE_NOT_EMPTY, f"{path} is there already; --force replaces it.")
        path = path.resolve()  # a link stays one
        ending.enter_context(_target(path))
        part = ending.enter_context(_unfinished(path))
        alone(partial(_copy_file, part, progress), Place(sqlite_url(file)))
        _upgrade(sqlite_url(part))
        verdict = _whole(part, progress)
        alone(_renew, Place(sqlite_url(part), writes=True))
        files.made_private(path, settings.data_dir)
        mark.unlink(missing_ok=True)
        _set_aside(path)
        files.put(part, path)
        return verdict


def copy(source: str, target: str, progress: Progress, *, force: bool = False) -> Verdict:
    """Copies a database that no server uses into another; what was begun is gone on with.

    Refused: as `copy.copy_rows`, `database_locked` when a server has either SQLite file, `database_missing`
    (there is no source), and `place_unusable`.
    """
    old, new = (file_of(parsed(url)) for url in (source, target))
    with ExitStack() as ending:
        if old is not None:
            if not files.there(old):
                raise Refused(Code.DATABASE_MISSING, f"There is no database at {old}.")
            with files.usable(old):
                ending.callback(FileLock(old).release)
        if new is not None:
            ending.callback(taken(new).release)
            ending.enter_context(_target(new))
        _upgrade(target, new)
        copying = partial(_copy_rows, progress, force=force)
        alone(copying, Place(source), Place(target, writes=True))
        return verify(target, progress)


def _copy_rows(
    progress: Progress, source: Connection, target: Connection, *, force: bool = False
) -> None:
    migrate.refuse_others(source)
    copy_rows(source, target, progress, force=force)


def _copy_file(part: Path, progress: Progress, source: Connection) -> None:
    """SQLite's own backup, in steps of one snapshot: without that, each write would start it anew."""

    def told(_: int, remaining: int, total: int) -> None:
        progress("copying", total - remaining, total)

    if migrate.revision(source) is None:
        raise Refused(Code.DATABASE_MISSING, "There is no Palaver database in the file.")
    with closing(sqlite3.connect(part)) as made:
        raw = cast(sqlite3.Connection, source.connection.dbapi_connection)
        raw.backup(made, pages=STEP_PAGES, progress=told, sleep=0)


def _renew(conn: Connection) -> None:
    with conn.begin():
        new = f"e_{SystemClock().new_id()}"
        migrate.renew_epoch(conn, new, known=migrate.epoch(conn))


def _whole(file: Path, progress: Progress) -> Verdict:
    verdict = verify(sqlite_url(file), progress)
    if verdict.faults:
        first = verdict.faults[0].what
        raise Refused(
            Code.DATABASE_DAMAGED, f"{file} is damaged: {first} (`palaver verify` says more)."
        )
    return verdict


@contextmanager
def _unfinished(file: Path) -> Generator[Path]:
    """The file under another name, locked; nothing of it is left behind when it does not come to its end."""
    swept(file.parent)
    part = file.with_name(f"{file.name}.part")
    lock = FileLock(part)
    try:
        files.removed(part)
        files.new_file(part)
        yield part
    finally:
        files.removed(part)
        lock.release(gone=True)


@contextmanager
def _target(file: Path) -> Generator[None]:
    """What goes wrong with a file that is written is told as that, and not as the database's fault."""
    try:
        files.there(file, advice=OTHER_PLACE)
        with files.usable(file, OTHER_PLACE):
            yield
    except sqlite3.Error as error:
        raise _unwritable(file, error) from error
    except Unavailable as error:
        if not errors.of_writing(error.__cause__):
            raise
        raise _unwritable(file, errors.cause_of(error.__cause__ or error)) from error


def _unwritable(file: Path, why: object) -> Refused:
    return Refused(Code.PLACE_UNUSABLE, f"{file} cannot be written: {why}; {OTHER_PLACE}.")


def _upgrade(url: str, old: Path | None = None) -> None:
    """Makes the tables, or brings those of the file `old` up to date after a copy of it."""
    alone(partial(migrate.upgraded, old, _nothing), Place(url, writes=True))


def _set_aside(path: Path) -> None:
    """Keeps a SQLite file that is replaced; its write-ahead log must not meet the new one."""
    if not path.exists():
        return
    aside = path.with_name(f"{path.name}.{SystemClock().now_ms()}.old")
    os.link(path, aside)
    files.moved_along(path, aside)


def _same(url: str, file: Path) -> bool:
    path = file_of(parsed(url))
    return path is not None and path.exists() and path.samefile(file)


def _nothing(_: str) -> None:
    """The steps of making an empty database are of no interest."""
