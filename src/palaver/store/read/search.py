"""Reads for the search: what is to be indexed, and the messages of proposals."""

from collections.abc import Collection, Iterable, Mapping, Sequence, Set as AbstractSet
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    and_,
    bindparam,
    exists,
    func,
    literal_column,
    not_,
    or_,
    select,
    tuple_,
    union,
)

from palaver.model import ActorId, EventType, Message, RoomId
from palaver.store.engine.statement import ListStatement, Statement, among
from palaver.store.read import feed, messages
from palaver.store.read.feed import Span
from palaver.store.read.rights import Readable, readable
from palaver.store.schema import (
    actors,
    branches,
    events,
    members,
    messages as messages_table,
    pins,
    reactions,
    room_is_live,
    room_is_opened,
    room_is_shown,
    rooms,
    stars,
)

SPAN_MAX = 500
"""So many seqs of a room are read at once."""
SPANS_MAX = 64

_m = messages_table.c
_COLUMNS = (
    _m.created_ms,
    _m.room_key,
    _m.seq,
    _m.author_key,
    _m.kind,
    _m.text,
    _m.meta,
    _m.edited_ms,
)
_SAID: list[ColumnElement[str]] = [
    literal_column(f"'{kind}'") for kind in (EventType.MESSAGE_CREATED, EventType.MESSAGE_EDITED)
]
_IN_SPANS = ListStatement(
    lambda names: (
        select(*_COLUMNS)
        .select_from(events)
        .join(
            messages_table,
            and_(_m.room_key == events.c.room_key, _m.seq == events.c.message_seq),
        )
        .where(events.c.type.in_(_SAID))
        .where(
            or_(
                *[
                    and_(
                        events.c.room_key == bindparam(key),
                        events.c.seq >= bindparam(first),
                        events.c.seq <= bindparam(last),
                    )
                    for key, first, last in names
                ]
            )
        )
    ),
    width=3,
)
_SCAN = Statement(
    select(*_COLUMNS)
    .where(tuple_(_m.room_key, _m.seq) > tuple_(bindparam("room_key"), bindparam("seq")))
    .order_by(_m.room_key, _m.seq)
    .limit(bindparam("limit")),
    *("room_key", "seq", "limit"),
)
_KEY_MAX = Statement(select(func.max(rooms.c.key)))
_KEYS = among(select(rooms.c.key), rooms.c.id)
_in_reach = [
    select(members.c.room_key).where(
        members.c.actor_key
        == select(actors.c.key).where(actors.c.id == bindparam("actor")).scalar_subquery()
    ),
    *[
        select(rooms.c.key).where(room_is_live, is_open, rooms.c.active_ms >= 0)  # of an index
        for is_open in (room_is_shown, room_is_opened)
    ],
]
_IN_REACH = Statement(
    union(*[select(some.limit(bindparam("limit")).subquery()) for some in _in_reach]),
    *("actor", "limit"),
)
_its = actors.alias("its")
_AUTHORS = among(
    select(actors.c.key)
    .select_from(_its)
    .join(actors, or_(actors.c.key == _its.c.key, actors.c.became_key == _its.c.key)),
    _its.c.id,
)
_on_deleted = exists().where(
    branches.c.room_key == _m.room_key,
    branches.c.branch == _m.branch,
    branches.c.deleted_ms.is_not(None),
)
AT_PLACES = ListStatement(
    lambda names: messages.selected(_m.room_key, _m.author_key).where(
        or_(*[and_(_m.room_key == bindparam(key), _m.seq == bindparam(seq)) for key, seq in names]),
        or_(_m.branch == literal_column("0"), not_(_on_deleted)),
    ),
    width=2,
)
_me = select(actors.c.key).where(actors.c.id == bindparam("by")).scalar_subquery()


def _marked(table: Table, *more: ColumnElement[bool]) -> ListStatement:
    """Those of some places that have a row in a table of marks."""
    its = table.c
    return ListStatement(
        lambda names: select(its.room_key, its.seq).where(
            *more,
            or_(
                *[
                    (its.room_key == bindparam(key)) & (its.seq == bindparam(seq))
                    for key, seq in names
                ]
            ),
        ),
        *(["by"] if more else []),
        width=2,
    )


_MARKED = {
    "pinned": _marked(pins),
    "starred": _marked(stars, stars.c.actor_key == _me),
    "reaction": _marked(reactions),
}


class Source(Struct, frozen=True):
    """A message as the index needs it, deleted or not."""

    created_ms: int
    room_key: int
    seq: int
    author_key: int
    kind: str
    text: str
    meta: Mapping[str, Any]
    edited_ms: int | None = None


def in_spans(conn: Connection, spans: Iterable[Span]) -> list[Source]:
    """The messages that were created or edited in spans of seqs, as they are now."""
    parts = list(dict.fromkeys(part for span in spans for part in _parts(span)))
    found: dict[tuple[int, int], Source] = {}
    for start in range(0, len(parts), SPANS_MAX):
        for row in _IN_SPANS.all(conn, parts[start : start + SPANS_MAX]):
            found[row.room_key, row.seq] = Source(*row)
    return list(found.values())


def after(conn: Connection, room_key: int, seq: int, limit: int) -> list[Source]:
    """The messages behind one, in the order of the keys of rooms and seqs."""
    return [Source(*row) for row in _SCAN.all(conn, room_key, seq, limit)]


def rooms_max(conn: Connection) -> int:
    """The highest key of a room."""
    return _KEY_MAX.value(conn) or 0


def keys_of(conn: Connection, ids: Sequence[RoomId]) -> list[int]:
    """The keys of rooms."""
    return [row.key for row in _KEYS.all(conn, [(id_,) for id_ in dict.fromkeys(ids)])]


def rooms_of(conn: Connection, actor: ActorId, limit: int) -> list[int]:
    """The keys of all rooms that an actor may read, and of some more; of more than `limit` so many or more of them."""
    return _IN_REACH.column(conn, actor, limit)


def author_keys(conn: Connection, ids: Sequence[ActorId]) -> list[int]:
    """The keys of actors, and of those who became them."""
    return sorted({row.key for row in _AUTHORS.all(conn, [(id_,) for id_ in ids])})


class Looked(Struct, frozen=True):
    """What is `known` of rooms, None of those that the actor may not read; `messages` at keys of rooms and seqs.

    `upto`: how many of the places were looked at until there were so many messages as were to be read.
    `beyond`: messages beyond a position of the feed; `whole`: whether those are all of them.
    """

    known: dict[int, Readable | None]
    messages: dict[tuple[int, int], Message]
    upto: int
    beyond: Sequence[Source] = ()
    whole: bool = True


def seen(
    conn: Connection,
    places: Sequence[tuple[int, int]],
    actor: ActorId,
    known: Mapping[int, Readable | None],
    count: int,
    *,
    marks: Collection[str] = (),
) -> Looked:
    """The first `count` messages at keys of rooms and seqs that an actor may read, as they are now.

    Of these those alone that have all `marks`; none of a deleted branch.
    """
    rooms = _known(conn, {key for key, _ in places}, actor, known)
    found: dict[tuple[int, int], Message] = {}
    may = [at for at, place in enumerate(places) if rooms[place[0]] is not None]
    upto = may[count] if count < len(may) else len(places)
    here = [places[at] for at in may[:count]]
    for mark in marks:
        asker = (actor,) if mark == "starred" else ()
        have = {(row.room_key, row.seq) for row in _MARKED[mark].all(conn, here, *asker)}
        here = [place for place in here if place in have]
    for start in range(0, len(here), SPANS_MAX):
        for row in AT_PLACES.all(conn, here[start : start + SPANS_MAX]):
            room = rooms[row.room_key]
            assert room is not None, "only what may be read is asked for"
            found[row.room_key, row.seq] = messages.message_of(room.id, row)
    return Looked(rooms, found, upto)


def seen_and_beyond(
    conn: Connection,
    places: Sequence[tuple[int, int]],
    actor: ActorId,
    *,
    count: int,
    only: Collection[int] | None,
    position: int,
    events_max: int,
    marks: Collection[str] = (),
) -> Looked:
    """The same, and of `only` these rooms, or all, what happened beyond a position of the feed (`feed.beyond`)."""
    spans, whole = feed.beyond(conn, position, events_max)
    spans = [span for span in spans if only is None or span[0] in only]
    rooms = _known(conn, {key for key, _, _ in spans}, actor, {})
    beyond = in_spans(conn, [span for span in spans if rooms[span[0]] is not None])
    looked = seen(conn, places, actor, rooms, count, marks=marks)
    return replace(looked, beyond=beyond, whole=whole)


def _known(
    conn: Connection, keys: AbstractSet[int], actor: ActorId, known: Mapping[int, Readable | None]
) -> dict[int, Readable | None]:
    """What is known of rooms, also of those with these keys."""
    new = sorted(keys - known.keys())
    found = readable(conn, new, actor) if new else {}
    return {**known, **{key: found.get(key) for key in new}}


def _parts(span: Span) -> Iterable[Span]:
    key, first, last = span
    for start in range(first, last + 1, SPAN_MAX):
        yield key, start, min(last, start + SPAN_MAX - 1)
