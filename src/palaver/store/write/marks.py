"""Pins messages in their room, and stars them for somebody alone."""

from sqlalchemy import delete, func, select

from palaver.errors import Code, Refused
from palaver.model import EventType
from palaver.policy import Action
from palaver.store.engine.statement import inserting, matching
from palaver.store.read.search import AT_PLACES
from palaver.store.schema import messages, pins, stars
from palaver.store.write.messages import MessageCommand
from palaver.store.write.transaction import Transaction

PINS_MAX, STARS_MAX = 100, 10_000
"""So many messages of a room are pinned at once, but for deleted ones, and starred by one actor."""
_PIN = (pins.c.room_key, pins.c.seq)
_PINNED = matching(select(pins.c.added_seq), *_PIN)
_PINS = matching(select(*pins.c["room_key", "seq"]), pins.c.room_key)
_ADD_PIN = inserting(pins, "room_key", "seq", "added_seq")
_TAKE_PIN = matching(delete(pins), *_PIN)
_STAR = (stars.c.actor_key, stars.c.room_key, stars.c.seq)
_STARRED = matching(select(stars.c.key), *_STAR)
_STARS = matching(select(func.count()).select_from(stars), stars.c.actor_key)
_ADD_STAR = inserting(stars, "actor_key", "room_key", "seq")
_TAKE_STAR = matching(delete(stars), *_STAR)
_PLACE = matching(select(*messages.c["seq", "deleted_ms"]), messages.c.id)


class SetPin(MessageCommand[bool], frozen=True, kw_only=True):
    """Pins a message, or not any more, for all who read its room; False: it was so already.

    Refused: `message_not_found` (also where it is deleted), `room_not_found`, `forbidden`, `room_archived`,
    `too_many_marks`.
    """

    there: bool

    def apply(self, tx: Transaction) -> bool:
        room, by, said = self.writable(tx)
        place = (room.key, said.seq)
        if self.there is bool(_PINNED.all(tx.conn, *place)):
            return False
        if self.there:
            _refuse_deleted(said.deleted_ms)
            if _pins(tx, room.key) >= PINS_MAX:
                raise _too_many(f"A room has at most {PINS_MAX} pinned messages: take one off.")
        type_ = EventType.MESSAGE_PINNED if self.there else EventType.MESSAGE_UNPINNED
        tx.log(room, type_, by, message_seq=said.seq, data={"msg": self.message, "seq": said.seq})
        if self.there:
            _ADD_PIN.run(tx.conn, *place, room.seq)
        else:
            _TAKE_PIN.run(tx.conn, *place)
        return True


class SetStar(MessageCommand[int], frozen=True, kw_only=True):
    """Stars a message, or not any more, for one who may read it, which nobody else is told; its seq.

    Refused: `message_not_found` (also where it is deleted), `room_not_found`, `too_many_marks`.
    """

    there: bool

    def apply(self, tx: Transaction) -> int:
        found = self.room_in(tx)
        if found is None:
            raise Refused(Code.MESSAGE_NOT_FOUND, "There is no such message.")
        room, by = tx.room(found), tx.actor(self.by)
        tx.check(Action.READ, room, by)
        assert by is not None, "who may read is somebody"
        seq, deleted_ms = _PLACE.one(tx.conn, self.message)
        mine = (by.key, room.key, seq)
        if not self.there:
            _TAKE_STAR.run(tx.conn, *mine)
        elif not _STARRED.all(tx.conn, *mine):
            _refuse_deleted(deleted_ms)
            if _STARS.value(tx.conn, by.key) >= STARS_MAX:
                raise _too_many(f"You have {STARS_MAX:,} starred messages: take one off.")
            tx.used(by.key)
            _ADD_STAR.run(tx.conn, *mine)
        return seq


def _pins(tx: Transaction, room_key: int) -> int:
    """How many pins a room has; where they are many, without those of deleted messages."""
    places = [tuple(row) for row in _PINS.all(tx.conn, room_key)]
    if len(places) < PINS_MAX:
        return len(places)
    return len({row.seq for row in AT_PLACES.all(tx.conn, places) if row.deleted_ms is None})


def _refuse_deleted(deleted_ms: int | None) -> None:
    if deleted_ms is not None:
        raise Refused(Code.MESSAGE_NOT_FOUND, "This message is deleted.")


def _too_many(detail: str) -> Refused:
    return Refused(Code.TOO_MANY_MARKS, detail)
