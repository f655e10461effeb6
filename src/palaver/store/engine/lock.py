"""One process per SQLite file: a lock beside it that the system lets go of when the process ends, however it ends.

SQLite 3.7.0 to 3.51.2 can corrupt a write-ahead log when two connections write and checkpoint at the wrong moment, and
several writing processes starve each other; so a second process is refused, with the number of the first.
The file stays when the lock is released: deleting it would let two processes hold locks on two files of one name; only
who has the lock may, and who got it meanwhile looks whether it is still there.

The lock also tells who is dead: what a command was making, and nobody has locked, is deleted.
"""

import os
import sys
from contextlib import suppress
from glob import escape
from pathlib import Path

from palaver.errors import Code, Refused
from palaver.store import files

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

HEAD = b"SQLite format 3\0"


class FileLock:
    """Held from its making until `release`. Under whatever name, it is the lock of the file itself.

    Refused: `database_locked`. Raises `OSError` where no file can be made.
    """

    def __init__(self, database: Path) -> None:
        file = database.resolve()
        self._path = file.with_name(f"{file.name}.lock")
        while not self._taken(database):
            os.close(self._descriptor)
        with suppress(OSError):  # a full disk keeps nobody from reading
            os.truncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self, *, gone: bool = False) -> None:
        """Lets another process have the file. `gone`: there is none any more."""
        if gone:
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)

    def _taken(self, database: Path) -> bool:
        """Whether the lock is ours; not so, when its file was deleted just now."""
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _lock(self._descriptor)
        except OSError:
            owner = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise Refused(
                Code.DATABASE_LOCKED,
                f"The database {database} is in use by process {owner or 'unknown'}; "
                "one process at a time may use a SQLite file.",
            ) from None
        return os.fstat(self._descriptor).st_nlink > 0


def taken(database: Path) -> FileLock:
    """Takes a SQLite file, which need not be there yet, for writing; clears away what killed commands left beside it.

    Refused: `database_locked`, `place_unusable`.
    """
    files.folder_made(database.parent)
    files.there(database, writes=True)
    with files.usable(database):
        lock = FileLock(database)
    try:
        swept(database.parent)
        _put_back(database)
    except BaseException:
        lock.release()
        raise
    return lock


def swept(folder: Path) -> None:
    """Deletes the unfinished databases of killed commands in a folder."""
    for lock in folder.glob("*.part.lock"):
        part = lock.with_suffix("")
        with suppress(Refused, OSError):
            held = FileLock(part)
            ours = _is_ours(part)
            if ours:
                files.removed(part)
            held.release(gone=ours)


def _put_back(database: Path) -> None:
    """Ends what a restore that was killed began: to set the file aside. Refused: `place_unusable`, for two names."""
    file = database.resolve()
    if not file.exists():
        return
    for aside in file.parent.glob(f"{escape(file.name)}.*.old"):
        if aside.samefile(file):
            files.moved_along(aside, file)
            aside.unlink()
    if file.stat().st_nlink > 1:
        raise Refused(
            Code.PLACE_UNUSABLE,
            f"{database} has another name (a hard link), under which a second server could open it;"
            " make one of them a copy.",
        )


def _is_ours(part: Path) -> bool:
    try:
        with part.open("rb") as found:
            return found.read(len(HEAD)) in {b"", HEAD}
    except FileNotFoundError:
        return True


def _lock(descriptor: int) -> None:
    if sys.platform == "win32":
        os.lseek(descriptor, 1024, os.SEEK_SET)  # beyond the number, which others may read
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
