"""The register of accounts, as an operator looks after it: makes, names and disables them, and makes reset links."""

from palaver.clock import Clock
from palaver.core import validation
from palaver.core.identity.devices import issued
from palaver.errors import Code, Refused
from palaver.model import Account, AccountStatus, Actor, ActorId, ActorKind, TicketKind
from palaver.settings import Settings
from palaver.store.read import accounts
from palaver.store.store import Store
from palaver.store.write.accounts import AddAccount, NameAccount, SetStatus

RESET_MS = 3_600_000


class Register:
    """The accounts of one database, whoever they are of."""

    def __init__(self, store: Store, settings: Settings, clock: Clock) -> None:
        self._store, self._settings, self._clock = store, settings, clock

    async def create(
        self, handle: str, name: str | None = None, person: Actor | None = None
    ) -> Account:
        """Makes an account without a password yet, of a person who is there or a new one.

        Refused: `handle_invalid`, `handle_taken`, `name_reserved`, `name_invalid`, `identity_in_use` (who has one).
        """
        handle = validation.handle(handle)
        checked = None
        if name is not None:
            checked = validation.person_name(name, self._settings.name_chars_max)
        await self._store.write(adding(self._clock, handle, checked, person))
        return await self.get(handle)

    async def get(self, handle: str) -> Account:
        """Finds the account of this handle. Refused: `not_found`."""
        small = handle.lower()
        found = await self._store.read(accounts.by_handle, small, validation.skeleton(small))
        if found is None:
            raise Refused(Code.NOT_FOUND, "There is no account with this handle.")
        return found[0]

    async def listing(self, *, after: str | None = None, count: int = 200) -> tuple[Account, ...]:
        """Lists the accounts behind that of a handle, ordered by what their handles look like."""
        skeleton = "" if after is None else validation.skeleton(after)
        return await self._store.read(accounts.listing, after=skeleton, count=count)

    async def rename(self, handle: str, new: str) -> Account:
        """Gives another handle. Refused: `not_found`, `handle_invalid`, `handle_taken`, `name_reserved`."""
        there, new = (await self.get(handle)).actor.id, validation.handle(new)
        naming = NameAccount(actor=there, handle=new, skeleton=validation.skeleton(new))
        return await self._store.write(naming)

    async def set_status(self, handle: str, status: AccountStatus) -> Account:
        """Disables an account, and whatever it has open ends, or enables it. Refused: `not_found`."""
        account = await self.get(handle)
        return await self._store.write(SetStatus(actor=account.actor.id, status=status))

    async def reset_link(self, handle: str) -> str:
        """Makes the token of a link by which a password is chosen, once, within an hour. Refused: `not_found`."""
        actor = (await self.get(handle)).actor
        token, _ = await issued(self._store, self._clock, actor, TicketKind.RESET, RESET_MS)
        return token


def adding(clock: Clock, handle: str, name: str | None, person: Actor | None) -> AddAccount:
    """The command that makes an account with this handle and name, which are valid, of a `person` or a new one."""
    skeleton = validation.skeleton(handle)
    if person is not None:
        return AddAccount(actor=person, handle=handle, skeleton=skeleton, made_as=None, name=name)
    id_ = ActorId(f"u_{clock.new_id()}")
    newcomer = Actor(id=id_, kind=ActorKind.PERSON, name=name or handle)
    made_as = f"account-{id_[2:]}"
    return AddAccount(actor=newcomer, handle=handle, skeleton=skeleton, made_as=made_as, name=None)
