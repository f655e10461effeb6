"""Begins branches of rooms, and names, chooses, deletes and restores them.

A message that follows the newest one of a branch goes on with that branch; one that follows any other begins a branch.
So nothing that was said is lost by going back, and two who name no place never part.
"""

from msgspec.structs import replace
from sqlalchemy import bindparam, func, literal_column, select

from palaver.errors import Code, Refused
from palaver.model import ActorId, EventType
from palaver.model.branches import Branch
from palaver.policy import Action, check
from palaver.store.engine.statement import Statement, among, inserting, matching, updating
from palaver.store.read import branches as stored
from palaver.store.schema import branches, members, messages, rooms
from palaver.store.write.command import RoomCommand, T_co
from palaver.store.write.rooms import require
from palaver.store.write.transaction import KnownActor, LockedRoom, Transaction

_INSERT = inserting(branches, "room_key", "branch", "parent", "fork_seq", "by_key", "created_ms")
_COUNT = updating(rooms.c.key, "last_branch")
_SET_MAIN = updating(rooms.c.key, "main_branch")
_LOOK = updating((members.c.room_key, members.c.actor_key), "branch")
_LOOK_AWAY = updating((members.c.room_key, members.c.branch), branch=literal_column("NULL"))
_SET_NAME = updating((branches.c.room_key, branches.c.branch), "name")
_SET_DELETED = updating((branches.c.room_key, branches.c.branch), "deleted_ms")
_AT = matching(select(messages.c.branch), messages.c.room_key, messages.c.seq)
_there = messages.c.deleted_ms.is_(None)
_HEAD = matching(
    select(func.max(messages.c.seq)).where(_there), messages.c.room_key, messages.c.branch
)
_BEFORE = Statement(
    select(func.max(messages.c.seq)).where(
        messages.c.room_key == bindparam("room_key"),
        messages.c.branch == bindparam("branch"),
        messages.c.seq < bindparam("seq"),
        _there,
    ),
    *("room_key", "branch", "seq"),
)
_BRANCH = matching(
    select(*branches.c["parent", "fork_seq", "by_key", "deleted_ms"]),
    branches.c.room_key,
    branches.c.branch,
)
_GROWN = among(
    select(*branches.c["branch", "deleted_ms"]).where(branches.c.room_key == bindparam("room_key")),
    branches.c.parent,
    "room_key",
)


class LookAt(RoomCommand[int], frozen=True, kw_only=True):
    """Chooses which branch an actor looks at, on all devices; the branch. Writes no event.

    Who is no member, as in a room that is open, has none to keep. Refused: `room_not_found`, `branch_not_found`.
    """

    actor: ActorId
    branch: int

    def apply(self, tx: Transaction) -> int:
        room, actor = tx.room(self.room), tx.actor(self.actor)
        check(Action.READ, tx.seen_as(room, actor))
        assert actor is not None, "who may read is somebody"
        stored.check(tx.conn, self.room, self.branch)
        look_at(tx, room, actor, self.branch)
        return self.branch


class SetMainBranch(RoomCommand[bool], frozen=True, kw_only=True):
    """Chooses the branch that who has chosen none sees, and to which is added what names none; False: it was so.

    Refused: `room_not_found`, `room_protected`, `forbidden`, `branch_not_found`.
    """

    by: ActorId
    branch: int

    def apply(self, tx: Transaction) -> bool:
        room, by = tx.room(self.room), tx.actor(self.by)
        require(tx, Action.NAME, room, by)
        stored.check(tx.conn, self.room, self.branch)
        if self.branch == room.main:
            return False
        room.main_branch = self.branch or None
        _SET_MAIN.run(tx.conn, room.main_branch, room.key)
        tx.log(room, EventType.BRANCH_MAIN, by, data={"branch": self.branch})
        return True


class BranchCommand(RoomCommand[T_co], frozen=True, kw_only=True):
    """A command about a branch that its actor may change: who made it, or who looks after the room.

    Refused: `room_not_found`, `forbidden`, `room_archived`, `branch_not_found`.
    """

    by: ActorId
    branch: int

    def changed(self, tx: Transaction) -> tuple[LockedRoom, KnownActor]:
        """Locks the room for the actor."""
        room, by = tx.writable(self.room, self.by)
        row = _BRANCH.first(tx.conn, room.key, self.branch) if 0 < self.branch < 2**31 else None
        if row is None:
            raise Refused(Code.BRANCH_NOT_FOUND, "There is no such branch, or it is the first.")
        tx.check(Action.TAKE_BACK, room, by, own=row.by_key == by.key)
        return room, by


class NameBranch(BranchCommand[Branch], frozen=True, kw_only=True):
    """Names a branch, or takes its name away (None)."""

    name: str | None

    def apply(self, tx: Transaction) -> Branch:
        room, by = self.changed(tx)
        before = stored.made(tx.conn, self.room, self.branch)
        if before.name == self.name:
            return before
        _SET_NAME.run(tx.conn, self.name, room.key, self.branch)
        tx.log(room, EventType.BRANCH_NAMED, by, data={"branch": self.branch, "name": self.name})
        return replace(before, name=self.name)


class SetBranchDeleted(BranchCommand[Branch], frozen=True, kw_only=True):
    """Deletes a branch (undoably) with all that grew out of it, or restores what was deleted with it.

    Refused also: `branch_needed` (the room's main branch goes through it).
    """

    deleted: bool

    def apply(self, tx: Transaction) -> Branch:
        room, by = self.changed(tx)
        before = stored.made(tx.conn, self.room, self.branch)
        if self.deleted is (before.deleted_ms is not None):
            return before
        main = stored.of(tx.conn, self.room, room.main)
        if self.deleted and any(one == self.branch for one, _ in main.parts):
            needed = "The room's main branch goes through this one. Choose another one first."
            raise Refused(Code.BRANCH_NEEDED, needed)
        if not self.deleted and before.parent and _is_deleted(tx, room, before.parent):
            raise Refused(
                Code.BRANCH_NEEDED, "Restore the branch out of which this one grew first."
            )
        at = tx.now_ms if self.deleted else None
        for one in _with_grown(tx, room, self.branch, before.deleted_ms):
            _SET_DELETED.run(tx.conn, at, room.key, one)
            _LOOK_AWAY.run(tx.conn, room.key, one)
        type_ = EventType.BRANCH_DELETED if self.deleted else EventType.BRANCH_RESTORED
        tx.log(room, type_, by, data={"branch": self.branch})
        return replace(before, deleted_ms=at)


def following(tx: Transaction, room: LockedRoom, by: KnownActor, after: int) -> int:
    """The branch of a message that follows the one at the seq `after` (0: none), which is begun where there is none.

    Refused: `message_not_found`, `branch_not_found` (it was deleted).
    """
    branch = 0 if after == 0 else _AT.value(tx.conn, room.key, after)
    if branch is None:
        raise Refused(Code.MESSAGE_NOT_FOUND, "No message stands at the seq that this one follows.")
    stored.check(tx.conn, room.id, branch)
    head = _HEAD.value(tx.conn, room.key, branch)
    if head is None or head <= after:
        return branch
    return begin(tx, room, by, branch, after)


def beside(tx: Transaction, room: LockedRoom, by: KnownActor, branch: int, seq: int) -> int:
    """A new branch for another message in the place of the one of a branch at `seq`."""
    before = _BEFORE.value(tx.conn, room.key, branch, seq)
    if before is None and branch:
        row = _BRANCH.one(tx.conn, room.key, branch)
        return begin(tx, room, by, row.parent, row.fork_seq)
    return begin(tx, room, by, branch, before or 0)


def begin(
    tx: Transaction,
    room: LockedRoom,
    by: KnownActor,
    parent: int,
    after: int,
    *,
    looks: bool = True,
) -> int:
    """Begins a branch behind a message of its parent; whoever does so `looks` at it, but for a program."""
    branch = room.last_branch = (room.last_branch or 0) + 1
    _INSERT.run(tx.conn, room.key, branch, parent, after, by.key, tx.now_ms)
    _COUNT.run(tx.conn, branch, room.key)
    data = {"branch": branch, "parent": parent, "after": after}
    tx.log(room, EventType.BRANCH_CREATED, by, data=data)
    if looks:
        look_at(tx, room, by, branch)
    return branch


def look_at(tx: Transaction, room: LockedRoom, actor: KnownActor, branch: int) -> None:
    """Keeps the branch that a member looks at."""
    _LOOK.run(tx.conn, branch, room.key, actor.key)


def _is_deleted(tx: Transaction, room: LockedRoom, branch: int) -> bool:
    return _BRANCH.one(tx.conn, room.key, branch).deleted_ms is not None


def _with_grown(
    tx: Transaction, room: LockedRoom, branch: int, deleted_ms: int | None
) -> list[int]:
    """A branch and those that grew out of it, as far as they were deleted when it was, or not at all."""
    found = level = [branch]
    while level:
        rows = _GROWN.all(tx.conn, [(one,) for one in level], room.key)
        level = sorted({row.branch for row in rows if row.deleted_ms == deleted_ms})
        found = [*found, *level]
    return found
