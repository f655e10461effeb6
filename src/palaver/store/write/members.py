"""What members do with their membership, and what is made of it by those who may.

Who comes and who is taken out stands in `store.write.rooms`, beside what makes a room.
"""

from sqlalchemy import delete

from palaver.errors import Code, Refused
from palaver.model import ActorId, EventType, MemberRole
from palaver.policy import Action
from palaver.store.engine.statement import matching, updating
from palaver.store.schema import members
from palaver.store.write.command import RoomCommand
from palaver.store.write.rooms import is_of_everyone, join, keep_an_owner, require
from palaver.store.write.transaction import Transaction

_MEMBER = (members.c.room_key, members.c.actor_key)
_DELETE = matching(delete(members), *_MEMBER)
_SET_ROLE = updating(_MEMBER, "role")
_SET_MUTED = updating(_MEMBER, "muted")
_SET_HIDDEN = updating(_MEMBER, "hidden_seq")


class LeaveRoom(RoomCommand[bool], frozen=True, kw_only=True):
    """Ends a membership by the member; False when an open room has no such member.

    The last owner stays, also alone: nobody would find the room again, and what is deleted can be restored.
    Refused: `room_not_found`, `room_protected` (a room that is everyone's), `last_owner`.
    """

    by: ActorId

    def apply(self, tx: Transaction) -> bool:
        room, by = tx.room(self.room), tx.actor(self.by)
        tx.check(Action.MEMBERSHIP, room, by)
        assert by is not None, "who sees the room is somebody"
        if is_of_everyone(tx, room):
            everyones = "A room that is open to everyone cannot be left. Hide it instead."
            raise Refused(Code.ROOM_PROTECTED, everyones)
        role = tx.role(room, by)
        if role is None:
            return False
        if role is MemberRole.OWNER:
            keep_an_owner(tx, room)
        _DELETE.run(tx.conn, room.key, by.key)
        tx.log(room, EventType.MEMBER_LEFT, by, data={"actor": by.id})
        return True


class SetRole(RoomCommand[bool], frozen=True, kw_only=True):
    """Gives a member another role; False when it has that one already.

    Refused: `room_not_found`, `room_protected`, `forbidden`, `not_found` (no member), `last_owner`, `bad_request` (an
    agent owns no room).
    """

    by: ActorId
    actor: ActorId
    role: MemberRole

    def apply(self, tx: Transaction) -> bool:
        room, by, actor = tx.room(self.room), tx.actor(self.by), tx.actor(self.actor)
        before = None if actor is None else tx.role(room, actor)
        for of in (before, self.role):
            require(tx, Action.REMOVE, room, by, of=of)
        if actor is None or before is None:
            raise no_member()
        if before is self.role:
            return False
        if actor.is_agent and self.role is MemberRole.OWNER:
            raise Refused(Code.BAD_REQUEST, "An agent cannot own a room.")
        if before is MemberRole.OWNER:
            keep_an_owner(tx, room)
        _SET_ROLE.run(tx.conn, self.role, room.key, actor.key)
        data = {"actor": actor.id, "role": self.role.value, "before": before.value}
        tx.log(room, EventType.MEMBER_ROLE, by, data=data)
        return True


class TransferRoom(RoomCommand[bool], frozen=True, kw_only=True):
    """Makes a member the owner in the place of one, who is a moderator from then on; False when that is so already.

    Refused: `room_not_found`, `room_protected`, `forbidden`, `not_found` (no member), `bad_request` (an agent).
    """

    by: ActorId
    actor: ActorId

    def apply(self, tx: Transaction) -> bool:
        room, by, actor = tx.room(self.room), tx.actor(self.by), tx.actor(self.actor)
        before = None if actor is None else tx.role(room, actor)
        own = tx.seen_as(room, by)
        if (own, before) == (MemberRole.MODERATOR, MemberRole.OWNER):
            return False
        require(tx, Action.GOVERN, room, by)
        if actor is None or by is None or before is None:
            raise no_member()
        if actor.is_agent:
            raise Refused(Code.BAD_REQUEST, "An agent cannot own a room.")
        if actor.key == by.key:
            return False
        for one, role in ((actor, MemberRole.OWNER), (by, MemberRole.MODERATOR)):
            _SET_ROLE.run(tx.conn, role, room.key, one.key)
        data = {"actor": actor.id, "before": before.value}
        tx.log(room, EventType.ROOM_TRANSFERRED, by, data=data)
        return True


class SetMembership(RoomCommand[None], frozen=True, kw_only=True):
    """Mutes or hides a room for one of its members; None: stays as it is. A hidden room is shown again by new words.

    In an open room this makes a member, as reading does. Writes no event. Refused: `room_not_found`.
    """

    by: ActorId
    muted: bool | None = None
    hidden: bool | None = None

    def apply(self, tx: Transaction) -> None:
        room, by = tx.room(self.room), tx.actor(self.by)
        tx.check(Action.MEMBERSHIP, room, by)
        assert by is not None, "who sees the room is somebody"
        if tx.role(room, by) is None:
            join(tx, room, by, MemberRole.MEMBER)
        if self.muted is not None:
            _SET_MUTED.run(tx.conn, self.muted or None, room.key, by.key)
        if self.hidden is not None:
            _SET_HIDDEN.run(tx.conn, room.seq if self.hidden else None, room.key, by.key)


def no_member() -> Refused:
    """There is no such member of a room."""
    return Refused(Code.NOT_FOUND, "There is no such member of this room.")
