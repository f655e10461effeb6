"""REST about the branches of rooms, and about answers and rooms that begin where something was said before."""

from fastapi import Request
from pydantic import Field
from typing_extensions import TypedDict

from palaver.core.runtime import Core
from palaver.model import MessageId, RoomId, branches as stored
from palaver.policy import Action
from palaver.wire import shapes
from palaver.wire.api.body import Given, Whole
from palaver.wire.auth import Me
from palaver.wire.calls import call
from palaver.wire.edge.rates import Use, take_by
from palaver.wire.shapes import explained, moment_or_none


class Chosen(Given):
    """A branch."""

    branch: int = Field(ge=0)
    """Its number; 0 is the first."""


class NewName(Given):
    """What a branch is called."""

    name: str | None
    """At most 100 characters; null: nothing."""


class Again(Given):
    """By which model to answer again."""

    model: str | None = None
    """One of the names that `GET /api/models` lists. Default: the one that answered."""


@explained
class Branch(TypedDict):
    """A path through a room's messages: its own, and before them its parent's up to one seq, and so on."""

    branch: int
    parent: int | None
    """Null for the first, which is 0."""
    after: int
    """The seq of the parent's message behind which it begins; 0: before all of them."""
    name: str | None
    by: str | None
    created_at: str | None
    last: int | None
    """The seq of its newest message; null where an answer that it was made for has not come."""
    deleted_at: str | None


def _branch(value: stored.Branch) -> Branch:
    """Builds the shape of a branch."""
    return {
        "branch": value.branch,
        "parent": value.parent,
        "after": value.after,
        "name": value.name,
        "by": value.by,
        "created_at": moment_or_none(value.created_ms),
        "last": value.last,
        "deleted_at": moment_or_none(value.deleted_ms),
    }


class BranchList(TypedDict):
    """The branches of a room, the first one first, at most a thousand beside it; deleted ones, too."""

    branches: list[Branch]


class BranchTurn(TypedDict):
    """An answer that is being made, and its branch."""

    turn: str
    branch: int


class Branches:
    """The calls about branches."""

    def __init__(self, core: Core) -> None:
        self._core = core

    @call("GET", "/rooms/{room}/branches", Action.READ)
    async def branches(self, me: Me, room: RoomId) -> BranchList:
        """The branches of a room."""
        found = await self._core.branches.listing(me, room)
        return {"branches": [_branch(one) for one in found]}

    @call("PUT", "/rooms/{room}/branch", Action.READ, status=204)
    async def look(self, me: Me, room: RoomId, body: Chosen) -> None:
        """Looks at a branch from now on, on all of one's devices. What a member looks at is kept."""
        await self._core.branches.look(me, room, body.branch)

    @call("PUT", "/rooms/{room}/main-branch", Action.NAME)
    async def set_main_branch(self, me: Me, room: RoomId, body: Chosen) -> shapes.Room:
        """Chooses the branch that who has chosen none sees, and to which is added what names none."""
        return shapes.room(await self._core.branches.set_main(me, room, body.branch))

    @call("PATCH", "/rooms/{room}/branches/{branch}", Action.TAKE_BACK)
    async def name_branch(self, me: Me, room: RoomId, branch: Whole, body: NewName) -> Branch:
        """Names a branch."""
        return _branch(await self._core.branches.name(me, room, branch, body.name))

    @call("DELETE", "/rooms/{room}/branches/{branch}", Action.TAKE_BACK, status=204)
    async def delete_branch(self, me: Me, room: RoomId, branch: Whole) -> None:
        """Deletes a branch and all that grew out of it; `restore` takes that back."""
        await self._core.branches.set_deleted(me, room, branch, deleted=True)

    @call("POST", "/rooms/{room}/branches/{branch}/restore", Action.TAKE_BACK)
    async def restore_branch(self, me: Me, room: RoomId, branch: Whole) -> Branch:
        """Takes a deletion back."""
        return _branch(await self._core.branches.set_deleted(me, room, branch, deleted=False))

    @call("POST", "/messages/{message}/regenerate", Action.ASK, use=Use.MESSAGES, status=202)
    async def regenerate(
        self, request: Request, me: Me, message: MessageId, body: Again
    ) -> BranchTurn:
        """Answers the same again, beside the old answer, in a branch of its own."""
        take_by(request.scope, me)
        turn = await self._core.turns.regenerate(me, message, model=body.model)
        return {"turn": turn.id, "branch": turn.branch}

    @call("POST", "/messages/{message}/fork", Action.READ, use=Use.ROOMS, status=201)
    async def fork(self, me: Me, message: MessageId) -> shapes.Room:
        """Makes a room that begins with what was said up to a message, at most the last 2,000 messages."""
        return shapes.room(await self._core.rooms.fork(me, message))
