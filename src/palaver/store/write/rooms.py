"""Makes, names, deletes and restores rooms; members and what they have read."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import bindparam, select, update

from palaver.errors import Code, Refused
from palaver.model import (
    ActorId,
    EventType,
    MemberRole,
    Room,
    RoomId,
    TitleSource,
)
from palaver.policy import Action, check, role_of_caller, room_not_found
from palaver.store.columns import id_bytes
from palaver.store.engine.statement import Statement, inserting, updating
from palaver.store.read import rooms as stored_rooms
from palaver.store.schema import members, rooms
from palaver.store.write.actors import not_found
from palaver.store.write.command import (
    AddMember,
    ChangeSettings,
    CreateRoom,
    MarkRead,
    RenameRoom,
    SetRoomDeleted,
)
from palaver.store.write.transaction import KnownActor, LockedRoom, Transaction

NOBODY = ActorId("")
"""Asks for a room as it looks to nobody in particular."""

_INSERT_ROOM = inserting(
    rooms,
    "id",
    "title",
    "title_folded",
    "title_source",
    "visibility",
    "seq",
    "chain",
    "created_ms",
    "active_ms",
    "settings",
    returning=rooms.c.key,
)
_INSERT_MEMBER = inserting(
    members, "room_key", "actor_key", "role", "auto_respond", "read_seq", "joined_ms"
)
_RENAME = updating(rooms.c.key, "title", "title_folded", "title_source")
_SET_DELETED = updating(rooms.c.key, "deleted_ms")
_TITLE_AND_SETTINGS = Statement(
    select(rooms.c.title, rooms.c.settings).where(rooms.c.key == bindparam("room_key")), "room_key"
)
_SET_SETTINGS = updating(rooms.c.key, "settings")
_READ = Statement(
    select(members.c.read_seq).where(
        members.c.room_key == bindparam("room_key"), members.c.actor_key == bindparam("actor_key")
    ),
    "room_key",
    "actor_key",
)
_SET_READ = Statement(
    update(members)
    .where(
        members.c.room_key == bindparam("room_key_"), members.c.actor_key == bindparam("actor_key_")
    )
    .values(read_seq=bindparam("new_read_seq")),
    "new_read_seq",
    "room_key_",
    "actor_key_",
)


def create(tx: Transaction, command: CreateRoom) -> Room:
    """Applies `CreateRoom`."""
    seen_by = NOBODY if command.owner is None else command.owner
    there = stored_rooms.get(tx.conn, command.id, seen_by)
    if there is not None:
        return there
    make(tx, command)
    made = stored_rooms.get(tx.conn, command.id, seen_by)
    assert made is not None
    return made


def make(tx: Transaction, command: CreateRoom) -> LockedRoom:
    """The room, which is not there yet."""
    owner = None if command.owner is None else _actor(tx, command.owner)
    agents = [_actor(tx, agent) for agent in dict.fromkeys(command.agents)]
    folded = stored_rooms.folded(command.title)
    (key,) = _INSERT_ROOM.one(
        tx.conn,
        command.id,
        command.title,
        folded,
        command.title_source,
        command.visibility,
        0,
        id_bytes(command.id),
        tx.now_ms,
        tx.now_ms,
        command.settings,
    )
    room = LockedRoom(
        id=command.id,
        key=key,
        seq=0,
        chain=id_bytes(command.id),
        visibility=command.visibility,
        title_source=command.title_source,
        deleted_ms=None,
    )
    if owner is not None:
        _join(tx, room, owner, MemberRole.OWNER)
    for agent in agents:
        if agent.id != command.owner:
            _join(tx, room, agent, MemberRole.MEMBER, auto_respond=True)
    data = {"title": command.title} | ({"visibility": "open"} if room.is_open else {})
    tx.log(room, EventType.ROOM_CREATED, owner, data=data)
    return room


def rename(tx: Transaction, command: RenameRoom) -> bool:
    """Applies `RenameRoom`."""
    room = tx.room(command.room)
    by = None if command.by is None else tx.actor(command.by)
    if command.source is TitleSource.USER:
        _check_owner(tx, room, by)
    order = list(TitleSource)
    if order.index(command.source) < order.index(room.title_source):
        return False
    title, _ = _TITLE_AND_SETTINGS.one(tx.conn, room.key)
    if (command.title, command.source) == (title, room.title_source):
        return True
    folded = stored_rooms.folded(command.title)
    _RENAME.run(tx.conn, command.title, folded, command.source, room.key)
    tx.log(
        room,
        EventType.ROOM_RENAMED,
        by,
        data={"title": command.title, "source": command.source.value},
    )
    return True


def set_deleted(tx: Transaction, command: SetRoomDeleted) -> bool:
    """Applies `SetRoomDeleted`."""
    room = tx.room(command.room, deleted_too=True)
    by = tx.actor(command.by)
    _check_owner(tx, room, by)
    if command.deleted is (room.deleted_ms is not None):
        return False
    _SET_DELETED.run(tx.conn, tx.now_ms if command.deleted else None, room.key)
    tx.log(room, EventType.ROOM_DELETED if command.deleted else EventType.ROOM_RESTORED, by)
    return True


def change_settings(tx: Transaction, command: ChangeSettings) -> None:
    """Applies `ChangeSettings`."""
    room = tx.room(command.room)
    _check_owner(tx, room, tx.actor(command.by))
    _SET_SETTINGS.run(tx.conn, {**_settings(tx, room), **command.settings}, room.key)


def conversation(tx: Transaction, room: RoomId, actor: ActorId) -> LockedRoom:
    """Locks the room for an API client that may write there. Refused: `room_not_found`, `forbidden`."""
    locked, _ = tx.writable(room, actor)
    found = stored_rooms.get(tx.conn, room, actor)
    assert found is not None, "it is locked"
    check(Action.WRITE, role_of_caller(found))
    return locked


def mark_read(tx: Transaction, command: MarkRead) -> int:
    """Applies `MarkRead`."""
    room = tx.room(command.room)
    actor = tx.actor(command.actor)
    row = None if actor is None else _READ.first(tx.conn, room.key, actor.key)
    if actor is None or (row is None and not room.is_open):
        raise room_not_found()
    seq = max(0, min(command.seq, room.seq))
    if row is None:
        _join(tx, room, actor, MemberRole.MEMBER, read_seq=seq)
        return seq
    (read_seq,) = row
    if seq > read_seq:
        _SET_READ.run(tx.conn, seq, room.key, actor.key)
    return max(seq, read_seq)


def add_member(tx: Transaction, command: AddMember) -> bool:
    """Applies `AddMember`."""
    room = tx.room(command.room)
    by = tx.actor(command.by)
    _check_owner(tx, room, by)
    actor = _actor(tx, command.actor)
    if tx.role(room, actor) is not None:
        return False
    _join(tx, room, actor, command.role, auto_respond=command.auto_respond)
    tx.log(
        room,
        EventType.MEMBER_JOINED,
        by,
        data={"actor": actor.id, "name": actor.name, "role": command.role.value},
    )
    return True


def _settings(tx: Transaction, room: LockedRoom) -> Mapping[str, Any]:
    _, settings = _TITLE_AND_SETTINGS.one(tx.conn, room.key)
    return settings


def _actor(tx: Transaction, actor: ActorId) -> KnownActor:
    found = tx.actor(actor)
    if found is None:
        raise not_found()
    return found


def _check_owner(tx: Transaction, room: LockedRoom, by: KnownActor | None) -> None:
    if room.is_open and "door" not in _settings(tx, room):
        raise Refused(Code.ROOM_PROTECTED, "a room that is open to everyone has no owner")
    tx.check(Action.GOVERN, room, by)


def _join(
    tx: Transaction,
    room: LockedRoom,
    actor: KnownActor,
    role: MemberRole,
    *,
    auto_respond: bool = False,
    read_seq: int = 0,
) -> None:
    answers = auto_respond if actor.is_agent else None
    _INSERT_MEMBER.run(tx.conn, room.key, actor.key, role, answers, read_seq, tx.now_ms)
