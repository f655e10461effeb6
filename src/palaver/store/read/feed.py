"""Reads the feed: what happened in all rooms, in one order, as spans of seqs."""

from collections.abc import Sequence

from msgspec import Struct
from sqlalchemy import Connection, bindparam, func, select

from palaver.store.engine.statement import Statement
from palaver.store.schema import feed, unfed

_AT_ONCE = 500
Span = tuple[int, int, int]
"""The key of a room, and the first and last seq of what happened there."""

_AFTER = Statement(
    select(feed)
    .where(feed.c.position > bindparam("position"))
    .order_by(feed.c.position)
    .limit(bindparam("limit")),
    *("position", "limit"),
)
_ENDS = Statement(
    select(
        *[
            select(end(feed.c.position)).scalar_subquery().label(name)
            for name, end in (("first", func.min), ("last", func.max))
        ]
    )
)
_UNFED, _UNFED_LAST = (
    Statement(
        select(*unfed.c["room_key", "first_seq", "last_seq"])
        .where(unfed.c.key > 0)  # all of them, by the key
        .order_by(order)
        .limit(bindparam("limit")),
        "limit",
    )
    for order in (unfed.c.key, unfed.c.key.desc())
)


class Fed(Struct, frozen=True):
    """What one commit, or several at once, did at a position: a span of each room that it changed."""

    position: int
    at_ms: int
    spans: tuple[Span, ...]

    @property
    def count(self) -> int:
        """How many events they are."""
        return sum(last - first + 1 for _, first, last in self.spans)


def after(conn: Connection, position: int, limit: int) -> list[Fed]:
    """The first rows behind a position."""
    return [
        Fed(
            row.position,
            row.at_ms,
            tuple([(key, first, last) for key, first, last in row.spans["rooms"]]),
        )
        for row in _AFTER.all(conn, position, limit)
    ]


def ends(conn: Connection) -> tuple[int, int]:
    """The first position that is still there, and the last one; both 0 before anything happened."""
    row = _ENDS.one(conn)
    return row.first or 0, row.last or 0


def waiting(conn: Connection, limit: int) -> Sequence[Span]:
    """Spans that are committed and not in the feed yet, oldest first. Read them before the feed: they move there."""
    return [tuple(row) for row in _UNFED.all(conn, limit)]


def beyond(conn: Connection, position: int, events_max: int) -> tuple[list[Span], bool]:
    """What happened beyond a position, newest first, of at most so many events; and whether that is all.

    What waits for the feed is read first: it may move there meanwhile, and is in both then.
    """
    spans: list[Span] = [tuple(row) for row in _UNFED_LAST.all(conn, events_max + 1)]
    last = ends(conn)[1]
    start = max(position, last - events_max)
    whole = start == position
    rows: list[Fed] = []
    while start < last and (found := after(conn, start, _AT_ONCE)):
        rows += found
        start = found[-1].position
    spans += [span for row in reversed(rows) for span in reversed(row.spans)]
    kept: list[Span] = []
    left = events_max
    for key, first, last_seq in spans:
        if not left:
            return kept, False
        part = max(first, last_seq - left + 1)
        kept.append((key, part, last_seq))
        left -= last_seq - part + 1
        whole = whole and part == first
    return kept, whole
