"""What a power cut leaves of files, from a recording of what was done to them (tests/support/shim.c).

The rules are stricter than any one file system's: of what was not synced, any part may be there, in any order, each
write torn at 512 bytes; a name that was made, moved or deleted may be the old or the new one until its directory is
synced; and what a failed sync was for stays in doubt for ever, whatever is synced later, until it is written again.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.shim import Done, Op

SECTOR = 512


@dataclass(slots=True)
class _Change:
    """A write, or another size (`data` is None), which only `grows` the file or may cut it."""

    at: int
    data: bytes | None
    grows: bool = False
    safe: bool = False
    doubtful: bool = False


@dataclass(slots=True)
class _File:
    content: bytearray = field(default_factory=bytearray)
    changes: list[_Change] = field(default_factory=list[_Change])

    def synced(self) -> None:
        for change in self.changes:
            change.safe = change.safe or not change.doubtful
        while self.changes and self.changes[0].safe:
            _apply(self.content, self.changes.pop(0), None)

    def not_synced(self) -> None:
        for change in self.changes:
            change.doubtful = change.doubtful or not change.safe

    def left(self, chance: random.Random) -> bytes:
        content = bytearray(self.content)
        for change in self.changes:
            _apply(content, change, None if change.safe else chance)
        return bytes(content)


_Naming = dict[str, _File | None]
"""One change of a directory: what the names stand for afterwards, None for a deleted one."""


class Disk:
    """Files as they are on a disk, from a folder of them on. `lies`: syncs of which paths do nothing."""

    def __init__(
        self, base: Path, folder: Path, *, lies: Callable[[str], bool] = lambda _: False
    ) -> None:
        self._folder = folder
        self._lies = lies
        self._names: dict[str, _File] = {}
        for path in base.rglob("*"):
            if path.is_file():
                name = str(folder / path.relative_to(base))
                self._names[name] = _File(bytearray(path.read_bytes()))
        self._safe_names = dict(self._names)
        self._namings: list[_Naming] = []

    def do(self, done: Done) -> None:
        """Takes in one call."""
        if done.op is Op.SYNC:
            self._sync(done)
        elif done.op is Op.UNLINK:
            self._name({done.path: None})
        elif done.op is Op.RENAME:
            self._name({done.data.decode(): self._file(done.path), done.path: None})
        else:
            file = self._file(done.path)
            data = done.data if done.op is Op.WRITE else None
            file.changes.append(_Change(done.offset, data, grows=done.op is Op.ALLOCATE))

    def cut(self, image: Path, chance: random.Random) -> None:
        """Writes what is left when the power fails now."""
        names = dict(self._safe_names)
        for naming in self._namings:
            if chance.random() < 0.5:
                _put(names, naming)
        for name, file in names.items():
            path = image / Path(name).relative_to(self._folder)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.left(chance))

    def _file(self, name: str) -> _File:
        if name not in self._names:
            self._name({name: _File()})
        return self._names[name]

    def _name(self, naming: _Naming) -> None:
        _put(self._names, naming)
        self._namings.append(naming)

    def _sync(self, done: Done) -> None:
        if self._lies(done.path):
            return
        file = self._names.get(done.path)
        if file is not None:
            (file.synced if done.offset >= 0 else file.not_synced)()
        elif done.offset >= 0:
            waiting, self._namings = self._namings, []
            for naming in waiting:
                if all(str(Path(name).parent) == done.path for name in naming):
                    _put(self._safe_names, naming)
                else:
                    self._namings.append(naming)


def _put(names: dict[str, _File], naming: _Naming) -> None:
    for name, file in naming.items():
        if file is None:
            names.pop(name, None)
        else:
            names[name] = file


def _apply(content: bytearray, change: _Change, chance: random.Random | None) -> None:
    """Makes a change; with `chance`, maybe, or a part of it."""
    whole = chance is None or chance.random() < 0.4
    none = not whole and chance is not None and chance.random() < 0.5
    if none:
        return
    if change.data is None:
        if not change.grows:
            del content[change.at :]
        content.extend(bytes(change.at - len(content)))
        return
    for at in range(0, len(change.data), SECTOR):
        if whole or (chance is not None and chance.random() < 0.5):
            piece = change.data[at : at + SECTOR]
            begin = change.at + at
            content.extend(bytes(max(0, begin + len(piece) - len(content))))
            content[begin : begin + len(piece)] = piece
