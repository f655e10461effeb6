"""Rooms: making, finding, naming, deleting and restoring them."""

from collections.abc import Sequence
from typing import cast

from msgspec.structs import replace

from palaver.core import validation
from palaver.core.ground import Ground
from palaver.core.identity.invitations import INVITED_AS
from palaver.errors import Code, Refused
from palaver.model import (
    Actor,
    ActorId,
    MemberRole,
    MessageId,
    OpenTo,
    Room,
    RoomId,
    RoomSettings,
    Speaks,
    TitleSource,
    Visibility,
)
from palaver.policy import check_room, oversees
from palaver.speaking import CHAIN_MOST, PER_HOUR_MOST
from palaver.store.read import rooms
from palaver.store.write.clearing import ClearRoom, UnclearRoom
from palaver.store.write.forks import ForkRoom
from palaver.store.write.rooms import (
    AddMember,
    ChangeSettings,
    CreateRoom,
    MoveRoom,
    RenameRoom,
    SetArchived,
    SetRoomDeleted,
    SetVisibility,
)

LOBBY = RoomId("r_00000000000070008000006c6f626279")


class Rooms:
    """What an actor may do with rooms."""

    def __init__(self, ground: Ground) -> None:
        self._store, self._access = ground.store, ground.access
        self._settings, self._clock = ground.settings, ground.clock
        self._assistant, self._agents = ground.assistant, ground.agents

    async def create(
        self,
        actor: Actor,
        *,
        title: str = "",
        room: RoomId | None = None,
        agent: bool = True,
        agents: Sequence[str] = (),
        speaks: Speaks = Speaks.AUTO,
        visibility: Visibility = Visibility.PRIVATE,
        settings: RoomSettings | None = None,
        door: str | None = None,
        parent: RoomId | None = None,
    ) -> Room:
        """Makes a room of this actor's. Agents answer (`speaks`), unless `agent` is False: the default, and what joins.

        `agents`: these in the place of the default one. The same `room` id again gives the room that is there.
        `parent`: the room out of which it comes. Refused: `title_too_long`, `agent_not_found`, `room_not_found` (the id
        is somebody else's room, or the actor may not read the parent), `scope_missing` (by a key that is limited to
        some rooms), `room_full` (too many agents).
        """
        check_room(actor, None)
        title = validation.title(title, self._settings.title_chars_max)
        room = room or RoomId(f"r_{self._clock.new_id()}")
        speaking = await self._agents.of_new_room(actor, self._assistant, agents) if agent else ()
        most = self._settings.room_agents_max
        if agents and len(speaking) > most:
            raise Refused(Code.ROOM_FULL, f"A room has {most:,} agents at most. Name fewer.")
        await self._store.write(
            CreateRoom(
                id=room,
                title=title,
                title_source=TitleSource.USER if title else TitleSource.NONE,
                visibility=visibility,
                owner=actor.id,
                agents=speaking,
                speaks=speaks,
                settings=settings or {},
                door=door,
                parent=parent,
            )
        )
        return await self._access.room(actor, room, deleted=True)

    async def fork(self, actor: Actor, message: MessageId) -> Room:
        """A new room of this actor's that begins with what was said up to a message, on its path.

        Its agents are those of the old one that the actor may use; its title says where it comes from. At most the last
        2,000 messages are taken along. Refused: `message_not_found`, `scope_missing` as `create`.
        """
        said = await self._access.message(actor, message)
        check_room(actor, None)
        old = await self._access.room(actor, said.room)
        known = [one.id for one in old.agents]
        try:
            agents = await self._agents.of_new_room(actor, self._assistant, known)
        except Refused:  # one of them is not for the actor
            agents = await self._agents.of_new_room(actor, self._assistant, ())
        room = RoomId(f"r_{self._clock.new_id()}")
        new_room = CreateRoom(
            id=room,
            title=old.title,
            title_source=TitleSource.USER if old.title else TitleSource.NONE,
            visibility=Visibility.PRIVATE,
            owner=actor.id,
            agents=agents,
        )
        await self._store.write(ForkRoom(message=message, new_room=new_room))
        return await self._access.room(actor, room)

    async def ensured(
        self,
        actor: Actor,
        room: RoomId,
        *,
        title: str,
        agent: bool = True,
        speaks: Speaks = Speaks.AUTO,
    ) -> Room:
        """The room of this id, made at its first use as `create` does; one that was deleted comes back whole."""
        try:
            return await self.get(actor, room)
        except Refused as refusal:
            if refusal.code is not Code.ROOM_NOT_FOUND:
                raise
        found = await self.create(actor, title=title, room=room, agent=agent, speaks=speaks)
        return found if found.deleted_ms is None else await self.restore(actor, room)

    async def get(self, actor: Actor, room: RoomId) -> Room:
        """One room. Refused: `room_not_found`."""
        return await self._access.room(actor, room)

    async def overseen(self, actor: Actor, room: RoomId) -> Room:
        """One room, also of who may `OVERSEE` it and is no member: then its `role` is None. Refused: as `get`."""
        return await self._access.overseen(actor, room)

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
        archived: bool | None = None,
        opened: bool = False,
        pinned: bool = False,
    ) -> tuple[tuple[Room, ...], str | None]:
        """The actor's rooms and everyone's, by last activity, and the cursor to go on with.

        `own`: without everyone's. `offset`: without so many, which are counted anew each time.
        `after`: those behind this room, instead of a cursor. `search`: those whose title holds it, in any case.
        `deleted`: instead those that were deleted and that the actor may restore, the last deleted first.
        `hidden`, `archived`: without those that the actor hides, or that are archived, or these alone; None: all.
        `opened`: instead those that their owners opened, and that the actor may join.
        `pinned`: those alone that the actor has on top of their list.
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
            archived=archived,
            opened=opened,
            pinned=pinned,
            among=actor.key and actor.key.rooms,
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

    async def set_speaking(self, actor: Actor, room: RoomId, settings: RoomSettings) -> Room:
        """Says how agents speak in a room. Refused: as `ChangeSettings` says, and `bad_request`."""
        most = {"chain_max": CHAIN_MOST, "agent_answers_per_hour": PER_HOUR_MOST}
        for name, value in settings.items():
            if name in most and not 0 <= cast("int", value) <= most[name]:
                raise Refused(Code.BAD_REQUEST, f"{name} is a number from 0 to {most[name]}.")
        return await self.change_settings(actor, room, settings)

    async def delete(self, actor: Actor, room: RoomId) -> None:
        """Deletes a room, as its owner; `restore` undoes it. Refused: as `SetRoomDeleted` says."""
        await self._access.overseen(actor, room)
        await self._delete(actor, room, deleted=True)

    async def restore(self, actor: Actor, room: RoomId) -> Room:
        """Takes a deletion back, as the owner. Refused: as `SetRoomDeleted` says."""
        await self._access.overseen(actor, room, deleted=True)
        await self._delete(actor, room, deleted=False)
        return await self._access.overseen(actor, room)

    async def clear(self, actor: Actor, room: RoomId) -> int | None:
        """Deletes all that was said in a room so far, as its owner, and gives what `unclear` wants; None: nothing was.

        Refused: as `ClearRoom` says.
        """
        await self._access.overseen(actor, room)
        asked = ClearRoom(room=room, by=actor.id, as_admin=oversees(actor.server_role))
        first = cleared = await self._store.write(asked)
        while cleared is not None and cleared.more:
            cleared = await self._store.write(replace(asked, going_on=cleared))
        return None if first is None else first.seq

    async def unclear(self, actor: Actor, room: RoomId, seq: int) -> None:
        """Brings back what was cleared by the event at `seq`, and after it. Refused: as `UnclearRoom` says."""
        await self._access.overseen(actor, room)
        as_admin = oversees(actor.server_role)
        asked = UnclearRoom(room=room, by=actor.id, seq=seq, as_admin=as_admin)
        while await self._store.write(asked):
            pass

    async def set_archived(self, actor: Actor, room: RoomId, *, archived: bool) -> Room:
        """Lets nothing more be said in a room, or again, as its owner. Refused: as `SetArchived` says."""
        as_admin = oversees(actor.server_role)
        setting = SetArchived(room=room, by=actor.id, archived=archived, as_admin=as_admin)
        await self._store.write(setting)
        return await self._access.overseen(actor, room)

    async def move(self, actor: Actor, room: RoomId, parent: RoomId | None) -> Room:
        """Puts a room under another one, or at the top (None), as its owner. Refused: as `MoveRoom` says."""
        if parent is not None:
            check_room(actor, parent)
        await self._store.write(MoveRoom(room=room, by=actor.id, parent=parent))
        return await self._access.room(actor, room)

    async def open_to(
        self,
        actor: Actor,
        room: RoomId,
        whom: OpenTo | None,
        *,
        role: MemberRole = MemberRole.READER,
    ) -> Room:
        """Lets others find a room, who are readers or members there; None: only who is a member, as its owner.

        Refused: as `SetVisibility` says, and `bad_request` (the role).
        """
        if role not in INVITED_AS:
            raise Refused(Code.BAD_REQUEST, "A room is open to readers or members.")
        as_what = None if whom is None else role
        await self._store.write(
            SetVisibility(room=room, by=actor.id, open_to=whom, open_role=as_what)
        )
        return await self._access.room(actor, room)

    async def join(
        self,
        owner: Actor,
        room: RoomId,
        actor: Actor,
        *,
        role: MemberRole = MemberRole.MEMBER,
        speaks: Speaks = Speaks.AUTO,
        newcomer: bool = False,
    ) -> bool:
        """Adds an actor to a room; False when it was a member already. `newcomer` as in `AddMember`."""
        await self._access.room(owner, room)
        adding = AddMember(
            room=room,
            by=owner.id,
            actor=actor.id,
            role=role,
            speaks=speaks,
            newcomer=newcomer,
        )
        return await self._store.write(adding)

    async def _delete(self, actor: Actor, room: RoomId, *, deleted: bool) -> None:
        as_admin = oversees(actor.server_role)
        await self._store.write(
            SetRoomDeleted(room=room, by=actor.id, deleted=deleted, as_admin=as_admin)
        )


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
