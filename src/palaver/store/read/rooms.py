"""Reads rooms as one actor sees them.

The list goes by last activity, and its cost does not grow with the number of rooms. An actor with few memberships gets
the first of those, merged with the first of the open rooms. For one with many, a bounded walk from the most active room
on asks of each whether the actor sees it; what the walk does not fill is read by memberships. Neither leaves the order
of the work to a planner, since PostgreSQL takes every actor for an average one. Titles are searched in a folded copy,
so that both engines find the same.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Any

from msgspec import Struct
from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Connection,
    FromClause,
    Select,
    and_,
    bindparam,
    case,
    func,
    literal_column,
    not_,
    or_,
    select,
    tuple_,
    union,
)

from palaver.errors import Code, Refused
from palaver.model import Actor, ActorId, MemberRole, Room, RoomId, Visibility
from palaver.policy import role_in
from palaver.store.columns import INTEGER_MAX
from palaver.store.engine.statement import Row, Statement, among
from palaver.store.read.actors import COLUMNS as ACTOR_COLUMNS, actor_of
from palaver.store.schema import (
    actors,
    member_is_agent,
    member_is_in,
    member_is_owner,
    members,
    messages,
    room_is_live,
    room_is_open,
    rooms,
)
from palaver.store.values import ByName

MEMBERSHIPS_FEW = 1_000
"""Up to so many memberships the list goes by them."""
MEMBERSHIPS_FEW_SEARCHED = 5_000
"""The same for a search, which may have to look at each room it walks by."""
WALKED_MAX = 10_000
"""So many rooms a walk looks at."""
UNREAD_MAX = 100
UNREAD_SCANNED = 200
"""Unread messages are counted among so many of a room's last seqs, so that the count's cost is bounded."""

_ACCENT = re.compile("[\u0300-\u036f]")
_ALIKE = str.maketrans({"\u0131": "i", "ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe"})

_read_seq = func.coalesce(members.c.read_seq, 0)
_scanned_from = case(
    (_read_seq > rooms.c.seq - UNREAD_SCANNED, _read_seq), else_=rooms.c.seq - UNREAD_SCANNED
)
_said_since = (
    select(messages.c.seq)
    .where(messages.c.room_key == members.c.room_key, messages.c.seq > members.c.hidden_seq)
    .limit(1)
    .correlate(members)
    .scalar_subquery()
)
_hidden = and_(members.c.hidden_seq.is_not(None), _said_since.is_(None))


def _seen(me: ColumnElement[int], source: FromClause) -> Select[*tuple[Any, ...]]:
    """The rooms of `source` as the actor of the key `me` sees them."""
    unread = (
        select(messages.c.seq)
        .where(
            messages.c.room_key == rooms.c.key,
            messages.c.seq > _scanned_from,
            messages.c.author_key != func.coalesce(me, 0),
            messages.c.deleted_ms.is_(None),
        )
        .limit(UNREAD_MAX)
        .correlate(rooms, members)
        .subquery()
    )
    own_membership = and_(members.c.room_key == rooms.c.key, members.c.actor_key == me)
    parents = rooms.alias("parents")
    parent = select(parents.c.id).where(parents.c.key == rooms.c.parent_key)
    return (
        select(
            *rooms.c["key", "id", "title", "title_source", "visibility", "seq", "settings"],
            *rooms.c["created_ms", "active_ms", "deleted_ms", "door", "archived_ms"],
            parent.scalar_subquery().label("parent"),
            *members.c["role", "kept_out", "muted"],
            _hidden.label("hidden"),
            _read_seq.label("read_seq"),
            select(func.count()).select_from(unread).scalar_subquery().label("unread"),
        )
        .select_from(source)
        .outerjoin(members, own_membership)
    )


_ROOM = ByName(Room, "role", "agents", "muted", "hidden")
_me = select(actors.c.key).where(actors.c.id == bindparam("actor")).scalar_subquery()
_BY_ID = Statement(_seen(_me, rooms).where(rooms.c.id == bindparam("room")), "room", "actor")
_AGENTS = among(
    select(*ACTOR_COLUMNS, members.c.room_key)
    .join(members, members.c.actor_key == actors.c.key)
    .where(member_is_agent)
    .order_by(members.c.joined_ms, actors.c.key),
    members.c.room_key,
)
_SEQS = among(select(rooms.c.id, rooms.c.seq), rooms.c.id)
_memberships = (
    select(members.c.room_key)
    .where(members.c.actor_key == actors.c.key)
    .limit(bindparam("limit"))
    .correlate(actors)
    .subquery()
)
_MEMBERSHIPS = Statement(
    select(actors.c.key, select(func.count()).select_from(_memberships).scalar_subquery()).where(
        actors.c.id == bindparam("actor")
    ),
    "actor",
    "limit",
)
_owned = or_(member_is_owner, not_(room_is_open))
_COUNT_OWN = Statement(
    select(func.count())
    .select_from(members)
    .join(rooms, rooms.c.key == members.c.room_key)
    .where(members.c.actor_key == _me, member_is_in, room_is_live, _owned),
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
    hidden: bool | None = None,
) -> tuple[tuple[Room, ...], str | None]:
    """The actor's rooms and the open ones that are not deleted, the last active first, and the cursor to go on with.

    `search`: a piece of the title, whatever its case and accents. `own`: without open rooms of others. `deleted`:
    instead those that are and that the actor may restore, the last deleted first. `hidden`: without those that the
    actor hides, or these alone; None: all. `offset`: how many to pass over,
    which is walked. Refused: `cursor_invalid`.
    """
    position = (INTEGER_MAX, INTEGER_MAX) if cursor is None else _position(cursor)
    reach = min(offset + limit + 1, INTEGER_MAX)
    asked = [*position, reach, limit + 1, offset]
    wanted = _Wanted(searched=bool(search), own=own, deleted=deleted, hidden=hidden)
    rows = _listed(conn, actor, wanted, asked, search)
    found = _rooms(conn, rows[:limit])
    if len(rows) <= limit or not found:
        return found, None
    last = found[-1].deleted_ms if deleted else found[-1].active_ms
    return found, _cursor(rows[limit - 1].key, last or 0)


def keeps_out(conn: Connection, room: RoomId, actor: ActorId) -> bool:
    """Whether an actor was removed from a room, and not added again."""
    row = _BY_ID.first(conn, room, actor)
    return row is not None and row.kept_out is not None


def count_own(conn: Connection, actor: ActorId) -> int:
    """How many rooms `listing` has with `own`."""
    return _COUNT_OWN.value(conn, actor)


def cursor_of(conn: Connection, room: RoomId) -> str | None:
    """The cursor with which `listing` goes on behind this room; None for one that is not there."""
    row = _POSITION.first(conn, room)
    return None if row is None else _cursor(*row)


def ids_of(conn: Connection, actor: ActorId, limit: int) -> tuple[RoomId, ...]:
    """The actor's rooms and the open ones, the last active `limit` of them, in no order."""
    asked = [INTEGER_MAX, INTEGER_MAX, limit, limit, 0]
    return tuple([row.id for row in _listed(conn, actor, _Wanted(brief=True), asked)])


def seqs(conn: Connection, rooms: Sequence[RoomId]) -> dict[RoomId, int]:
    """How far each of these rooms is; what is not there is left out."""
    return {row.id: row.seq for row in _SEQS.all(conn, [(room,) for room in rooms])}


def folded(text: str) -> str:
    """Text as the title search compares it: without case and accents, and with one form of each letter."""
    parts = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    return unicodedata.normalize("NFKC", _ACCENT.sub("", parts).translate(_ALIKE))


_moment: ColumnElement[int] = literal_column("moment")
_key: ColumnElement[int] = literal_column('"key"')
_LAST_FIRST = _moment.desc(), _key.desc()
_cursor_position = tuple_(
    bindparam("active_ms", type_=BigInteger), bindparam("key", type_=BigInteger)
)
_my_key: BindParameter[int] = bindparam("me", type_=BigInteger)
_reach: BindParameter[int] = bindparam("reach")
_walk_max: ColumnElement[int] = literal_column(f"{WALKED_MAX}")


def _listed(
    conn: Connection,
    actor: ActorId,
    wanted: "_Wanted",
    asked: list[int],
    search: str | None = None,
) -> list[Row]:
    """A page of rooms. `asked`: moment and key of the cursor, how many to look for, to give, and to pass over.

    The actor's key is a value of its own, from which PostgreSQL tells how many memberships to expect.
    """
    few_max = MEMBERSHIPS_FEW_SEARCHED if search else MEMBERSHIPS_FEW
    me, memberships = _MEMBERSHIPS.first(conn, actor, few_max + 1) or (0, 0)
    values = [me, *asked, _pattern(search)] if search else [me, *asked]
    if memberships > few_max:
        rows = _list_of(wanted, few=False).all(conn, *values)
        if len(rows) == asked[3] or not wanted.bounded:
            return rows
    return _list_of(wanted, few=True).all(conn, *values)


@cache
def _list_of(wanted: "_Wanted", *, few: bool) -> Statement:
    """`few`: by memberships; else by the walk, which SQLite would sort whole, though it comes in the page's order."""
    found = wanted.by_memberships() if few else wanted.by_walk()
    ordered = found.order_by(*_LAST_FIRST)
    names = ["me", "active_ms", "key", "reach", "limit", "offset", *["pattern"] * wanted.searched]
    return Statement(wanted.page(ordered), *names, sqlite=wanted.page(ordered if few else found))


class _Wanted(Struct, frozen=True, kw_only=True):
    """Which rooms a list holds, as SQL. `brief`: only their ids."""

    searched: bool = False
    own: bool = False
    deleted: bool = False
    hidden: bool | None = None
    brief: bool = False

    def page(self, found: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
        """The rooms of a page of `key` and `moment`, with what a list shows of each."""
        cut = found.limit(bindparam("limit")).offset(bindparam("offset")).subquery("cut")
        joined = cut.join(rooms, rooms.c.key == cut.c.key)
        chosen = select(rooms.c.id).select_from(joined) if self.brief else _seen(_my_key, joined)
        return chosen.order_by(cut.c.moment.desc(), cut.c.key.desc())

    def by_memberships(self) -> Select[*tuple[Any, ...]]:
        """The first of the actor's memberships' rooms, merged with the first of the open rooms."""
        of_member = [rooms.c.key == members.c.room_key, self._there, *self._titled(rooms)]
        its_moment = select(self._moment).where(*of_member, *self._allowed(rooms)).scalar_subquery()
        own = (
            select(members.c.room_key.label("key"), its_moment.label("moment"))
            .where(members.c.actor_key == _my_key, member_is_in, *self._wished())
            .cte("own")
            .prefix_with("MATERIALIZED")  # so that each room is looked up once
        )
        behind = tuple_(own.c.moment, own.c.key) < _cursor_position
        mine = select(own).where(behind).order_by(*_LAST_FIRST).limit(_reach)
        if not self._of_all:
            return select(mine.subquery("mine"))
        to_me = [room_is_open, not_(self._left_out(rooms)), *self._titled(rooms)]
        opened = self._behind(rooms.c.key).where(*to_me).limit(_reach)
        return select(
            union(select(mine.subquery("mine")), select(opened.subquery("opened"))).subquery()
        )

    def by_walk(self) -> Select[*tuple[Any, ...]]:
        """Those of the rooms behind the cursor that the actor sees."""
        columns = (rooms.c.key, rooms.c.visibility, rooms.c.title_folded)
        walk = self._behind(*columns)
        walked = (walk.limit(_walk_max) if self.bounded else walk).subquery("walked")
        membership = (
            select(members.c.room_key)
            .where(members.c.room_key == walked.c.key, members.c.actor_key == _my_key)
            .where(member_is_in, *self._wished(), *self._allowed(walked))
            .scalar_subquery()
        )
        seen = membership.is_not(None)
        if self._of_all:
            seen = or_(and_(_opened(walked), not_(self._left_out(walked))), seen)
        return select(walked.c.key, walked.c.moment).where(seen, *self._titled(walked))

    @property
    def _of_all(self) -> bool:
        """Whether open rooms are looked at, too, of which the actor may be no member."""
        return not (self.own or self.deleted or self.hidden)

    @property
    def bounded(self) -> bool:
        """Whether a walk ends after `WALKED_MAX` rooms. Words are looked for in all, and few are deleted."""
        return not (self.searched or self.deleted)

    @property
    def _moment(self) -> ColumnElement[int]:
        return rooms.c.deleted_ms if self.deleted else rooms.c.active_ms

    @property
    def _there(self) -> ColumnElement[bool]:
        return rooms.c.deleted_ms.is_not(None) if self.deleted else room_is_live

    def _behind(self, *columns: ColumnElement[Any]) -> Select[*tuple[Any, ...]]:
        """The rooms behind the cursor, in the order of an index."""
        behind = tuple_(self._moment, rooms.c.key) < _cursor_position
        order = self._moment.desc(), rooms.c.key.desc()
        return (
            select(*columns, self._moment.label("moment"))
            .where(self._there, behind)
            .order_by(*order)
        )

    def _titled(self, source: FromClause) -> list[ColumnElement[bool]]:
        if not self.searched:
            return []
        return [source.c.title_folded.like(bindparam("pattern"), escape="\\")]

    def _wished(self) -> list[ColumnElement[bool]]:
        """What a membership must be by its member's wish."""
        if self.hidden is None:
            return []
        return [_hidden if self.hidden else not_(_hidden)]

    def _left_out(self, source: FromClause) -> ColumnElement[bool]:
        """Whether the actor was removed from an open room, or hides it."""
        membership = select(members.c.room_key).where(
            members.c.room_key == source.c.key,
            members.c.actor_key == _my_key,
            or_(not_(member_is_in), *([] if self.hidden is None else [_hidden])),
        )
        return membership.exists()

    def _allowed(self, source: FromClause) -> list[ColumnElement[bool]]:
        """What a membership must be besides the actor's."""
        if self.deleted:
            return [member_is_owner]
        return [or_(member_is_owner, not_(_opened(source)))] if self.own else []


def _opened(source: FromClause) -> ColumnElement[bool]:
    return source.c.visibility == literal_column(f"'{Visibility.OPEN}'")


def _pattern(search: str) -> str:
    escaped = folded(search).replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def _rooms(conn: Connection, rows: list[Row]) -> tuple[Room, ...]:
    agents: dict[int, list[Actor]] = {row.key: [] for row in rows}
    for found in _AGENTS.all(conn, [(key,) for key in agents]):
        agents[found.room_key].append(actor_of(found))
    return tuple(
        [
            _ROOM.one(row, _role_of(row), tuple(agents[row.key]), bool(row.muted), bool(row.hidden))
            for row in rows
        ]
    )


def _role_of(row: Row) -> MemberRole | None:
    return role_in(row.visibility, row.role, kept_out=bool(row.kept_out))


def _cursor(key: int, active_ms: int) -> str:
    return f"{active_ms:x}.{key:x}"


def _position(cursor: str) -> tuple[int, int]:
    parts = cursor.split(".")
    try:
        active_ms, key = (int(part, 16) for part in parts)
    except ValueError:
        raise bad_cursor() from None
    outside = min(active_ms, key) < 0 or max(active_ms, key) > INTEGER_MAX
    if outside or cursor != _cursor(key, active_ms):
        raise bad_cursor()
    return active_ms, key


def bad_cursor() -> Refused:
    """The cursor of a list is none of ours."""
    return Refused(Code.CURSOR_INVALID, "the cursor is not one that this server gave")
