"""Reads rooms as one actor sees them.

The list goes by last activity, and its cost does not grow with the number of rooms. An actor with few memberships gets
the first of those, merged with the first of everyone's rooms. For one with many, a bounded walk from the most active
room on asks of each whether the actor sees it; what the walk does not fill is read by memberships. Neither leaves the
order of the work to a planner, since PostgreSQL takes every actor for an average one. Titles are searched in a folded
copy, so that both engines find the same.
"""

import re
import unicodedata
from collections.abc import Collection, Sequence
from functools import cache, partial
from itertools import cycle, islice, pairwise
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
from palaver.model import (
    AUDIT,
    AccountStatus,
    Actor,
    ActorId,
    ActorKind,
    OpenTo,
    Room,
    RoomId,
    TitleSource,
    Visibility,
)
from palaver.policy import role_in
from palaver.store.columns import INTEGER_MAX
from palaver.store.engine.statement import Row, Statement, among, matching
from palaver.store.read.actors import COLUMNS as ACTOR_COLUMNS, PREFIX, actor_of
from palaver.store.read.unread import UNREAD_MAX, UNREAD_SCANNED, looked_at
from palaver.store.schema import (
    accounts,
    actors,
    member_has_pinned,
    member_is_agent,
    member_is_in,
    member_is_owner,
    members,
    messages,
    room_is_live,
    room_is_opened,
    room_is_shown,
    rooms,
)
from palaver.store.values import ByName

MEMBERSHIPS_FEW = 1_000
"""Up to so many memberships the list goes by them."""
MEMBERSHIPS_FEW_SEARCHED = 5_000
"""The same for a search, which may have to look at each room it walks by."""
WALKED_MAX = 10_000
"""So many rooms a walk looks at."""
COUNTED_MAX = 1_000
"""So many members of a room are counted."""

DEEP_MAX = 5
"""So many rooms stand under each other where people put them."""
AMONG_MAX = 100
"""To so many rooms a list may be limited."""

_ACCENT = re.compile("[\u0300-\u036f]")
_ALIKE = str.maketrans({"\u0131": "i", "ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe"})

_read_seq = func.coalesce(members.c.read_seq, case((room_is_opened, rooms.c.seq), else_=0))
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
    parents, known = rooms.alias("parents"), members.alias("known")
    forks = rooms.alias("forks")
    may_know = or_(me.is_(None), known.c.role.is_not(None), parents.c.visibility == Visibility.OPEN)
    parent = (
        select(parents.c.id)
        .select_from(parents)
        .outerjoin(known, and_(known.c.room_key == parents.c.key, known.c.actor_key == me))
        .where(parents.c.key == rooms.c.parent_key, parents.c.deleted_ms.is_(None))
        .where(known.c.kept_out.is_(None), may_know)
        .correlate(rooms)
    )
    return (
        select(
            *rooms.c["key", "id", "title", "title_source", "visibility", "seq", "settings"],
            *rooms.c["created_ms", "active_ms", "deleted_ms", "door", "archived_ms"],
            *rooms.c["open_to", "open_role", "main_branch", "last_branch", "forked_seq"],
            select(forks.c.id)
            .where(forks.c.key == rooms.c.forked_key)
            .scalar_subquery()
            .label("forked"),
            select(accounts.c.status)
            .where(accounts.c.actor_key == me)
            .scalar_subquery()
            .label("status"),
            parent.scalar_subquery().label("parent"),
            *members.c["role", "kept_out", "muted", "pinned", "branch"],
            _hidden.label("hidden"),
            _read_seq.label("read_seq"),
            select(func.count()).select_from(unread).scalar_subquery().label("unread"),
            me.label("me"),
        )
        .select_from(source)
        .outerjoin(members, own_membership)
    )


_ROOM = ByName(
    *(Room, "role", "agents", "muted", "hidden", "joined", "pinned"),
    *("branch", "main_branch", "branches", "forked", "unread"),
)
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
_in_it = and_(members.c.room_key == rooms.c.key, member_is_in)
_counted = select(members.c.actor_key).where(_in_it).limit(COUNTED_MAX).correlate(rooms)
_owner = (
    select(actors.c.name)
    .join(members, members.c.actor_key == actors.c.key)
    .where(_in_it, member_is_owner)
    .order_by(members.c.joined_ms, members.c.actor_key)
    .limit(1)
    .correlate(rooms)
)
_MEMBERS = among(
    select(
        rooms.c.id,
        select(func.count()).select_from(_counted.subquery()).scalar_subquery().label("members"),
        _owner.scalar_subquery().label("owner"),
    ),
    rooms.c.id,
)
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
_owned = or_(member_is_owner, not_(room_is_shown))
_COUNT_OWN = Statement(
    select(func.count())
    .select_from(members)
    .join(rooms, rooms.c.key == members.c.room_key)
    .where(members.c.actor_key == _me, member_is_in, room_is_live, _owned),
    "actor",
)
_places = select(*rooms.c["key", "id", "parent_key"])
_PLACE, _PLACE_OF_KEY = matching(_places, rooms.c.id), matching(_places, rooms.c.key)
AMONG = tuple(f"room_{number}" for number in range(AMONG_MAX))
"""The names of the values that `these` gives to `room_is_among`."""
room_is_among = rooms.c.id.in_([bindparam(name, type_=rooms.c.id.type) for name in AMONG])
_POSITION = Statement(
    select(rooms.c.key, rooms.c.active_ms).where(rooms.c.id == bindparam("room")), "room"
)


def get(conn: Connection, room: RoomId, actor: ActorId) -> Room | None:
    """The room as this actor sees it, deleted or not; `role` None when it is none of the actor's business."""
    row = _BY_ID.first(conn, room, actor)
    return None if row is None else _rooms(conn, [row], actor)[0]


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
    archived: bool | None = None,
    every: bool = False,
    opened: bool = False,
    pinned: bool = False,
    among: Collection[RoomId] | None = None,
) -> tuple[tuple[Room, ...], str | None]:
    """The actor's rooms and everyone's that are not deleted, the last active first, and the cursor to go on with.

    `search`: a piece of the title, whatever its case and accents. `own`: without open rooms of others. `deleted`:
    instead those that are and that the actor may restore, the last deleted first. `hidden`, `archived`: without those
    that the actor hides, or that are archived, or these alone; None: all. `every`: instead all rooms, but for the audit
    room, and `search` in titles that were chosen, or of rooms that the actor is in. `opened`: instead those that their
    owners opened to the actor, who is no member yet. `pinned`: those alone on top of the actor's list. `among`: those
    of 1 to `AMONG_MAX` rooms alone. `offset`: how many to pass over, which is walked. Refused: `cursor_invalid`.
    """
    position = (INTEGER_MAX, INTEGER_MAX) if cursor is None else _position(cursor)
    reach = min(offset + limit + 1, INTEGER_MAX)
    asked = [*position, reach, limit + 1, offset]
    wanted = _Wanted(
        searched=bool(search),
        own=own,
        deleted=deleted,
        hidden=hidden,
        archived=archived,
        every=every,
        opened=opened,
        pinned=pinned,
        few=among is not None,
    )
    rows = _listed(conn, actor, wanted, asked, search=search, among=among)
    found = _rooms(conn, rows[:limit], actor)
    shown = tuple([one for one in found if every or one.role is not None])
    if len(rows) <= limit or not found:
        return shown, None
    last = found[-1].deleted_ms if deleted else found[-1].active_ms
    return shown, _cursor(rows[limit - 1].key, last or 0)


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


def ids_of(
    conn: Connection, actor: ActorId, limit: int, among: Collection[RoomId] | None = None
) -> tuple[RoomId, ...]:
    """The actor's rooms and the open ones, the last active `limit` of them, in no order. `among` as in `listing`."""
    asked = [INTEGER_MAX, INTEGER_MAX, limit, limit, 0]
    wanted = _Wanted(brief=True, few=among is not None)
    return tuple([row.id for row in _listed(conn, actor, wanted, asked, among=among)])


def these(among: Collection[RoomId] | None) -> list[RoomId]:
    """The values of `AMONG`, where a list is limited."""
    return list(islice(cycle(among), AMONG_MAX)) if among else []


def line_of(conn: Connection, room: RoomId) -> list[Row]:
    """A room and those above it, the lowest first, each with its `key` and `id`; `DEEP_MAX` at the most."""
    found: list[Row] = []
    row = _PLACE.first(conn, room)
    while row is not None and len(found) < DEEP_MAX:
        found.append(row)
        row = None if row.parent_key is None else _PLACE_OF_KEY.first(conn, row.parent_key)
    return found


def reaches(conn: Connection, key: int, levels: int) -> bool:
    """Whether there are rooms so many levels below this one: 1 are those that stand directly under it."""
    return _below(levels).first(conn, key) is not None


@cache
def _below(levels: int) -> Statement:
    lower = [rooms.alias(f"level_{level}") for level in range(levels)]
    joined: FromClause = lower[0]
    for above, below in pairwise(lower):
        joined = joined.join(below, below.c.parent_key == above.c.key)
    lowest = select(lower[-1].c.key).select_from(joined)
    return matching(lowest.limit(1), lower[0].c.parent_key)


def seqs(conn: Connection, rooms: Sequence[RoomId]) -> dict[RoomId, int]:
    """How far each of these rooms is; what is not there is left out."""
    return {row.id: row.seq for row in _SEQS.all(conn, [(room,) for room in rooms])}


def members_of(conn: Connection, rooms: Sequence[RoomId]) -> dict[RoomId, tuple[int, str | None]]:
    """How many are in each of these rooms, at most `COUNTED_MAX`, and the name of who owns it, the longest first."""
    rows = _MEMBERS.all(conn, [(room,) for room in rooms])
    return {row.id: (row.members, row.owner) for row in rows}


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
    *,
    search: str | None = None,
    among: Collection[RoomId] | None = None,
) -> list[Row]:
    """A page of rooms. `asked`: moment and key of the cursor, how many to look for, to give, and to pass over.

    The actor's key is a value of its own, from which PostgreSQL tells how many memberships to expect.
    """
    few_max = MEMBERSHIPS_FEW_SEARCHED if search else MEMBERSHIPS_FEW
    me, memberships = _MEMBERSHIPS.first(conn, actor, few_max + 1) or (0, 0)
    values = [me, *asked, *([containing(folded(search))] if search else ()), *these(among)]
    many = memberships > few_max and not wanted.pinned
    if many or wanted.every or wanted.opened or wanted.few:
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
    names += AMONG * wanted.few
    return Statement(wanted.page(ordered), *names, sqlite=wanted.page(ordered if few else found))


class _Wanted(Struct, frozen=True, kw_only=True):
    """Which rooms a list holds, as SQL. `brief`: only their ids. `few`: by a walk over the rooms of `AMONG` alone."""

    searched: bool = False
    own: bool = False
    deleted: bool = False
    hidden: bool | None = None
    archived: bool | None = None
    brief: bool = False
    every: bool = False
    opened: bool = False
    pinned: bool = False
    few: bool = False

    def page(self, found: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
        """The rooms of a page of `key` and `moment`, with what a list shows of each."""
        cut = found.limit(bindparam("limit")).offset(bindparam("offset")).subquery("cut")
        joined = cut.join(rooms, rooms.c.key == cut.c.key)
        chosen = select(rooms.c.id).select_from(joined) if self.brief else _seen(_my_key, joined)
        return chosen.order_by(cut.c.moment.desc(), cut.c.key.desc())

    def by_memberships(self) -> Select[*tuple[Any, ...]]:
        """The first of the actor's memberships' rooms, merged with the first of everyone's."""
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
        to_me = [room_is_shown, not_(self._left_out(rooms)), *self._titled(rooms)]
        opened = self._behind(rooms.c.key).where(*to_me).limit(_reach)
        return select(
            union(select(mine.subquery("mine")), select(opened.subquery("opened"))).subquery()
        )

    def by_walk(self) -> Select[*tuple[Any, ...]]:
        """Those of the rooms behind the cursor that the actor sees."""
        columns = rooms.c[
            *("key", "visibility", "open_to", "open_role", "title_folded", "title_source")
        ]
        walk = self._behind(*columns)
        walked = (walk.limit(_walk_max) if self.bounded else walk).subquery("walked")
        if self.every:
            named = or_(
                walked.c.title_source == TitleSource.USER,
                _known(walked).where(member_is_in).exists(),
            )
            told = [named, *self._titled(walked)] if self.searched else []
            return select(walked.c.key, walked.c.moment).where(*told)
        if self.opened:
            to_me = [_is_to_me(walked), not_(_known(walked).exists()), *self._titled(walked)]
            return select(walked.c.key, walked.c.moment).where(*to_me)
        membership = (
            select(members.c.room_key)
            .where(members.c.room_key == walked.c.key, members.c.actor_key == _my_key)
            .where(member_is_in, *self._wished(), *self._allowed(walked))
            .scalar_subquery()
        )
        seen = membership.is_not(None)
        if self._of_all:
            seen = or_(and_(_shown(walked), not_(self._left_out(walked))), seen)
        return select(walked.c.key, walked.c.moment).where(seen, *self._titled(walked))

    @property
    def _of_all(self) -> bool:
        """Whether open rooms are looked at, too, of which the actor may be no member."""
        return not (self.own or self.deleted or self.hidden or self.archived or self.pinned)

    @property
    def bounded(self) -> bool:
        """Whether a walk ends after `WALKED_MAX` rooms. Words are looked for in all, and few are deleted."""
        whole = self.searched or self.deleted or self.archived or self.every or self.few
        return not (whole or self.opened)

    @property
    def _moment(self) -> ColumnElement[int]:
        return rooms.c.deleted_ms if self.deleted else rooms.c.active_ms

    @property
    def _there(self) -> ColumnElement[bool]:
        if self.deleted:
            return rooms.c.deleted_ms.is_not(None)
        if self.archived is None:
            return room_is_live
        since = rooms.c.archived_ms
        return and_(room_is_live, since.is_not(None) if self.archived else since.is_(None))

    def _behind(self, *columns: ColumnElement[Any]) -> Select[*tuple[Any, ...]]:
        """The rooms behind the cursor, in the order of an index."""
        behind = tuple_(self._moment, rooms.c.key) < _cursor_position
        order = self._moment.desc(), rooms.c.key.desc()
        return (
            select(*columns, self._moment.label("moment"))
            .where(self._there, behind, *([rooms.c.id != AUDIT] if self.every else []))
            .where(*[room_is_among] * self.few, *[room_is_opened] * self.opened)
            .order_by(*order)
        )

    def _titled(self, source: FromClause) -> list[ColumnElement[bool]]:
        if not self.searched:
            return []
        return [source.c.title_folded.like(bindparam("pattern"), escape="\\")]

    def _wished(self) -> list[ColumnElement[bool]]:
        """What a membership must be by its member's wish."""
        wished: list[ColumnElement[bool]] = [member_has_pinned] if self.pinned else []
        return (
            wished if self.hidden is None else [*wished, _hidden if self.hidden else not_(_hidden)]
        )

    def _left_out(self, source: FromClause) -> ColumnElement[bool]:
        """Whether the actor was removed from an open room, or hides it."""
        out = or_(not_(member_is_in), *([] if self.hidden is None else [_hidden]))
        return _known(source).where(out).exists()

    def _allowed(self, source: FromClause) -> list[ColumnElement[bool]]:
        """What a membership must be besides the actor's."""
        if self.deleted:
            return [member_is_owner]
        return [or_(member_is_owner, not_(_shown(source)))] if self.own else []


def _shown(source: FromClause) -> ColumnElement[bool]:
    """Of a room of `source`: as `room_is_shown`."""
    is_open = source.c.visibility == literal_column(f"'{Visibility.OPEN}'")
    return and_(is_open, source.c.open_role.is_(None))


def _is_to_me(source: FromClause) -> ColumnElement[bool]:
    """Whether an opened room of `source` is open to the actor."""
    active = accounts.c.status == literal_column(f"'{AccountStatus.ACTIVE}'")
    account = select(accounts.c.actor_key).where(accounts.c.actor_key == _my_key, active)
    return or_(source.c.open_to == literal_column(f"'{OpenTo.EVERYONE}'"), account.exists())


def _known(source: FromClause) -> Select[*tuple[Any, ...]]:
    """The actor's membership in a room of `source`, also of who was removed."""
    return select(members.c.room_key).where(
        members.c.room_key == source.c.key, members.c.actor_key == _my_key
    )


def containing(words: str) -> str:
    """What a LIKE of these words takes, escaped by a backslash."""
    escaped = words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def _rooms(conn: Connection, rows: list[Row], actor: ActorId) -> tuple[Room, ...]:
    as_whom = partial(role_in, agent=actor.startswith(PREFIX[ActorKind.AGENT]))
    agents: dict[int, list[Actor]] = {row.key: [] for row in rows}
    for found in _AGENTS.all(conn, [(key,) for key in agents]):
        agents[found.room_key].append(actor_of(found))
    looked = [(row, *looked_at(conn, row)) for row in rows]
    return tuple(
        [
            _ROOM.one(
                row,
                as_whom(row, row.role, kept_out=bool(row.kept_out), status=row.status),
                tuple(agents[row.key]),
                bool(row.muted),
                bool(row.hidden),
                row.role is not None and not row.kept_out,
                bool(row.pinned),
                branch,
                row.main_branch or 0,
                row.last_branch or 0,
                None if row.forked is None else (row.forked, row.forked_seq),
                unread,
            )
            for row, branch, unread in looked
        ]
    )


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
    return Refused(Code.CURSOR_INVALID, "The cursor is not one that this server gave.")
