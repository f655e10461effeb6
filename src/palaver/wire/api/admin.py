"""REST about all rooms of the server, for who looks after it: which there are, and what happened in them, and when."""

from typing import Annotated

from typing_extensions import TypedDict

from palaver.core.oversight import Glimpse, Overseen
from palaver.core.runtime import Core
from palaver.model import EventType, RoomId
from palaver.policy import ServerAct
from palaver.wire import shapes
from palaver.wire.api.body import Limit, Whole, word_of
from palaver.wire.auth import Me
from palaver.wire.calls import call
from palaver.wire.shapes import explained, moment

Kind = Annotated[EventType | None, word_of(EventType)]


@explained
class OverseenRoom(shapes.Overseen):
    """A room in the list of all."""

    members: int
    """How many are in it; 1,000 may be more."""
    agents: int
    """How many of them are agents."""
    owner: str | None
    """The name of who owns it, the longest first."""


class OverseenRooms(TypedDict):
    """A page of all rooms of the server."""

    rooms: list[OverseenRoom]
    next: str | None


@explained
class SeenEvent(TypedDict):
    """That something happened in a room, and when."""

    room: str
    title: str
    seq: int
    k: str
    at: str
    readable: bool
    """Whether one may read what it was, at `/api/rooms/{room}/events`."""


@explained
class SeenEvents(TypedDict):
    """What happened last, the newest first."""

    events: list[SeenEvent]
    before: int | None
    """In a room: the seq to go on before."""


class Overview:
    """The calls about all rooms."""

    def __init__(self, core: Core) -> None:
        self._oversight = core.oversight

    @call("GET", "/admin/rooms", ServerAct.OVERSEE)
    async def rooms(
        self,
        me: Me,
        *,
        limit: Limit = 20,
        cursor: str | None = None,
        search: str | None = None,
        deleted: bool = False,
    ) -> OverseenRooms:
        """All rooms of the server, by last activity, for admins and owners; `deleted`: those that are."""
        found, following = await self._oversight.rooms(
            me, limit=limit, cursor=cursor, search=search, deleted=deleted
        )
        return {"rooms": [overseen(one) for one in found], "next": following}

    @call("GET", "/admin/events", ServerAct.OVERSEE)
    async def events(
        self,
        me: Me,
        *,
        limit: Limit = 50,
        room: RoomId | None = None,
        type: Kind = None,  # noqa: A002  as the query names it
        before: Whole | None = None,
    ) -> SeenEvents:
        """What happened last on the server, at most 100; of one `room`, of one `type`, or there `before` a seq."""
        found, following = await self._oversight.events(
            me, limit=limit, room=room, kind=type, before=before
        )
        return {"events": [glimpse(one) for one in found], "before": following}


def overseen(value: Overseen) -> OverseenRoom:
    """A room, as it is told in the list of all."""
    return {
        **shapes.overseen(value.room),
        "members": value.members,
        "agents": len(value.room.agents),
        "owner": value.owner,
    }


def glimpse(value: Glimpse) -> SeenEvent:
    """An event, as it is told where one may not read it."""
    return {
        "room": value.room.id,
        "title": value.room.title,
        "seq": value.seq,
        "k": value.type,
        "at": moment(value.at_ms),
        "readable": value.room.role is not None and value.room.deleted_ms is None,
    }
