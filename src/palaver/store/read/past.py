"""Reads a room as it was at one of its seqs: what was deleted there then, its title, and who was in it.

Each is the newest event up to that seq, found by the index on what happened to a message or, where that is none, to the
room: so it costs the same at every seq of every room. `message.edited` carries the text that it replaced, so the text
at a seq is that of the first one after it, else the row's; what is purged is gone at every seq. Names and whom a text
mentions are those of now.
"""

from collections.abc import Iterable

from msgspec.structs import replace
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    bindparam,
    func,
    literal_column,
    or_,
    select,
    union_all,
)

from palaver.model import ActorId, EventType, MemberRole, Message, Page, RoomId, Then
from palaver.store.engine.statement import Row, Statement
from palaver.store.read import branches, events as stored_events, members
from palaver.store.read.actors import id_of, of_ids
from palaver.store.read.messages import bounded, messages_of, room_key, selected
from palaver.store.schema import actors, event_is_later, events, messages

MEMBERS_MAX = 200
"""So many members are told."""
WALKED_MAX = 500
"""So many events of a kind are read to know who was there."""
_MEMBERSHIP = (
    EventType.ROOM_CREATED,
    EventType.ROOM_TRANSFERRED,
    EventType.MEMBER_JOINED,
    EventType.MEMBER_LEFT,
    EventType.MEMBER_REMOVED,
    EventType.MEMBER_ROLE,
)
NOBODY = ActorId("")
_at: ColumnElement[int] = bindparam("at", type_=BigInteger)


def _seq_of(kind: EventType, *, after: bool = False) -> ColumnElement[int | None]:
    """The seq of the last event of a kind, up to `at`, that happened to a message, or of the first one after it."""
    its = (events.c.room_key == messages.c.room_key, events.c.message_seq == messages.c.seq)
    of_kind = (event_is_later, events.c.type == literal_column(f"'{kind}'"))
    found = select(func.min(events.c.seq) if after else func.max(events.c.seq))
    then = events.c.seq > _at if after else events.c.seq <= _at
    return found.where(*its, *of_kind, then).scalar_subquery()


_cut = (
    select(
        messages,
        _seq_of(EventType.MESSAGE_DELETED).label("deleted_seq"),
        _seq_of(EventType.MESSAGE_RESTORED).label("restored_seq"),
        _seq_of(EventType.MESSAGE_EDITED).label("edited_seq"),
        _seq_of(EventType.MESSAGE_EDITED, after=True).label("replaced_seq"),
    )
    .where(messages.c.room_key == room_key(), messages.c.branch == bindparam("branch"))
    .where(messages.c.seq <= bindparam("seq"))
    .order_by(messages.c.seq.desc())
    .limit(bindparam("limit"))
    .subquery("cut")
)
_deletion, _edit, _next = (events.alias(name) for name in ("deletion", "edit", "next"))
_then = (
    select(
        *[column for column in _cut.c if column.name not in {"deleted_ms", "edited_ms"}],
        _deletion.c.at_ms.label("deleted_ms"),
        _edit.c.at_ms.label("edited_ms"),
        _next.c.data.label("edit"),
    )
    .select_from(_cut)
    .outerjoin(
        _deletion,
        (_deletion.c.room_key == _cut.c.room_key)
        & (_deletion.c.seq == _cut.c.deleted_seq)
        & or_(_cut.c.restored_seq.is_(None), _cut.c.restored_seq < _cut.c.deleted_seq),
    )
    .outerjoin(_edit, (_edit.c.room_key == _cut.c.room_key) & (_edit.c.seq == _cut.c.edited_seq))
    .outerjoin(_next, (_next.c.room_key == _cut.c.room_key) & (_next.c.seq == _cut.c.replaced_seq))
    .subquery("then")
)
_PAGE = Statement(
    selected(_then.c.edit, source=_then).order_by(_then.c.seq.desc()),
    *("room", "at", "branch", "seq", "limit"),
)


def _told(kind: EventType, *, newest_first: bool) -> Select[tuple[object, ...]]:
    """The last events of a kind up to `at` that happened to no message, or the first ones after it.

    The first two columns to order by say the same of all of them; PostgreSQL knows by them which index is in order.
    """
    order: list[ColumnElement[object]] = [events.c.message_seq, events.c.type, events.c.seq]
    found = (
        select(events.c.seq, events.c.type, events.c.actor_key, events.c.data)
        .where(events.c.room_key == room_key(), events.c.message_seq.is_(None), event_is_later)
        .where(events.c.type == literal_column(f"'{kind}'"))
        .where(events.c.seq <= _at if newest_first else events.c.seq > _at)
        .order_by(*[one.desc() for one in order] if newest_first else order)
        .limit(bindparam("limit"))
        .subquery()
    )
    return select(
        *found.c["seq", "type", "data"], actors.c.kind.label("by_kind"), actors.c.id.label("by")
    ).outerjoin(actors, actors.c.key == found.c.actor_key)


def _all_of(kinds: Iterable[EventType], *, newest_first: bool) -> Statement:
    parts = [_told(kind, newest_first=newest_first) for kind in kinds]
    return Statement(union_all(*parts), "room", "at", "limit")


_TITLES = _all_of((EventType.ROOM_CREATED, EventType.ROOM_RENAMED), newest_first=True)
_CLEARINGS = _all_of((EventType.ROOM_CLEARED, EventType.ROOM_UNCLEARED), newest_first=True)
_UNTIL = _all_of(_MEMBERSHIP, newest_first=True)
_AFTER = _all_of(_MEMBERSHIP, newest_first=False)


def page(
    conn: Connection,
    room: RoomId,
    at: int,
    *,
    by: ActorId = NOBODY,
    branch: int | None = None,
    before: int | None,
    limit: int,
) -> Page:
    """The newest messages up to `at`, or those of them with seq < `before`, as they were then.

    They are those of the path of the given branch, or of the one that `by` looks at. Refused: `branch_not_found`.
    """
    path = branches.chosen(conn, room, by, branch, None)
    last = at if before is None else min(at, bounded(before) - 1)
    cleared = _cleared_upto(conn, room, at)
    found: list[Message] = []
    for part in path.until(last):
        if len(found) <= limit:
            asked = (room, at, *part, limit + 1 - len(found))
            rows = _PAGE.columns(conn, *asked)
            found += [
                replace(said, text=edit["was"]) if edit and said.deleted_ms is None else said
                for said, edit in zip(messages_of(room, rows), rows.edit, strict=True)
                if said.seq > cleared
            ]
    here = tuple(found[:limit][::-1])
    older = here[0].seq if len(found) > limit else None
    return Page(messages=here, before=older, after=None, branch=path.branch)


def _cleared_upto(conn: Connection, room: RoomId, at: int) -> int:
    """Up to where the history was cleared at `at`: as the newest clearing says that had not been taken back."""
    told = sorted(_CLEARINGS.all(conn, room, at, WALKED_MAX), key=lambda row: row.seq, reverse=True)
    back = {row.data["cleared"] for row in told if row.type is EventType.ROOM_UNCLEARED}
    standing = (
        row.data["upto"]
        for row in told
        if row.type is EventType.ROOM_CLEARED and row.seq not in back
    )
    return next(standing, 0)


def then(conn: Connection, room: RoomId, at: int) -> Then:
    """A room as it was at `at`, which is one of its seqs."""
    (event,) = stored_events.since(conn, room, at - 1, 1)
    titles = _TITLES.all(conn, room, at, 1)
    there, more = _members(conn, room, at, event.at_ms)
    people = of_ids(conn, {*there, *([] if event.actor is None else [event.actor])})
    order = list(MemberRole)
    found = sorted(there, key=lambda who: (order.index(there[who]), people[who].name, who))
    return Then(
        event=replace(event, message=None),
        by=None if event.actor is None else people[event.actor],
        title=max(titles, key=lambda row: row.seq).data["title"],
        members=tuple([(people[who], there[who]) for who in found[:MEMBERS_MAX]]),
        more=more or len(found) > MEMBERS_MAX,
    )


def _members(
    conn: Connection, room: RoomId, at: int, at_ms: int
) -> tuple[dict[ActorId, MemberRole], bool]:
    """Who was in a room, as what, and whether there may be more.

    Of whom nothing was told until then, who came with the room or into everyone's, the first that was told of them
    later says what they were before, else that they are members since then.
    """
    told, longer = _newest(_UNTIL.all(conn, room, at, WALKED_MAX))
    coming = sorted(_AFTER.all(conn, room, at, WALKED_MAX), key=lambda row: row.seq)
    here, cursor = members.page(conn, room, limit=MEMBERS_MAX)
    found: dict[ActorId, MemberRole | None] = {}
    for states in (*map(_made, told), *map(_unmade, coming)):
        for who, role in states.items():
            found.setdefault(who, role)
    for one in here:
        found.setdefault(one.actor.id, one.role if one.joined_ms <= at_ms else None)
    there = {who: role for who, role in found.items() if role is not None}
    return there, longer or cursor is not None or len(coming) >= WALKED_MAX


def _newest(rows: list[Row]) -> tuple[list[Row], bool]:
    """Events, the newest first, without those before which some of a kind were not read; and whether some were not."""
    rows.sort(key=lambda row: row.seq, reverse=True)
    counts = dict.fromkeys(_MEMBERSHIP, 0)
    for place, row in enumerate(rows, 1):
        counts[row.type] += 1
        if counts[row.type] == WALKED_MAX:
            return rows[:place], True
    return rows, False


def _made(row: Row) -> dict[ActorId, MemberRole | None]:
    """What an event made of whom it tells; None: no member any more."""
    by = None if row.by is None else id_of(row.by_kind, row.by)
    match row.type:
        case EventType.ROOM_CREATED:
            return {} if by is None else {by: MemberRole.OWNER}
        case EventType.ROOM_TRANSFERRED if by is not None:
            return {row.data["actor"]: MemberRole.OWNER, by: MemberRole.MODERATOR}
        case EventType.MEMBER_JOINED | EventType.MEMBER_ROLE:
            return {row.data["actor"]: MemberRole(row.data["role"])}
        case _:
            return {row.data["actor"]: None}


def _unmade(row: Row) -> dict[ActorId, MemberRole | None]:
    """What they were before it. Nothing else tells of the agents that came with the room, who are its members."""
    by = None if row.by is None else id_of(row.by_kind, row.by)
    match row.type:
        case EventType.ROOM_TRANSFERRED if by is not None:
            return {row.data["actor"]: MemberRole(row.data["before"]), by: MemberRole.OWNER}
        case EventType.MEMBER_ROLE:
            return {row.data["actor"]: MemberRole(row.data["before"])}
        case EventType.MEMBER_LEFT | EventType.MEMBER_REMOVED if row.data["actor"].startswith("a_"):
            return {row.data["actor"]: MemberRole.MEMBER}
        case EventType.ROOM_CREATED:
            return {}
        case _:
            return {row.data["actor"]: None}
