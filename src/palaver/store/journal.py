r"""The journal: what is not stored yet, so that a crash or a database that is away loses nothing.

A process has two, each a directory of segment files. In `streams` each piece of an answer is written (`write`, so
that `kill -9` keeps it) before anyone sees it, and a sync once a second (so that a power cut loses at most that) puts
it on the disk. In `drafts` a message that was accepted while the database is away is synced before it is
acknowledged. When what a key stands for is stored, `ended` is written; a segment none of whose keys is open is deleted.

A segment: `PLVJ1\n`, then records `length u32 · crc32 u32 · key 16 bytes · kind 1 byte · data`, all little-endian,
the crc over everything behind it. The file is preallocated with zeros, so a length of 0 is the end; so is a record
whose crc does not fit: what lies behind a torn record was never shown. The owner holds `flock` on its segments: one
that can be locked belongs to nobody, and `orphans` gives what it holds. A key is an id: any prefix and 32 hex digits.

It knows no database and decides nothing about turns or messages.
"""

import fcntl
import os
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from palaver.model import TurnId

MAGIC = b"PLVJ1\n"
SEGMENT_BYTES = 8 * 1024 * 1024
_HEAD = struct.Struct("<II")
_KEY = 16
TEXT, REASONING, DRAFT, ENDED = b"t", b"r", b"d", b"e"
Records = dict[str, list[tuple[bytes, bytes]]]
"""What a segment holds of each key (32 hex digits), in its order: (kind, data)."""


@dataclass(slots=True)
class Partial:
    """What is left of one answer."""

    text: str = ""
    reasoning: str = ""


@dataclass(slots=True)
class Orphan:
    """A segment that a dead process left, locked by us."""

    path: Path
    descriptor: int
    records: Records

    def forget(self) -> None:
        """Everything in it is stored: deletes the file."""
        _gone(self.path)
        os.close(self.descriptor)

    def release(self) -> None:
        """Lets go of it, for another time."""
        os.close(self.descriptor)


@dataclass(slots=True)
class _Segment:
    path: Path
    descriptor: int
    size: int = 0
    open: set[str] = field(default_factory=set[str])


class Journal:
    """The writing side of one process."""

    def __init__(self, directory: Path, owner: str, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.directory = directory
        self._owner = owner
        self._segment_bytes = segment_bytes
        self._number = 0
        self._segments: list[_Segment] = []
        self._dirty = False
        self._alive = _locked(directory / f"{owner}.owner", create=True)
        self.bytes = 0
        self.records = 0

    def piece(self, turn: TurnId, text: str, reasoning: str = "") -> None:
        """Keeps a piece of an answer. Raises `OSError` when it cannot, and then has kept nothing of it."""
        if reasoning:
            self.keep(turn, REASONING, reasoning.encode("utf-8", "surrogatepass"))
        if text:
            self.keep(turn, TEXT, text.encode("utf-8", "surrogatepass"))

    def ended(self, key: str) -> None:
        """What the key stands for is stored; its records are no longer needed."""
        if not any(key in segment.open for segment in self._segments):
            return
        with suppress(OSError):  # recovery asks the store anyway what is stored
            self.keep(key, ENDED, b"")
        for segment in self._segments:
            segment.open.discard(key)
        self._drop_finished()

    def sync_job(self) -> Callable[[None], None] | None:
        """What puts the written on the disk, to be run in a thread; None when there is nothing to do."""
        if not self._dirty or not self._segments:
            return None
        self._dirty = False
        descriptor = os.dup(self._segments[-1].descriptor)  # the segment may be closed meanwhile

        def sync(_: None) -> None:
            try:
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)

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

    def keep(self, key: str, kind: bytes, data: bytes) -> None:
        """Writes one record, not yet synced. Raises `OSError`."""
        body = bytes.fromhex(key[-32:]) + kind + data
        record = _HEAD.pack(len(body), zlib.crc32(body)) + body
        segment = self._segments[-1] if self._segments else None
        if segment is None or segment.size + len(record) > self._segment_bytes:
            segment = self._open(len(record))
        written = os.pwrite(segment.descriptor, record, segment.size)
        if written != len(record):  # the next record overwrites the torn one
            raise OSError(28, "the journal's disk is full")
        segment.size += len(record)
        segment.open.add(key)
        self.bytes += len(record)
        self.records += 1
        self._dirty = True

    def _open(self, least: int) -> _Segment:
        if self._segments:
            os.fdatasync(self._segments[-1].descriptor)
        self._number += 1
        path = self.directory / f"{self._owner}-{self._number:06d}.journal"
        descriptor = _locked(path, create=True)
        assert descriptor is not None, "nobody else makes a file of this owner"
        try:
            _preallocate(descriptor, max(self._segment_bytes, least) + len(MAGIC))
            os.pwrite(descriptor, MAGIC, 0)
        except OSError:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            raise
        segment = _Segment(path, descriptor, size=len(MAGIC))
        self._segments.append(segment)
        self._drop_finished()
        return segment

    def _drop_finished(self) -> None:
        for segment in self._segments[:-1]:
            if not segment.open:
                os.close(segment.descriptor)
                _gone(segment.path)
                self._segments.remove(segment)


def orphans(directory: Path) -> Iterator[Orphan]:
    """The segments that no living process owns, oldest first of each owner, locked for the caller."""
    for path in sorted(directory.glob("*.journal")):
        descriptor = _locked(path)
        if descriptor is not None:
            yield Orphan(path, descriptor, replay(path.read_bytes()))


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
    records: Records = {}
    if not data.startswith(MAGIC):
        return records
    at = len(MAGIC)
    while at + _HEAD.size <= len(data):
        length, crc = _HEAD.unpack_from(data, at)
        body = data[at + _HEAD.size : at + _HEAD.size + length]
        if length <= _KEY or len(body) != length or zlib.crc32(body) != crc:
            break
        at += _HEAD.size + length
        record = (body[_KEY : _KEY + 1], body[_KEY + 1 :])
        records.setdefault(body[:_KEY].hex(), []).append(record)
    return records


def merged(left: Iterable[Orphan]) -> Records:
    """What several segments, in their order, hold of each key that is still open."""
    records: Records = {}
    for orphan in left:
        for key, found in orphan.records.items():
            records.setdefault(key, []).extend(found)
    return {key: found for key, found in records.items() if all(kind != ENDED for kind, _ in found)}


def partial(found: Iterable[tuple[bytes, bytes]]) -> Partial:
    """The answer that its records make."""
    whole = Partial()
    for kind, data in found:
        if kind == TEXT:
            whole.text += data.decode("utf-8", "surrogatepass")
        elif kind == REASONING:
            whole.reasoning += data.decode("utf-8", "surrogatepass")
    return whole


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
