"""Files on the disk: private to their owner, under their name when they are whole, and with it in every error.

What Palaver makes only its owner can read, whatever the umask; what SQLite makes beside a database has the mode of the
database. Nothing here knows what is in a file.
"""

import errno
import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from glob import escape
from pathlib import Path

import structlog

from palaver.errors import Code, Refused

CONFIGURED = "PALAVER_DATA_DIR or DATABASE_URL says where it is"
PRIVATE = 0o600
OTHERS = stat.S_IRWXG | stat.S_IRWXO
BESIDE = ("", "-wal", "-shm", "-journal")
"""How the names of what belongs to a SQLite file end."""
SEARCH = "-search.db"
"""How the name of the search index ends, behind that of its database."""
ABOUT = (".lock", ".*.bak", ".*.old", ".*.old-wal", ".*.old-shm", f"{SEARCH}*")
OURS = ("mark.", "secret.", "server.", "control.sock", "journal")
"""How the names of what else lies in a data directory begin."""
JOURNALS = ("drafts", "exchanges", "streams")


@contextmanager
def usable(path: Path, advice: str = CONFIGURED) -> Generator[None]:
    """Refused: `place_unusable`, which names the path, when the system refuses what the block does."""
    try:
        yield
    except OSError as error:
        why = "It is a link to nothing" if _dangles(path) else error.strerror
        detail = f"{path} cannot be used: {why}; {advice}"
        raise Refused(Code.PLACE_UNUSABLE, detail) from error


def there(path: Path, *, writes: bool = False, advice: str = CONFIGURED) -> bool:
    """Whether there is a file. Refused: `place_unusable`, for one that nobody, or not this user, could open."""
    with usable(path, advice):
        if path.is_dir():
            raise _error(errno.EISDIR)
        if _dangles(path):
            raise _error(errno.ENOENT)
        found = path.exists()
        if found and not os.access(path, os.R_OK | (os.W_OK if writes else 0)):
            raise _error(errno.EACCES)
        return found


def folder_made(folder: Path) -> None:
    """Makes a folder that a power cut leaves where it is. Refused: `place_unusable`."""
    with usable(folder):
        if folder.is_dir():
            return
        folder_made(folder.parent)
        folder.mkdir(exist_ok=True, mode=0o700)
        sync_directory(folder.parent)


def new_file(file: Path) -> None:
    """Makes an empty file. Raises `OSError`, also where one is."""
    os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE))


def put(part: Path, file: Path) -> None:
    """Gives a finished file its name, on the disk."""
    with part.open("rb") as written:
        os.fsync(written.fileno())
    part.replace(file)
    sync_directory(file.parent)


def sync_directory(directory: Path) -> None:
    """Puts the names in it on the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def removed(database: Path) -> None:
    """Deletes a SQLite file and what belongs to it."""
    for end in BESIDE:
        database.with_name(database.name + end).unlink(missing_ok=True)


def moved_along(old: Path, new: Path) -> None:
    """Gives what SQLite keeps beside a database the name that the database has got."""
    for end in ("-wal", "-shm"):
        there = old.with_name(old.name + end)
        if there.exists():
            there.replace(new.with_name(new.name + end))


def made_private(database: Path | None, folder: Path) -> None:
    """Takes away what others may do with what is there already: a database, its copies, its data directory.

    A folder that holds something else, too, stays as it is. What cannot be changed is said.
    """
    folder = folder.resolve()
    found = [folder] if _only_ours(folder, database) else []
    found += [folder / "mark.json", *(folder / "journal" / name for name in JOURNALS)]
    if database is not None:
        name = escape(str(database.resolve()))
        beside = (Path(name).parent.glob(Path(name).name + end) for end in (*BESIDE, *ABOUT))
        found += [path for paths in beside for path in paths]
    for path in found:
        try:
            mode = path.lstat().st_mode
            if mode & OTHERS and not stat.S_ISLNK(mode):
                path.chmod(stat.S_IMODE(mode) & ~OTHERS)
        except FileNotFoundError:
            continue
        except OSError as error:
            log = structlog.get_logger("palaver.store")
            log.warning("files.not_private", path=str(path), error=error.strerror)


def _only_ours(folder: Path, database: Path | None) -> bool:
    ours = OURS if database is None else (*OURS, database.name)
    try:
        shared = folder.stat().st_mode & stat.S_ISVTX  # as /tmp
        return not shared and all(one.name.startswith(ours) for one in folder.iterdir())
    except OSError:
        return False


def _dangles(path: Path) -> bool:
    # pathlib's own raise for names that cannot be
    return os.path.islink(path) and not os.path.exists(path)  # noqa: PTH110, PTH114


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
