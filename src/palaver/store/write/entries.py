"""Appends several entries to a room at once, and deletes or restores single messages."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, select

from palaver.errors import Code, Refused
from palaver.model import (
    ActorId,
    Entry,
    EventType,
    Message,
    MessageId,
    Role,
    RoomId,
    Status,
)
from palaver.policy import Action
from palaver.store.engine.statement import Statement, among, updating
from palaver.store.read.messages import message_of, page, selected
from palaver.store.read.turns import asker
from palaver.store.schema import messages, rooms, turns
from palaver.store.write.command import Command, RoomCommand
from palaver.store.write.rooms import conversation
from palaver.store.write.transaction import KnownActor, LockedRoom, Said, Transaction, distinct

REPEATED_MS = 3_600_000
"""How long a client's library may take to send a request again by itself."""
REPEATED_AMONG = 100
"""So many messages may have come after the first time."""

_KNOWN = among(
    selected(rooms.c.id.label("room"))
    .join(rooms, rooms.c.key == messages.c.room_key)
    .order_by(messages.c.seq),
    messages.c.id,
)
_ROOM = Statement(
    select(rooms.c.id)
    .join(messages, messages.c.room_key == rooms.c.key)
    .where(messages.c.id == bindparam("message")),
    "message",
)
_MESSAGE = Statement(
    select(messages.c.seq, messages.c.deleted_ms, messages.c.author_key, turns.c.id)
    .select_from(messages)
    .outerjoin(turns, turns.c.message_id == messages.c.id)
    .where(messages.c.id == bindparam("message")),
    "message",
)
_SET_DELETED = updating(messages.c.id, "deleted_ms")


@dataclass(frozen=True, slots=True, kw_only=True)
class AddEntries(RoomCommand[tuple[Message, ...]]):
    """Appends entries to a room, all by one author but the assistant's, which are by `agent`.

    Once: entries of `ids` that are there already are given as they are; with `repeated` also the same entries, if they
    were added a short while ago. Refused: `room_not_found`, `forbidden`.
    """

    room: RoomId
    author: ActorId
    agent: ActorId
    entries: tuple[Entry, ...]
    ids: tuple[MessageId, ...]
    repeated: bool = False

    def apply(self, tx: Transaction) -> tuple[Message, ...]:
        room = conversation(tx, self.room, self.author)
        author, agent = tx.actor(self.author), tx.actor(self.agent)
        assert author is not None, "who may write is somebody"
        assert agent is not None, "the server's agents are never removed"
        rows = _KNOWN.all(tx.conn, distinct(self.ids))
        known = [message_of(row.room, row) for row in rows]
        if not known and self.repeated:
            known = _added_before(tx, self)
        if known:
            return tuple(known)
        return tuple(append(tx, room, by_role(self.ids, self.entries, author, agent)))


@dataclass(frozen=True, slots=True, kw_only=True)
class SetMessageDeleted(Command[bool]):
    """Deletes (undoably) or restores a message; False: it was so already.

    By its author, who asked for it (an answer), or the room's owner. Refused: `message_not_found`, `forbidden`.
    """

    message: MessageId
    by: ActorId
    deleted: bool

    def rooms(self, conn: Connection) -> Sequence[RoomId]:
        return room_of_message(conn, self.message)

    def apply(self, tx: Transaction) -> bool:
        room, by = tx.writable(known_room(self.room_in(tx)), self.by)
        seq, deleted_ms, author, turn = _MESSAGE.one(tx.conn, self.message)
        own = by.key in (author, asker(tx.conn, turn))
        tx.check(Action.TAKE_BACK, room, by, own=own)
        if self.deleted is (deleted_ms is not None):
            return False
        mark(tx, room, by, (self.message, seq), deleted=self.deleted)
        return True


def room_of_message(conn: Connection, message: MessageId) -> Sequence[RoomId]:
    """The message's room, as `Command.rooms`."""
    return _ROOM.column(conn, message)


def known_room(room: RoomId | None) -> RoomId:
    """The room that a message was found in. Refused: `message_not_found`."""
    if room is None:
        raise Refused(Code.MESSAGE_NOT_FOUND, "there is no such message")
    return room


def append(
    tx: Transaction,
    room: LockedRoom,
    entries: Iterable[tuple[MessageId, KnownActor, Entry, Status]],
) -> list[Message]:
    """Stores entries, with their ids, authors and statuses, as the room's next messages."""
    said: list[Said] = []
    for id_, author, entry, status in entries:
        room.seq += 1
        message = Message(
            id=id_,
            room=room.id,
            seq=room.seq,
            author=author.id,
            name=author.name,
            role=entry.role,
            status=status,
            text=entry.text,
            created_ms=tx.now_ms,
            kind=str(entry.kind),
            meta=entry.meta,
        )
        said.append((room, author.key, message, None))
    tx.append(said)
    return [message for _, _, message, _ in said]


def by_role(
    ids: Sequence[MessageId], entries: Sequence[Entry], author: KnownActor, agent: KnownActor
) -> list[tuple[MessageId, KnownActor, Entry, Status]]:
    """The entries with their authors: the assistant's are the agent's."""
    return [
        (id_, agent if entry.role is Role.ASSISTANT else author, entry, Status.DONE)
        for id_, entry in zip(ids, entries, strict=True)
    ]


def _added_before(tx: Transaction, command: AddEntries) -> list[Message]:
    """The messages that the same entries became a short while ago, one behind the other; none if they did not."""
    count = len(command.entries)
    there = page(tx.conn, command.room, limit=count + REPEATED_AMONG).messages
    for start in range(len(there) - count, -1, -1):
        run = there[start : start + count]
        if run[-1].seq - run[0].seq == count - 1 and all(
            message.author == (command.agent if entry.role is Role.ASSISTANT else command.author)
            and message.created_ms > tx.now_ms - REPEATED_MS
            and (message.role, message.kind, message.text) == (entry.role, entry.kind, entry.text)
            and message.meta == entry.meta
            for entry, message in zip(command.entries, run, strict=True)
        ):
            return list(run)
    return []


def mark(
    tx: Transaction,
    room: LockedRoom,
    by: KnownActor,
    message: tuple[MessageId, int],
    *,
    deleted: bool,
) -> None:
    """Deletes or restores a message of this id and seq."""
    id_, seq = message
    _SET_DELETED.run(tx.conn, tx.now_ms if deleted else None, id_)
    type_ = EventType.MESSAGE_DELETED if deleted else EventType.MESSAGE_RESTORED
    tx.log(room, type_, by, message_seq=seq, data={"msg": id_, "seq": seq})
