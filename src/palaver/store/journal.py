r"""The journal: what was streamed and is not stored yet, so that a crash loses nothing that a reader saw.

One per process, a directory of segment files. Each piece of an answer is written (`write`, so that `kill -9`
keeps it) before anyone sees it, and a sync once a second (so that a power cut loses at most that) puts it on the
disk. When a turn's message is stored, `ended` is written; a segment none of whose turns is open is deleted.

A segment: `PLVJ1\n`, then records `length u32 · crc32 u32 · turn 16 bytes · kind 1 byte · UTF-8 text`, all
little-endian, the crc over everything behind it. The file is preallocated with zeros, so a length of 0 is the end;
so is a record whose crc does not fit: what lies behind a torn record was never shown. The owner holds `flock` on its
segments: one that can be locked belongs to nobody, and `orphans` gives what it holds.

It knows no database and decides nothing about turns.
"""

import fcntl
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from palaver.model import TurnId

MAGIC = b"PLVJ1\n"
SEGMENT_BYTES = 8 * 1024 * 1024
_HEAD = struct.Struct("<II")
_TURN = 16
TEXT, REASONING, ENDED = b"t", b"r", b"e"


@dataclass(slots=True)
class Partial:
    """What a journal holds of one answer."""

    text: str = ""
    reasoning: str = ""
    ended: bool = False


@dataclass(slots=True)
class Orphan:
    """A segment that a dead process left, locked by us. `partials` by turn, in the order they began."""

    path: Path
    descriptor: int
    partials: dict[TurnId, Partial]

    def forget(self) -> None:
        """Everything in it is stored: deletes the file."""
        with suppress(FileNotFoundError):
            self.path.unlink()
        os.close(self.descriptor)

    def release(self) -> None:
        """Lets go of it, for another time."""
        os.close(self.descriptor)


@dataclass(slots=True)
class _Segment:
    path: Path
    descriptor: int
    size: int = 0
    turns: set[TurnId] = field(default_factory=set[TurnId])


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
        self.bytes = 0
        self.records = 0

    def piece(self, turn: TurnId, text: str, reasoning: str = "") -> None:
        """Keeps a piece of an answer. Raises `OSError` when it cannot, and then has kept nothing of it."""
        if reasoning:
            self._write(turn, REASONING, reasoning.encode("utf-8", "surrogatepass"))
        if text:
            self._write(turn, TEXT, text.encode("utf-8", "surrogatepass"))

    def ended(self, turn: TurnId) -> None:
        """The turn's message is stored; its pieces are no longer needed."""
        if not any(turn in segment.turns for segment in self._segments):
            return
        with suppress(OSError):  # recovery asks the store anyway whether the turn is still open
            self._write(turn, ENDED, b"")
        for segment in self._segments:
            segment.turns.discard(turn)
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
        """Ends the journal; segments with turns that are still open stay for recovery."""
        for segment in self._segments:
            os.close(segment.descriptor)
            if not segment.turns:
                segment.path.unlink(missing_ok=True)
        self._segments.clear()

    def _write(self, turn: TurnId, kind: bytes, data: bytes) -> None:
        body = bytes.fromhex(turn[2:]) + kind + data
        record = _HEAD.pack(len(body), zlib.crc32(body)) + body
        segment = self._segments[-1] if self._segments else None
        if segment is None or segment.size + len(record) > self._segment_bytes:
            segment = self._open(len(record))
        written = os.pwrite(segment.descriptor, record, segment.size)
        if written != len(record):  # the next record overwrites the torn one
            raise OSError(28, "the journal's disk is full")
        segment.size += len(record)
        segment.turns.add(turn)
        self.bytes += len(record)
        self.records += 1
        self._dirty = True

    def _open(self, least: int) -> _Segment:
        if self._segments:
            os.fdatasync(self._segments[-1].descriptor)
        self._number += 1
        path = self.directory / f"{self._owner}-{self._number:06d}.journal"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
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
            if not segment.turns:
                os.close(segment.descriptor)
                segment.path.unlink(missing_ok=True)
                self._segments.remove(segment)


def orphans(directory: Path) -> Iterator[Orphan]:
    """The segments that no living process owns, oldest first of each owner, locked for the caller."""
    for path in sorted(directory.glob("*.journal")):
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            continue
        yield Orphan(path, descriptor, replay(path.read_bytes()))


def replay(data: bytes) -> dict[TurnId, Partial]:
    """What a segment's bytes say, up to the first record that is not whole."""
    partials: dict[TurnId, Partial] = {}
    if not data.startswith(MAGIC):
        return partials
    at = len(MAGIC)
    while at + _HEAD.size <= len(data):
        length, crc = _HEAD.unpack_from(data, at)
        body = data[at + _HEAD.size : at + _HEAD.size + length]
        if length <= _TURN or len(body) != length or zlib.crc32(body) != crc:
            break
        at += _HEAD.size + length
        partial = partials.setdefault(TurnId(f"t_{body[:_TURN].hex()}"), Partial())
        kind, text = body[_TURN : _TURN + 1], body[_TURN + 1 :].decode("utf-8", "surrogatepass")
        if kind == TEXT:
            partial.text += text
        elif kind == REASONING:
            partial.reasoning += text
        else:
            partial.ended = True
    return partials


def _preallocate(descriptor: int, size: int) -> None:
    """Takes the disk's room at once, where the system can; so that a full disk is met here, not in an answer."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:
        os.ftruncate(descriptor, size)
