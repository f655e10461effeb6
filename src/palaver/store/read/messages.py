"""Reads a room's messages: pages by seq, single ones, and the context of a model.

Every page is a few ranges of the index on (room_key, branch, seq), one for each part of the path that it lies on, so
its cost does not depend on where in the room it lies or how long the room is. A deleted message keeps its place, with
the text "" and no `meta`; what was cleared has none.
"""

from collections.abc import Collection, Sequence
from itertools import repeat
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    FromClause,
    ScalarSelect,
    Select,
    and_,
    bindparam,
    func,
    literal_column,
    select,
)

from palaver.model import NO_DATA, ActorId, ActorKind, Kind, Message, MessageId, Page, Role, RoomId
from palaver.store.columns import INTEGER_MAX
from palaver.store.engine.statement import Columns, Row, Statement, among, matching
from palaver.store.read import branches
from palaver.store.read.actors import id_of
from palaver.store.read.branches import Path
from palaver.store.schema import actors, messages, rooms
from palaver.store.values import ByName

replied = messages.alias("replied")
became = actors.alias("became")


def _columns(source: FromClause) -> tuple[ColumnElement[Any], ...]:
    return (
        *source.c["id", "seq", "role", "status", "text", "created_ms", "cid", "branch", "kind"],
        *source.c["edited_ms", "deleted_ms", "meta"],
        actors.c.kind.label("author_kind"),
        actors.c.id.label("author"),
        func.coalesce(became.c.name, actors.c.name).label("name"),
        became.c.id.label("became"),
        replied.c.id.label("reply_to"),
    )


COLUMNS = _columns(messages)
"""What `message_of` takes."""
_MESSAGE = ByName(Message, "room", "author", "text", "meta", "became", until="reactions")


def selected(*more: object, source: FromClause = messages) -> Select[tuple[object, ...]]:
    """The `COLUMNS` of messages (and `more` behind them), with authors and replied messages joined.

    Outer joins, though every message has an author: so no planner begins with the authors.
    """
    return (
        select(*_columns(source), *more)
        .select_from(source)
        .outerjoin(actors, actors.c.key == source.c.author_key)
        .outerjoin(became, became.c.key == actors.c.became_key)
        .outerjoin(
            replied,
            (replied.c.room_key == source.c.room_key) & (replied.c.seq == source.c.reply_to_seq),
        )
    )


def room_key() -> ScalarSelect[int]:
    """The key of the room that the parameter `room` names."""
    return select(rooms.c.key).where(rooms.c.id == bindparam("room")).scalar_subquery()


def _there(source: FromClause) -> tuple[ColumnElement[bool], ...]:
    """Of messages of a room: those of a branch that come after what was cleared of its history."""
    upto = func.coalesce(rooms.c.cleared_upto, literal_column("0"))
    cleared = select(upto).where(rooms.c.id == bindparam("room")).scalar_subquery()
    here = source.c.room_key == room_key()
    return here, source.c.branch == bindparam("branch"), source.c.seq > cleared


def _any(where: ColumnElement[bool]) -> Select[tuple[int]]:
    return select(_beside.c.seq).where(*_there(_beside), where).limit(1)


def _range(
    *where: ColumnElement[bool], newest_first: bool, across: ColumnElement[bool] | None = None
) -> Statement:
    """At most `limit` messages of a branch, and with each whether it has `others` on the other side of `seq`.

    PostgreSQL cannot know how long the branch is; asked for all at once it may read and join the whole of it, so there
    the range is cut before anything is joined to it. SQLite walks the index and stops, for a quarter less.
    """
    more = [] if across is None else [_any(across).scalar_subquery().is_not(None).label("others")]
    order = messages.c.seq.desc() if newest_first else messages.c.seq
    here = (*_there(messages), *where)
    limit: BindParameter[int] = bindparam("limit")
    cut = select(messages).where(*here).order_by(order).limit(limit).subquery("cut")
    return Statement(
        selected(*more, source=cut).order_by(cut.c.seq.desc() if newest_first else cut.c.seq),
        *("room", "branch", "seq", *(() if newest_first else ("upto",)), "limit"),
        sqlite=selected(*more).where(*here).order_by(order).limit(limit),
    )


_until = messages.c.seq <= bindparam("seq")
_from = messages.c.seq.between(bindparam("seq"), bindparam("upto"))
_beside = messages.alias("beside")
_above = and_(_beside.c.seq > bindparam("seq"), _beside.c.seq <= bindparam("upto"))
_below = _beside.c.seq < bindparam("seq")
_UNTIL = _range(_until, newest_first=True, across=_beside.c.seq > bindparam("seq"))
_FROM = _range(_from, newest_first=False, across=_below)
_CONTEXT = _range(_until, messages.c.deleted_ms.is_(None), newest_first=True)
_said = (
    select(messages)
    .where(
        *_there(messages),
        _until,
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
_SPOKEN = Statement(
    selected(source=_said).order_by(_said.c.seq), *("room", "branch", "seq", "limit", "offset")
)
_ANY_ABOVE = Statement(_any(_above), "room", "branch", "seq", "upto")
_ANY_BELOW = Statement(_any(_below), "room", "branch", "seq")
_with_room = selected(rooms.c.id.label("room")).join(rooms, rooms.c.key == messages.c.room_key)
_BY_ID = matching(_with_room, messages.c.id)
_BY_IDS = among(_with_room, messages.c.id)


def page(
    conn: Connection,
    room: RoomId,
    path: Path | None = None,
    *,
    before: int | None = None,
    after: int | None = None,
    around: int | None = None,
    limit: int,
) -> Page:
    """The newest messages, those with seq < `before`, those with seq > `after`, or those on both sides of `around`.

    Give at most one of the three. `around` itself counts to the newer side; a side that is short leaves its places to
    the other. `path`: the one whose messages they are; None: the room's main one.
    """
    path = branches.main(conn, room) if path is None else path
    if around is not None:
        return _around(conn, room, path, bounded(around), limit)
    if after is not None:
        first = bounded(after) + 1
        found, others = _newer(conn, room, path, first, limit)
        older = _is_any_below(conn, room, path, first) if others is None else others
        return _page(path, found[:limit], older=older, newer=len(found) > limit, at=first)
    last = INTEGER_MAX if before is None else bounded(before) - 1
    found, others = _older(conn, room, path, last, limit)
    newer = _is_any_above(conn, room, path, last) if others is None else others
    return _page(path, found[:limit][::-1], older=len(found) > limit, newer=newer, at=last + 1)


def get(conn: Connection, message: MessageId) -> Message | None:
    """The message of this id, as it is now."""
    row = _BY_ID.first(conn, message)
    return None if row is None else message_of(row.room, row)


def of_ids(conn: Connection, ids: Collection[MessageId]) -> dict[MessageId, Message]:
    """The messages of these ids that are there, as they are now."""
    rows = _BY_IDS.all(conn, [(id_,) for id_ in ids])
    return {row.id: message_of(row.room, row) for row in rows}


def spoken(conn: Connection, room: RoomId, *, limit: int, offset: int) -> tuple[Message, ...]:
    """Messages of people and models in words, oldest first, without the first `offset`, which are walked.

    They are those of the room's main path.
    """
    parts = branches.main(conn, room).parts[::-1]
    if len(parts) == 1:
        return messages_of(room, _SPOKEN.columns(conn, room, *parts[0], limit, offset))
    found: list[Message] = []
    for part in parts:
        left = offset + limit - len(found)
        found += messages_of(room, _SPOKEN.columns(conn, room, *part, left, 0))
    return tuple(found[offset:])


def context(
    conn: Connection, room: RoomId, *, branch: int = 0, upto_seq: int, limit: int
) -> tuple[Message, ...]:
    """The last `limit` messages of a branch's path with seq <= `upto_seq` that are not deleted, oldest first."""
    found: list[Message] = []
    for part in branches.of(conn, room, branch).until(bounded(upto_seq)):
        if len(found) < limit:
            found += messages_of(room, _CONTEXT.columns(conn, room, *part, limit - len(found)))
    return tuple(found[::-1])


def message_of(room: RoomId, row: Row) -> Message:
    """The message of a row with the `COLUMNS`."""
    text, meta = (row.text, row.meta) if row.deleted_ms is None else ("", NO_DATA)
    author = id_of(row.author_kind, row.author)
    return _MESSAGE.one(row, room, author, text, meta, person(row.became))


def messages_of(room: RoomId, found: Columns) -> tuple[Message, ...]:
    """The messages of rows with the `COLUMNS`, turned over."""
    texts, metas = found.text, found.meta
    if any(found.deleted_ms):
        there = [deleted_ms is None for deleted_ms in found.deleted_ms]
        texts = [text if kept else "" for text, kept in zip(texts, there, strict=True)]
        metas = [meta if kept else NO_DATA for meta, kept in zip(metas, there, strict=True)]
    authors = map(id_of, found.author_kind, found.author)
    whom = map(person, found.became)
    return _MESSAGE.all(found, repeat(room), authors, texts, metas, whom)


def person(digits: str | None) -> ActorId | None:
    """Whom an author became: the person with these digits."""
    return None if digits is None else id_of(ActorKind.PERSON, digits)


def bounded(seq: int) -> int:
    """A seq that both engines can compare with."""
    return max(0, min(seq, INTEGER_MAX - 1))


def _around(conn: Connection, room: RoomId, path: Path, seq: int, limit: int) -> Page:
    older, _ = _older(conn, room, path, seq - 1, limit)
    newer, _ = _newer(conn, room, path, seq, limit)
    old_count = min(len(older), max(limit // 2, limit - len(newer)))
    new_count = min(len(newer), limit - old_count)
    return _page(
        path,
        older[:old_count][::-1] + newer[:new_count],
        older=len(older) > old_count,
        newer=len(newer) > new_count,
        at=seq,
    )


def _page(path: Path, found: tuple[Message, ...], *, older: bool, newer: bool, at: int) -> Page:
    """`at`: where the page would begin if it held anything."""
    return Page(
        messages=found,
        before=(found[0].seq if found else at) if older else None,
        after=(found[-1].seq if found else at - 1) if newer else None,
        branch=path.branch,
    )


def _older(
    conn: Connection, room: RoomId, path: Path, seq: int, limit: int
) -> tuple[tuple[Message, ...], bool | None]:
    """The last `limit` messages up to `seq` and one more, the newest first, and whether there are any behind them.

    That is None where it has to be asked for.
    """
    alone = len(path.parts) == 1
    return _walked(conn, room, _UNTIL, path.until(seq), limit, alone=alone)


def _newer(
    conn: Connection, room: RoomId, path: Path, seq: int, limit: int
) -> tuple[tuple[Message, ...], bool | None]:
    """The first `limit` messages from `seq` on and one more, and whether there are any before, as `_older`."""
    parts = [(branch, seq, upto) for branch, upto in path.parts[::-1] if upto >= seq]
    return _walked(conn, room, _FROM, parts, limit, alone=len(path.parts) == 1)


def _walked(
    conn: Connection,
    room: RoomId,
    side: Statement,
    parts: Sequence[tuple[int, ...]],
    limit: int,
    *,
    alone: bool,
) -> tuple[tuple[Message, ...], bool | None]:
    found: tuple[Message, ...] = ()
    others: list[bool] = []
    for part in parts:
        if len(found) <= limit:
            rows = side.columns(conn, room, *part, limit + 1 - len(found))
            found += messages_of(room, rows)
            others = rows.others
    return found, others[0] if alone and others else None


def _is_any_above(conn: Connection, room: RoomId, path: Path, seq: int) -> bool:
    parts = [(branch, seq, upto) for branch, upto in path.parts if upto > seq]
    return any(_ANY_ABOVE.all(conn, room, *part) for part in parts)


def _is_any_below(conn: Connection, room: RoomId, path: Path, seq: int) -> bool:
    return any(_ANY_BELOW.all(conn, room, *part) for part in path.until(seq))
