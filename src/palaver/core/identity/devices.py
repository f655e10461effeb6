"""Adds and ends the devices of one actor: a link adds one, once and within ten minutes; the others can end it.

A device is a session: the list of the one is the list of the other. A link carries a ticket's token, which is kept as
its SHA-256 only. Whoever follows it gets a session of their own. A session that has ended stays known, so that its
token begins no other one; what is live by it ends with it. A session also ends when it was not used for long, and a
year after it began (settings).
"""

from collections.abc import Collection

from msgspec import Struct

from palaver.clock import Clock
from palaver.core import validation
from palaver.core.identity.actors import Client, Identity, digest_of
from palaver.core.live.standing import Standings
from palaver.errors import Code, Refused
from palaver.model import Actor, ActorId, Device, Ticket, TicketKind
from palaver.settings import DAY_MS, Settings
from palaver.store.read import devices
from palaver.store.store import Store
from palaver.store.write.people.credentials import (
    AddTicket,
    EndDevice,
    EndSessions,
    ForgetEnded,
    UseTicket,
    ended,
)

LINK_MS = 10 * 60_000
FORGOTTEN_AFTER_MS, FORGOTTEN_MAX = 30 * DAY_MS, 200


class Listed(Struct, frozen=True, kw_only=True):
    """An actor's devices, which of them asks (None: another kind of client), and the link that is still good."""

    devices: tuple[Device, ...]
    current: str | None
    link: Ticket | None


class Devices:
    """Links and devices of the actors of one database."""

    def __init__(self, store: Store, identity: Identity, settings: Settings, clock: Clock) -> None:
        self._store, self._identity = store, identity
        self._settings, self._clock = settings, clock

    async def invite(self, actor: Actor) -> tuple[str, Ticket]:
        """A link's token and its ticket, in the place of the link before it."""
        return await issued(self._store, self._clock, actor, TicketKind.DEVICE, LINK_MS)

    async def look(self, token: str, kind: TicketKind = TicketKind.DEVICE) -> Ticket:
        """Whose link this is, without using it. Refused: `ticket_ended`."""
        now_ms = self._clock.now_ms()
        found = await self._store.read(devices.ticket, digest_of(token), kind, now_ms)
        if found is None:
            raise ended()
        return found

    async def redeem(
        self,
        token: str,
        name: str,
        *,
        me: Actor | None,
        replace: bool,
        by: Client | None = None,
    ) -> tuple[str, Actor]:
        """The token of a new session of whoever made the link, which is used up by it.

        `me` is who uses this device already. Refused: `ticket_ended`, `name_invalid`, `too_many_devices`,
        `identity_in_use` (unless they shall be replaced; also who made the link themselves).
        """
        owner = (await self.look(token)).actor
        if me is not None and (me.id == owner.id or not replace):
            raise Refused(Code.IDENTITY_IN_USE, f"This device is {me.name} already.")
        session = self._clock.secret()
        using = UseTicket(
            token_sha256=digest_of(token),
            session_sha256=digest_of(session),
            name=validation.person_name(name, self._settings.name_chars_max),
            lasts_ms=self._settings.session_ms_max,
            idle_ms=self._settings.session_idle_ms,
        )
        actor = await self._store.write(using)
        self._identity.used(session, by)
        return session, actor

    async def listing(self, actor: Actor, session: str) -> Listed:
        """An actor's devices, the oldest first."""
        now_ms, idle_ms = self._clock.now_ms(), self._settings.session_idle_ms
        found = await self._store.read(devices.of_actor, actor.id, now_ms, idle_ms)
        current = digest_of(session)
        return Listed(
            devices=tuple(device for _, device in found),
            current=next((device.id for digest, device in found if digest == current), None),
            link=await self._store.read(devices.ticket_of, actor.id, now_ms),
        )

    async def end(self, actor: Actor, device: str, session: str) -> None:
        """Ends one of an actor's devices, or a link. Refused: `not_found`, `forbidden` (the device that asks)."""
        if device == devices.id_of(digest_of(session)):
            raise Refused(Code.FORBIDDEN, "A device is ended from another one.")
        ending = EndDevice(id=device, by=actor.id, idle_ms=self._settings.session_idle_ms)
        await self._store.write(ending)

    async def end_own(self, actor: Actor, session: str) -> None:
        """Ends the session that asks."""
        device, idle_ms = devices.id_of(digest_of(session)), self._settings.session_idle_ms
        await self._store.write(EndDevice(id=device, by=actor.id, idle_ms=idle_ms))

    async def end_run_out(self, present: Collection[ActorId], standings: Standings) -> None:
        """Ends what is live by sessions of those who are here that have run out."""
        now_ms, idle_ms = self._clock.now_ms(), self._settings.session_idle_ms
        for session in await self._store.read(devices.run_out, present, now_ms, idle_ms):
            standings.end(session)

    async def forget_ended(self) -> None:
        """Forgets some of what ended thirty days ago: sessions, links, and what was good once."""
        before_ms = self._clock.now_ms() - FORGOTTEN_AFTER_MS
        if await self._store.read(devices.any_ended, before_ms):
            await self._store.write(ForgetEnded(before_ms=before_ms, count=FORGOTTEN_MAX))

    async def end_others(self, actor: Actor, session: str) -> None:
        """Ends all of an actor's sessions but the one that asks."""
        await self._store.write(EndSessions(actor=actor.id, but=digest_of(session), by=actor.id))


async def issued(
    store: Store, clock: Clock, actor: Actor, kind: TicketKind, lasts_ms: int
) -> tuple[str, Ticket]:
    """Makes a ticket of an actor's in the place of the one of its kind before it; its token, told this once."""
    token = clock.secret()
    adding = AddTicket(
        id=f"i_{clock.new_id()}",
        kind=kind,
        actor=actor.id,
        token_sha256=digest_of(token),
        lasts_ms=lasts_ms,
    )
    return token, await store.write(adding)
