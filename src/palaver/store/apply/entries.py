"""Appends several entries to a room at once, and deletes or restores single messages."""

from collections.abc import Sequence

from sqlalchemy import bindparam, select

from palaver.errors import Code, Refused
from palaver.model import (
    Entry,
    EventType,
    MemberRole,
    Message,
    MessageId,
    Role,
    Status,
    Visibility,
)
from palaver.store.apply.transaction import (
    ADVANCE,
    INSERT_EVENT,
    INSERT_MESSAGE,
    KnownActor,
    LockedRoom,
    Transaction,
    created,
    distinct,
    event_row,
    message_row,
)
from palaver.store.chain import digest_of_message, linked
from palaver.store.commands import AddEntries, SetMessageDeleted
from palaver.store.engine.statement import Statement, among, updating
from palaver.store.messages import message_of, page, selected
from palaver.store.schema import actors, messages, rooms

REPEATED_MS = 3_600_000
"""How long a client's library may take to send a request again by itself."""
REPEATED_AMONG = 100
"""So many messages may have come after the first time."""

_KNOWN = among(
    selected(rooms.c.id).join(rooms, rooms.c.key == messages.c.room_key).order_by(messages.c.seq),
    messages.c.id,
)
_MESSAGE = Statement(
    select(rooms.c.id, messages.c.seq, messages.c.deleted_ms, actors.c.id)
    .select_from(messages)
    .join(rooms, rooms.c.key == messages.c.room_key)
    .join(actors, actors.c.key == messages.c.author_key)
    .where(messages.c.id == bindparam("message")),
    "message",
)
_SET_DELETED = updating(messages.c.id, "deleted_ms")


def append(
    tx: Transaction,
    room: LockedRoom,
    entries: Sequence[tuple[MessageId, KnownActor, Entry, Status]],
) -> list[Message]:
    """Stores entries, with their ids, authors and statuses, as the room's next messages."""
    told: list[Message] = []
    message_rows: list[tuple[object, ...]] = []
    event_rows: list[tuple[object, ...]] = []
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
        event = created(message)
        room.chain = linked(room.chain, event, room.seq, digest_of_message(message, None))
        message_rows.append(message_row(room.key, author.key, message, None))
        event_rows.append(event_row(room.key, author.key, message, room.chain))
        tx.events.append(event)
        told.append(message)
    if told:
        ADVANCE.run(tx.conn, room.seq, room.chain, tx.now_ms, room.key)
        INSERT_MESSAGE.many(tx.conn, message_rows)
        INSERT_EVENT.many(tx.conn, event_rows)
    return told


def by_role(
    ids: Sequence[MessageId], entries: Sequence[Entry], author: KnownActor, agent: KnownActor
) -> list[tuple[MessageId, KnownActor, Entry, Status]]:
    """The entries with their authors: the assistant's are the agent's."""
    return [
        (id_, agent if entry.role is Role.ASSISTANT else author, entry, Status.DONE)
        for id_, entry in zip(ids, entries, strict=True)
    ]


def add(tx: Transaction, command: AddEntries) -> tuple[Message, ...]:
    """Applies `AddEntries`."""
    room = tx.room(command.room)
    author = tx.writer(room, command.author)
    agent = tx.actor(command.agent)
    assert agent is not None, "the server's agents are never removed"
    known = [message_of(row[-1], row) for row in _KNOWN.all(tx.conn, distinct(command.ids))]
    if not known and command.repeated:
        known = _added_before(tx, command)
    if known:
        return tuple(known)
    return tuple(append(tx, room, by_role(command.ids, command.entries, author, agent)))


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


def set_deleted(tx: Transaction, command: SetMessageDeleted) -> bool:
    """Applies `SetMessageDeleted`."""
    row = _MESSAGE.first(tx.conn, command.message)
    if row is None:
        raise Refused(Code.MESSAGE_NOT_FOUND, "there is no such message")
    room_id, seq, deleted_ms, author = row
    room = tx.room(room_id)
    by = tx.writer(room, command.by)
    membership = tx.membership(room, by)
    owner = membership is not None and membership[0] is MemberRole.OWNER
    if not owner and room.visibility is not Visibility.OPEN and by.id[2:] != author:
        raise Refused(Code.FORBIDDEN, "only its author or the room's owner may delete a message")
    if command.deleted is (deleted_ms is not None):
        return False
    _SET_DELETED.run(tx.conn, tx.now_ms if command.deleted else None, command.message)
    type_ = EventType.MESSAGE_DELETED if command.deleted else EventType.MESSAGE_RESTORED
    tx.log(room, type_, by, message_seq=seq, data={"msg": command.message, "seq": seq})
    return True
