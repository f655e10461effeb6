"""The branches of a room: other paths through its messages, which begin where somebody follows an older one.

other = await room.say(ada, "In May, then?", after=question.seq)
await room.branches.look(bo, other.branch)
"""

from collections.abc import Sequence

from palaver.core.runtime import Core
from palaver.model import Actor, Message, RoomId, Turn
from palaver.model.branches import Branch
from palaver.policy import Action, asks


class Branches:
    """The branches of a room. 0 is the first."""

    def __init__(self, core: Core, program: Actor, room: RoomId) -> None:
        self._core, self._program, self._room = core, program, room

    @asks(Action.READ)
    async def all(self) -> Sequence[Branch]:
        """Lists them, the first one first, at most a thousand beside it; deleted ones have `deleted_ms`."""
        return await self._core.branches.listing(self._program, self._room)

    @asks(Action.READ)
    async def look(self, person: Actor, branch: int) -> None:
        """Lets a member look at a branch from now on, on all of their devices. Refused: `branch_not_found`."""
        await self._core.branches.look(person, self._room, branch)

    @asks(Action.ASK)
    async def regenerate(self, person: Actor, answer: Message, *, model: str | None = None) -> Turn:
        """Asks for a person for another answer in the place of one, in a branch of its own; the old one stays.

        `model`: by which it is asked. Refused: `turn_not_retryable` (no answer of an agent), `profile_not_found`.
        """
        return await self._core.turns.regenerate(person, answer.id, model=model)

    @asks(Action.NAME)
    async def set_main(self, branch: int) -> None:
        """Chooses the branch that who has chosen none sees, and to which is added what names none."""
        await self._core.branches.set_main(self._program, self._room, branch)

    @asks(Action.TAKE_BACK)
    async def name(self, branch: int, name: str | None) -> Branch:
        """Names a branch, in at most 100 characters. Refused: `branch_not_found` (or the first), `title_too_long`."""
        return await self._core.branches.name(self._program, self._room, branch, name)

    @asks(Action.TAKE_BACK)
    async def delete(self, branch: int) -> Branch:
        """Deletes a branch and all that grew out of it. Refused: `branch_needed` (the main one goes through it)."""
        return await self._core.branches.set_deleted(
            self._program, self._room, branch, deleted=True
        )

    @asks(Action.TAKE_BACK)
    async def restore(self, branch: int) -> Branch:
        """Takes a deletion back. Refused: `branch_needed` (what it grew out of is deleted, too)."""
        return await self._core.branches.set_deleted(
            self._program, self._room, branch, deleted=False
        )
