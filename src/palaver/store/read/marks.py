"""Reads what is pinned in a room and starred by somebody: in pages of messages, and as lists of its own."""

from collections.abc import Collection

from msgspec.structs import replace
from sqlalchemy import Connection, Integer, bindparam, literal_column, select, union_all

from palaver.model import ActorId, Message, Page, RoomId
from palaver.store.columns import INTEGER_MAX
from palaver.store.engine.statement import Statement
from palaver.store.read import reactions
from palaver.store.read.messages import message_of, room_key, selected
from palaver.store.read.rights import readable
from palaver.store.read.rooms import bad_cursor
from palaver.store.read.search import AT_PLACES
from palaver.store.schema import actors, messages, pins, rooms, stars

_me = select(actors.c.key).where(actors.c.id == bindparam("by")).scalar_subquery()
_MARKS = Statement(
    union_all(
        *(
            select(table.c.seq, literal_column(str(starred), Integer).label("starred")).where(
                table.c.room_key == room_key(),
                table.c.seq.between(bindparam("first"), bindparam("last")),
                *more,
            )
            for starred, table, more in ((0, pins, ()), (1, stars, (stars.c.actor_key == _me,)))
        )
    ),
    *("room", "by", "first", "last"),
)
_PINNED = Statement(
    select(*pins.c["room_key", "seq"])
    .where(pins.c.room_key == room_key())
    .order_by(pins.c.added_seq.desc()),
    "room",
)
_starred = (
    select(stars)
    .where(stars.c.actor_key == _me, stars.c.key < bindparam("before"))
    .order_by(stars.c.key.desc())
    .limit(bindparam("limit"))
    .subquery("cut")
)
_STARS = Statement(
    selected(_starred.c.key.label("star"), messages.c.room_key)
    .join(
        _starred,
        (_starred.c.room_key == messages.c.room_key) & (_starred.c.seq == messages.c.seq),
    )
    .order_by(_starred.c.key.desc()),
    *("by", "before", "limit"),
)

_STARRED_ROOMS = Statement(
    select(rooms.c.id)
    .join(stars, stars.c.room_key == rooms.c.key)
    .where(stars.c.actor_key == _me)
    .distinct(),
    "by",
)


def page(conn: Connection, room: RoomId, by: ActorId, *, limit: int, **place: int | None) -> Page:
    """A page of messages with the marks on them as `by` sees them: reactions, what is pinned, and their own stars."""
    found = reactions.page(conn, room, by, limit=limit, **place)
    if not found.messages:
        return found
    rows = _MARKS.all(conn, room, by, found.messages[0].seq, found.messages[-1].seq)
    if not rows:
        return found
    pinned, starred = ({row.seq for row in rows if row.starred == one} for one in (0, 1))
    marked = [
        replace(one, pinned=one.seq in pinned, starred=one.seq in starred)
        if one.seq in pinned | starred and one.deleted_ms is None
        else one
        for one in found.messages
    ]
    return replace(found, messages=tuple(marked))


def pinned(conn: Connection, room: RoomId) -> tuple[Message, ...]:
    """The messages that are pinned in a room and not deleted, the last pinned first."""
    places = [tuple(row) for row in _PINNED.all(conn, room)]
    found = {row.seq: message_of(room, row) for row in AT_PLACES.all(conn, places)}
    there = [found[seq] for _, seq in places if seq in found]  # not in a branch that is deleted
    return tuple([replace(one, pinned=True) for one in there if one.deleted_ms is None])


def starred(
    conn: Connection,
    by: ActorId,
    *,
    limit: int,
    cursor: str | None = None,
    among: Collection[RoomId] | None = None,
) -> tuple[tuple[tuple[Message, str], ...], str | None]:
    """A page of what somebody has starred and may read, the last starred first, each with its room's title.

    `among`: in these rooms alone. The cursor to go on with is None at the end; a page before may be short. Refused:
    `cursor_invalid`.
    """
    before = INTEGER_MAX if cursor is None else _place(cursor)
    rows = _STARS.all(conn, by, before, limit + 1)
    seen = readable(conn, {row.room_key for row in rows}, by) if rows else {}
    told: list[tuple[Message, str]] = []
    for row in rows[:limit]:
        room = seen.get(row.room_key)
        if (
            room is None
            or row.deleted_ms is not None
            or (among is not None and room.id not in among)
        ):
            continue
        told.append((replace(message_of(room.id, row), starred=True), room.title))
    return tuple(told), f"{rows[limit - 1].star:x}" if len(rows) > limit else None


def rooms_starred(conn: Connection, by: ActorId) -> set[RoomId]:
    """The rooms in which somebody has starred something."""
    return set(_STARRED_ROOMS.column(conn, by))


def _place(cursor: str) -> int:
    try:
        place = int(cursor, 16)
    except ValueError:
        raise bad_cursor() from None
    if not 0 <= place <= INTEGER_MAX or f"{place:x}" != cursor:
        raise bad_cursor()
    return place
