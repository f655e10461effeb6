"""Rooms: making, finding, naming, deleting and restoring them."""

from palaver.core import validation
from palaver.core.ground import Ground
from palaver.errors import Code, Refused
from palaver.model import (
    Actor,
    ActorId,
    MemberRole,
    Room,
    RoomId,
    RoomSettings,
    TitleSource,
    Visibility,
)
from palaver.store.read import rooms
from palaver.store.write.rooms import (
    AddMember,
    ChangeSettings,
    CreateRoom,
    RenameRoom,
    SetArchived,
    SetRoomDeleted,
)

LOBBY = RoomId("r_00000000000070008000006c6f626279")


class Rooms:
    """What an actor may do with rooms."""

    def __init__(self, ground: Ground) -> None:
        self._store, self._access = ground.store, ground.access
        self._settings, self._clock = ground.settings, ground.clock
        self._assistant = ground.assistant

    async def create(
        self,
        actor: Actor,
        *,
        title: str = "",
        room: RoomId | None = None,
        agent: bool = True,
        visibility: Visibility = Visibility.PRIVATE,
        settings: RoomSettings | None = None,
        door: str | None = None,
        parent: RoomId | None = None,
    ) -> Room:
        """Makes a room of this actor's, in which the server's agent answers unless `agent` is False.

        The same `room` id again gives the room that is there. `parent`: the room out of which it comes. Refused:
        `title_too_long`, `room_not_found` (the id is somebody else's room, or the actor may not read the parent).
        """
        title = validation.title(title, self._settings.title_chars_max)
        room = room or RoomId(f"r_{self._clock.new_id()}")
        await self._store.write(
            CreateRoom(
                id=room,
                title=title,
                title_source=TitleSource.USER if title else TitleSource.NONE,
                visibility=visibility,
                owner=actor.id,
                agents=(self._assistant,) if agent else (),
                settings=settings or {},
                door=door,
                parent=parent,
            )
        )
        return await self._access.room(actor, room, deleted=True)

    async def ensured(self, actor: Actor, room: RoomId, *, title: str, agent: bool = True) -> Room:
        """The room of this id, made at its first use as `create` does; one that was deleted comes back whole."""
        try:
            return await self.get(actor, room)
        except Refused as refusal:
            if refusal.code is not Code.ROOM_NOT_FOUND:
                raise
        found = await self.create(actor, title=title, room=room, agent=agent)
        return found if found.deleted_ms is None else await self.restore(actor, room)

    async def get(self, actor: Actor, room: RoomId) -> Room:
        """One room. Refused: `room_not_found`."""
        return await self._access.room(actor, room)

    async def listing(
        self,
        actor: Actor,
        *,
        limit: int = 20,
        offset: int = 0,
        cursor: str | None = None,
        after: RoomId | None = None,
        search: str | None = None,
        deleted: bool = False,
        own: bool = False,
        hidden: bool | None = None,
    ) -> tuple[tuple[Room, ...], str | None]:
        """The actor's rooms and the open ones, by last activity, and the cursor to go on with.

        `own`: without the open ones that are others'. `offset`: without so many, which are counted anew each time.
        `after`: those behind this room, instead of a cursor. `search`: those whose title holds it, in any case.
        `deleted`: instead those that were deleted and that the actor may restore, the last deleted first.
        `hidden`: without those that the actor hides, or these alone; None: all.
        Refused: `limit_invalid`, `cursor_invalid`, `room_not_found` (after).
        """
        limit = validation.page_size(limit, self._settings.page_max)
        if after is not None:
            await self._access.room(actor, after, deleted=True)
            cursor = await self._store.read(rooms.cursor_of, after)
        if search is not None:
            search = validation.search_words(search).strip() or None
        return await self._store.read(
            rooms.listing,
            actor.id,
            limit=limit,
            offset=offset,
            cursor=cursor,
            search=search,
            own=own,
            deleted=deleted,
            hidden=hidden,
        )

    async def count_own(self, actor: Actor) -> int:
        """How many rooms `listing` has with `own`."""
        return await self._store.read(rooms.count_own, actor.id)

    async def rename(self, actor: Actor, room: RoomId, title: str) -> Room:
        """Names a room. Refused: as `RenameRoom` says, and `title_too_long`."""
        title = validation.title(title, self._settings.title_chars_max)
        await self._access.room(actor, room)
        await self._store.write(
            RenameRoom(room=room, by=actor.id, title=title, source=TitleSource.USER)
        )
        return await self._access.room(actor, room)

    async def change_settings(self, actor: Actor, room: RoomId, settings: RoomSettings) -> Room:
        """Sets some of a room's settings. Refused: as `ChangeSettings` says."""
        await self._store.write(ChangeSettings(room=room, by=actor.id, settings=settings))
        return await self._access.room(actor, room)

    async def delete(self, actor: Actor, room: RoomId) -> None:
        """Deletes a room, as its owner; `restore` undoes it. Refused: as `SetRoomDeleted` says."""
        await self._access.room(actor, room)
        await self._store.write(SetRoomDeleted(room=room, by=actor.id, deleted=True))

    async def restore(self, actor: Actor, room: RoomId) -> Room:
        """Takes a deletion back, as the owner. Refused: as `SetRoomDeleted` says."""
        await self._access.room(actor, room, deleted=True)
        await self._store.write(SetRoomDeleted(room=room, by=actor.id, deleted=False))
        return await self._access.room(actor, room)

    async def set_archived(self, actor: Actor, room: RoomId, *, archived: bool) -> Room:
        """Lets nothing more be said in a room, or again, as its owner. Refused: as `SetArchived` says."""
        await self._store.write(SetArchived(room=room, by=actor.id, archived=archived))
        return await self._access.room(actor, room)

    async def join(
        self,
        owner: Actor,
        room: RoomId,
        actor: Actor,
        *,
        role: MemberRole = MemberRole.MEMBER,
        auto_respond: bool = False,
        newcomer: bool = False,
    ) -> bool:
        """Adds an actor to a room; False when it was a member already. `newcomer` as in `AddMember`."""
        await self._access.room(owner, room)
        adding = AddMember(
            room=room,
            by=owner.id,
            actor=actor.id,
            role=role,
            auto_respond=auto_respond,
            newcomer=newcomer,
        )
        return await self._store.write(adding)


def lobby_of(assistant: ActorId) -> CreateRoom:
    """Makes the room that everyone on this server sees."""
    return CreateRoom(
        id=LOBBY,
        title="Lobby",
        title_source=TitleSource.USER,
        visibility=Visibility.OPEN,
        owner=None,
        agents=(assistant,),
    )
