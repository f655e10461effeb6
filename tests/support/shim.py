"""A bad disk and a jumping clock for one server process, steered while it runs. The work is done by shim.c.

`library` compiles it; a `Shim` is the control file of one process: `fail` adds a rule, `heal` takes all away, `jump`
moves the wall clock. With `record`, what the process does to the files of one folder is written down, in its order;
`operations` reads it.
"""

import errno
import mmap
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntFlag
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("shim.c")
FLAGS = ("-O2", "-Wall", "-Wextra", "-shared", "-fPIC")
RULES = 8
FOR_EVER = -1
_CLOCK = struct.Struct("<q")
_RULE = struct.Struct("<iiqqqqq80s")
_HITS = struct.Struct("<q")
_HITS_AT = 40
_RECORD = struct.Struct("<iiqq")


class Op(IntFlag):
    """What a rule is about, and what a record says was done."""

    READ = 1
    WRITE = 2
    SYNC = 4
    TRUNCATE = 8
    OPEN = 16
    ALLOCATE = 32
    UNLINK = 64
    RENAME = 128


@dataclass(frozen=True, slots=True)
class Done:
    """One call. `offset`: where, or the size that the file got, or -1: this sync failed. `data`: what, or the new path.

    All others worked.
    """

    op: Op
    path: str
    offset: int
    data: bytes
    end: int
    """Where its record ends in the recording."""


def library(folder: Path) -> Path:
    """The compiled shim; the test is skipped where it cannot be made."""
    compiler = shutil.which("cc")
    if sys.platform != "linux" or compiler is None:
        pytest.skip("needs Linux and a C compiler (cc) to make disks fail")
    made = folder / "shim.so"
    subprocess.run(
        (compiler, *FLAGS, "-o", str(made), str(SOURCE), "-lpthread"),
        check=True,
    )
    return made


class Shim:
    """The faults of one process, and of those that come after it with the same environment."""

    def __init__(self, library: Path, folder: Path, *, record: Path | None = None) -> None:
        self._rules = 0
        self.recording = folder / "recorded"
        control = folder / "control"
        control.write_bytes(bytes(_CLOCK.size + RULES * _RULE.size))
        with control.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        self.environment = {"LD_PRELOAD": str(library), "SHIM_CONTROL": str(control)}
        if record is not None:
            self.recording.touch()
            recorded = {"SHIM_RECORD": str(self.recording), "SHIM_MATCH": str(record)}
            self.environment |= recorded

    def fail(
        self,
        what: Op,
        part: str,
        *,
        error: int = errno.EIO,
        skip: int = 0,
        times: int = FOR_EVER,
        shorten: int = -1,
        delay_us: int = 0,
    ) -> int:
        """Calls on files whose path holds `part` (`…$`: ends with it) fail from now on; the number of the rule."""
        number, self._rules = self._rules, self._rules + 1
        assert number < RULES, "more rules than the shim has"
        rule = _RULE.pack(0, error, skip, times, shorten, delay_us, 0, part.encode())
        at = _CLOCK.size + number * _RULE.size
        self._map[at : at + _RULE.size] = rule
        self._map[at : at + 4] = struct.pack("<i", what)  # last: it turns the rule on
        return number

    def hits(self, rule: int) -> int:
        """How many calls a rule has met."""
        return _HITS.unpack_from(self._map, _CLOCK.size + rule * _RULE.size + _HITS_AT)[0]

    def heal(self) -> None:
        """The disk is good again."""
        self._rules = 0
        self._map[_CLOCK.size :] = bytes(RULES * _RULE.size)

    def jump(self, seconds: float) -> None:
        """The wall clock is so much off from now on."""
        self._map[: _CLOCK.size] = _CLOCK.pack(round(seconds * 1_000_000_000))


def operations(recording: Path) -> Iterator[Done]:
    """What was done, in its order."""
    data = recording.read_bytes()
    at = 0
    while at + _RECORD.size <= len(data):
        op, path, offset, length = _RECORD.unpack_from(data, at)
        at += _RECORD.size
        name = data[at : at + path].decode()
        at += path
        yield Done(Op(op), name, offset, data[at : at + length], at + length)
        at += length
