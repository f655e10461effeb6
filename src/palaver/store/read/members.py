"""Reads who is in a room: the owners first, then moderators, members and readers, each as they came.

A page costs the same in every room: of each role it reads no more rows than it gives.
"""

from sqlalchemy import BigInteger, Connection, bindparam, func, select, tuple_

from palaver.model import ActorId, Member, MemberRole, RoomId
from palaver.store.columns import INTEGER_MAX
from palaver.store.engine.statement import Row, Statement
from palaver.store.read.actors import COLUMNS as ACTOR_COLUMNS, actor_of
from palaver.store.read.rooms import bad_cursor
from palaver.store.schema import actors, member_is_agent, member_is_in, members, rooms

COUNTED_MAX = 1_000
"""So many people of a room are counted."""

_room_key = select(rooms.c.key).where(rooms.c.id == bindparam("room")).scalar_subquery()
_selected = (
    select(*ACTOR_COLUMNS, *members.c["role", "joined_ms", "auto_respond", "actor_key"])
    .select_from(members)
    .join(actors, actors.c.key == members.c.actor_key)
    .where(members.c.room_key == _room_key, member_is_in)
)
_cursor_position = tuple_(
    bindparam("joined_ms", type_=BigInteger), bindparam("key", type_=BigInteger)
)
_PAGE = Statement(
    _selected.where(
        members.c.role == bindparam("role", type_=members.c.role.type),
        tuple_(members.c.joined_ms, members.c.actor_key) > _cursor_position,
    )
    .order_by(members.c.joined_ms, members.c.actor_key)
    .limit(bindparam("limit")),
    *("room", "role", "joined_ms", "key", "limit"),
)
_ONE = Statement(_selected.where(actors.c.id == bindparam("actor")), "room", "actor")
_people = (
    select(members.c.actor_key)
    .where(members.c.room_key == _room_key, member_is_in, ~member_is_agent)
    .limit(COUNTED_MAX)
)
_COUNT = Statement(select(func.count()).select_from(_people.subquery()), "room")


def page(
    conn: Connection, room: RoomId, *, limit: int, cursor: str | None = None
) -> tuple[tuple[Member, ...], str | None]:
    """A page of a room's members, and the cursor to go on with. Refused: `cursor_invalid`."""
    roles = list(MemberRole)
    place, joined_ms, key = (0, -1, -1) if cursor is None else _position(cursor)
    rows: list[Row] = []
    for role in roles[place:]:
        rows += _PAGE.all(conn, room, role, joined_ms, key, limit + 1 - len(rows))
        joined_ms, key = -1, -1
        if len(rows) > limit:
            break
    found = tuple([_member(row) for row in rows[:limit]])
    if len(rows) <= limit:
        return found, None
    last = rows[limit - 1]
    return found, _cursor(roles.index(last.role), last.joined_ms, last.actor_key)


def get(conn: Connection, room: RoomId, actor: ActorId) -> Member | None:
    """One member of a room; None for who is none."""
    row = _ONE.first(conn, room, actor)
    found = None if row is None else _member(row)
    return found if found is not None and found.actor.id == actor else None


def count(conn: Connection, room: RoomId) -> int:
    """How many people are members of a room, at most `COUNTED_MAX`."""
    return _COUNT.value(conn, room)


def _member(row: Row) -> Member:
    return Member(
        actor=actor_of(row),
        role=row.role,
        joined_ms=row.joined_ms,
        auto_respond=bool(row.auto_respond),
    )


def _cursor(place: int, joined_ms: int, key: int) -> str:
    return f"{place:x}.{joined_ms:x}.{key:x}"


def _position(cursor: str) -> tuple[int, int, int]:
    try:
        place, joined_ms, key = (int(part, 16) for part in cursor.split("."))
    except ValueError:
        raise bad_cursor() from None
    outside = min(place, joined_ms, key) < 0 or max(place, joined_ms, key) > INTEGER_MAX
    if outside or place >= len(MemberRole) or cursor != _cursor(place, joined_ms, key):
        raise bad_cursor()
    return place, joined_ms, key
