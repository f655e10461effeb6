"""Forks rooms: makes one that begins with what was said in another, up to one of its messages."""

from collections.abc import Sequence

from msgspec.structs import replace
from sqlalchemy import Connection

from palaver.errors import Code, Refused
from palaver.model import Message, MessageId, RoomId
from palaver.policy import Action
from palaver.store.engine.statement import updating
from palaver.store.read import messages
from palaver.store.read.messages import get as message_get
from palaver.store.schema import rooms
from palaver.store.write.command import Command
from palaver.store.write.rooms import CreateRoom, make
from palaver.store.write.transaction import Said, Transaction

FORKED_MAX = 2_000
"""So many messages are taken along, the newest."""
_SET_FORKED = updating(rooms.c.key, "forked_key", "forked_seq")
_LEFT = {"turn", "exchange"}
"""What in a message's `meta` leads to something of its own room."""


class ForkRoom(Command[None], frozen=True, kw_only=True):
    """Makes a room that begins with the messages of another on the path up to one of them, and says so.

    They keep their authors and times; nobody but its owner, and its agents, is in it. An id that is there is left as it
    is. Refused: `message_not_found` (or it is deleted, or the owner may not read it).
    """

    message: MessageId
    new_room: CreateRoom

    def rooms(self, conn: Connection) -> Sequence[RoomId]:
        said = message_get(conn, self.message)
        return () if said is None else (said.room, *self.new_room.rooms(conn))

    def apply(self, tx: Transaction) -> None:
        upto = message_get(tx.conn, self.message)
        if upto is None or upto.deleted_ms is not None:
            raise Refused(Code.MESSAGE_NOT_FOUND, "There is no such message.")
        source, owner = tx.room(upto.room), tx.actor(self.new_room.owner)
        tx.check(Action.READ, source, owner)
        if tx.room_or_none(self.new_room.id, deleted_too=True) is not None:
            return
        said = messages.context(
            tx.conn, upto.room, branch=upto.branch, upto_seq=upto.seq, limit=FORKED_MAX
        )
        forked = {"room": upto.room, "seq": upto.seq}
        room = make(tx, self.new_room, forked=forked)
        _SET_FORKED.run(tx.conn, source.key, upto.seq, room.key)
        places: dict[MessageId, Message] = {}
        taken: list[Said] = []
        for one in said:
            author = tx.actor(one.author)
            assert author is not None, "who said something is never removed"
            room.seq += 1
            before = places.get(one.reply_to) if one.reply_to else None
            meta = {name: value for name, value in one.meta.items() if name not in _LEFT}
            copy = places[one.id] = replace(
                one,
                id=MessageId(f"m_{tx.clock.new_id()}"),
                room=room.id,
                seq=room.seq,
                cid=None,
                reply_to=before and before.id,
                branch=0,
                edited_ms=None,
                meta=meta,
            )
            taken.append((room, author.key, copy, before and before.seq))
        tx.append(taken)
