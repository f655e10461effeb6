"""Moves what is committed into the feed, notes how far its consumers are, and forgets what lies behind all of them.

One process moves at a time, under an advisory lock. A room's spans cannot overtake each other: the next one needs the
room's lock, which is held until the commit, so what is there of a room is all there is of it up to its newest span.
"""

from typing import Any

from sqlalchemy import BigInteger, bindparam, delete, func, select, union_all
from sqlalchemy.dialects import postgresql, sqlite

from palaver.store.engine.statement import Statement, inserting
from palaver.store.schema import consumers, feed, unfed, webhooks
from palaver.store.write.command import Command
from palaver.store.write.transaction import Transaction

SPANS_MAX = 1_000
"""So many spans of seqs are moved at once."""
PRUNED_MAX = 1_000
"""So many rows of the feed are forgotten at once."""
_MOVER = 0x70616C6176657201
"""The advisory lock of who moves: any number that nobody else uses."""

_lock = bindparam("lock", type_=BigInteger)
_TRY_LOCK = Statement(
    select(func.pg_try_advisory_xact_lock(_lock)), "lock", sqlite=select(_lock.is_not(None))
)
_oldest = select(unfed.c.key).where(unfed.c.key > 0).order_by(unfed.c.key).limit(SPANS_MAX)
_TAKE = Statement(
    delete(unfed)
    .where(unfed.c.key.in_(_oldest))
    .returning(*unfed.c["key", "room_key", "first_seq", "last_seq"])
)
_LAST = Statement(select(func.coalesce(func.max(feed.c.position), 0)))
_ADD = inserting(feed, "position", "at_ms", "spans")
_newest = select(func.max(feed.c.position)).scalar_subquery()
_places = union_all(
    select(consumers.c.position),
    select(webhooks.c.position).where(webhooks.c.ended.is_(None)),
).subquery()
_behind = select(func.min(_places.c.position)).scalar_subquery()
_done = (
    select(feed.c.position)
    .where(
        feed.c.position < _newest,  # it stays: the next position is one more
        feed.c.position <= func.coalesce(_behind, _newest),
        feed.c.at_ms < bindparam("before_ms", type_=BigInteger),
    )
    .order_by(feed.c.position)
    .limit(PRUNED_MAX)
)
_PRUNE = Statement(delete(feed).where(feed.c.position.in_(_done)), "before_ms")


def _put(engine: Any) -> Any:
    added = engine.insert(consumers).values(
        {name: bindparam(name) for name in ("name", "position")}
    )
    return added.on_conflict_do_update(
        index_elements=["name"], set_={"position": added.excluded.position}
    )


_PUT = Statement(_put(postgresql), "name", "position", sqlite=_put(sqlite))
_DROP = Statement(delete(consumers).where(consumers.c.name == bindparam("its_name")), "its_name")


class MoveFeed(Command[bool | None], frozen=True):
    """Moves committed spans into the feed. Whether there may be more; None while another process is at it."""

    def apply(self, tx: Transaction) -> bool | None:
        if not _TRY_LOCK.value(tx.conn, _MOVER):
            return None
        taken = sorted(tuple(row) for row in _TAKE.all(tx.conn))
        if taken:
            spans: dict[int, tuple[int, int]] = {}
            for _, room_key, first, last in taken:
                begun = spans.get(room_key, (first, last))
                assert room_key not in spans or begun[1] + 1 == first
                spans[room_key] = (begun[0], last)
            rooms = [[key, *span] for key, span in spans.items()]
            _ADD.run(tx.conn, _LAST.value(tx.conn) + 1, tx.now_ms, {"rooms": rooms})
        return len(taken) == SPANS_MAX


class NoteConsumer(Command[None], frozen=True, kw_only=True):
    """Notes that a consumer has worked through the feed up to a position; None: it is none any more."""

    name: str
    position: int | None

    def apply(self, tx: Transaction) -> None:
        if self.position is None:
            _DROP.run(tx.conn, self.name)
        else:
            _PUT.run(tx.conn, self.name, self.position)


class PruneFeed(Command[int], frozen=True, kw_only=True):
    """Forgets the oldest rows that are from before a time and behind all consumers; how many, at most `PRUNED_MAX`.

    A webhook that is on is one, too.
    """

    before_ms: int

    def apply(self, tx: Transaction) -> int:
        return _PRUNE.run(tx.conn, self.before_ms)
