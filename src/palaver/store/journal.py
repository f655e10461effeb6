r"""The journal: what is not stored yet, so that a crash or a database that is away loses nothing.

A process has two, each a directory of segment files. In `streams` each piece of an answer is written (`write`, so
that `kill -9` keeps it) before anyone sees it, and a sync once a second (so that a power cut loses at most that) puts
it on the disk. In `drafts` a message that was accepted while the database is away is synced before it is
acknowledged. When what a key stands for is stored, `ended` is written; a segment none of whose keys is open is deleted.

A segment: `PLVJ1\n`, then records `length u32 · crc32 u32 · key 16 bytes · kind 1 byte · data`, all little-endian,
the crc over everything behind it. The file is preallocated with zeros, so a length of 0 is the end; so is a record
whose crc does not fit: what lies behind a torn record was never shown. Drafts mean something one by one, so there it is
passed over; if a later record, `safe`, says that the place had been synced, the disk has damaged it. The owner holds
`flock` on its segments: one that can be locked belongs to nobody, and `orphans` gives what it holds. One whose keys
mean nothing to the database is set aside, never deleted, until there is a database that knows them. A key is an id:
any prefix and 32 hex digits.

After a sync that failed, nothing that rests on the same file counts: the system calls its pages clean although they
are not on the disk, and the next sync of them succeeds. So the journal has what is not synced for sure in memory, and
the next sync writes all of it into a new file: its first record, `again`, holds it and says behind which place the
older files are void. Only when that file is synced, the sync has succeeded.

It knows no database and decides nothing about turns or messages.
"""

import asyncio
import errno
import fcntl
import functools
import os
import struct
import zlib
from collections.abc import (
    AsyncGenerator,
    Callable,
    Iterable,
    Iterator,
    Sequence,
    Set as AbstractSet,
)
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import structlog
from msgspec import Struct, field

from palaver.model import TurnId
from palaver.store.files import folder_made, sync_directory, usable

MAGIC = b"PLVJ1\n"
ASIDE = "aside"
SEGMENT_BYTES = 8 * 1024 * 1024
UNSYNCED_BYTES_MAX = 32 * 1024 * 1024
"""What may wait for a disk that does not sync; more is refused as if the disk were full."""
ALONE_SECONDS, ALONE_SECONDS_MAX = 0.05, 5.0
"""How often, and how long, a process waits for another one that takes over what dead ones left."""
_HEAD = struct.Struct("<II")
_PLACE = struct.Struct("<IQ")
_SIZE = struct.Struct("<Q")
_KEY = 16
TEXT, REASONING, PIECE, DRAFT, ENDED, KNOWN = b"t", b"r", b"p", b"d", b"e", b"k"
_AGAIN, _SAFE = b"a", b"s"
Records = dict[str, list[tuple[bytes, bytes]]]
"""What a segment holds of each key (32 hex digits), in its order: (kind, data)."""


class _Place(Struct, frozen=True):
    """So much of this segment, and all of those before it."""

    number: int
    size: int


class Orphan(Struct):
    """A segment that a dead process left, locked by us. `damaged`: so many records in it were passed over."""

    path: Path
    descriptor: int
    records: Records
    damaged: int = 0

    @property
    def aside(self) -> bool:
        """Whether it was set aside before."""
        return self.path.parent.name == ASIDE

    def set_aside(self) -> None:
        """Puts it where no start deletes it, under its own name. `OSError`: it stays where it is."""
        try:
            if not self.aside:
                aside = self.path.parent / ASIDE
                aside.mkdir(mode=0o700, exist_ok=True)
                sync_directory(aside.parent)
                self.path = self.path.rename(aside / self.path.name)
                sync_directory(aside)
                log = structlog.get_logger("palaver.store")
                log.warning("journal.set_aside", file=str(self.path), waiting=len(self.records))
        finally:
            os.close(self.descriptor)

    def forget(self) -> None:
        """Everything in it is stored: deletes the file."""
        _gone(self.path)
        os.close(self.descriptor)

    def release(self) -> None:
        """Lets go of it, for another time."""
        os.close(self.descriptor)


class _Segment(Struct):
    number: int
    path: Path
    descriptor: int
    size: int
    open: set[str] = field(default_factory=set[str])
    written: bool = False  # since its last sync
    named: bool = False  # the directory was synced since it was made
    safe: int = 0  # so much of it is said to be synced


class Journal:
    """The writing side of one process. `named`: as long as it lives, it is none of the `dead_owners`.

    Where files of `aside_bytes_max` bytes are set aside, no more are made, as if the disk were full.
    """

    def __init__(
        self,
        directory: Path,
        owner: str,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        aside_bytes_max: int | None = None,
        named: bool = False,
    ) -> None:
        folder_made(directory)
        self.directory = directory
        self._owner = owner
        self._segment_bytes = segment_bytes
        self._aside_bytes_max = aside_bytes_max
        self._number = 0
        self._segments: list[_Segment] = []
        self._unsynced: list[tuple[str, bytes]] = []  # records and their keys
        self._kept = self._safe = 0  # so many were ever appended; so many of them are synced
        self._synced = _Place(0, 0)
        self.synced_bytes = 0  # of `bytes`
        self._failures = 0  # syncs that failed
        self._anew = 0  # as many as that, when all that is not synced was written again
        self._alive: int | None = None
        with usable(directory):
            if named:
                self._alive = _locked(directory / f"{owner}.owner", create=True)
            else:
                for _ in dead_owners(directory):  # of a Palaver that named all of them
                    continue
        self.bytes = 0
        self.records = 0

    def piece(self, turn: TurnId, text: str, reasoning: str = "") -> None:
        """Keeps a piece of an answer. Raises `OSError` when it cannot, and then has kept nothing of it."""
        pieces: list[tuple[bytes, bytes]] = []
        if reasoning:
            pieces.append((REASONING, reasoning.encode("utf-8", "surrogatepass")))
        if text:
            pieces.append((TEXT, text.encode("utf-8", "surrogatepass")))
        self._append(turn, *pieces)

    def ended(self, key: str) -> None:
        """What the key stands for is stored; its records are no longer needed."""
        key = key[-32:]
        if not self.holds(key):
            return
        with suppress(OSError):  # recovery asks the store anyway what is stored
            self.keep(key, ENDED, b"")
        for segment in self._segments:
            segment.open.discard(key)
        self._drop_finished()

    def holds(self, key: str) -> bool:
        """Whether there are records of the key that are still needed."""
        return any(key[-32:] in segment.open for segment in self._segments)

    def sync_job(self) -> Callable[[None], None] | None:
        """What puts the written on the disk, to be run in a thread; None when all of it is there.

        It raises `OSError` when it cannot. Jobs run one after the other, in the order in which they were made. One may
        be made while another goes on, whose sender was cut off: when that fails, so does this one.
        """
        if not self._unsynced:
            return None
        failures = self._failures
        try:
            if failures != self._anew:
                self._begin_anew()
                self._anew = failures
            files = self._written()
        except OSError as failure:
            return functools.partial(_refuse, failure)
        place = _Place(self._segments[-1].number, self._segments[-1].size)
        kept, upto = self._kept, self.bytes

        def sync(_: None) -> None:
            try:
                if failures != self._failures:
                    _refuse(OSError(errno.EIO, "a sync failed since, maybe of the same file"), None)
                for file, how in files:
                    how(file)
            except OSError:
                self._failures = failures + 1
                raise
            finally:
                for file, _how in files:
                    os.close(file)
            # one deletion and one assignment each: the loop's thread, which appends, sees no half of them
            del self._unsynced[: kept - self._safe]
            self._synced, self.synced_bytes, self._safe = place, upto, kept

        return sync

    def close(self) -> None:
        """Ends the journal; segments with keys that are still open stay for recovery."""
        for segment in self._segments:
            os.close(segment.descriptor)
            if not segment.open:
                _gone(segment.path)
        self._segments.clear()
        if self._alive is not None:
            _gone(self.directory / f"{self._owner}.owner")
            os.close(self._alive)
            self._alive = None

    def keep(self, key: str, kind: bytes, *data: bytes) -> None:
        """Writes records, not yet synced: all of them or none. Raises `OSError`."""
        self._append(key, *[(kind, one) for one in data])

    def _append(self, key: str, *records: tuple[bytes, bytes]) -> None:
        key = key[-32:]
        raw = bytes.fromhex(key)
        data = b"".join([_record(raw, kind, said) for kind, said in records])
        if self._failures != self._anew and self.bytes - self.synced_bytes > UNSYNCED_BYTES_MAX:
            raise OSError(errno.EIO, "too much waits for a disk that does not sync")
        segment = self._segments[-1] if self._segments else None
        if segment is None or segment.size + len(data) > self._segment_bytes:
            segment = self._open(len(data))
            self._drop_finished()
        synced = self._synced.size if self._synced.number == segment.number else 0
        if synced > segment.safe:
            self._write(segment, _record(bytes(_KEY), _SAFE, _SIZE.pack(synced)))
            segment.safe = synced
        self._write(segment, data)
        segment.open.add(key)
        self._unsynced.append((key, data))
        self._kept += 1
        self.bytes += len(data)
        self.records += len(records)

    def _write(self, segment: _Segment, record: bytes) -> None:
        if os.pwrite(segment.descriptor, record, segment.size) != len(record):
            # the next record overwrites the torn one
            raise OSError(errno.ENOSPC, "the journal's disk is full")
        segment.size += len(record)
        segment.written = True

    def _open(self, least: int) -> _Segment:
        if self._aside_bytes_max is not None:
            aside = sum(file.stat().st_size for file in set_aside(self.directory))
            if aside > self._aside_bytes_max:
                raise OSError(errno.EDQUOT, "what is set aside is as much as may be")
        self._number += 1
        path = self.directory / f"{self._owner}-{self._number:06d}.journal"
        descriptor = _locked(path, create=True)
        assert descriptor is not None, "nobody else makes a file of this owner"
        try:
            _preallocate(descriptor, max(self._segment_bytes, least) + len(MAGIC))
            os.pwrite(descriptor, MAGIC, 0)
        except OSError:
            os.close(descriptor)
            _gone(path)
            raise
        self._segments.append(_Segment(self._number, path, descriptor, size=len(MAGIC)))
        return self._segments[-1]

    def _begin_anew(self) -> None:
        """Writes all that is not synced for sure into a new file; the ones that held nothing else are deleted."""
        place = _PLACE.pack(self._synced.number, self._synced.size)
        again = _record(bytes(_KEY), _AGAIN, place + b"".join(data for _, data in self._unsynced))
        before = list(self._segments)
        segment = self._open(len(again))
        try:
            self._write(segment, again)
        except OSError:
            self._drop(segment)
            raise
        segment.open.update(key for key, _ in self._unsynced)
        for one in before:
            one.written = False
            if one.number > self._synced.number:
                self._drop(one)

    def _written(self) -> list[tuple[int, Callable[[int], None]]]:
        """What must be synced, and how: copies of descriptors, because the segments may be closed meanwhile."""
        files: list[tuple[int, Callable[[int], None]]] = []
        if not all(segment.named for segment in self._segments):
            files.append((os.open(self.directory, os.O_RDONLY | os.O_CLOEXEC), os.fsync))
        written = [segment for segment in self._segments if segment.written]
        files += [(os.dup(segment.descriptor), os.fdatasync) for segment in written]
        for segment in self._segments:
            segment.written, segment.named = False, True
        return files

    def _drop_finished(self) -> None:
        for segment in self._segments[:-1]:
            if not segment.open:
                self._drop(segment)

    def _drop(self, segment: _Segment) -> None:
        os.close(segment.descriptor)
        _gone(segment.path)
        self._segments.remove(segment)


def orphans(directory: Path, *, past_damage: bool = False, aside: bool = False) -> Iterator[Orphan]:
    """The segments that no living process owns, oldest first of each owner, locked for the caller.

    `past_damage`: each record means something without the others, so one that the disk has damaged is passed over.
    `aside`: also what was set aside.
    """
    found: list[Orphan] = []
    void: dict[str, _Place] = {}
    files = [*directory.glob("*.journal"), *(set_aside(directory) if aside else ())]
    for path in sorted(files, key=lambda path: path.name, reverse=True):
        descriptor = _locked(path)
        if descriptor is None:
            continue
        owner, _, number = path.stem.rpartition("-")
        place = void.get(owner)
        data = path.read_bytes()
        if place is not None and int(number) >= place.number:
            data = data[: place.size] if int(number) == place.number else b""
        records, older, end, damaged = _replayed(data, past_damage=past_damage)
        torn = len(data[end:].rstrip(b"\0"))
        if torn:  # as after a power cut; or the disk has damaged what it held
            log = structlog.get_logger("palaver.store")
            log.warning("journal.torn", file=path.name, at=end, bytes_behind=torn)
        if older is not None:
            void[owner] = older
        found.append(Orphan(path, descriptor, records, damaged))
    yield from reversed(found)


@asynccontextmanager
async def alone(directory: Path) -> AsyncGenerator[None]:
    """Keeps other processes out of the same block meanwhile; one that is stopped in it, for `ALONE_SECONDS_MAX`."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for _ in range(round(ALONE_SECONDS_MAX / ALONE_SECONDS)):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(ALONE_SECONDS)
        yield
    finally:
        os.close(descriptor)


def set_aside(directory: Path) -> list[Path]:
    """The files of a journal that were set aside."""
    return sorted((directory / ASIDE).glob("*.journal"))


def forget(left: Sequence[Orphan], waiting: AbstractSet[str] = frozenset()) -> None:
    """Everything in them but the keys that wait is stored, or taken over: deletes the files, the newest first.

    So what is left of them, whenever this ends, is the beginning of what they held, and its order is right.
    """
    for orphan in reversed(left):
        if not waiting.isdisjoint(orphan.records):
            with suppress(OSError):
                orphan.set_aside()
            continue
        orphan.forget()
        sync_directory(orphan.path.parent)


def dead_owners(directory: Path) -> Iterator[str]:
    """The owners on this machine whose process is gone; each is told once."""
    for path in sorted(directory.glob("*.owner")):
        descriptor = _locked(path)
        if descriptor is not None:
            _gone(path)
            os.close(descriptor)
            yield path.stem


def replay(data: bytes) -> Records:
    """What a segment's bytes say, up to the first record that is not whole."""
    return _replayed(data)[0]


def merged(left: Iterable[Orphan]) -> Records:
    """What several segments, in their order, hold of each key that is still open, in the order of the keys.

    A draft that another process had taken over already is in it once, where it was first.
    """
    records: Records = {}
    for orphan in left:
        for key, found in orphan.records.items():
            known = records.setdefault(key, [])
            known.extend([one for one in found if one[0] != DRAFT or one not in known])
    return {key: found for key, found in records.items() if all(kind != ENDED for kind, _ in found)}


def _replayed(data: bytes, *, past_damage: bool = False) -> tuple[Records, _Place | None, int, int]:
    """What a segment says, and behind which place of older ones nothing counts.

    And where its last whole record ends, and how many that the disk held were damaged and passed over.
    """
    records: Records = {}
    void: _Place | None = None
    damaged: list[int] = []
    safe = 0
    if not data.startswith(MAGIC):
        return records, void, 0, 0
    at = end = len(MAGIC)
    while at + _HEAD.size <= len(data):
        length, crc = _HEAD.unpack_from(data, at)
        body = data[at + _HEAD.size : at + _HEAD.size + length]
        fits = zlib.crc32(body) == crc
        if length <= _KEY or len(body) != length or not (fits or past_damage):
            break
        at += _HEAD.size + length
        if not fits:
            damaged.append(at)
            continue
        end = at
        kind, content = body[_KEY : _KEY + 1], body[_KEY + 1 :]
        if kind == _AGAIN:  # the first record of its segment, if any
            void = _Place(*_PLACE.unpack_from(content))
            records = replay(MAGIC + content[_PLACE.size :])
        elif kind == _SAFE:
            (safe,) = _SIZE.unpack(content)
        else:
            records.setdefault(body[:_KEY].hex(), []).append((kind, content))
    return records, void, end, sum(behind <= safe for behind in damaged)


def _record(key: bytes, kind: bytes, data: bytes) -> bytes:
    body = key + kind + data
    return _HEAD.pack(len(body), zlib.crc32(body)) + body


def _refuse(failure: OSError, _: None) -> None:
    raise failure


def _locked(path: Path, *, create: bool = False) -> int | None:
    """The open file, locked by us; None when a living process has it, or it is gone."""
    flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT | os.O_EXCL if create else 0)
    try:
        descriptor = os.open(path, flags, 0o600)
    except FileNotFoundError:
        if create:
            raise
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _gone(path: Path) -> None:
    """Deletes a file; one that cannot be is met again at the next start, where it does no harm."""
    with suppress(OSError):
        path.unlink()


def _preallocate(descriptor: int, size: int) -> None:
    """Takes the disk's room at once, where the system can; so that a full disk is met here, not in an answer."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.ftruncate(descriptor, size)
