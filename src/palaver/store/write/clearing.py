"""Clears what was said in a room, all of it by one event, and brings it back.

Each message is deleted in its row, so whatever reads messages sees it so; its event stands for all of them. Up to
`rooms.cleared_upto` nothing is there, and pages of the room end at it: what was deleted before by itself is not shown
either. `rooms.cleared_seq` is the event of the newest clearing that stands, which names the one before it. They are
taken back in the order of a stack, so what each of them deleted is known by its span, but for what has a deletion of
its own. A clearing is of `CLEARED_MAX` messages at most, so that nobody waits for a long room: what is longer is
cleared by several, of which the others name the first (`of`). Why so: docs/decisions/0014-clearing-a-history.md.
"""

from typing import Any

from msgspec import Struct
from sqlalchemy import ColumnElement, bindparam, func, literal_column, select, update

from palaver.model import ActorId, EventType
from palaver.policy import Action
from palaver.store.engine.statement import Statement, matching, updating
from palaver.store.schema import event_is_later, events, messages, rooms
from palaver.store.write.command import RoomCommand
from palaver.store.write.rooms import require
from palaver.store.write.transaction import Transaction

CLEARED_MAX = 5_000
"""So many messages a clearing deletes, and brings back."""

_STATE = matching(select(*rooms.c["cleared_seq", "cleared_upto"]), rooms.c.key)
_SET_STATE = updating(rooms.c.key, "cleared_seq", "cleared_upto")
_EVENT = matching(select(events.c.data), events.c.room_key, events.c.seq)
_span = (
    messages.c.room_key == bindparam("room_key"),
    messages.c.seq > bindparam("since"),
    messages.c.seq <= bindparam("upto"),
)
_THERE = Statement(
    select(messages.c.seq)
    .where(*_span, messages.c.deleted_ms.is_(None))
    .order_by(messages.c.seq)
    .limit(bindparam("limit")),
    *("room_key", "since", "upto", "limit"),
)
_CLEAR = Statement(
    update(messages)
    .where(*_span, messages.c.deleted_ms.is_(None))
    .values(deleted_ms=bindparam("now_ms")),
    *("now_ms", "room_key", "since", "upto"),
)


def _last(kind: EventType) -> ColumnElement[int]:
    """The seq of the last event of a kind that happened to a message alone, else 0."""
    its = (events.c.room_key == messages.c.room_key, events.c.message_seq == messages.c.seq)
    of_kind = (event_is_later, events.c.type == literal_column(f"'{kind}'"))
    return func.coalesce(
        select(func.max(events.c.seq)).where(*its, *of_kind).scalar_subquery(), literal_column("0")
    )


_RESTORE = Statement(
    update(messages)
    .where(*_span, messages.c.deleted_ms.is_not(None))
    .where(_last(EventType.MESSAGE_DELETED) <= _last(EventType.MESSAGE_RESTORED))
    .values(deleted_ms=None),
    *("room_key", "since", "upto"),
)


class Cleared(Struct, frozen=True, kw_only=True):
    """The first event of a clearing, and up to where it goes; `more`: it is not there yet."""

    seq: int
    upto: int
    more: bool


class ClearRoom(RoomCommand[Cleared | None], frozen=True, kw_only=True):
    """Deletes (undoably) what was said in a room, by its owner; None: nothing is there.

    At most `CLEARED_MAX` messages: it goes on with `going_on`, which it gave. `as_admin` as in `check`.
    """

    by: ActorId
    going_on: Cleared | None = None
    as_admin: bool = True

    def apply(self, tx: Transaction) -> Cleared | None:
        room, by = tx.room(self.room), tx.actor(self.by)
        require(tx, Action.GOVERN, room, by, as_admin=self.as_admin)
        before = _STATE.one(tx.conn, room.key)
        since = before.cleared_upto or 0
        upto = last = room.seq if self.going_on is None else self.going_on.upto
        there = _THERE.column(tx.conn, room.key, since, last, CLEARED_MAX)
        if not there:
            return None
        if len(there) == CLEARED_MAX:
            upto = there[-1]
        _CLEAR.run(tx.conn, tx.now_ms, room.key, since, upto)
        data: dict[str, Any] = {"upto": upto, "since": since}
        if before.cleared_seq is not None:
            data["before"] = before.cleared_seq
        if self.going_on is not None:
            data["of"] = self.going_on.seq
        tx.log(room, EventType.ROOM_CLEARED, by, data=data)
        _SET_STATE.run(tx.conn, room.seq, upto, room.key)
        return Cleared(seq=data.get("of", room.seq), upto=last, more=upto < last)


class UnclearRoom(RoomCommand[bool], frozen=True, kw_only=True):
    """Brings back what the newest clearing deleted, if that is not older than `seq`; whether one was.

    What was deleted by itself stays so. `as_admin` as in `check`.
    """

    by: ActorId
    seq: int
    as_admin: bool = True

    def apply(self, tx: Transaction) -> bool:
        room, by = tx.room(self.room), tx.actor(self.by)
        require(tx, Action.GOVERN, room, by, as_admin=self.as_admin)
        cleared = _STATE.one(tx.conn, room.key).cleared_seq
        if cleared is None or cleared < self.seq:
            return False
        data: dict[str, Any] = _EVENT.value(tx.conn, room.key, cleared)
        since, upto = data["since"], data["upto"]
        _RESTORE.run(tx.conn, room.key, since, upto)
        _SET_STATE.run(tx.conn, data.get("before"), since or None, room.key)
        told = {"upto": upto, "since": since, "cleared": cleared}
        tx.log(room, EventType.ROOM_UNCLEARED, by, data=told)
        return True
