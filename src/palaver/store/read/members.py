"""Reads who is in a room: the owners first, then moderators, members and readers, each as they came.

A page costs the same in every room: of each role it reads no more rows than it gives.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct
from sqlalchemy import (
    BigInteger,
    Connection,
    and_,
    bindparam,
    case,
    func,
    not_,
    select,
    tuple_,
)

from palaver.model import Actor, ActorId, ActorKind, Member, MemberRole, RoomId, Turn, Visibility
from palaver.store.columns import INTEGER_MAX
from palaver.store.engine.statement import Row, Statement, matching
from palaver.store.read.actors import COLUMNS as ACTOR_COLUMNS, actor_of, id_of, of_ids
from palaver.store.read.agents import is_for
from palaver.store.read.rooms import bad_cursor
from palaver.store.schema import (
    actors,
    agents,
    member_is_agent,
    member_is_in,
    members,
    room_is_live,
    room_is_open,
    rooms,
    turns,
)

COUNTED_MAX = 1_000
"""So many people of a room are counted."""
_NOBODY = -1
MET_MAX = 2_000
"""Among so many members of one's rooms are those whom one knows."""

_room_key = select(rooms.c.key).where(rooms.c.id == bindparam("room")).scalar_subquery()
_asker, _bot = actors.alias("asker"), agents.alias("bot")
_asker_key = (  # what a bot says is set off by its owner
    select(
        case(
            (_asker.c.kind == ActorKind.AGENT, func.coalesce(_bot.c.owner_key, _NOBODY)),
            else_=_asker.c.key,
        )
    )
    .select_from(_asker)
    .outerjoin(_bot, _bot.c.actor_key == _asker.c.key)
    .where(_asker.c.id == bindparam("asker"))
    .scalar_subquery()
)
_selected = (
    select(
        *ACTOR_COLUMNS,
        *members.c["role", "joined_ms", "speaks", "actor_key"],
        and_(agents.c.archived_ms.is_(None), is_for(_asker_key)).label("for_me"),
    )
    .select_from(members)
    .join(actors, actors.c.key == members.c.actor_key)
    .outerjoin(agents, agents.c.actor_key == members.c.actor_key)
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
    *("asker", "room", "role", "joined_ms", "key", "limit"),
)
_ONE = Statement(_selected.where(actors.c.id == bindparam("actor")), "asker", "room", "actor")
_people = (
    select(members.c.actor_key)
    .where(members.c.room_key == _room_key, member_is_in, ~member_is_agent)
    .limit(COUNTED_MAX)
)
_self = actors.alias("self")
_me = select(_self.c.key).where(_self.c.id == bindparam("actor")).scalar_subquery()
_mine = members.alias("mine")
_MET = Statement(
    select(*ACTOR_COLUMNS)
    .select_from(_mine)
    .join(rooms, rooms.c.key == _mine.c.room_key)
    .join(members, members.c.room_key == rooms.c.key)
    .join(actors, actors.c.key == members.c.actor_key)
    .where(_mine.c.actor_key == _me)
    .where(_mine.c.kept_out.is_(None), room_is_live, not_(room_is_open))
    .where(member_is_in, ~member_is_agent)
    .limit(bindparam("limit")),
    *("actor", "limit"),
)
_COUNT = Statement(select(func.count()).select_from(_people.subquery()), "room")

_KEPT_OUT = matching(
    select(rooms.c.id)
    .join(members, members.c.room_key == rooms.c.key)
    .join(actors, actors.c.key == members.c.actor_key)
    .where(members.c.kept_out.is_(True), rooms.c.visibility == Visibility.OPEN),
    actors.c.id,
)

_TURN_ROOM = matching(
    select(*rooms.c["title", "visibility", "open_role"], turns.c.created_ms).join(
        turns, turns.c.room_key == rooms.c.key
    ),
    turns.c.id,
)
_NAMED = matching(select(actors.c.id), actors.c.handle)


class Present(Struct, frozen=True):
    """A room's title, the first of its `members`, and whether there are `more`; `known` is who else was asked about."""

    title: str
    members: tuple[Actor, ...]
    more: bool
    known: Mapping[ActorId, Actor]


def page(
    conn: Connection,
    room: RoomId,
    *,
    limit: int,
    cursor: str | None = None,
    asker: ActorId | None = None,
) -> tuple[tuple[Member, ...], str | None]:
    """A page of a room's members, as told to the `asker`, and the cursor to go on with. Refused: `cursor_invalid`."""
    roles = list(MemberRole)
    place, joined_ms, key = (0, -1, -1) if cursor is None else _position(cursor)
    rows: list[Row] = []
    for role in roles[place:]:
        rows += _PAGE.all(conn, asker, room, role, joined_ms, key, limit + 1 - len(rows))
        joined_ms, key = -1, -1
        if len(rows) > limit:
            break
    found = tuple([_member(row) for row in rows[:limit]])
    if len(rows) <= limit:
        return found, None
    last = rows[limit - 1]
    return found, _cursor(roles.index(last.role), last.joined_ms, last.actor_key)


def kept_out(conn: Connection, actor: ActorId) -> tuple[RoomId, ...]:
    """The open rooms from which an actor was removed."""
    return tuple(_KEPT_OUT.column(conn, actor))


def get(
    conn: Connection, room: RoomId, actor: ActorId, asker: ActorId | None = None
) -> Member | None:
    """One member of a room, as told to the `asker`; None for who is none."""
    row = _ONE.first(conn, asker, room, actor)
    found = None if row is None else _member(row)
    return found if found is not None and found.actor.id == actor else None


def present(
    conn: Connection, turn: Turn, spoken: Sequence[ActorId], *, but: str, limit: int
) -> Present:
    """Who was in a room when a turn began and still is, and who of those who spoke there.

    Left out is who has the inner handle `but`, unless they spoke, and in everyone's room all but the agents.
    """
    title, visibility, open_role, created_ms = _TURN_ROOM.one(conn, turn.id)
    found, cursor = page(conn, turn.room, limit=limit)
    everyones = visibility is Visibility.OPEN and open_role is None
    left_out = {id_of(ActorKind.PERSON, digits) for digits in _NAMED.column(conn, but)}
    left_out -= {*spoken}
    here = tuple(
        one.actor
        for one in found
        if one.joined_ms <= created_ms and one.actor.id not in left_out
        if one.actor.kind is ActorKind.AGENT or not everyones
    )
    there = {one.id: one for one in here}
    there |= of_ids(conn, [id_ for id_ in spoken if id_ not in there])
    return Present(title, here, everyones or cursor is not None, there)


def count(conn: Connection, room: RoomId) -> int:
    """How many people are members of a room, at most `COUNTED_MAX`."""
    return _COUNT.value(conn, room)


def known(conn: Connection, actor: ActorId) -> tuple[Actor, ...]:
    """The people with whom an actor shares rooms that are not open, by their names."""
    met = {one.id: one for one in map(actor_of, _MET.all(conn, actor, MET_MAX))}
    met.pop(actor, None)
    return tuple(sorted(met.values(), key=lambda one: one.name))


def _member(row: Row) -> Member:
    return Member(
        actor=actor_of(row),
        role=row.role,
        joined_ms=row.joined_ms,
        speaks=row.speaks,
        for_me=None if row.speaks is None else bool(row.for_me),
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
