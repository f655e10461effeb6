"""What members do with their membership, and what is made of it by those who may.

Who comes and who is taken out stands in `store.write.rooms`, beside what makes a room.
"""

from collections.abc import Sequence

from msgspec import to_builtins
from msgspec.structs import fields
from sqlalchemy import Connection, delete, select

from palaver.errors import Code, Refused
from palaver.model import AUDIT, ActorId, EventType, MemberRole, RoomId, Speaks
from palaver.model.agents import OwnSettings
from palaver.policy import Action
from palaver.settings import DAY_MS
from palaver.store.engine.statement import matching, updating
from palaver.store.read.actors import id_of
from palaver.store.read.agents import get, own
from palaver.store.read.profiles import withheld
from palaver.store.schema import actors, member_has_pinned, member_is_in, member_is_owner, members
from palaver.store.write.audit import audit
from palaver.store.write.command import RoomCommand
from palaver.store.write.people.credentials import KeepOnce
from palaver.store.write.people.invitations import DAYS_MAX, left_as_reader
from palaver.store.write.rooms import (
    is_of_everyone,
    join,
    keep_an_owner,
    refuse_agent,
    refuse_full,
    require,
)
from palaver.store.write.transaction import KnownActor, LockedRoom, Transaction

_MEMBER = (members.c.room_key, members.c.actor_key)
_DELETE = matching(delete(members), *_MEMBER)
_SET_ROLE = updating(_MEMBER, "role")
_OWNERS = matching(
    select(actors.c.kind, actors.c.id)
    .join(members, members.c.actor_key == actors.c.key)
    .where(member_is_owner, member_is_in),
    members.c.room_key,
)
_SPEAKS = matching(select(members.c.speaks), *_MEMBER)
_SET_SPEAKS = updating(_MEMBER, "speaks")
_SET_SETTINGS = updating(_MEMBER, "settings_seq")
_SET_MUTED = updating(_MEMBER, "muted")
_SET_PINNED = updating(_MEMBER, "pinned")
_PINNED = matching(
    select(members.c.room_key).where(member_has_pinned, member_is_in), members.c.actor_key
)
PINNED_MAX = 50
"""So many chats has somebody on top of their list."""
_SET_HIDDEN = updating(_MEMBER, "hidden_seq")


class LeaveRoom(RoomCommand[bool], frozen=True, kw_only=True):
    """Ends a membership by the member; False when an open room has no such member.

    The last owner stays, also alone: nobody would find the room again, and what is deleted can be restored.
    Who only reads comes back by an older link as no more. Refused: `room_not_found`, `room_protected` (a room that is
    everyone's; a reader of an open one), `last_owner`.
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
        if role is MemberRole.READER:
            if room.is_open and room.open_role is not MemberRole.READER:
                told = "Who only reads in an open room stays a reader. Hide it instead."
                raise Refused(Code.ROOM_PROTECTED, told)
            at, digest = str(tx.now_ms).encode(), left_as_reader(room, by)
            KeepOnce(digest=digest, said=at, lasts_ms=DAYS_MAX * DAY_MS).apply(tx)
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
        refuse_agent(actor, self.role)
        if before is MemberRole.OWNER:
            keep_an_owner(tx, room)
        set_role(tx, room, by, actor, (before, self.role))
        return True


class SetSpeaks(RoomCommand[bool], frozen=True, kw_only=True):
    """Says when an agent answers in a room; False when it does so already.

    Refused: `room_not_found`, `room_protected`, `forbidden`, `not_found` (no agent of the room).
    """

    by: ActorId
    actor: ActorId
    speaks: Speaks

    def apply(self, tx: Transaction) -> bool:
        room, by, actor = tx.room(self.room), tx.actor(self.by), tx.actor(self.actor)
        require(tx, Action.NAME, room, by)
        before = None if actor is None else _SPEAKS.value(tx.conn, room.key, actor.key)
        if actor is None or before is None:
            raise Refused(Code.NOT_FOUND, "There is no such agent in this room.")
        if before is self.speaks:
            return False
        _SET_SPEAKS.run(tx.conn, self.speaks, room.key, actor.key)
        data = {"actor": actor.id, "before": before.value, "after": self.speaks.value}
        tx.log(room, EventType.MEMBER_SPEAKS, by, data=data)
        return True


class SetOwnSettings(RoomCommand[bool], frozen=True, kw_only=True):
    """Gives a room settings of its own for one of its agents; False when it has these.

    Refused: `room_not_found`, `room_protected`, `forbidden`, `not_found` (no agent of the room), `profile_withheld`.
    """

    by: ActorId
    actor: ActorId
    settings: OwnSettings

    def apply(self, tx: Transaction) -> bool:
        room, by, actor = tx.room(self.room), tx.actor(self.by), tx.actor(self.actor)
        require(tx, Action.NAME, room, by)
        if actor is None or _SPEAKS.value(tx.conn, room.key, actor.key) is None:
            raise Refused(Code.NOT_FOUND, "There is no such agent in this room.")
        card = get(tx.conn, actor.id)
        why = card and withheld(tx.conn, self.settings.model or "", self.by, card)
        if why:
            raise Refused(Code.PROFILE_WITHHELD, why)
        _, before = own(tx.conn, room.id, actor.id)
        names = [one.name for one in fields(OwnSettings)]
        changed = [one for one in names if getattr(before, one) != getattr(self.settings, one)]
        if not changed:
            return False
        said = to_builtins(self.settings)
        data = {"actor": actor.id, "settings": said, "changed": changed}
        tx.log(room, EventType.MEMBER_SETTINGS, by, data=data)
        _SET_SETTINGS.run(tx.conn, room.seq if said else None, room.key, actor.key)
        return True


class TransferRoom(RoomCommand[bool], frozen=True, kw_only=True):
    """Makes a member the owner in the place of one, who is a moderator from then on; False when that is so already.

    Who only oversees the room makes them the owner in the place of all, each by an event.
    `as_admin` as in `check`.
    Refused: `room_not_found`, `room_protected`, `forbidden`, `not_found` (no member), `bad_request` (an agent).
    """

    by: ActorId
    actor: ActorId
    as_admin: bool = True

    def apply(self, tx: Transaction) -> bool:
        room, by, actor = tx.room(self.room), tx.actor(self.by), tx.actor(self.actor)
        before = None if actor is None else tx.role(room, actor)
        own = tx.seen_as(room, by)
        if (own, before) == (MemberRole.MODERATOR, MemberRole.OWNER):
            return False
        require(tx, Action.GOVERN, room, by, as_admin=self.as_admin)
        if actor is None or by is None or before is None:
            raise no_member()
        refuse_agent(actor, MemberRole.OWNER)
        if own is not MemberRole.OWNER:
            owners = [tx.actor(id_of(*row)) for row in _OWNERS.all(tx.conn, room.key)]
            changed = [one for one in owners if one is not None and one.key != actor.key]
            for one in changed:
                set_role(tx, room, by, one, (MemberRole.OWNER, MemberRole.MODERATOR))
            if before is not MemberRole.OWNER:
                set_role(tx, room, by, actor, (before, MemberRole.OWNER))
            return bool(changed) or before is not MemberRole.OWNER
        if actor.key == by.key:
            return False
        for one, role in ((actor, MemberRole.OWNER), (by, MemberRole.MODERATOR)):
            _SET_ROLE.run(tx.conn, role, room.key, one.key)
        data = {"actor": actor.id, "before": before.value}
        tx.log(room, EventType.ROOM_TRANSFERRED, by, data=data)
        return True


class SetMembership(RoomCommand[None], frozen=True, kw_only=True):
    """Mutes, hides or pins a room for one of its members; None: stays as it is. A hidden one comes back by new words.

    In an open room this makes a member. Writes no event but that. Refused: `room_not_found`, `too_many_marks`.
    """

    by: ActorId
    muted: bool | None = None
    hidden: bool | None = None
    pinned: bool | None = None

    def apply(self, tx: Transaction) -> None:
        room, by = tx.room(self.room), tx.actor(self.by)
        tx.check(Action.MEMBERSHIP, room, by)
        assert by is not None, "who sees the room is somebody"
        there = _PINNED.column(tx.conn, by.key) if self.pinned else []
        if len(there) >= PINNED_MAX and room.key not in there:
            most = f"You have {PINNED_MAX} pinned chats, as many as you may: take one off."
            raise Refused(Code.TOO_MANY_MARKS, most)
        if tx.role(room, by) is None:
            _come_in(tx, room, by)
        if self.muted is not None:
            _SET_MUTED.run(tx.conn, self.muted or None, room.key, by.key)
        if self.pinned is not None:
            _SET_PINNED.run(tx.conn, self.pinned or None, room.key, by.key)
        if self.hidden is not None:
            _SET_HIDDEN.run(tx.conn, room.seq if self.hidden else None, room.key, by.key)


class JoinRoom(RoomCommand[bool], frozen=True, kw_only=True):
    """Makes somebody a member of a room that its owner opened; False, and nothing written, for who is in already.

    Who oversees all rooms is made a reader of one that they do not see. All members are told. `as_admin` as in `check`.
    Refused: `room_not_found`, `room_full` (not for who oversees).
    """

    by: ActorId
    as_admin: bool = True

    def rooms(self, conn: Connection) -> Sequence[RoomId]:  # noqa: ARG002  as `Command.rooms`
        return (self.room, AUDIT)

    def apply(self, tx: Transaction) -> bool:
        tx.lock(self.rooms_in(tx))
        room, by = tx.room(self.room), tx.actor(self.by)
        tx.check(Action.JOIN, room, by, as_admin=self.as_admin)
        if by is None or tx.role(room, by) is not None:
            return False
        if tx.seen_as(room, by) is not None:
            return _come_in(tx, room, by)
        join(tx, room, by, MemberRole.READER, again=tx.membership(room, by)[1])
        data = {"actor": by.id, "role": MemberRole.READER.value, "via": "admin"}
        tx.log(room, EventType.MEMBER_JOINED, by, data=data, name=by.name)
        audit(tx, EventType.ADMIN_JOINED, by, room=room.id)
        return True


def _come_in(tx: Transaction, room: LockedRoom, by: KnownActor) -> bool:
    """Makes who sees an open room a member of it; whether that is told there, as it is where its owner opened it."""
    if room.open_role is None:
        join(tx, room, by, MemberRole.MEMBER)
        return False
    refuse_full(tx, room, by)
    join(tx, room, by, room.open_role)
    data = {"actor": by.id, "role": room.open_role.value, "via": "open"}
    tx.log(room, EventType.MEMBER_JOINED, by, data=data, name=by.name)
    return True


def set_role(
    tx: Transaction,
    room: LockedRoom,
    by: KnownActor | None,
    actor: KnownActor,
    roles: tuple[MemberRole, MemberRole],
) -> None:
    """Gives a member another role. `roles`: the one before, and the new one."""
    before, role = roles
    _SET_ROLE.run(tx.conn, role, room.key, actor.key)
    data = {"actor": actor.id, "role": role.value, "before": before.value}
    tx.log(room, EventType.MEMBER_ROLE, by, data=data)


def no_member() -> Refused:
    """There is no such member of a room."""
    return Refused(Code.NOT_FOUND, "There is no such member of this room.")
