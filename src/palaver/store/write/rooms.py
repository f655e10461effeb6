"""Makes, names, deletes and restores rooms; members and what they have read."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import field
from sqlalchemy import Connection, bindparam, func, literal_column, null, select, true

from palaver.errors import Code, Refused
from palaver.model import (
    ActorId,
    EventType,
    MemberRole,
    OpenTo,
    Room,
    RoomId,
    RoomSettings,
    Speaks,
    TitleSource,
    Visibility,
)
from palaver.policy import Action, check, is_everyones, role_of_caller
from palaver.store.columns import id_bytes
from palaver.store.engine.statement import Statement, inserting, matching, updating
from palaver.store.read import rooms as stored_rooms
from palaver.store.read.actors import refuse_disabled
from palaver.store.schema import member_is_agent, member_is_in, member_is_owner, members, rooms
from palaver.store.write.actors import known_actor
from palaver.store.write.command import Command, RoomCommand
from palaver.store.write.greetings import greet
from palaver.store.write.speakers import refuse_removed
from palaver.store.write.transaction import KnownActor, LockedRoom, Overtaken, Transaction

NOBODY = ActorId("")
"""Asks for a room as it looks to nobody in particular."""

_MEMBER = (members.c.room_key, members.c.actor_key)
_INSERT_MEMBER = inserting(
    members, "room_key", "actor_key", "role", "speaks", "read_seq", "joined_ms"
)
_OWNERS = matching(
    select(members.c.actor_key).where(member_is_owner, member_is_in).limit(2), members.c.room_key
)
_AS_NEW = dict.fromkeys(("kept_out", "hidden_seq", "settings_seq"))
_JOIN_AGAIN = updating(_MEMBER, "role", "speaks", "joined_ms", **_AS_NEW)
_KEEP_OUT = updating(_MEMBER, "kept_out", "speaks")
_RENAME = updating(rooms.c.key, "title", "title_folded", "title_source")
_SET_DELETED = updating(rooms.c.key, "deleted_ms")
_SET_ARCHIVED = updating(rooms.c.key, "archived_ms")
_OPEN = updating(rooms.c.key, "open_to", "open_role", visibility=literal_column("'open'"))
_CLOSE = updating(
    rooms.c.key, visibility=literal_column("'private'"), open_to=null(), open_role=null()
)
_SET_PARENT = updating(rooms.c.key, "parent_key")
_TITLE, _SETTINGS, _DOOR, _PARENT = (
    matching(select(column), rooms.c.key)
    for column in (rooms.c.title, rooms.c.settings, rooms.c.door, rooms.c.parent_key)
)
_MEMBERS, _AGENTS = (
    Statement(
        select(func.count()).select_from(
            select(members.c.actor_key)
            .where(which, member_is_in, members.c.room_key == bindparam("room_key"))
            .limit(bindparam("most"))
            .subquery()
        ),
        *("room_key", "most"),
    )
    for which in (true(), member_is_agent)
)
"""How many are in a room, up to so many."""
_SET_SETTINGS = updating(rooms.c.key, "settings")
TOLD = {"turns", "chain_max", "agent_answers_per_hour", "greets"}
"""Settings of which members are told."""
_READ = matching(select(members.c.read_seq), *_MEMBER)
_SET_READ = updating(_MEMBER, "read_seq")


class CreateRoom(Command[Room], frozen=True, kw_only=True):
    """Makes a room with its owner (None: nobody's, such as the Lobby) and its agents, who answer as `speaks` says.

    The same `id` again gives the room that is there. `parent`: the room out of which it comes, which its owner may read
    (`room_not_found`); no room is its own. `door` as in `Room`.
    """

    id: RoomId
    title: str
    title_source: TitleSource
    visibility: Visibility
    owner: ActorId | None
    agents: tuple[ActorId, ...] = ()
    speaks: Speaks = Speaks.AUTO
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
    """Deletes (undoably) or restores a room, by its owner; False: it was so already. `as_admin` as in `check`."""

    by: ActorId
    deleted: bool
    as_admin: bool = True

    def apply(self, tx: Transaction) -> bool:
        room, by = tx.room(self.room, deleted_too=True), tx.actor(self.by)
        require(tx, Action.GOVERN, room, by, as_admin=self.as_admin)
        if self.deleted is (room.deleted_ms is not None):
            return False
        set_deleted(tx, room, by, deleted=self.deleted)
        return True


class SetArchived(RoomCommand[bool], frozen=True, kw_only=True):
    """Archives a room, in which nothing more is said, or takes that back, by its owner; False: it was so already.

    An answer that is under way is stored all the same. `as_admin` as in `check`.
    """

    by: ActorId
    archived: bool
    as_admin: bool = True

    def apply(self, tx: Transaction) -> bool:
        room, by = tx.room(self.room), tx.actor(self.by)
        require(tx, Action.GOVERN, room, by, as_admin=self.as_admin)
        if self.archived is (room.archived_ms is not None):
            return False
        room.archived_ms = tx.now_ms if self.archived else None
        _SET_ARCHIVED.run(tx.conn, room.archived_ms, room.key)
        tx.log(room, EventType.ROOM_ARCHIVED if self.archived else EventType.ROOM_UNARCHIVED, by)
        return True


class SetVisibility(RoomCommand[bool], frozen=True, kw_only=True):
    """Opens a room to others, who are what `open_role` says, or makes it private (None); False: it was so already.

    Who is no member of what is private has lost it at once. By its owner alone, not by who looks after the server: who
    reads a room comes in. Refused: `room_not_found`, `room_protected`, `forbidden`.
    """

    by: ActorId
    open_to: OpenTo | None
    open_role: MemberRole | None = None

    def apply(self, tx: Transaction) -> bool:
        room, by = tx.room(self.room), tx.actor(self.by)
        require(tx, Action.PLACE, room, by)
        visibility = Visibility.PRIVATE if self.open_to is None else Visibility.OPEN
        wanted = (visibility, self.open_to, self.open_role)
        if wanted == (room.visibility, room.open_to, room.open_role):
            return False
        room.visibility, room.open_to, room.open_role = wanted
        if self.open_to is None:
            _CLOSE.run(tx.conn, room.key)
        else:
            _OPEN.run(tx.conn, self.open_to, self.open_role, room.key)
        words = dict(zip(("visibility", "open_to", "open_role"), wanted, strict=True))
        data = {name: word.value for name, word in words.items() if word is not None}
        tx.log(room, EventType.ROOM_VISIBILITY, by, data=data)
        return True


class MoveRoom(RoomCommand[bool], frozen=True, kw_only=True):
    """Puts a room under another one, or at the top (None), by its owner; False: it stands there already.

    Nothing is inherited. All rooms above the new place are locked, so that of two moves at once the second sees what
    the first has done. Refused: `room_not_found` (the owner may not read the new parent), `room_protected`,
    `forbidden`, `room_tree` (under itself, or one that stands under it, or deeper than `DEEP_MAX`).
    """

    by: ActorId
    parent: RoomId | None

    def rooms(self, conn: Connection) -> Sequence[RoomId]:
        above = () if self.parent is None else stored_rooms.line_of(conn, self.parent)
        return (self.room, *[row.id for row in above])

    def apply(self, tx: Transaction) -> bool:
        tx.lock(self.rooms_in(tx))
        room, by = tx.room(self.room), tx.actor(self.by)
        require(tx, Action.PLACE, room, by)
        key = None
        if self.parent is not None:
            parent = tx.room(self.parent)
            tx.check(Action.READ, parent, by)
            above = stored_rooms.line_of(tx.conn, self.parent)
            if not {row.id for row in above} <= set(self.rooms_in(tx)):
                raise Overtaken
            key = parent.key
            levels = stored_rooms.DEEP_MAX - len(above)
            if room.key in {row.key for row in above} or (
                levels == 0 or stored_rooms.reaches(tx.conn, room.key, levels)
            ):
                deep = f"A room stands neither under itself nor more than {stored_rooms.DEEP_MAX} deep."
                raise Refused(Code.ROOM_TREE, deep)
        if key == _PARENT.value(tx.conn, room.key):
            return False
        _SET_PARENT.run(tx.conn, key, room.key)
        tx.log(room, EventType.ROOM_MOVED, by, data={"parent": self.parent})
        return True


class ChangeSettings(RoomCommand[None], frozen=True, kw_only=True):
    """Sets some of a room's settings; `TOLD` are told. Refused: `room_not_found`, `room_protected`, `forbidden`."""

    by: ActorId
    settings: RoomSettings

    def apply(self, tx: Transaction) -> None:
        room, by = tx.room(self.room), tx.actor(self.by)
        require(tx, Action.NAME, room, by)
        before: RoomSettings = _SETTINGS.value(tx.conn, room.key)
        after: RoomSettings = {**before, **self.settings}
        _SET_SETTINGS.run(tx.conn, after, room.key)
        told = {
            name: value
            for name, value in self.settings.items()
            if name in TOLD and value != before.get(name)
        }
        if told:
            tx.log(room, EventType.ROOM_SETTINGS, by, data=told)


class MarkRead(RoomCommand[int], frozen=True, kw_only=True):
    """Sets what an actor has read of a room, which never falls and never passes the room's seq; the new value.

    In an open room this is what makes a person a member; in one that its owner opened, who has not joined is none by
    reading, and has read it all. Writes no event.
    """

    actor: ActorId
    seq: int

    def apply(self, tx: Transaction) -> int:
        room = tx.room(self.room)
        actor = tx.actor(self.actor)
        check(Action.READ, tx.seen_as(room, actor))
        assert actor is not None, "who may read is somebody"
        seq, read_seq = max(0, min(self.seq, room.seq)), _READ.value(tx.conn, room.key, actor.key)
        if read_seq is None and room.open_role is not None:
            return room.seq
        if read_seq is None:
            join(tx, room, actor, MemberRole.MEMBER, read_seq=seq)
            return seq
        if seq > read_seq:
            _SET_READ.run(tx.conn, seq, room.key, actor.key)
        return max(seq, read_seq)


class AddMember(RoomCommand[bool], frozen=True, kw_only=True):
    """Adds an actor to a room, who sees all of its history; False when it was a member already. An agent greets.

    Who was removed may come back by this alone; not with `newcomer`, which says that nobody has decided so.
    Refused: `room_not_found`, `room_protected`, `forbidden`, `not_found` (no such actor), `bad_request` (an agent owns
    no room), `room_full`.
    """

    by: ActorId
    actor: ActorId
    role: MemberRole
    speaks: Speaks = Speaks.AUTO
    newcomer: bool = False

    def apply(self, tx: Transaction) -> bool:
        room, by = tx.room(self.room), tx.actor(self.by)
        require(tx, Action.INVITE, room, by, of=self.role)
        actor = known_actor(tx, self.actor)
        role, kept_out = tx.membership(room, actor)
        if role is not None and not kept_out:
            return False
        refuse_agent(actor, self.role)
        if kept_out and self.newcomer:
            removed = f"{actor.name} was removed from this room. Add them again first."
            raise Refused(Code.FORBIDDEN, removed)
        refuse_full(tx, room, actor)
        join(tx, room, actor, self.role, speaks=self.speaks, again=kept_out)
        data = {"actor": actor.id, "role": self.role.value}
        tx.log(room, EventType.MEMBER_JOINED, by, data=data, name=actor.name)
        if actor.is_agent and not kept_out:
            greet(tx, room, actor, by, _SETTINGS.value(tx.conn, room.key))
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
        if actor.is_agent:
            refuse_removed(tx, room, by, actor)
        _KEEP_OUT.run(tx.conn, True, None, room.key, actor.key)  # noqa: FBT003  a column's value
        tx.log(room, EventType.MEMBER_REMOVED, by, data={"actor": actor.id}, name=actor.name)
        return True


def make(
    tx: Transaction, command: CreateRoom, *, forked: Mapping[str, Any] | None = None
) -> LockedRoom:
    """The room, which is not there yet. One that was `forked` begins with what was said where that says."""
    owner = None if command.owner is None else known_actor(tx, command.owner)
    refuse_disabled(None if owner is None else owner.status)
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
            join(tx, room, agent, MemberRole.MEMBER, speaks=command.speaks)
    data = {"title": command.title} | ({"visibility": "open"} if room.is_open else {})
    tx.log(room, EventType.ROOM_CREATED, owner, data=data | ({"forked": forked} if forked else {}))
    for agent in agents if command.door is None and forked is None else ():
        greet(tx, room, agent, owner, command.settings)
    return room


def conversation(tx: Transaction, room: RoomId, actor: ActorId) -> LockedRoom:
    """Locks the room for an API client that may write there. Refused: as `Transaction.writable` says."""
    locked = tx.room(room)
    found = stored_rooms.get(tx.conn, room, actor)
    assert found is not None, "it is locked"
    check(Action.WRITE, role_of_caller(found), archived=locked.archived_ms is not None)
    return locked


def set_deleted(tx: Transaction, room: LockedRoom, by: KnownActor | None, *, deleted: bool) -> None:
    """Deletes or restores a room."""
    _SET_DELETED.run(tx.conn, tx.now_ms if deleted else None, room.key)
    tx.log(room, EventType.ROOM_DELETED if deleted else EventType.ROOM_RESTORED, by)


def require(
    tx: Transaction,
    action: Action,
    room: LockedRoom,
    by: KnownActor | None,
    *,
    of: MemberRole | None = None,
    as_admin: bool = True,
) -> None:
    """That an actor may do this in the room, which may be everyone's. Else as `Transaction.check`."""
    tx.check(action, room, by, of=of, everyones=is_of_everyone(tx, room), as_admin=as_admin)


def is_of_everyone(tx: Transaction, room: LockedRoom) -> bool:
    """Whether a room belongs to nobody in particular, as the Lobby."""
    return room.is_open and is_everyones(room, _DOOR.value(tx.conn, room.key))


def keep_an_owner(tx: Transaction, room: LockedRoom) -> None:
    """That a room has another owner than the one who goes. Refused: `last_owner`."""
    if len(_OWNERS.all(tx.conn, room.key)) == 1:
        last = (
            "A room keeps its last owner. Make somebody else its owner first, or delete the room."
        )
        raise Refused(Code.LAST_OWNER, last)


def refuse_agent(actor: KnownActor, role: MemberRole) -> None:
    """That no agent gets this role. Refused: `bad_request`."""
    if actor.is_agent and role is MemberRole.OWNER:
        raise Refused(Code.BAD_REQUEST, "An agent cannot own a room.")


def full(tx: Transaction, room: LockedRoom, actor: KnownActor) -> Refused | None:
    """Why one more may not come into a room, where it has as many as it may: `room_full`."""
    bounds = [(_MEMBERS, tx.settings.room_members_max, "members")]
    if actor.is_agent:
        bounds.insert(0, (_AGENTS, tx.settings.room_agents_max, "agents"))
    for counted, most, what in bounds:
        if counted.value(tx.conn, room.key, most) == most:
            told = f"The room has {most:,} {what}, as many as it may. Take one out first."
            return Refused(Code.ROOM_FULL, told)
    return None


def refuse_full(tx: Transaction, room: LockedRoom, actor: KnownActor) -> None:
    """That one more may come into a room. Refused: `room_full`."""
    if (refused := full(tx, room, actor)) is not None:
        raise refused


def join(
    tx: Transaction,
    room: LockedRoom,
    actor: KnownActor,
    role: MemberRole,
    *,
    speaks: Speaks = Speaks.AUTO,
    read_seq: int = 0,
    again: bool = False,
) -> None:
    """Makes an actor a member, who `speaks` as an agent; `again`: who was kept out goes on where it had read."""
    answers = speaks if actor.is_agent else None
    if again:
        _JOIN_AGAIN.run(tx.conn, role, answers, tx.now_ms, room.key, actor.key)
        return
    _INSERT_MEMBER.run(tx.conn, room.key, actor.key, role, answers, read_seq, tx.now_ms)
