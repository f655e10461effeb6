"""The high-water mark: what was stored last, kept outside the database, in `mark.json` of the data directory.

A database that lost its end looks like one that never had it. So a server writes down, at most once a second and after
the commit, how far the rooms were that were written last, with their chains; a database that does not hold those events
any more is behind: its epoch is renewed, so that clients which know more are told to begin anew, and it is said aloud
until a start finds all of it again, or somebody deletes the file. What was stored in the last second before a crash is
not in it; clients know that part.
"""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Connection, bindparam, select

from palaver.model import Event, RoomId
from palaver.settings import Settings
from palaver.store import migrate
from palaver.store.engine.alone import Place, alone
from palaver.store.engine.base import SQLITE, file_of, parsed
from palaver.store.engine.statement import Statement
from palaver.store.schema import events, rooms

PLACES_MAX = 16
FILE = "mark.json"


@dataclass(frozen=True, slots=True)
class Height:
    """How far a room was; `chain` in hex."""

    room: RoomId
    seq: int
    chain: str


@dataclass(frozen=True, slots=True)
class Behind:
    """What the database should hold and does not. `found`: how far the room is there, 0 without it."""

    room: RoomId
    seq: int
    found: int


@dataclass(frozen=True, slots=True)
class Found:
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
        try:
            kept: dict[str, Any] = json.loads(file.read_bytes())
            if kept["database"] == database:
                self._places = {room: Height(room, *rest) for room, *rest in kept["places"]}
                self.behind = Behind(**kept["behind"]) if kept["behind"] else None
                self.lost = tuple([Height(*place) for place in kept.get("lost", ())])
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError) as error:
            structlog.get_logger("palaver.store").warning("mark.unreadable", error=str(error))

    @classmethod
    def of(cls, settings: Settings) -> "Mark | None":
        """The mark of this database; None for one in memory."""
        url = parsed(settings.url)
        path = file_of(url)
        if path is not None:
            # a data directory that is moved as a whole keeps its mark
            name = os.path.relpath(path.absolute(), settings.data_dir.absolute())
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
        kept = json.dumps(
            {
                "database": self._database,
                "epoch": found.epoch,
                "places": [[one.room, one.seq, one.chain] for one in self._places.values()],
                "behind": asdict(self.behind) if self.behind else None,
                "lost": [[one.room, one.seq, one.chain] for one in self.lost],
            }
        )
        if kept == self._kept:
            return None

        def write(_: None) -> None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            part = self._file.with_suffix(".part")
            with part.open("w", encoding="utf-8") as file:
                file.write(kept)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self._file)
            self._kept = kept

        return write


def behind(settings: Settings) -> Behind | None:
    """What is missing, for a command: as a server found it, or as it is now. Blocks."""
    mark = Mark.of(settings)
    if mark is None or (mark.behind is not None and not mark.lost):
        return None if mark is None else mark.behind
    known = mark.lost or mark.question(thorough=True)[0]

    def work(conn: Connection) -> Behind | None:
        if migrate.revision(conn) is None:
            return Behind(known[-1].room, known[-1].seq, 0)
        return compared(conn, known, ()).behind

    found = alone(work, Place(settings.url)) if known else None
    return found and (mark.behind or found)


def compared(conn: Connection, known: Sequence[Height], written: Sequence[RoomId]) -> Found:
    """Looks whether the known places are still there, and how far the written rooms are."""
    behind: Behind | None = None
    for place in reversed(known):
        seq, chain = _AT.first(conn, place.seq, place.room) or (0, None)
        if chain is None or chain.hex() != place.chain:
            behind = Behind(place.room, place.seq, seq)
            break
    heads = [(room, _HEAD.first(conn, room)) for room in written]
    places = tuple(Height(room, row[0], row[1].hex()) for room, row in heads if row is not None)
    return Found(migrate.epoch(conn), behind, places)
