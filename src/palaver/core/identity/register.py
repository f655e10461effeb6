"""The register of accounts: made, listed, named, disabled, deleted, given roles, and led to new passwords.

By an operator, for whom `by` is None, or by who has the server role for it: that is asked before anything is told, and
again where it is written.
"""

from collections.abc import Sequence
from contextlib import suppress

from msgspec import structs

from palaver.clock import Clock
from palaver.core import validation
from palaver.core.identity.actors import digest_of
from palaver.errors import Code, Refused, Unavailable
from palaver.model import (
    Account,
    AccountStatus,
    Actor,
    ActorId,
    ActorKind,
    Device,
    ServerRole,
    TicketKind,
)
from palaver.policy import ServerAct, check_server
from palaver.settings import Settings
from palaver.store.read import accounts, devices
from palaver.store.read.rooms import bad_cursor
from palaver.store.store import Store
from palaver.store.write.people.accounts import (
    AddAccount,
    AddReset,
    Beginning,
    NameAccount,
    SetServerRole,
    SetStatus,
)
from palaver.store.write.people.claims import Claim
from palaver.store.write.people.credentials import AddTicket, EndDevice, EndSessions
from palaver.store.write.people.leaving import Leave, Left

RESET_MS = 3_600_000
ID_CHARS = len("u_") + 32


class Register:
    """The accounts of one database, whoever they are of."""

    def __init__(self, store: Store, settings: Settings, clock: Clock) -> None:
        self._store, self._settings, self._clock = store, settings, clock

    async def create(
        self,
        handle: str,
        name: str | None = None,
        person: Actor | None = None,
        *,
        role: ServerRole = ServerRole.PERSON,
        by: Actor | None = None,
    ) -> Account:
        """Makes an account without a password yet, of a person who is there or a new one.

        Refused: `handle_invalid`, `handle_taken`, `name_reserved`, `name_invalid`, `identity_in_use` (who has one),
        `forbidden`.
        """
        _check(ServerAct.MANAGE, by)
        handle = validation.handle(handle)
        checked = None
        if name is not None:
            checked = validation.person_name(name, self._settings.name_chars_max)
        made = adding(self._clock, handle, checked, person)
        await self._store.write(structs.replace(made, role=role, by=_id(by)))
        return await self.get(handle)

    async def get(self, who: str, *, by: Actor | None = None) -> Account:
        """Finds the account of a handle, or of a person's id, which is too long for one.

        Refused: `not_found`, `forbidden`.
        """
        _check(ServerAct.MANAGE, by)
        if len(who) == ID_CHARS:
            found = await self._store.read(accounts.of_actor, ActorId(who))
        else:
            small = who.lower()
            found = await self._store.read(accounts.by_handle, small, validation.skeleton(small))
        if found is None or found[0].status is AccountStatus.DELETED:
            raise Refused(Code.NOT_FOUND, "There is no such account.")
        return found[0]

    async def listing(self, *, after: str | None = None, count: int = 200) -> tuple[Account, ...]:
        """Lists the accounts behind that of a handle, ordered by what their handles look like."""
        skeleton = "" if after is None else validation.skeleton(after)
        return await self._store.read(accounts.listing, after=skeleton, count=count)

    async def people(
        self,
        me: Actor,
        *,
        limit: int,
        search: str = "",
        cursor: str | None = None,
        status: AccountStatus | None = None,
    ) -> tuple[Sequence[Account], str | None]:
        """A page of the accounts, or of those that are so, and where it goes on.

        Refused: `forbidden`, `limit_invalid`, `cursor_invalid`, `bad_request` (`search` is too long).
        """
        check_server(ServerAct.PEOPLE, me.server_role)
        limit, search = (
            validation.page_size(limit, self._settings.page_max),
            validation.search_words(search),
        )
        after = "" if cursor is None else validation.skeleton(_handle_in(cursor))
        found = await self._store.read(
            accounts.listing, after=after, count=limit + 1, search=search, status=status
        )
        return found[:limit], found[limit - 1].actor.handle if len(found) > limit else None

    async def rename(self, handle: str, new: str) -> Account:
        """Gives another handle. Refused: `not_found`, `handle_invalid`, `handle_taken`, `name_reserved`."""
        there, new = (await self.get(handle)).actor.id, validation.handle(new)
        naming = NameAccount(actor=there, handle=new, skeleton=validation.skeleton(new))
        return await self._store.write(naming)

    async def claim(self, handle: str, person: Actor) -> Account:
        """Brings what a guest, or a person of API keys, has into an account; once more changes nothing.

        Refused: `not_found`, `identity_in_use` (who has an account, or went into another one).
        """
        account = await self.get(handle)
        await claimed(self._store, Claim(actor=account.actor.id, guest=person.id))
        return account

    async def set_status(
        self, who: str, status: AccountStatus, *, by: Actor | None = None
    ) -> Account:
        """Disables an account, and whatever it has open ends, or lets it in. Refused: as `SetStatus` says."""
        if status not in {AccountStatus.ACTIVE, AccountStatus.DISABLED}:
            raise Refused(Code.BAD_REQUEST, "An account is made active or disabled.")
        account = await self.get(who, by=by)
        setting = SetStatus(actor=account.actor.id, status=status, by=_id(by))
        return await self._store.write(setting)

    async def set_role(self, who: str, role: ServerRole, *, by: Actor | None = None) -> Account:
        """Gives another server role; the sessions of who has it end. Refused: as `SetServerRole` says."""
        _check(ServerAct.ROLES, by)
        account = await self.get(who, by=by)
        setting = SetServerRole(actor=account.actor.id, role=role, by=_id(by))
        return await self._store.write(setting)

    async def sessions(self, who: str) -> tuple[Device, ...]:
        """The sessions of who has an account, the oldest first. Refused: `not_found`."""
        actor, now_ms = (await self.get(who)).actor.id, self._clock.now_ms()
        idle_ms = self._settings.session_idle_ms
        found = await self._store.read(devices.of_actor, actor, now_ms, idle_ms)
        return tuple([device for _, device in found])

    async def end_sessions(self, who: str, session: str | None = None) -> tuple[str, ...]:
        """Ends a session of who has an account, or all; their ids. Refused: `not_found`."""
        actor, idle_ms = (await self.get(who)).actor.id, self._settings.session_idle_ms
        if session is not None:
            await self._store.write(EndDevice(id=session, by=actor, idle_ms=idle_ms, operated=True))
            return (session,)
        ended = await self._store.write(EndSessions(actor=actor))
        return tuple(map(devices.id_of, ended))

    async def delete(self, who: str, *, by: Actor | None = None) -> None:
        """Takes somebody out for good. Refused: as `Leave` says, `not_found`."""
        account = await self.get(who, by=by)
        await left(self._store, Leave(actor=account.actor.id, by=_id(by)))

    async def go_on(self) -> None:
        """Takes out whom a killed process has begun to take out, as far as the database lets it."""
        with suppress(Unavailable):
            unfinished = await self._store.read(accounts.unfinished)
            await left(self._store, *[Leave(actor=one) for one in unfinished])

    async def reset_link(self, who: str, *, by: Actor | None = None) -> str:
        """Makes the token of a link by which a password is chosen, once, within an hour. Refused: as `AddReset`."""
        account, token = await self.get(who, by=by), self._clock.secret()
        ticket = AddTicket(
            id=f"i_{self._clock.new_id()}",
            kind=TicketKind.RESET,
            actor=account.actor.id,
            token_sha256=digest_of(token),
            lasts_ms=RESET_MS,
            by=_id(by),
        )
        await self._store.write(AddReset(ticket=ticket))
        return token


async def left(store: Store, *leaving: Leave) -> None:
    """Writes that they leave until it is done. What the database's files still have goes now, or by `go_on`."""
    for one in leaving:
        while not await store.write(one):
            pass
    with suppress(Unavailable):
        if leaving and await store.scrub():
            for one in leaving:
                await store.write(Left(actor=one.actor))


async def claimed(store: Store, claim: Claim) -> None:
    """Writes a claim until it is done."""
    while not await store.write(claim):
        pass


def _check(act: ServerAct, by: Actor | None) -> None:
    if by is not None:
        check_server(act, by.server_role)


def _id(by: Actor | None) -> ActorId | None:
    return None if by is None else by.id


def _handle_in(cursor: str) -> str:
    if not validation.HANDLE.fullmatch(cursor):
        raise bad_cursor()
    return cursor


def beginning(
    settings: Settings,
    token: str,
    *,
    instead_of: tuple[bytes, ActorId] | None = None,
    elsewhere: str | None = None,
) -> Beginning:
    """The session that begins with this token, for as long as the settings say. Else as `Beginning`."""
    return Beginning(
        token_sha256=digest_of(token),
        lasts_ms=settings.session_ms_max,
        idle_ms=settings.session_idle_ms,
        instead_of=instead_of,
        elsewhere=elsewhere,
    )


def adding(clock: Clock, handle: str, name: str | None, person: Actor | None) -> AddAccount:
    """The command that makes an account with this handle and name, which are valid, of a `person` or a new one."""
    skeleton = validation.skeleton(handle)
    if person is not None:
        return AddAccount(actor=person, handle=handle, skeleton=skeleton, made_as=None, name=name)
    id_ = ActorId(f"u_{clock.new_id()}")
    newcomer = Actor(id=id_, kind=ActorKind.PERSON, name=name or handle)
    made_as = f"account-{id_[2:]}"
    return AddAccount(actor=newcomer, handle=handle, skeleton=skeleton, made_as=made_as, name=None)
