"""A room's messages: pages by seq, single ones, and what a model is given. Reads only.

Every page is a range of the index on (room_key, seq), so its cost does not depend on where in the room it lies or how
long the room is. A deleted message keeps its place, with the text "" and no `meta`.
"""

from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    FromClause,
    ScalarSelect,
    Select,
    bindparam,
    literal_column,
    select,
)

from palaver.model import NO_DATA, Kind, Message, MessageId, Page, Role, RoomId
from palaver.store.columns import INTEGER_MAX
from palaver.store.engine.statement import Row, Statement
from palaver.store.read.actors import id_of
from palaver.store.schema import actors, messages, rooms
from palaver.store.values import new_message

replied = messages.alias("replied")


def _columns(source: FromClause) -> tuple[ColumnElement[Any], ...]:
    return (
        source.c.id,
        source.c.seq,
        actors.c.kind,
        actors.c.id,
        actors.c.name,
        source.c.role,
        source.c.status,
        source.c.text,
        source.c.created_ms,
        source.c.cid,
        replied.c.id,
        source.c.branch,
        source.c.kind,
        source.c.edited_ms,
        source.c.deleted_ms,
        source.c.meta,
    )


COLUMNS = _columns(messages)
"""What `message_of` takes."""


def selected(*more: object, source: FromClause = messages) -> Select[tuple[object, ...]]:
    """The `COLUMNS` of messages (and `more` behind them), with authors and replied messages joined.

    Outer joins, though every message has an author: so no planner begins with the authors.
    """
    return (
        select(*_columns(source), *more)
        .select_from(source)
        .outerjoin(actors, actors.c.key == source.c.author_key)
        .outerjoin(
            replied,
            (replied.c.room_key == source.c.room_key) & (replied.c.seq == source.c.reply_to_seq),
        )
    )


def room_key() -> ScalarSelect[int]:
    """The key of the room that the parameter `room` names."""
    return select(rooms.c.key).where(rooms.c.id == bindparam("room")).scalar_subquery()


def _range(*where: ColumnElement[bool], newest_first: bool) -> Statement:
    """At most `limit` messages of a room.

    PostgreSQL cannot know how long the room is; asked for all at once it may read and join the whole of it, so there
    the range is cut before anything is joined to it. SQLite walks the index and stops, for a quarter less.
    """
    order = messages.c.seq.desc() if newest_first else messages.c.seq
    here = (messages.c.room_key == room_key(), *where)
    limit: BindParameter[int] = bindparam("limit")
    cut = select(messages).where(*here).order_by(order).limit(limit).subquery("cut")
    return Statement(
        selected(source=cut).order_by(cut.c.seq.desc() if newest_first else cut.c.seq),
        "room",
        "seq",
        "limit",
        sqlite=selected().where(*here).order_by(order).limit(limit),
    )


_until, _from = messages.c.seq <= bindparam("seq"), messages.c.seq >= bindparam("seq")
_UNTIL = _range(_until, newest_first=True)
_FROM = _range(_from, newest_first=False)
_CONTEXT = _range(_until, messages.c.deleted_ms.is_(None), newest_first=True)
_said = (
    select(messages)
    .where(
        messages.c.room_key == room_key(),
        messages.c.deleted_ms.is_(None),
        messages.c.kind == literal_column(f"'{Kind.TEXT}'"),
        messages.c.role.in_([literal_column(f"'{one}'") for one in (Role.USER, Role.ASSISTANT)]),
        messages.c.text != literal_column("''"),
    )
    .order_by(messages.c.seq)
    .limit(bindparam("limit"))
    .offset(bindparam("offset"))
    .subquery("said")
)
_SPOKEN = Statement(selected(source=_said).order_by(_said.c.seq), "room", "limit", "offset")
_seqs = select(messages.c.seq).where(messages.c.room_key == room_key())
_ANY_UNTIL = Statement(_seqs.where(_until).limit(1), "room", "seq")
_ANY_FROM = Statement(_seqs.where(_from).limit(1), "room", "seq")
_BY_ID = Statement(
    selected(rooms.c.id)
    .join(rooms, rooms.c.key == messages.c.room_key)
    .where(messages.c.id == bindparam("message")),
    "message",
)


def page(
    conn: Connection,
    room: RoomId,
    *,
    before: int | None = None,
    after: int | None = None,
    around: int | None = None,
    limit: int,
) -> Page:
    """The newest messages, those with seq < `before`, those with seq > `after`, or those on both sides of `around`.

    Give at most one of the three. `around` itself counts to the newer side; a side that is short leaves its places to
    the other.
    """
    if around is not None:
        return _around(conn, room, bounded(around), limit)
    if after is not None:
        first = bounded(after) + 1
        rows = _FROM.all(conn, room, first, limit + 1)
        older = bool(_ANY_UNTIL.all(conn, room, first - 1))
        found = _messages(room, rows[:limit])
        return _page(found, older=older, newer=len(rows) > limit, at=first)
    last = INTEGER_MAX if before is None else bounded(before) - 1
    rows = _UNTIL.all(conn, room, last, limit + 1)
    newer = before is not None and bool(_ANY_FROM.all(conn, room, last + 1))
    found = _messages(room, rows[:limit])[::-1]
    return _page(found, older=len(rows) > limit, newer=newer, at=last + 1)


def get(conn: Connection, message: MessageId) -> Message | None:
    """The message of this id, as it is now."""
    row = _BY_ID.first(conn, message)
    return None if row is None else message_of(row[-1], row)


def spoken(conn: Connection, room: RoomId, *, limit: int, offset: int) -> tuple[Message, ...]:
    """What people and models said in words, oldest first, without the first `offset`, which are walked."""
    return _messages(room, _SPOKEN.all(conn, room, limit, offset))


def context(conn: Connection, room: RoomId, *, upto_seq: int, limit: int) -> tuple[Message, ...]:
    """The last `limit` messages with seq <= `upto_seq` that are not deleted, oldest first."""
    return _messages(room, _CONTEXT.all(conn, room, bounded(upto_seq), limit))[::-1]


def message_of(room: RoomId, row: Row) -> Message:
    """The message in the first columns of a row of `COLUMNS`."""
    deleted_ms = row[14]
    return new_message(
        row[0],
        room,
        row[1],
        id_of(row[2], row[3]),
        row[4],
        row[5],
        row[6],
        row[7] if deleted_ms is None else "",
        *row[8:14],
        deleted_ms,
        row[15] if deleted_ms is None else NO_DATA,
    )


def bounded(seq: int) -> int:
    """A seq that both engines can compare with."""
    return max(0, min(seq, INTEGER_MAX - 1))


def _around(conn: Connection, room: RoomId, seq: int, limit: int) -> Page:
    older = _messages(room, _UNTIL.all(conn, room, seq - 1, limit + 1))
    newer = _messages(room, _FROM.all(conn, room, seq, limit + 1))
    old_count = min(len(older), max(limit // 2, limit - len(newer)))
    new_count = min(len(newer), limit - old_count)
    return _page(
        older[:old_count][::-1] + newer[:new_count],
        older=len(older) > old_count,
        newer=len(newer) > new_count,
        at=seq,
    )


def _page(found: tuple[Message, ...], *, older: bool, newer: bool, at: int) -> Page:
    """`at`: where the page would begin if it held anything."""
    return Page(
        messages=found,
        before=(found[0].seq if found else at) if older else None,
        after=(found[-1].seq if found else at - 1) if newer else None,
    )


def _messages(room: RoomId, rows: list[Row]) -> tuple[Message, ...]:
    return tuple([message_of(room, row) for row in rows])
