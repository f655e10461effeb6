"""Finds what is damaged in a database: what the engine says of its file, holes in a room's seq, and broken chains.

It reads all of a database once, in pages, in one snapshot, and changes nothing; a server may be writing meanwhile. Of
each room it names the first bad event; what follows that one in the room is not judged.
"""

import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any

from msgspec import Struct, field
from sqlalchemy import Connection, Select, bindparam, func, select, tuple_
from sqlalchemy.exc import DatabaseError

from palaver.errors import Code, Refused
from palaver.model import Event, EventType, Message, RoomId
from palaver.settings import Settings
from palaver.store import migrate
from palaver.store.admin.high_water import marked
from palaver.store.columns import id_bytes
from palaver.store.engine import errors
from palaver.store.engine.base import SQLITE
from palaver.store.engine.offline import Place, alone
from palaver.store.engine.statement import Row, Statement, matching
from palaver.store.hash_chain import digest_of_data, digest_of_message, linked
from palaver.store.read.actors import id_of
from palaver.store.schema import actors, events, messages, rooms
from palaver.store.values import ByName

DOING = "checking"
PAGE = 500
"""Rows in memory at once."""
FAULTS_MAX = 100
UNREADABLE = (sqlite3.Error, ValueError, KeyError)
"""What reading a damaged row raises: SQLite's own errors, text or JSON that is none, an unknown word."""

_Place = tuple[int, int, Row | Exception]
"""A room's key, a seq, and the event there or why it cannot be read."""

Progress = Callable[[str, int, int], None]
"""Told what is being done, and how much of how much of it is."""


class Fault(Struct, frozen=True, kw_only=True):
    """Something damaged; `seq` is the first bad event of `room`. None: it is no room's."""

    what: str
    room: RoomId | None = None
    seq: int | None = None


class Verdict(Struct, kw_only=True):
    """What was read, and what is wrong with it: at most `FAULTS_MAX` faults are kept. `mark` as `Marked.state`."""

    rooms: int = 0
    events: int = 0
    messages: int = 0
    mark: str = "none"
    faults: list[Fault] = field(default_factory=list[Fault])

    def add(self, what: str, room: RoomId | None = None, seq: int | None = None) -> None:
        """One more fault."""
        if len(self.faults) < FAULTS_MAX:
            self.faults.append(Fault(what=what, room=room, seq=seq))


_TOTALS = Statement(select(func.count(), func.coalesce(func.sum(rooms.c.seq), 0)))
_MESSAGES = Statement(select(func.count()).select_from(messages))
_ROOMS = Statement(
    select(*rooms.c["key", "id", "seq", "chain"])
    .where(rooms.c.key > bindparam("after"))
    .order_by(rooms.c.key)
    .limit(bindparam("limit")),
    "after",
    "limit",
)

_parents = rooms.alias()
_ORPHANS = Statement(
    select(rooms.c.id)
    .outerjoin(_parents, _parents.c.key == rooms.c.parent_key)
    .where(rooms.c.parent_key.is_not(None), _parents.c.key.is_(None))
    .limit(FAULTS_MAX)
)
_MOVED = Statement(
    select(rooms.c.key, rooms.c.id, rooms.c.parent_key).where(rooms.c.parent_key >= rooms.c.key)
)
"""Rooms that stand under one that was not there before them: of each circle there is one, and there are few."""
_PARENT = matching(select(rooms.c.parent_key), rooms.c.key)


def _events_after(columns: Select[*tuple[Any, ...]]) -> Statement:
    """The next of all events."""
    place = tuple_(events.c.room_key, events.c.seq)
    given = [bindparam(one.name, type_=one.type) for one in (events.c.room_key, events.c.seq)]
    page = columns.where(place > tuple_(*given)).order_by(events.c.room_key, events.c.seq)
    return Statement(page.limit(bindparam("limit")), "room_key", "seq", "limit")


_PLACES = _events_after(select(events.c.room_key, events.c.seq))
_EVENTS = _events_after(
    select(
        *events.c["room_key", "seq", "type", "at_ms", "message_seq", "data", "chain"],
        *events.c["salt", "digest"],
        events.c.actor_key,
        actors.c.kind.label("actor_kind"),
        actors.c.id.label("actor"),
        *messages.c["id", "role", "status", "kind", "text", "cid", "branch", "meta"],
        *messages.c["reply_to_seq", "created_ms", "author_key"],
        messages.c.salt.label("message_salt"),
        messages.c.digest.label("message_digest"),
    )
    .select_from(events)
    .outerjoin(actors, actors.c.key == events.c.actor_key)
    .outerjoin(
        messages, (messages.c.room_key == events.c.room_key) & (messages.c.seq == events.c.seq)
    )
)
_NO_PART = ("name", "reply_to", "edited_ms", "deleted_ms", "became")
_MESSAGE = ByName(Message, "room", "author", *_NO_PART, until="reactions")
"""A message of these rows, as far as its digest goes."""


def verify(url: str, progress: Progress) -> Verdict:
    """Examines a database. Refused: `database_missing`, `database_older`, `database_newer`."""
    return alone(partial(verified, progress), Place(url))


def verify_marked(settings: Settings, progress: Progress) -> Verdict:
    """As `verify`, of the database in use; also what it lacks by its mark."""
    older: Refused | None = None
    try:
        verdict = verify(settings.url, progress)
    except Refused as refused:
        if refused.code is not Code.DATABASE_OLDER:
            raise
        verdict, older = Verdict(), refused  # it may have lost everything
    try:
        found = marked(settings)
    except Refused:
        if not verdict.faults:
            raise
        return verdict  # too damaged to be compared
    if older is not None and not found.missing:
        raise older
    verdict.mark = found.state
    for lost in found.missing:
        verdict.add(lost.told, lost.room, min(lost.found + 1, lost.seq))
    return verdict


def verified(progress: Progress, conn: Connection) -> Verdict:
    """Examines the database of this connection."""
    verdict = Verdict()
    try:
        migrate.refuse_others(conn)
        if conn.dialect.name == SQLITE:
            _examine_file(conn, verdict)
        _examine_log(conn, verdict, progress)
    except (*UNREADABLE, DatabaseError) as error:
        away = errors.damaged(error) is None and errors.temporary(error) is not None
        if conn.dialect.name != SQLITE or away:
            raise
        verdict.add(f"the file cannot be read: {error.args[0]}")
    return verdict


def _examine_file(conn: Connection, verdict: Verdict) -> None:
    for (line,) in conn.exec_driver_sql(f"PRAGMA integrity_check({FAULTS_MAX})"):
        if line != "ok":
            verdict.add(str(line))
    for child, _, parent, _ in conn.exec_driver_sql("PRAGMA foreign_key_check").fetchmany(10):
        verdict.add(f"a row of {child} points at no row of {parent}")


def _examine_log(conn: Connection, verdict: Verdict, progress: Progress) -> None:
    _, total = _TOTALS.one(conn)
    places = _rooms(conn)
    for key, log in groupby(_log(conn, verdict, total, progress), itemgetter(0)):
        room = next(places, None)
        while room is not None and room.key < key:
            verdict.add("the room has no events", room.id, 1)
            room = next(places, None)
        if room is None or room.key > key:
            verdict.add(f"there are events of a room that is not there (key {key})")
            break
        _examine_room(room, log, verdict)
    for room in places:
        verdict.add("the room has no events", room.id, 1)
    for orphan in _ORPHANS.column(conn):
        verdict.add("the room's parent is not there", orphan)
    for moved in _MOVED.all(conn):
        if _stands_under_itself(conn, moved):
            verdict.add("the room stands under itself", moved.id)
    (count,) = _MESSAGES.one(conn)
    if count != verdict.messages:
        verdict.add(f"there are {count} messages, and {verdict.messages} events that created one")
    progress(DOING, verdict.events, verdict.events)


def _stands_under_itself(conn: Connection, room: Row) -> bool:
    """Whether one of the rooms above this one is itself, or they have no top."""
    seen, key = {room.key}, room.parent_key
    while key is not None and key not in seen:
        seen.add(key)
        key = _PARENT.value(conn, key)
    return key == room.key


def _examine_room(room: Row, log: Iterator[_Place], verdict: Verdict) -> None:
    verdict.rooms += 1
    seq, chain = 0, id_bytes(room.id)
    for _, found_seq, found in log:
        wrong = _wrong(found, found_seq, seq, chain)
        if wrong is not None:
            verdict.add(wrong, room.id, seq + 1)
            return
        assert not isinstance(found, Exception)
        seq, chain = found_seq, found.chain
    if (seq, chain) != (room.seq, room.chain):
        what = "its events end earlier" if seq < room.seq else "its newest event is another one"
        verdict.add(f"the room is at seq {room.seq}, and {what}", room.id, min(seq + 1, room.seq))


def _wrong(row: Row | Exception, row_seq: int, seq: int, before: bytes) -> str | None:
    """What is wrong with the event that follows `seq`."""
    if row_seq != seq + 1:
        return f"the event is missing; the next one has seq {row_seq}"
    if isinstance(row, Exception):
        return f"the event cannot be read: {row}"
    actor = None if row.actor is None else id_of(row.actor_kind, row.actor)
    event = Event(room=RoomId(""), seq=row_seq, type=row.type, actor=actor, at_ms=row.at_ms)
    if event.type is EventType.MESSAGE_CREATED:
        if row.id is None:
            return "its message is missing"
        made = (row.created_ms, row.author_key, row.message_seq)
        if made != (event.at_ms, row.actor_key, event.seq):
            return "its message has another author, time or place"
        message = _MESSAGE.one(row, event.room, actor, "", *[None] * 4)
        salt = row.message_salt or b""
        digest = row.message_digest or digest_of_message(message, row.reply_to_seq, salt)
    else:
        digest = row.digest or digest_of_data(row.data, row.salt or b"")
    link = linked(before, event, row.message_seq, digest)
    return None if link == row.chain else "it was changed"


def _rooms(conn: Connection) -> Iterator[Row]:
    after = -1
    while page := _ROOMS.all(conn, after, PAGE):
        yield from page
        after = page[-1].key


def _log(conn: Connection, verdict: Verdict, total: int, progress: Progress) -> Iterator[_Place]:
    """All events in order, counted."""
    place = (-1, 0)
    while True:
        try:
            rows = _EVENTS.all(conn, *place, PAGE)
            page: list[_Place] = [(row.room_key, row.seq, row) for row in rows]
        except UNREADABLE:
            page = [_one(conn, *found) for found in _PLACES.all(conn, *place, PAGE)]
        if not page:
            return
        verdict.events += len(page)
        verdict.messages += sum(_creates(found) for _, _, found in page)
        progress(DOING, verdict.events, max(total, verdict.events))
        yield from page
        place = page[-1][:2]


def _one(conn: Connection, room_key: int, seq: int) -> _Place:
    try:
        return (room_key, seq, _EVENTS.all(conn, room_key, seq - 1, 1)[0])
    except UNREADABLE as error:
        return (room_key, seq, error)


def _creates(found: Row | Exception) -> bool:
    """Whether it creates a message; one that cannot be read most probably did."""
    return isinstance(found, Exception) or found.type is EventType.MESSAGE_CREATED
