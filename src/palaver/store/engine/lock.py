"""One process per SQLite file: a lock beside it that the system lets go of when the process ends, however it ends.

SQLite 3.7.0 to 3.51.2 can corrupt a write-ahead log when two connections write and checkpoint at the wrong moment, and
several writing processes starve each other; so a second process is refused, with the number of the first.
The file stays when the lock is released: deleting it would let two processes hold locks on two files of one name.
"""

import os
import sys
from pathlib import Path

from palaver.errors import Code, Refused

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


class FileLock:
    """Held from its making until `release`."""

    def __init__(self, database: Path) -> None:
        path = database.with_name(f"{database.name}.lock")
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _lock(self._descriptor)
        except OSError:
            owner = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise Refused(
                Code.DATABASE_LOCKED,
                f"the database {database} is in use by process {owner or 'unknown'}; "
                "one process at a time may use a SQLite file",
            ) from None
        os.truncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Lets another process have the file."""
        os.close(self._descriptor)


def _lock(descriptor: int) -> None:
    if sys.platform == "win32":
        os.lseek(descriptor, 1024, os.SEEK_SET)  # beyond the number, which others may read
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
