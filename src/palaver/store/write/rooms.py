"""Makes, names, deletes and restores rooms; members and what they have read."""

from collections.abc import Sequence

from msgspec import field
from sqlalchemy import Connection, select

from palaver.errors import Code, Refused
from palaver.model import (
    ActorId,
    EventType,
    MemberRole,
    Room,
    RoomId,
    RoomSettings,
    TitleSource,
    Visibility,
)
from palaver.policy import Action, check, is_everyones, role_in, role_of_caller
from palaver.store.columns import id_bytes
from palaver.store.engine.statement import inserting, matching, updating
from palaver.store.read import rooms as stored_rooms
from palaver.store.schema import member_is_in, member_is_owner, members, rooms
from palaver.store.write.actors import known_actor
from palaver.store.write.command import Command, RoomCommand
from palaver.store.write.transaction import KnownActor, LockedRoom, Transaction

NOBODY = ActorId("")
"""Asks for a room as it looks to nobody in particular."""

_MEMBER = (members.c.room_key, members.c.actor_key)
_INSERT_MEMBER = inserting(
    members, "room_key", "actor_key", "role", "auto_respond", "read_seq", "joined_ms"
)
_OWNERS = matching(
    select(members.c.actor_key).where(member_is_owner, member_is_in).limit(2), members.c.room_key
)
_JOIN_AGAIN = updating(_MEMBER, "role", "auto_respond", "joined_ms", kept_out=None, hidden_seq=None)
_KEEP_OUT = updating(_MEMBER, "kept_out", "auto_respond")
_RENAME = updating(rooms.c.key, "title", "title_folded", "title_source")
_SET_DELETED = updating(rooms.c.key, "deleted_ms")
_SET_ARCHIVED = updating(rooms.c.key, "archived_ms")
_TITLE, _SETTINGS, _DOOR = (
    matching(select(column), rooms.c.key)
    for column in (rooms.c.title, rooms.c.settings, rooms.c.door)
)
_SET_SETTINGS = updating(rooms.c.key, "settings")
_READ = matching(select(*members.c["role", "read_seq", "kept_out"]), *_MEMBER)
_SET_READ = updating(_MEMBER, "read_seq")


class CreateRoom(Command[Room], frozen=True, kw_only=True):
    """Makes a room with its owner (None: nobody's, such as the Lobby) and its agents (with `auto_respond`).

    The same `id` again gives the room that is there. `parent`: the room out of which it comes, which its owner may read
    (`room_not_found`); no room is its own, nor becomes another's later. `door` as in `Room`.
    """

    id: RoomId
    title: str
    title_source: TitleSource
    visibility: Visibility
    owner: ActorId | None
    agents: tuple[ActorId, ...] = ()
    settings: RoomSettings = field(default_factory=RoomSettings)
    door: str | None = None
    parent: RoomId | None = None

    def rooms(self, conn: Connection) -> Sequence[RoomId]:  # noqa: ARG002  as `Command.rooms`
        return (self.id,) if self.parent is None else (self.id, self.parent)

    def apply(self, tx: Transaction) -> Room:
        seen_by = NOBODY if self.owner is None else self.owner
        there = stored_rooms.get(tx.conn, self.id, seen_by)
        if there is not None:
            return there
        make(tx, self)
        made = stored_rooms.get(tx.conn, self.id, seen_by)
        assert made is not None
        return made


class RenameRoom(RoomCommand[bool], frozen=True, kw_only=True):
    """Names a room; False, and nothing written, when a later `TitleSource` (in its order) has named it already.

    `by` None is the server itself (a title made by a model). `USER` needs a moderator or the owner
    (`forbidden`), whom an open room has only where another door made it (`room_protected`).
    """

    by: ActorId | None
    title: str
    source: TitleSource

    def apply(self, tx: Transaction) -> bool:
        room, by = tx.room(self.room), tx.actor(self.by)
        if self.source is TitleSource.USER:
            require(tx, Action.NAME, room, by)
        order = list(TitleSource)
        if order.index(self.source) < order.index(room.title_source):
            return False
        title = _TITLE.value(tx.conn, room.key)
        if (self.title, self.source) == (title, room.title_source):
            return True
        folded = stored_rooms.folded(self.title)
        _RENAME.run(tx.conn, self.title, folded, self.source, room.key)
        data = {"title": self.title, "source": self.source.value}
        tx.log(room, EventType.ROOM_RENAMED, by, data=data)
        return True


class SetRoomDeleted(RoomCommand[bool], frozen=True, kw_only=True):
    """Deletes (undoably) or restores a room, by its owner; False: it was so already."""

    by: ActorId
    deleted: bool

    def apply(self, tx: Transaction) -> bool:
        room, by = tx.room(self.room, deleted_too=True), tx.actor(self.by)
        require(tx, Action.GOVERN, room, by)
        if self.deleted is (room.deleted_ms is not None):
            return False
        _SET_DELETED.run(tx.conn, tx.now_ms if self.deleted else None, room.key)
        tx.log(room, EventType.ROOM_DELETED if self.deleted else EventType.ROOM_RESTORED, by)
        return True


class SetArchived(RoomCommand[bool], frozen=True, kw_only=True):
    """Archives a room, in which nothing more is said, or takes that back, by its owner; False: it was so already.

    An answer that is under way is stored all the same.
    """

    by: ActorId
    archived: bool

    def apply(self, tx: Transaction) -> bool:
        room, by = tx.room(self.room), tx.actor(self.by)
        require(tx, Action.GOVERN, room, by)
        if self.archived is (room.archived_ms is not None):
            return False
        room.archived_ms = tx.now_ms if self.archived else None
        _SET_ARCHIVED.run(tx.conn, room.archived_ms, room.key)
        tx.log(room, EventType.ROOM_ARCHIVED if self.archived else EventType.ROOM_UNARCHIVED, by)
        return True


class ChangeSettings(RoomCommand[None], frozen=True, kw_only=True):
    """Sets some of a room's settings. Refused: `room_not_found`, `room_protected`, `forbidden`."""

    by: ActorId
    settings: RoomSettings

    def apply(self, tx: Transaction) -> None:
        room = tx.room(self.room)
        require(tx, Action.NAME, room, tx.actor(self.by))
        before: RoomSettings = _SETTINGS.value(tx.conn, room.key)
        _SET_SETTINGS.run(tx.conn, {**before, **self.settings}, room.key)


class MarkRead(RoomCommand[int], frozen=True, kw_only=True):
    """Sets what an actor has read of a room, which never falls and never passes the room's seq; the new value.

    In an open room this is what makes a person a member. Writes no event.
    """

    actor: ActorId
    seq: int

    def apply(self, tx: Transaction) -> int:
        room = tx.room(self.room)
        actor = tx.actor(self.actor)
        row = None if actor is None else _READ.first(tx.conn, room.key, actor.key)
        role, read_seq, out = (None, None, None) if row is None else row
        seen = None if actor is None else role_in(room.visibility, role, kept_out=bool(out))
        check(Action.READ, seen)
        assert actor is not None, "who may read is somebody"
        seq = max(0, min(self.seq, room.seq))
        if read_seq is None:
            join(tx, room, actor, MemberRole.MEMBER, read_seq=seq)
            return seq
        if seq > read_seq:
            _SET_READ.run(tx.conn, seq, room.key, actor.key)
        return max(seq, read_seq)


class AddMember(RoomCommand[bool], frozen=True, kw_only=True):
    """Adds an actor to a room, who sees all of its history; False when it was a member already.

    Who was removed may come back by this alone; not with `newcomer`, which says that nobody has decided so.
    Refused: `room_not_found`, `room_protected`, `forbidden`, `not_found` (no such actor).
    """

    by: ActorId
    actor: ActorId
    role: MemberRole
    auto_respond: bool = False
    newcomer: bool = False

    def apply(self, tx: Transaction) -> bool:
        room, by = tx.room(self.room), tx.actor(self.by)
        require(tx, Action.INVITE, room, by, of=self.role)
        actor = known_actor(tx, self.actor)
        role, kept_out = tx.membership(room, actor)
        if role is not None and not kept_out:
            return False
        if kept_out and self.newcomer:
            removed = f"{actor.name} was removed from this room. Add them again first."
            raise Refused(Code.FORBIDDEN, removed)
        join(tx, room, actor, self.role, auto_respond=self.auto_respond, again=kept_out)
        data = {"actor": actor.id, "name": actor.name, "role": self.role.value}
        tx.log(room, EventType.MEMBER_JOINED, by, data=data)
        return True


class RemoveMember(RoomCommand[bool], frozen=True, kw_only=True):
    """Takes somebody out of a room and keeps them out until they are added again; False when they are not in it.

    Refused: `room_not_found`, `room_protected`, `forbidden`, `last_owner`.
    """

    by: ActorId
    actor: ActorId

    def apply(self, tx: Transaction) -> bool:
        room, by, actor = tx.room(self.room), tx.actor(self.by), tx.actor(self.actor)
        seen = tx.seen_as(room, actor)
        require(tx, Action.REMOVE, room, by, of=seen)
        if actor is None or seen is None:
            return False
        if seen is MemberRole.OWNER:
            keep_an_owner(tx, room)
        if tx.role(room, actor) is None:  # who was there because the room is open
            join(tx, room, actor, seen)
        _KEEP_OUT.run(tx.conn, True, None, room.key, actor.key)  # noqa: FBT003  a column's value
        data = {"actor": actor.id, "name": actor.name}
        tx.log(room, EventType.MEMBER_REMOVED, by, data=data)
        return True


def make(tx: Transaction, command: CreateRoom) -> LockedRoom:
    """The room, which is not there yet."""
    owner = None if command.owner is None else known_actor(tx, command.owner)
    agents = [known_actor(tx, agent) for agent in dict.fromkeys(command.agents)]
    parent = None if command.parent is None else tx.room(command.parent)
    if parent is not None:
        tx.check(Action.READ, parent, owner)
    chain = id_bytes(command.id)
    key = tx.insert(
        rooms,
        returning=rooms.c.key,
        id=command.id,
        title=command.title,
        title_folded=stored_rooms.folded(command.title),
        title_source=command.title_source,
        visibility=command.visibility,
        seq=0,
        chain=chain,
        created_ms=tx.now_ms,
        active_ms=tx.now_ms,
        settings=command.settings,
        door=command.door,
        parent_key=parent and parent.key,
    )
    room = LockedRoom(command.id, key, 0, chain, command.visibility, command.title_source, None)
    if owner is not None:
        join(tx, room, owner, MemberRole.OWNER)
    for agent in agents:
        if agent.id != command.owner:
            join(tx, room, agent, MemberRole.MEMBER, auto_respond=True)
    data = {"title": command.title} | ({"visibility": "open"} if room.is_open else {})
    tx.log(room, EventType.ROOM_CREATED, owner, data=data)
    return room


def conversation(tx: Transaction, room: RoomId, actor: ActorId) -> LockedRoom:
    """Locks the room for an API client that may write there. Refused: as `Transaction.writable` says."""
    locked = tx.room(room)
    found = stored_rooms.get(tx.conn, room, actor)
    assert found is not None, "it is locked"
    check(Action.WRITE, role_of_caller(found), archived=locked.archived_ms is not None)
    return locked


def require(
    tx: Transaction,
    action: Action,
    room: LockedRoom,
    by: KnownActor | None,
    *,
    of: MemberRole | None = None,
) -> None:
    """That an actor may do this in the room, which may be everyone's. Refused: as `policy.refusal` says."""
    tx.check(action, room, by, of=of, everyones=is_of_everyone(tx, room))


def is_of_everyone(tx: Transaction, room: LockedRoom) -> bool:
    """Whether a room belongs to nobody in particular, as the Lobby."""
    door = _DOOR.value(tx.conn, room.key) if room.is_open else None
    return is_everyones(room.visibility, door)


def keep_an_owner(tx: Transaction, room: LockedRoom) -> None:
    """That a room has another owner than the one who goes. Refused: `last_owner`."""
    if len(_OWNERS.all(tx.conn, room.key)) == 1:
        last = (
            "A room keeps its last owner. Make somebody else its owner first, or delete the room."
        )
        raise Refused(Code.LAST_OWNER, last)


def join(
    tx: Transaction,
    room: LockedRoom,
    actor: KnownActor,
    role: MemberRole,
    *,
    auto_respond: bool = False,
    read_seq: int = 0,
    again: bool = False,
) -> None:
    """Makes an actor a member; `again`: one who was kept out, and goes on where it had read."""
    answers = auto_respond if actor.is_agent else None
    if again:
        _JOIN_AGAIN.run(tx.conn, role, answers, tx.now_ms, room.key, actor.key)
        return
    _INSERT_MEMBER.run(tx.conn, room.key, actor.key, role, answers, read_seq, tx.now_ms)
