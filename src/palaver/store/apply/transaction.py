"""What all commands of one transaction share, and the log that they append to.

A room is locked before anything about it is checked; the lock is held until the commit, so that the order of the locks,
of the commits and of `seq` is one and the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, bindparam, select

from palaver.clock import Clock
from palaver.errors import Code, Refused
from palaver.model import (
    NO_DATA,
    ActorId,
    Event,
    EventType,
    MemberRole,
    Message,
    RoomId,
    TitleSource,
    Visibility,
)
from palaver.store.actors import id_of
from palaver.store.chain import digest_of_data, digest_of_message, linked
from palaver.store.engine.statement import Statement, inserting, updating
from palaver.store.schema import actors, events, members, messages, rooms
from palaver.store.values import new_event

_LOCK = Statement(
    select(
        rooms.c.key,
        rooms.c.seq,
        rooms.c.chain,
        rooms.c.visibility,
        rooms.c.title,
        rooms.c.title_source,
        rooms.c.deleted_ms,
    )
    .where(rooms.c.id == bindparam("room"))
    .with_for_update(key_share=True, of=rooms),
    "room",
)
_ACTOR = Statement(
    select(actors.c.key, actors.c.kind, actors.c.id, actors.c.name).where(
        actors.c.id == bindparam("actor")
    ),
    "actor",
)
_ROLE = Statement(
    select(members.c.role, members.c.read_seq).where(
        members.c.room_key == bindparam("room_key"), members.c.actor_key == bindparam("actor_key")
    ),
    "room_key",
    "actor_key",
)
ADVANCE = updating(rooms.c.key, "seq", "chain", "active_ms")
_ADVANCE_QUIETLY = updating(rooms.c.key, "seq", "chain")
INSERT_EVENT = inserting(
    events, "room_key", "seq", "type", "actor_key", "at_ms", "message_seq", "data", "chain"
)
INSERT_MESSAGE = inserting(
    messages,
    "room_key",
    "seq",
    "id",
    "author_key",
    "role",
    "status",
    "kind",
    "text",
    "created_ms",
    "cid",
    "reply_to_seq",
    "branch",
    "meta",
)


@dataclass(slots=True)
class LockedRoom:
    """A room as it is in this transaction."""

    key: int
    id: RoomId
    seq: int
    chain: bytes
    visibility: Visibility
    title: str
    title_source: TitleSource
    deleted_ms: int | None


@dataclass(frozen=True, slots=True)
class KnownActor:
    """An actor with its key."""

    key: int
    id: ActorId
    name: str
    is_agent: bool


@dataclass(slots=True)
class Transaction:
    """One transaction: `events` collects what is told after the commit, `actors` are those met so far."""

    conn: Connection
    clock: Clock
    owner: str
    now_ms: int
    events: list[Event] = field(default_factory=list[Event])
    actors: dict[ActorId, KnownActor] = field(default_factory=dict[ActorId, KnownActor])

    def room(self, room: RoomId, *, deleted_too: bool = False) -> LockedRoom:
        """Locks the room. Refused: `room_not_found`."""
        row = _LOCK.first(self.conn, room)
        if row is None or (row[6] is not None and not deleted_too):
            raise room_not_found()
        key, seq, chain, visibility, title, title_source, deleted_ms = row
        return LockedRoom(key, room, seq, chain, visibility, title, title_source, deleted_ms)

    def actor(self, actor: ActorId) -> KnownActor | None:
        """The actor of this id."""
        known = self.actors.get(actor)
        if known is None:
            row = _ACTOR.first(self.conn, actor)
            if row is None or id_of(row[1], row[2]) != actor:
                return None
            known = self.actors[actor] = KnownActor(row[0], actor, row[3], actor.startswith("a_"))
        return known

    def membership(self, room: LockedRoom, actor: KnownActor) -> tuple[MemberRole, int] | None:
        """The actor's role in the room, and how far it has read."""
        row = _ROLE.first(self.conn, room.key, actor.key)
        return None if row is None else (row[0], row[1])

    def writer(self, room: LockedRoom, actor: ActorId) -> KnownActor:
        """The actor, who may write to the room. Refused: `room_not_found`, `forbidden`."""
        found = self.actor(actor)
        membership = None if found is None else self.membership(room, found)
        is_open = room.visibility is Visibility.OPEN
        if found is None or (membership is None and not is_open):
            raise room_not_found()
        if membership and membership[0] is MemberRole.READER and not is_open:
            raise Refused(Code.FORBIDDEN, "readers of this room cannot write to it")
        return found

    def log(
        self,
        room: LockedRoom,
        type_: EventType,
        actor: KnownActor | None,
        *,
        message_seq: int | None = None,
        data: Mapping[str, Any] = NO_DATA,
    ) -> None:
        """Appends an event that is no message."""
        event = Event(
            room=room.id,
            seq=room.seq + 1,
            type=type_,
            actor=None if actor is None else actor.id,
            at_ms=self.now_ms,
            data=data,
        )
        room.seq = event.seq
        room.chain = linked(room.chain, event, message_seq, digest_of_data(data))
        _ADVANCE_QUIETLY.run(self.conn, room.seq, room.chain, room.key)
        key = None if actor is None else actor.key
        row = (room.key, room.seq, type_, key, self.now_ms, message_seq, data, room.chain)
        INSERT_EVENT.run(self.conn, *row)
        self.events.append(event)

    def append(self, room: LockedRoom, author_key: int, message: Message) -> None:
        """Stores one message, which replies to none, with its event; its seq is the room's next."""
        event = created(message)
        room.seq = message.seq
        room.chain = linked(room.chain, event, message.seq, digest_of_message(message, None))
        ADVANCE.run(self.conn, room.seq, room.chain, self.now_ms, room.key)
        INSERT_MESSAGE.run(self.conn, *message_row(room.key, author_key, message, None))
        INSERT_EVENT.run(self.conn, *event_row(room.key, author_key, message, room.chain))
        self.events.append(event)


def message_row(
    room_key: int, author_key: int, message: Message, reply_to_seq: int | None
) -> tuple[Any, ...]:
    """The values of `INSERT_MESSAGE`."""
    return (
        room_key,
        message.seq,
        message.id,
        author_key,
        message.role,
        message.status,
        message.kind,
        message.text,
        message.created_ms,
        message.cid,
        reply_to_seq,
        message.branch,
        message.meta,
    )


def event_row(room_key: int, author_key: int, message: Message, chain: bytes) -> tuple[Any, ...]:
    """The values of `INSERT_EVENT` for a created message."""
    seq, at_ms = message.seq, message.created_ms
    return (room_key, seq, EventType.MESSAGE_CREATED, author_key, at_ms, seq, None, chain)


def created(message: Message) -> Event:
    """The event that tells of a message."""
    return new_event(
        message.room,
        message.seq,
        EventType.MESSAGE_CREATED,
        message.author,
        message.created_ms,
        message,
        NO_DATA,
    )


def room_not_found() -> Refused:
    """The room is not there, or not for this actor: nobody learns which."""
    return Refused(Code.ROOM_NOT_FOUND, "there is no such room")


def distinct(values: Sequence[Any]) -> list[tuple[Any]]:
    """Each value once, in order, as the elements of a `ListStatement`."""
    return [(value,) for value in dict.fromkeys(values)]
