"""Sees to it that a server gets an owner: the link that a start prints lets the first one in, once.

The link is a ticket of the server's own agent, of which the database has the SHA-256 only. Each start makes another in
the place of the one before, also where several processes share a database: the newest is good. None is good any more
once there is an owner, however they came to be it.
"""

import asyncio
from contextlib import suppress

import structlog
from msgspec.structs import replace

from palaver.clock import Clock
from palaver.core import validation
from palaver.core.identity.actors import digest_of
from palaver.core.identity.devices import Devices
from palaver.core.identity.passwords import Passwords
from palaver.core.identity.register import adding
from palaver.errors import Code, Refused, Unavailable
from palaver.model import ActorId, ServerRole, TicketKind
from palaver.settings import DAY_MS, Settings, secret_in
from palaver.store.read import accounts
from palaver.store.store import Store
from palaver.store.write.people.credentials import AddTicket, ended

LINK_MS = 3_650 * DAY_MS
"""A link is good until the next start."""

log = structlog.stdlib.get_logger()


class Setup:
    """Whether the server has an owner, and the link that makes one."""

    def __init__(
        self,
        store: Store,
        devices: Devices,
        assistant: ActorId,
        *,
        passwords: Passwords,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._store, self._devices = store, devices
        self._assistant, self._clock = assistant, clock
        self._settings, self._passwords = settings, passwords
        self._done = False
        self._had_guests: bool | None = None

    async def is_needed(self) -> bool:
        """Whether there is no owner yet, as far as the database can be asked. Once there is one, there always is."""
        if not self._done:
            with suppress(Unavailable):
                self._done = bool(await self._store.read(accounts.owners))
        return not self._done

    async def had_guests(self) -> bool:
        """Whether the database is from before there were owners, and had guests, who are served as before."""
        if self._had_guests is None:
            self._had_guests = await self._store.read(accounts.had_guests)
        return self._had_guests

    async def begin(self, token: str) -> bool:
        """Makes this the link's token, unless there is an owner, or the setting `owner` makes one; whether it is good.

        It is not while the database takes no writes, which keeps no server from starting.

        Refused: `settings_invalid` (that setting, or the password).
        """
        if not await self.is_needed():
            if self._settings.owner is not None:
                log.info("owner.there_already", setting="PALAVER_OWNER")
            return False
        try:
            return await self._begin(token)
        except Unavailable:
            log.warning("owner.not_asked_for", hint="the database takes no writes; start again")
            return False

    async def _begin(self, token: str) -> bool:
        if self._settings.owner is not None:
            await self._appoint(self._settings.owner)
            return False
        adding = AddTicket(
            id=f"i_{self._clock.new_id()}",
            kind=TicketKind.SETUP,
            actor=self._assistant,
            token_sha256=digest_of(token),
            lasts_ms=LINK_MS,
        )
        await self._store.write(adding)
        return True

    async def _appoint(self, handle: str) -> None:
        """Makes the account of the settings' owner. Another process may have done so meanwhile."""
        try:
            made = adding(self._clock, validation.handle(handle), None, None)
            secret = validation.password(await asyncio.to_thread(self._password))
            hashed = await self._passwords.hash(secret)
            await self._store.write(replace(made, role=ServerRole.OWNER, password=hashed))
        except Refused as refused:
            if await self.is_needed():
                told = f"PALAVER_OWNER, PALAVER_OWNER_PASSWORD_FILE: {refused.detail}"
                raise Refused(Code.SETTINGS_INVALID, told) from None

    def _password(self) -> str:
        file = self._settings.owner_password_file
        if file is None:
            raise Refused(Code.SETTINGS_INVALID, "The one needs the other.")
        return secret_in(file)

    async def look(self, token: str) -> None:
        """Looks whether the link is good, without using it. Refused: `ticket_ended`."""
        if not await self.is_needed():
            raise ended()
        await self._devices.look(token, TicketKind.SETUP)
