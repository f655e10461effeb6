"""REST about rooms, and about what can answer in them."""

from pydantic import Field
from typing_extensions import TypedDict

from palaver.core.runtime import Core
from palaver.model import RoomId
from palaver.policy import Action, ServerAct
from palaver.wire import shapes
from palaver.wire.api.body import Given, Limit
from palaver.wire.auth import Me
from palaver.wire.calls import call
from palaver.wire.edge.rates import Use


class NewRoom(Given):
    """A new room."""

    title: str = ""
    """At most 200 characters. Default: named after its first message."""


class NewTitle(Given):
    """Another title."""

    title: str
    """At most 200 characters."""


class ReadUpTo(Given):
    """What was read."""

    seq: int = Field(ge=0)
    """Everything up to this seq."""


class RoomList(TypedDict):
    """A page of rooms."""

    rooms: list[shapes.Room]
    next: str | None


class Model(TypedDict):
    """A model that can answer."""

    id: str
    provider: str
    default: bool


class Models(TypedDict):
    """Who can answer here."""

    models: list[Model]
    provider: str
    hint: str | None


class Rooms:
    """The calls about rooms."""

    def __init__(self, core: Core) -> None:
        self._core = core

    @call("GET", "/models", ServerAct.MODELS)
    async def models(self, me: Me) -> Models:  # noqa: ARG002  asks for a session, like its neighbours
        """The models that can answer."""
        found = await self._core.models.listed()
        models: list[Model] = [
            {"id": one.id, "provider": one.provider, "default": one.default} for one in found.models
        ]
        return {"models": models, "provider": found.provider, "hint": found.hint}

    @call("GET", "/rooms", ServerAct.ROOMS)
    async def rooms(
        self,
        me: Me,
        *,
        limit: Limit = 20,
        cursor: str | None = None,
        search: str | None = None,
        deleted: bool = False,
        hidden: bool = False,
    ) -> RoomList:
        """The rooms, by last activity; `search` in titles, at most 200 characters.

        `deleted`: instead what can be restored; `hidden`: instead what one hides, until something is said there.
        """
        shown = None if deleted else hidden
        found, following = await self._core.rooms.listing(
            me, limit=limit, cursor=cursor, search=search, deleted=deleted, hidden=shown
        )
        return {"rooms": [shapes.room(one) for one in found], "next": following}

    @call("POST", "/rooms", ServerAct.ROOMS, use=Use.ROOMS, status=201)
    async def new_room(self, me: Me, body: NewRoom) -> shapes.Room:
        """Makes a room."""
        return shapes.room(await self._core.rooms.create(me, title=body.title))

    @call("GET", "/rooms/{room}", Action.READ)
    async def room(self, me: Me, room: RoomId) -> shapes.Room:
        """One room."""
        return shapes.room(await self._core.rooms.get(me, room))

    @call("PATCH", "/rooms/{room}", Action.NAME)
    async def rename_room(self, me: Me, room: RoomId, body: NewTitle) -> shapes.Room:
        """Names a room."""
        return shapes.room(await self._core.rooms.rename(me, room, body.title))

    @call("DELETE", "/rooms/{room}", Action.GOVERN, status=204)
    async def delete_room(self, me: Me, room: RoomId) -> None:
        """Deletes a room; `restore` takes that back."""
        await self._core.rooms.delete(me, room)

    @call("POST", "/rooms/{room}/restore", Action.GOVERN)
    async def restore_room(self, me: Me, room: RoomId) -> shapes.Room:
        """Takes a deletion back."""
        return shapes.room(await self._core.rooms.restore(me, room))

    @call("POST", "/rooms/{room}/archive", Action.GOVERN)
    async def archive_room(self, me: Me, room: RoomId) -> shapes.Room:
        """Lets nothing more be said in a room, which can still be read."""
        return shapes.room(await self._core.rooms.set_archived(me, room, archived=True))

    @call("POST", "/rooms/{room}/unarchive", Action.GOVERN)
    async def unarchive_room(self, me: Me, room: RoomId) -> shapes.Room:
        """Takes that back."""
        return shapes.room(await self._core.rooms.set_archived(me, room, archived=False))

    @call("POST", "/rooms/{room}/read", Action.READ, status=204)
    async def read(self, me: Me, room: RoomId, body: ReadUpTo) -> None:
        """Notes what was read."""
        await self._core.chat.mark_read(me, room, body.seq)
