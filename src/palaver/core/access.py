"""Checks what an actor may see and do. The only way to get a room is the check."""

from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

from msgspec.structs import replace

from palaver.errors import Code, Refused
from palaver.model import (
    AUDIT,
    AccessChange,
    Actor,
    ActorId,
    Event,
    MemberRole,
    Message,
    MessageId,
    Room,
    RoomId,
    TitleSource,
    Turn,
    TurnId,
)
from palaver.model.access import taken_from
from palaver.policy import (
    Action,
    check,
    check_room,
    opens,
    oversees,
    role_of_caller,
    room_not_found,
)
from palaver.store.read import messages, rights, rooms, turns
from palaver.store.store import Store

REMEMBERED_MAX = 10_000
"""So many sessions, and so many rights to write, are known while the database is away."""
K = TypeVar("K")
V = TypeVar("V")


class Access:
    """Checks permissions, in the store each time: there is no second truth.

    What was found last is remembered for the time when the store cannot be asked, and only for that. `takings` counts
    the events that took access: what was asked before one is not remembered after it.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._roles: dict[tuple[ActorId, RoomId], MemberRole | None] = {}
        self.takings = 0
        self.listeners: list[Callable[[RoomId, ActorId | None], None]] = []
        """Told whose right (None: anybody's) in a room may be gone."""

    async def room(self, actor: Actor, room: RoomId, *, deleted: bool = False) -> Room:
        """The room, as this actor sees it. Refused: `room_not_found`, also for what may not be seen."""
        check_room(actor, room)
        takings = self.takings
        found = await self._store.read(rooms.get, room, actor.id)
        role = None
        if found is not None and found.deleted_ms is None and found.archived_ms is None:
            role = found.role
        self._remember(actor, room, role, takings)
        if found is None or (found.deleted_ms is not None and not deleted):
            raise room_not_found()
        check(Action.READ, found.role)
        return found

    async def readable(self, actor: Actor, keys: Collection[int]) -> dict[int, RoomId]:
        """Those of the rooms with these keys that `room` would give to the actor."""
        found = await self._store.read(rights.readable, keys, actor.id)
        return {key: room.id for key, room in found.items() if opens(actor, room.id)}

    async def overseen(self, actor: Actor, room: RoomId, *, deleted: bool = False) -> Room:
        """The room, also for who may `OVERSEE`, deleted or not: to them it may be `veiled`. Refused: as `room`."""
        if room == AUDIT or not oversees(actor.server_role):
            return await self.room(actor, room, deleted=deleted)
        found = await self._store.read(rooms.get, room, actor.id)
        if found is None:
            raise room_not_found()
        return veiled(found)

    async def conversation(self, actor: Actor, room: RoomId) -> Room:
        """The room, where it is a conversation of this API client's. Refused: `room_not_found`."""
        found = await self.room(actor, room)
        check(Action.READ, role_of_caller(found))
        return found

    async def sees(self, actor: Actor, room: RoomId) -> bool:
        """Whether the actor may see a room."""
        try:
            await self.room(actor, room)
        except Refused:
            return False
        return True

    def wrote(self, actor: Actor, room: RoomId, takings: int) -> None:
        """Notes that the actor may write in a room, having just done so. `takings` were counted before."""
        self._remember(actor, room, MemberRole.MEMBER, takings)

    def committed(self, happened: Sequence[Event]) -> None:
        """Events of this process, after their commit: what was known of who has lost a room holds no more."""
        for event in happened:
            if event.type.access is AccessChange.TAKEN:
                self.taken(event.room, taken_from(event))

    def taken(self, room: RoomId, who: ActorId | None) -> None:
        """Forgets the right of an actor (None: of anybody) who may have lost a room, in whichever process.

        Whose account was disabled has lost them all: that is told of the audit room.
        """
        self.takings += 1
        for known in [
            one for one in self._roles if room in {one[1], AUDIT} and who in {None, one[0]}
        ]:
            del self._roles[known]
        for listener in self.listeners:
            listener(room, who)

    def may_write_as_known(self, actor: Actor, room: RoomId) -> bool:
        """Whether the actor could write when this process last asked. For the time when nobody can be asked."""
        try:
            check(Action.WRITE, self._roles.get((actor.id, room)))
        except Refused:
            return False
        return True

    async def may_write(self, actor: Actor, room: RoomId) -> None:
        """Raises `Refused` for who may only read a room (`forbidden`, `room_archived`) or not see it."""
        found = await self.room(actor, room)
        check(Action.WRITE, found.role, archived=found.archived_ms is not None)

    async def message(self, actor: Actor, message: MessageId) -> Message:
        """A message in a room that the actor may see. Refused: `message_not_found`."""
        found = await self._store.read(messages.get, message)
        if found is None or not await self.sees(actor, found.room):
            raise Refused(Code.MESSAGE_NOT_FOUND, "There is no such message in a room of yours.")
        return found

    async def turn(self, actor: Actor, turn: TurnId) -> Turn:
        """A turn in a room that the actor may see. Refused: `turn_not_found`."""
        found = await self._store.read(turns.get, turn)
        if found is None or not await self.sees(actor, found.room):
            raise Refused(Code.TURN_NOT_FOUND, "There is no such answer in a room of yours.")
        return found

    async def may_stop(self, actor: Actor, turn: Turn) -> None:
        """Raises `Refused`: `forbidden` (neither asked for the answer nor moderates its room), `room_archived`."""
        own = await self._store.read(turns.asked_by, turn.id, actor.id)
        room = await self.room(actor, turn.room)
        archived = room.archived_ms is not None
        check(Action.TAKE_BACK, room.role, own=own, archived=archived)

    def _remember(self, actor: Actor, room: RoomId, role: MemberRole | None, takings: int) -> None:
        if takings == self.takings:
            remember(self._roles, (actor.id, room), role)
        else:
            self._roles.pop((actor.id, room), None)


def veiled(room: Room) -> Room:
    """The room, without a title that was made of what was said in it where its `role` is None: who may not read it."""
    made = room.role is None and room.title_source is not TitleSource.USER
    return replace(room, title="") if made else room


def remember(known: dict[K, V], key: K, value: V) -> None:
    """Keeps the newest `REMEMBERED_MAX` values."""
    known.pop(key, None)
    known[key] = value
    if len(known) > REMEMBERED_MAX:
        del known[next(iter(known))]
