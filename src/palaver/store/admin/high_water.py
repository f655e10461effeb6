"""The high-water mark: what was stored last, kept outside the database, in `mark.json` of the data directory.

A database that lost its end looks like one that never had it. So a server writes down, at most once a second and after
the commit, how far the rooms were that were written last, with their chains; a database that does not hold those events
any more is behind: its epoch is renewed, so that clients which know more are told to begin anew, and it is said aloud
until a start finds all of it again, or somebody deletes the file. What was stored in the last second before a crash is
not in it; clients know that part. The file carries a checksum; one that does not fit is told, and believed in nothing.
Of one from before the chains had salts, only the seqs count.
"""

import json
import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import structlog
from msgspec import Struct
from msgspec.structs import asdict
from sqlalchemy import Connection, bindparam, select

from palaver.model import Event, RoomId
from palaver.settings import Settings
from palaver.store import files, migrate
from palaver.store.engine.base import SQLITE, file_of, parsed
from palaver.store.engine.offline import Place, alone
from palaver.store.engine.statement import Statement
from palaver.store.schema import events, rooms

PLACES_MAX = 16
FILE = "mark.json"
PARTS = {"database", "epoch", "places", "behind"}
SALTED = "salted"
SUM = "sum"  # a mark of before 2026-12 has none


class Height(Struct, frozen=True):
    """How far a room was; `chain` in hex, empty where it is not known any more."""

    room: RoomId
    seq: int
    chain: str


class Behind(Struct, frozen=True):
    """What the database should hold and does not. `found`: how far the room is there, 0 without it."""

    room: RoomId
    seq: int
    found: int

    @property
    def told(self) -> str:
        """It in words."""
        if self.found >= self.seq:
            return f"event {self.seq} is not the one that was stored"
        return f"{self.seq - self.found} events are missing: {self.found + 1} to {self.seq}"


class Marked(Struct, frozen=True):
    """What a command learns of a mark, and by it of what the database lacks."""

    state: Literal["none", "damaged", "whole", "behind"]
    missing: tuple[Behind, ...] = ()


class Found(Struct, frozen=True):
    """What the database says: its epoch, what it lacks, and where rooms are."""

    epoch: str
    behind: Behind | None
    places: tuple[Height, ...]


_AT = Statement(
    select(rooms.c.seq, events.c.chain)
    .select_from(rooms)
    .outerjoin(events, (events.c.room_key == rooms.c.key) & (events.c.seq == bindparam("seq")))
    .where(rooms.c.id == bindparam("room")),
    "seq",
    "room",
)
_HEAD = Statement(select(rooms.c.seq, rooms.c.chain).where(rooms.c.id == bindparam("room")), "room")


class Mark:
    """The mark of one data directory. `behind` stays until what was `lost` is back, or the file is deleted."""

    def __init__(self, file: Path, database: str) -> None:
        self._file = file
        self._database = database
        self._places: dict[RoomId, Height] = {}
        self._written: dict[RoomId, int] = {}
        self._kept = ""
        self.behind: Behind | None = None
        self.lost: tuple[Height, ...] = ()
        self.state: Literal["none", "damaged", "whole"] = "none"
        try:
            kept = _read(file)
            if kept["database"] == database:
                self.state = "whole"
                self._places = {place.room: place for place in _heights(kept, "places")}
                self.behind = Behind(**kept["behind"]) if kept["behind"] else None
                self.lost = tuple(_heights(kept, "lost"))
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            self.state = "damaged"
            structlog.get_logger("palaver.store").warning("mark.unreadable", error=str(error))

    @classmethod
    def of(cls, settings: Settings) -> "Mark | None":
        """The mark of this database; None for one in memory."""
        url = parsed(settings.url)
        path = file_of(url)
        if path is not None:
            # a data directory that is moved as a whole keeps its mark
            name = os.path.relpath(path.parent.resolve() / path.name, settings.data_dir.resolve())
        elif url.drivername == SQLITE:
            return None
        else:
            name = f"{url.host}:{url.port or 5432}/{url.database}"
        return cls(settings.data_dir / FILE, name)

    def committed(self, happened: Sequence[Event]) -> None:
        """A listener to commits."""
        for event in happened[-PLACES_MAX:]:
            self._written.pop(event.room, None)
            self._written[event.room] = event.seq
        while len(self._written) > PLACES_MAX:
            del self._written[next(iter(self._written))]

    def question(self, *, thorough: bool) -> tuple[tuple[Height, ...], tuple[RoomId, ...]]:
        """What to ask `compared`: the newest place or all of them, and the rooms written since."""
        known = tuple(self._places.values())
        return (known if thorough else known[-1:]), tuple(self._written)

    def healed(self) -> None:
        """What was lost is there again, as in the right file; what was noted of the other one counts no more."""
        self._places = {place.room: place for place in self.lost}
        self.behind, self.lost = None, ()

    def answered(self, found: Found) -> Callable[[None], None] | None:
        """Takes the answer; what writes the file, blocking, where there is something new."""
        if found.behind is not None:
            self.behind = found.behind
            self.lost = self.lost or tuple(self._places.values())
            self._places.clear()
        for place in found.places:
            if place.seq >= self._written.get(place.room, 0):  # else it was written again meanwhile
                self._written.pop(place.room, None)
            self._places.pop(place.room, None)
            self._places[place.room] = place
        self._places = dict(list(self._places.items())[-PLACES_MAX:])
        parts = {
            "database": self._database,
            "epoch": found.epoch,
            "places": [[one.room, one.seq, one.chain] for one in self._places.values()],
            "behind": asdict(self.behind) if self.behind else None,
            "lost": [[one.room, one.seq, one.chain] for one in self.lost],
            SALTED: True,
        }
        kept = json.dumps({**parts, SUM: _sum(parts)})
        if kept == self._kept:
            return None

        def write(_: None) -> None:
            part = self._file.with_suffix(".part")
            part.unlink(missing_ok=True)
            files.new_file(part)
            part.write_text(kept, encoding="utf-8")
            files.put(part, self._file)
            self._kept = kept

        return write


def marked(settings: Settings) -> Marked:
    """What is missing, for a command: as a server found it, or as it is now. Blocks.

    The mark is that of the data directory, or the one beside the file.
    """
    path = settings.file
    folders = [settings.data_dir] if path is None else [settings.data_dir, path.parent]
    marks = [Mark.of(settings.model_copy(update={"data_dir": folder})) for folder in folders]
    for mark in marks:
        if mark is not None and mark.state == "whole":
            return _missing_of(mark, settings.url)
    damaged = any(mark is not None and mark.state == "damaged" for mark in marks)
    return Marked("damaged" if damaged else "none")


def _missing_of(mark: Mark, url: str) -> Marked:
    if mark.behind is not None and not mark.lost:
        return Marked("behind", (mark.behind,))
    known = mark.lost or mark.question(thorough=True)[0]

    def work(conn: Connection) -> tuple[Behind, ...]:
        if migrate.revision(conn) is None:
            return tuple(Behind(place.room, place.seq, 0) for place in known)
        return tuple(_missing(conn, known))

    missing = alone(work, Place(url)) if known else ()
    if missing and mark.behind is not None:
        missing = (mark.behind, *[one for one in missing if one.room != mark.behind.room])
    return Marked("behind" if missing else "whole", missing)


def compared(conn: Connection, known: Sequence[Height], written: Sequence[RoomId]) -> Found:
    """Looks whether the known places are still there, and how far the written rooms are."""
    behind = next(_missing(conn, known), None)
    heads = [(room, _HEAD.first(conn, room)) for room in written]
    places = tuple(Height(room, row.seq, row.chain.hex()) for room, row in heads if row is not None)
    return Found(migrate.epoch(conn), behind, places)


def _missing(conn: Connection, known: Sequence[Height]) -> Iterator[Behind]:
    """The known places that are not there any more, the newest first."""
    for place in reversed(known):
        seq, chain = _AT.first(conn, place.seq, place.room) or (0, None)
        if chain is None or place.chain not in {"", chain.hex()}:
            yield Behind(place.room, place.seq, seq)


def _read(file: Path) -> dict[str, Any]:
    """What it says. Raises `ValueError` when that is not what was written, or `TypeError`."""
    parts = dict(json.loads(file.read_bytes()))
    told = parts.pop(SUM, None)
    if parts.keys() - {"lost", SALTED} != PARTS or told not in {None, _sum(parts)}:
        raise ValueError("its checksum does not fit")
    if any(
        (type(room), type(seq), type(chain)) != (str, int, str)
        for room, seq, chain in (*parts["places"], *parts.get("lost", ()))
    ):  # without a checksum nothing else would say so
        raise ValueError("it has places that are none")
    return parts


def _heights(kept: Mapping[str, Any], part: str) -> Iterator[Height]:
    for room, seq, chain in kept.get(part, ()):
        yield Height(room, seq, chain if kept.get(SALTED) else "")


def _sum(parts: Mapping[str, object]) -> str:
    return f"{zlib.crc32(json.dumps(parts).encode()):08x}"
