"""Reads what was deleted: what somebody may restore, the last first, and what is due to be purged.

Both go by one index of what is deleted, by when. The list walks everyone's, a bounded piece at a time, and asks the
policy of each; so it costs the same however many rooms somebody is in.
"""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Connection,
    bindparam,
    literal_column,
    select,
    tuple_,
)

from palaver.model import ActorId, ActorKind, Kind, MemberRole, Message, MessageId, RoomId
from palaver.model.deleted import Deleted, DeletedMessage, History
from palaver.policy import Action, allows, role_in
from palaver.store.columns import INTEGER_MAX
from palaver.store.engine.statement import Row, Statement, among
from palaver.store.read.actors import OUT, PREFIX, became_key, its
from palaver.store.read.messages import message_of, selected
from palaver.store.read.rooms import bad_cursor
from palaver.store.schema import (
    accounts,
    actors,
    events,
    member_is_in,
    member_is_owner,
    members,
    message_is_deleted,
    messages,
    room_is_live,
    rooms,
)

WALKED = 500
"""So many deleted messages are looked at by one statement."""
WALKS_MAX = 20
OWN_MAX = 1_000
"""Histories of so many of one's own rooms are looked for."""
HISTORIES_MAX = 100

Place = tuple[int, int, int]
"""When a message was deleted, and its room's key and its seq."""
_FIRST: Place = (INTEGER_MAX, INTEGER_MAX, INTEGER_MAX)

_me = select(actors.c.key).where(actors.c.id == bindparam("actor")).scalar_subquery()
_limit: BindParameter[int] = bindparam("limit")
_order = messages.c["deleted_ms", "room_key", "seq"]
_cut = (
    select(*_order, *messages.c["id", "author_key", "kind"], (messages.c.text != "").label("says"))
    .where(message_is_deleted, messages.c.deleted_ms > bindparam("since_ms", type_=BigInteger))
    .where(
        tuple_(*_order)
        < tuple_(*[bindparam(name, type_=BigInteger) for name in ("at_ms", "key", "seq")])
    )
    .order_by(*[column.desc() for column in _order])
    .limit(_limit)
    .subquery("cut")
)
_WALK = Statement(
    select(
        *_cut.c["deleted_ms", "room_key", "seq", "id", "kind", "says"],
        *rooms.c["visibility", "open_to", "open_role", "archived_ms", "cleared_upto"],
        room_is_live.label("live"),
        rooms.c.id.label("room"),
        rooms.c.title,
        *members.c["role", "kept_out"],
        (became_key == _me).label("own"),
        select(accounts.c.status)
        .where(accounts.c.actor_key == _me)
        .scalar_subquery()
        .label("status"),
    )
    .select_from(_cut)
    .outerjoin(rooms, rooms.c.key == _cut.c.room_key)
    .outerjoin(members, (members.c.room_key == _cut.c.room_key) & (members.c.actor_key == _me))
    .outerjoin(its, its.c.key == _cut.c.author_key)
    .order_by(*[column.desc() for column in _cut.c["deleted_ms", "room_key", "seq"]]),
    *("actor", "since_ms", "at_ms", "key", "seq", "limit"),
)
_SAID = among(selected(), messages.c.id)
_own = (
    select(members.c.room_key)
    .where(members.c.actor_key == _me, member_is_owner, member_is_in)
    .limit(literal_column(str(OWN_MAX)))
    .subquery("own")
)
_HISTORIES = Statement(
    select(rooms.c.id, rooms.c.title, *events.c["seq", "at_ms", "data"])
    .select_from(_own)
    .join(rooms, rooms.c.key == _own.c.room_key)
    .join(events, (events.c.room_key == rooms.c.key) & (events.c.seq == rooms.c.cleared_seq))
    .where(room_is_live)
    .where(events.c.at_ms > bindparam("since_ms", type_=BigInteger))
    .order_by(events.c.at_ms.desc())
    .limit(literal_column(str(HISTORIES_MAX))),
    *("actor", "since_ms"),
)
_until: ColumnElement[int] = bindparam("until_ms", type_=BigInteger)
_DUE_ROOMS = Statement(
    select(rooms.c.id)
    .where(rooms.c.deleted_ms.is_not(None), rooms.c.deleted_ms <= _until)
    .order_by(rooms.c.deleted_ms, rooms.c.key)
    .limit(_limit),
    *("until_ms", "limit"),
)
_DUE_MESSAGES = Statement(
    select(messages.c.id)
    .where(message_is_deleted, messages.c.deleted_ms <= _until)
    .order_by(*_order)
    .limit(_limit),
    *("until_ms", "limit"),
)


class Due(Struct, frozen=True):
    """Rooms and messages whose time to be restored is over, each oldest first."""

    rooms: Sequence[RoomId]
    messages: Sequence[MessageId]


def page(
    conn: Connection, actor: ActorId, *, since_ms: int, cursor: str | None, limit: int
) -> Deleted:
    """What an actor may restore of what was deleted since then. Refused: `cursor_invalid`.

    A page may hold less than `limit`, or nothing, and have a cursor all the same: so far was looked.
    """
    place: Place | None = _FIRST if cursor is None else _place(cursor)
    found: list[Row] = []
    for _ in range(WALKS_MAX):
        rows = _WALK.all(conn, actor, since_ms, *place, WALKED)
        found += [row for row in rows if _may_restore(row, actor)]
        place = _place_of(rows[-1]) if len(rows) == WALKED else None
        if place is None or len(found) > limit:
            break
    shown = found[:limit]
    if len(found) > limit:
        place = _place_of(shown[-1])
    said = {row.id: row for row in _SAID.all(conn, [(row.id,) for row in shown])}
    return Deleted(
        [DeletedMessage(_whole(row.room, said[row.id]), row.title) for row in shown],
        _histories(conn, actor, since_ms) if cursor is None else (),
        None if place is None else _cursor(place),
    )


def due(conn: Connection, until_ms: int, limit: int) -> Due:
    """What was deleted until then: up to `limit` rooms, and as many messages, also of histories that were cleared."""
    return Due(
        _DUE_ROOMS.column(conn, until_ms, limit), _DUE_MESSAGES.column(conn, until_ms, limit)
    )


def _histories(conn: Connection, actor: ActorId, since_ms: int) -> list[History]:
    rows = _HISTORIES.all(conn, actor, since_ms)
    return [History(row.id, row.title, row.data.get("of", row.seq), row.at_ms) for row in rows]


def _may_restore(row: Row, actor: ActorId) -> bool:
    """Whether an actor may bring a message back by itself, of which there is something to bring back."""
    agent = actor.startswith(PREFIX[ActorKind.AGENT])
    if row.kind != Kind.TEXT or not row.says or not row.live or row.seq <= (row.cleared_upto or 0):
        return False
    role: MemberRole | None = role_in(
        row, row.role, kept_out=bool(row.kept_out), status=row.status, agent=agent
    )
    there = row.archived_ms is None and row.status not in OUT
    return there and allows(Action.TAKE_BACK, role, own=bool(row.own))


def _whole(room: RoomId, row: Row) -> Message:
    """The message with the text that it has in its row."""
    text: Any = row.text
    return replace(message_of(room, row), text=text)


def _place_of(row: Row) -> Place:
    return row.deleted_ms, row.room_key, row.seq


def _cursor(place: Place) -> str:
    return ".".join(f"{number:x}" for number in place)


def _place(cursor: str) -> Place:
    try:
        at_ms, key, seq = (int(part, 16) for part in cursor.split("."))
    except ValueError:
        raise bad_cursor() from None
    place = (at_ms, key, seq)
    if min(place) < 0 or max(place) > INTEGER_MAX or cursor != _cursor(place):
        raise bad_cursor()
    return place
