"""REST about rooms, and about what can answer in them."""

from typing import Annotated, Literal, cast

from pydantic import Field
from typing_extensions import TypedDict

from palaver.core.runtime import Core
from palaver.model import MemberRole, OpenTo, RoomId, RoomSettings, Visibility
from palaver.policy import Action, ServerAct
from palaver.speaking import CHAIN_MOST, PER_HOUR_MOST
from palaver.wire import shapes
from palaver.wire.api.body import Given, Limit, word_of
from palaver.wire.auth import Me
from palaver.wire.calls import call
from palaver.wire.edge.rates import Use

Turns = Literal["together", "in_turn"]


class NewRoom(Given):
    """A new room."""

    title: str = ""
    """At most 200 characters. Default: named after its first message."""
    agents: list[str] = Field(default=[], max_length=20)
    """Who answers in it, of the agents that one may use. Default: one's own default agent, or the server's."""


class NewTitle(Given):
    """Another title."""

    title: str
    """At most 200 characters."""


class NewSpeaking(Given):
    """How agents speak in a room. Default of each: as it is."""

    turns: Turns | None = None
    """`in_turn`: one after the other, each told what those before it said; `together`: all at once."""
    chain_max: Annotated[int, Field(ge=0, le=CHAIN_MOST)] | None = None
    """So many turns follow what a person said, when agents mention each other."""
    agent_answers_per_hour: Annotated[int, Field(ge=0, le=PER_HOUR_MOST)] | None = None
    """So many answers to agents within an hour."""
    greets: bool | None = None
    """Whether an agent that comes says what its card has as its greeting."""


class NewVisibility(Given):
    """Who finds a room."""

    visibility: Annotated[Visibility, word_of(Visibility)]
    open_to: Annotated[OpenTo, word_of(OpenTo)] = OpenTo.PEOPLE
    """Of an open room: `people` who have an account, or `everyone`, guests too."""
    open_role: Annotated[MemberRole, word_of(MemberRole)] = MemberRole.READER
    """As what they are there: `reader` or `member`."""


class NewPlace(Given):
    """Where a room stands."""

    parent: str | None
    """The room under which it stands; null: at the top."""


class ReadUpTo(Given):
    """What was read."""

    seq: int = Field(ge=0)
    """Everything up to this seq."""


class Unclear(Given):
    """What to bring back."""

    seq: int = Field(ge=1)
    """What `clear` gave, or `GET /api/deleted`."""


class Cleared(TypedDict):
    """The event that cleared a room's history; null: there was nothing to clear."""

    seq: int | None


class RoomList(TypedDict):
    """A page of rooms."""

    rooms: list[shapes.Room]
    next: str | None


class Model(TypedDict):
    """A model that can answer."""

    id: str
    key: str
    """Its name as it is kept: behind the id of its connection."""
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
    async def models(self, me: Me) -> Models:
        """The models that can answer."""
        found = await self._core.models.of(me).listed()
        models: list[Model] = [
            {
                "id": one.id,
                "key": one.key or one.id,
                "provider": one.provider,
                "default": one.default,
            }
            for one in found.models
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
        archived: bool | None = None,
        open: bool = False,  # noqa: A002  as the query names it
        pinned: bool = False,
    ) -> RoomList:
        """The rooms, by last activity; `search` in titles, at most 200 characters.

        `deleted`: instead what can be restored; `hidden`: instead what one hides, until something is said there.
        `archived`: without those that are, or these alone. `open`: instead those that their owners opened, and that
        one may join. `pinned`: those alone that one has on top of one's list.
        """
        shown = None if deleted else hidden
        found, following = await self._core.rooms.listing(
            me,
            limit=limit,
            cursor=cursor,
            search=search,
            deleted=deleted,
            hidden=shown,
            archived=archived,
            opened=open,
            pinned=pinned,
        )
        return {"rooms": [shapes.room(one) for one in found], "next": following}

    @call("POST", "/rooms", ServerAct.ROOMS, use=Use.ROOMS, status=201)
    async def new_room(self, me: Me, body: NewRoom) -> shapes.Room:
        """Makes a room."""
        return shapes.room(await self._core.rooms.create(me, title=body.title, agents=body.agents))

    @call("GET", "/rooms/{room}", Action.SEE)
    async def room(self, me: Me, room: RoomId) -> shapes.Room | shapes.Overseen:
        """One room. Who looks after the server and is no member sees how it is called and how large it is."""
        return shapes.room_or_overseen(await self._core.rooms.overseen(me, room))

    @call("PATCH", "/rooms/{room}", Action.NAME)
    async def rename_room(self, me: Me, room: RoomId, body: NewTitle) -> shapes.Room:
        """Names a room."""
        return shapes.room(await self._core.rooms.rename(me, room, body.title))

    @call("PUT", "/rooms/{room}/speaking", Action.NAME)
    async def set_speaking(self, me: Me, room: RoomId, body: NewSpeaking) -> shapes.Room:
        """Says how agents speak in a room."""
        given = cast("RoomSettings", body.model_dump(exclude_none=True))
        return shapes.room(await self._core.rooms.set_speaking(me, room, given))

    @call("DELETE", "/rooms/{room}", Action.GOVERN, status=204)
    async def delete_room(self, me: Me, room: RoomId) -> None:
        """Deletes a room; `restore` takes that back."""
        await self._core.rooms.delete(me, room)

    @call("POST", "/rooms/{room}/restore", Action.GOVERN)
    async def restore_room(self, me: Me, room: RoomId) -> shapes.Room | shapes.Overseen:
        """Takes a deletion back."""
        return shapes.room_or_overseen(await self._core.rooms.restore(me, room))

    @call("POST", "/rooms/{room}/archive", Action.GOVERN)
    async def archive_room(self, me: Me, room: RoomId) -> shapes.Room | shapes.Overseen:
        """Lets nothing more be said in a room, which can still be read."""
        return shapes.room_or_overseen(await self._core.rooms.set_archived(me, room, archived=True))

    @call("POST", "/rooms/{room}/unarchive", Action.GOVERN)
    async def unarchive_room(self, me: Me, room: RoomId) -> shapes.Room | shapes.Overseen:
        """Takes that back."""
        return shapes.room_or_overseen(
            await self._core.rooms.set_archived(me, room, archived=False)
        )

    @call("POST", "/rooms/{room}/clear", Action.GOVERN)
    async def clear(self, me: Me, room: RoomId) -> Cleared:
        """Deletes all that was said in a room so far; `unclear` takes that back."""
        return {"seq": await self._core.rooms.clear(me, room)}

    @call("POST", "/rooms/{room}/unclear", Action.GOVERN, status=204)
    async def unclear(self, me: Me, room: RoomId, body: Unclear) -> None:
        """Brings back what was cleared by the event at a seq, and after it."""
        await self._core.rooms.unclear(me, room, body.seq)

    @call("PUT", "/rooms/{room}/visibility", Action.PLACE)
    async def set_visibility(self, me: Me, room: RoomId, body: NewVisibility) -> shapes.Room:
        """Opens a room to who is no member, or makes it private, which takes it from them at once."""
        is_open = body.visibility is Visibility.OPEN
        whom = body.open_to if is_open else None
        return shapes.room(await self._core.rooms.open_to(me, room, whom, role=body.open_role))

    @call("PUT", "/rooms/{room}/parent", Action.PLACE)
    async def move_room(self, me: Me, room: RoomId, body: NewPlace) -> shapes.Room:
        """Puts a room under another one, of which it inherits nothing, or at the top."""
        parent = None if body.parent is None else RoomId(body.parent)
        return shapes.room(await self._core.rooms.move(me, room, parent))

    @call("POST", "/rooms/{room}/read", Action.READ, status=204)
    async def read(self, me: Me, room: RoomId, body: ReadUpTo) -> None:
        """Notes what was read."""
        await self._core.chat.mark_read(me, room, body.seq)
