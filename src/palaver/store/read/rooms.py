"""Rooms as one actor sees them. Reads only.

The list goes by last activity. An actor with few rooms gets them by its memberships, sorted; one with many by walking
the rooms from the most active on and asking of each whether it is the actor's (20 of 100,000 either way cost a few
milliseconds). Titles are searched in a folded copy, so that both engines find the same.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal_column,
    not_,
    or_,
    select,
    tuple_,
    union,
)

from palaver.errors import Code, Refused
from palaver.model import Actor, ActorId, Room, RoomId
from palaver.policy import role_in
from palaver.store.columns import INTEGER_MAX
from palaver.store.engine.statement import Row, Statement, among
from palaver.store.read.actors import COLUMNS as ACTOR_COLUMNS, actor_of
from palaver.store.schema import (
    actors,
    member_is_agent,
    member_is_owner,
    members,
    messages,
    room_is_live,
    room_is_open,
    rooms,
)
from palaver.store.values import new_room

MEMBERSHIPS_FEW = 1_000
"""Up to so many memberships the list goes by them."""
MEMBERSHIPS_FEW_SEARCHED = 20_000
"""The same for a search, which may have to look at each room it walks by."""
UNREAD_MAX = 100
UNREAD_SCANNED = 200
"""Unread messages are counted among so many of a room's last seqs, so that the count's cost is bounded."""

_ACCENT = re.compile("[\u0300-\u036f]")
_ALIKE = str.maketrans({"\u0131": "i", "ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe"})

_me = select(actors.c.key).where(actors.c.id == bindparam("actor")).scalar_subquery()
_read_seq = func.coalesce(members.c.read_seq, 0)
_scanned_from = case(
    (_read_seq > rooms.c.seq - UNREAD_SCANNED, _read_seq), else_=rooms.c.seq - UNREAD_SCANNED
)
_unread = (
    select(func.count())
    .select_from(
        select(messages.c.seq)
        .where(
            messages.c.room_key == rooms.c.key,
            messages.c.seq > _scanned_from,
            messages.c.author_key != func.coalesce(_me, 0),
            messages.c.deleted_ms.is_(None),
        )
        .limit(UNREAD_MAX)
        .correlate(rooms, members)
        .subquery()
    )
    .scalar_subquery()
)
_seen = (
    select(
        rooms.c.key,  # and in the order of a `Room`'s fields:
        rooms.c.id,
        rooms.c.title,
        rooms.c.title_source,
        rooms.c.visibility,
        rooms.c.seq,
        rooms.c.created_ms,
        rooms.c.active_ms,
        rooms.c.deleted_ms,
        members.c.role,
        _read_seq,
        _unread,
        rooms.c.settings,
    )
    .select_from(rooms)
    .outerjoin(members, and_(members.c.room_key == rooms.c.key, members.c.actor_key == _me))
)

_BY_ID = Statement(_seen.where(rooms.c.id == bindparam("room")), "room", "actor")
_BY_KEYS = among(_seen, rooms.c.key, "actor")
_AGENTS = among(
    select(*ACTOR_COLUMNS, members.c.room_key)
    .join(members, members.c.actor_key == actors.c.key)
    .where(member_is_agent)
    .order_by(members.c.joined_ms, actors.c.key),
    members.c.room_key,
)
_SEQS = among(select(rooms.c.id, rooms.c.seq), rooms.c.id)
_IDS = among(select(rooms.c.id), rooms.c.key)
_MEMBERSHIPS = Statement(
    select(func.count()).select_from(
        select(members.c.room_key)
        .where(members.c.actor_key == _me)
        .limit(bindparam("limit"))
        .subquery()
    ),
    "actor",
    "limit",
)
_owned = or_(member_is_owner, not_(room_is_open))
_COUNT_OWN = Statement(
    select(func.count())
    .select_from(members)
    .join(rooms, rooms.c.key == members.c.room_key)
    .where(members.c.actor_key == _me, room_is_live, _owned),
    "actor",
)
_POSITION = Statement(
    select(rooms.c.key, rooms.c.active_ms).where(rooms.c.id == bindparam("room")), "room"
)


def get(conn: Connection, room: RoomId, actor: ActorId) -> Room | None:
    """The room as this actor sees it, deleted or not; `role` None when it is none of the actor's business."""
    row = _BY_ID.first(conn, room, actor)
    return None if row is None else _rooms(conn, [row])[0]


def listing(
    conn: Connection,
    actor: ActorId,
    *,
    limit: int,
    offset: int = 0,
    cursor: str | None = None,
    search: str | None = None,
    own: bool = False,
    deleted: bool = False,
) -> tuple[tuple[Room, ...], str | None]:
    """The actor's rooms and the open ones that are not deleted, the last active first, and the cursor to go on with.

    `search`: a piece of the title, whatever its case and accents. `own`: without open rooms of others. `deleted`:
    instead those that are and that the actor may restore, the last deleted first. `offset`: how many to pass over,
    which is walked. Refused: `cursor_invalid`.
    """
    picked = _pick(conn, actor, cursor, limit + 1, search, offset=offset, own=own, deleted=deleted)
    rows = {row[0]: row for row in _BY_KEYS.all(conn, [(row[0],) for row in picked[:limit]], actor)}
    found = _rooms(conn, [rows[row[0]] for row in picked[:limit] if row[0] in rows])
    more = len(picked) > limit > 0
    return found, _cursor(*picked[limit - 1]) if more else None


def count_own(conn: Connection, actor: ActorId) -> int:
    """How many rooms `listing` has with `own`."""
    return _COUNT_OWN.one(conn, actor)[0]


def cursor_of(conn: Connection, room: RoomId) -> str | None:
    """The cursor with which `listing` goes on behind this room; None for one that is not there."""
    row = _POSITION.first(conn, room)
    return None if row is None else _cursor(*row)


def ids_of(conn: Connection, actor: ActorId, limit: int) -> tuple[RoomId, ...]:
    """The actor's rooms and the open ones, the last active `limit` of them, in no order."""
    picked = _pick(conn, actor, None, limit, None)
    return tuple([row[0] for row in _IDS.all(conn, [(row[0],) for row in picked])])


def seqs(conn: Connection, rooms: Sequence[RoomId]) -> dict[RoomId, int]:
    """How far each of these rooms is; what is not there is left out."""
    return {row[0]: row[1] for row in _SEQS.all(conn, [(room,) for room in rooms])}


def folded(text: str) -> str:
    """Text as the title search compares it: without case and accents, and with one form of each letter."""
    parts = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    return unicodedata.normalize("NFKC", _ACCENT.sub("", parts).translate(_ALIKE))


def _picked(*, few: bool, searched: bool, own: bool = False, deleted: bool = False) -> Statement:
    moment = rooms.c.deleted_ms if deleted else rooms.c.active_ms
    # `+ 0` keeps the planner from walking all rooms by activity where the memberships are few
    active = moment + literal_column("0") if few else moment
    wanted = [
        rooms.c.deleted_ms.is_not(None) if deleted else room_is_live,
        tuple_(active, rooms.c.key) < tuple_(_key("active_ms"), _key("key")),
    ]
    if searched:
        wanted.append(rooms.c.title_folded.like(bindparam("pattern"), escape="\\"))
    position = select(rooms.c.key, moment).where(*wanted)
    of_member = [members.c.room_key == rooms.c.key, members.c.actor_key == _me]
    if deleted:
        of_member.append(member_is_owner)
    elif own:
        of_member.append(_owned)
    if few:
        mine = position.select_from(rooms).join(members, and_(*of_member))
        alone = own or deleted
        either = (mine if alone else union(mine, position.where(room_is_open))).subquery()
        found = select(*either.c).order_by(either.c[moment.name].desc(), either.c.key.desc())
    else:
        mine = exists().where(*of_member)
        found = position.where(mine if own else or_(room_is_open, mine)).order_by(
            rooms.c.active_ms.desc(), rooms.c.key.desc()
        )
    names = ["actor", "active_ms", "key", "limit", "offset"]
    page = found.limit(bindparam("limit")).offset(bindparam("offset"))
    return Statement(page, *names, *(["pattern"] if searched else []))


def _key(name: str) -> ColumnElement[int]:
    return bindparam(name, type_=BigInteger)


_PICKED = {
    (few, searched, own): _picked(few=few, searched=searched, own=own)
    for few in (True, False)
    for searched in (True, False)
    for own in (True, False)
}
_PICKED_DELETED = {
    searched: _picked(few=True, searched=searched, deleted=True) for searched in (True, False)
}
"""Always by the memberships: no index leads along what is deleted, which is seldom asked for."""


def _pick(
    conn: Connection,
    actor: ActorId,
    cursor: str | None,
    limit: int,
    search: str | None,
    *,
    offset: int = 0,
    deleted: bool = False,
    own: bool = False,
) -> list[Row]:
    position = (INTEGER_MAX, INTEGER_MAX) if cursor is None else _position(cursor)
    values: list[Any] = [actor, *position, limit, offset]
    if search:
        values.append(_pattern(search))
    if deleted:
        return _PICKED_DELETED[bool(search)].all(conn, *values)
    limit_of_few = MEMBERSHIPS_FEW_SEARCHED if search else MEMBERSHIPS_FEW
    few = _MEMBERSHIPS.one(conn, actor, limit_of_few + 1)[0] <= limit_of_few
    return _PICKED[few, bool(search), own].all(conn, *values)


def _pattern(search: str) -> str:
    escaped = folded(search).replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def _rooms(conn: Connection, rows: list[Row]) -> tuple[Room, ...]:
    agents: dict[int, list[Actor]] = {row[0]: [] for row in rows}
    for found in _AGENTS.all(conn, [(key,) for key in agents]):
        agents[found[-1]].append(actor_of(found))
    return tuple([_room(row, tuple(agents[row[0]])) for row in rows])


def _room(row: Row, agents: tuple[Actor, ...]) -> Room:
    *known, role, read_seq, unread, settings = row[1:]
    return new_room(*known, role_in(row[4], role), read_seq, unread, agents, settings)


def _cursor(key: int, active_ms: int) -> str:
    return f"{active_ms:x}.{key:x}"


def _position(cursor: str) -> tuple[int, int]:
    parts = cursor.split(".")
    try:
        active_ms, key = (int(part, 16) for part in parts)
    except ValueError:
        raise _bad_cursor() from None
    outside = min(active_ms, key) < 0 or max(active_ms, key) > INTEGER_MAX
    if outside or cursor != _cursor(key, active_ms):
        raise _bad_cursor()
    return active_ms, key


def _bad_cursor() -> Refused:
    return Refused(Code.CURSOR_INVALID, "the cursor is not one that this server gave")
