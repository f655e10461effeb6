"""Lists the branches of rooms, chooses the one to look at, and names, deletes and restores them."""

from palaver.core import validation
from palaver.core.ground import Ground
from palaver.core.live.feed import Listener
from palaver.core.live.items import Look
from palaver.model import Actor, Room, RoomId
from palaver.model.branches import Branch
from palaver.store.read import branches
from palaver.store.write.branches import LookAt, NameBranch, SetBranchDeleted, SetMainBranch

NAME_CHARS_MAX = 100


class Branches:
    """The branches of rooms. What an actor says behind an older message begins one (`Chat.send`)."""

    def __init__(self, ground: Ground) -> None:
        self._store, self._hub, self._access = ground.store, ground.hub, ground.access

    async def listing(self, actor: Actor, room: RoomId) -> tuple[Branch, ...]:
        """A room's branches, the first one first, at most a thousand beside it, and deleted ones, too.

        Refused: `room_not_found`.
        """
        found = await self._store.read(branches.listing, room)
        await self._access.room(actor, room)
        return found

    async def look(
        self, actor: Actor, room: RoomId, branch: int, *, reader: Listener | None = None
    ) -> None:
        """Chooses which branch the actor looks at, and tells their other connections.

        Refused: `room_not_found`, `branch_not_found`.
        """
        await self._access.room(actor, room)
        await self._store.write(LookAt(room=room, actor=actor.id, branch=branch))
        self._hub.tell_self(actor.id, Look(room, branch), but=reader)

    async def set_main(self, actor: Actor, room: RoomId, branch: int) -> Room:
        """Chooses the branch that who has chosen none sees.

        Refused: `room_not_found`, `room_protected`, `forbidden`, `branch_not_found`.
        """
        await self._store.write(SetMainBranch(room=room, by=actor.id, branch=branch))
        return await self._access.room(actor, room)

    async def name(self, actor: Actor, room: RoomId, branch: int, name: str | None) -> Branch:
        """Names a branch, or takes its name away.

        Refused: as `NameBranch`, `title_too_long`, `invalid_unicode`, `invalid_character`.
        """
        name = None if name is None else validation.title(name, NAME_CHARS_MAX) or None
        command = NameBranch(room=room, by=actor.id, branch=branch, name=name)
        return await self._store.write(self._store.redacted(command))

    async def set_deleted(
        self, actor: Actor, room: RoomId, branch: int, *, deleted: bool
    ) -> Branch:
        """Deletes a branch with all that grew out of it, or restores it. Refused: as `SetBranchDeleted`."""
        return await self._store.write(
            SetBranchDeleted(room=room, by=actor.id, branch=branch, deleted=deleted)
        )
