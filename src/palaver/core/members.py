"""Who is in a room, and what becomes of them there. Who is added sees all of its history."""

from functools import partial

from msgspec import Struct, ValidationError, convert

from palaver.core import validation
from palaver.core.ground import Ground
from palaver.core.live.items import Here, OwnChanged
from palaver.errors import Code, Refused
from palaver.model import AccountStatus, Actor, ActorId, Member, MemberRole, Room, RoomId, Speaks
from palaver.model.agents import OwnSettings
from palaver.policy import oversees
from palaver.store.read import accounts, agents, members
from palaver.store.write.members import (
    JoinRoom,
    LeaveRoom,
    SetMembership,
    SetOwnSettings,
    SetRole,
    SetSpeaks,
    TransferRoom,
    no_member,
)
from palaver.store.write.rooms import AddMember, RemoveMember


class Own(Struct, frozen=True):
    """What a room has of its own for an agent there, and the model that is asked so; None: the server's default.

    `bot`: none is asked, a program answers.
    """

    settings: OwnSettings
    asks: str | None
    bot: bool = False


class Members:
    """What an actor may do with the members of rooms, and with its own membership."""

    def __init__(self, ground: Ground) -> None:
        self._store, self._access, self._hub = ground.store, ground.access, ground.hub
        self._settings, self._agents = ground.settings, ground.agents
        self._providers = ground.providers

    async def page(
        self,
        actor: Actor,
        room: RoomId,
        *,
        limit: int,
        cursor: str | None = None,
        asker: ActorId | None = None,
    ) -> tuple[tuple[Member, ...], str | None]:
        """A page of a room's members, the owners first, and the cursor to go on with.

        `asker`: for whom agents are or are not; None: the actor. Refused: `room_not_found`, `limit_invalid`,
        `cursor_invalid`.
        """
        limit = validation.page_size(limit, self._settings.page_max)
        asker = asker or actor.id
        page = partial(members.page, limit=limit, cursor=cursor, asker=asker)
        found = await self._store.read(page, room)
        await self._access.overseen(actor, room)
        return found

    async def here(self, actor: Actor, room: RoomId) -> Here:
        """Who reads a room now. Refused: `room_not_found`."""
        await self._access.room(actor, room)
        return self._hub.presence.of(room)

    async def known(self, actor: Actor, handle: str | None = None) -> tuple[Actor, ...]:
        """The people with whom the actor shares rooms, by their names; or who has this handle, for who has one, too."""
        if handle is None:
            return await self._store.read(members.known, actor.id)
        small = handle.strip().lower().removeprefix("@")[: validation.HANDLE_CHARS_MAX + 1]
        found = await self._store.read(accounts.by_handle, small, validation.skeleton(small))
        if actor.server_role is None:  # as who waits for an approval, with a handle
            return ()
        if found is None or found[0].status is not AccountStatus.ACTIVE:
            return ()
        return (found[0].actor,)

    async def add(
        self,
        actor: Actor,
        room: RoomId,
        who: ActorId,
        role: MemberRole = MemberRole.MEMBER,
        speaks: Speaks = Speaks.AUTO,
    ) -> tuple[Member, bool]:
        """Adds a person, or an agent that `speaks`; the member, and whether it is new.

        Refused: as `AddMember` says, `agent_not_found` (it is not for the actor).
        """
        if who.startswith("a_"):
            await self._agents.used(actor, who)
        adding = AddMember(room=room, by=actor.id, actor=who, role=role, speaks=speaks)
        added = await self._store.write(adding)
        return await self._member(actor, room, who), added

    async def set_role(self, actor: Actor, room: RoomId, who: ActorId, role: MemberRole) -> Member:
        """Gives a member another role. Refused: as `SetRole` says."""
        await self._store.write(SetRole(room=room, by=actor.id, actor=who, role=role))
        return await self._member(actor, room, who)

    async def set_speaks(self, actor: Actor, room: RoomId, who: ActorId, speaks: Speaks) -> Member:
        """Says when an agent answers by itself. Refused: as `SetSpeaks` says."""
        await self._store.write(SetSpeaks(room=room, by=actor.id, actor=who, speaks=speaks))
        return await self._member(actor, room, who)

    async def own(self, actor: Actor, room: RoomId, who: ActorId) -> Own:
        """What a room has of its own for one of its agents. Refused: `room_not_found`, `not_found` (no agent of it)."""
        await self._access.room(actor, room)
        member, card = await self._member(actor, room, who), await self._store.read(agents.get, who)
        if member.speaks is None or card is None:
            raise no_member()
        settings = (await self._store.read(agents.own, room, who))[1]
        return Own(settings, settings.on(card).asks, card.bot)

    async def set_own(
        self,
        actor: Actor,
        room: RoomId,
        who: ActorId,
        *,
        instructions: str = "",
        model: str | None = None,
        temperature: float | None = None,
    ) -> Own:
        """Gives a room settings of its own for one of its agents, in the place of its card's; empty: as the card says.

        Refused: as `SetOwnSettings` and `Providers.named` say, `card_invalid`.
        """
        kept = await self._providers.named((model,) if model else (), actor.id)
        told = validation.well_formed(self._store.redacted(instructions.strip()), "instruction")
        given = {"instructions": told, "temperature": temperature}
        try:
            settings = convert({**given, "model": kept[0] if kept else None}, OwnSettings)
        except ValidationError as problem:
            raise Refused(Code.CARD_INVALID, f"{problem}.") from None
        setting = SetOwnSettings(room=room, by=actor.id, actor=who, settings=settings)
        await self._store.write(setting)
        return await self.own(actor, room, who)

    async def remove(self, actor: Actor, room: RoomId, who: ActorId) -> None:
        """Takes somebody out, who is kept out until added again; oneself: leaves. Refused: as the commands say."""
        if who == actor.id:
            await self._store.write(LeaveRoom(room=room, by=actor.id))
        else:
            await self._store.write(RemoveMember(room=room, by=actor.id, actor=who))

    async def transfer(self, actor: Actor, room: RoomId, who: ActorId) -> Room:
        """Gives a room to one of its members; who owned it stays as a moderator. Refused: as `TransferRoom` says."""
        giving = TransferRoom(
            room=room, by=actor.id, actor=who, as_admin=oversees(actor.server_role)
        )
        await self._store.write(giving)
        return await self._access.overseen(actor, room)

    async def come_in(self, actor: Actor, room: RoomId) -> Room:
        """Comes into an open room, or into any as a reader, as who may `OVERSEE`. Refused: `room_not_found`."""
        joining = JoinRoom(room=room, by=actor.id, as_admin=oversees(actor.server_role))
        await self._store.write(joining)
        return await self._access.room(actor, room)

    async def wish(
        self,
        actor: Actor,
        room: RoomId,
        *,
        muted: bool | None = None,
        hidden: bool | None = None,
        pinned: bool | None = None,
    ) -> Room:
        """Mutes, hides or pins a room for oneself, which one's connections are told; None: stays as it is.

        Refused: `room_not_found`, `too_many_marks`.
        """
        wished = SetMembership(room=room, by=actor.id, muted=muted, hidden=hidden, pinned=pinned)
        await self._store.write(wished)
        self._hub.tell_self(actor.id, OwnChanged(room))
        return await self._access.room(actor, room)

    async def _member(self, actor: Actor, room: RoomId, who: ActorId) -> Member:
        found = await self._store.read(members.get, room, who, actor.id)
        if found is None:  # taken out again meanwhile
            raise no_member()
        return found
