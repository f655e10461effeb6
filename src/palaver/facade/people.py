"""The accounts of people, as a program looks after them: who has one, and what lets them in.

    ada = await chat.people.create("ada", name="Ada")
    token = await chat.people.reset_token("ada")  # who opens …/reset#<token> chooses the password

The program is trusted as an operator is: it may all that the owner of a server may. A handle names an account, and so
does the id of its person (`u_…`).
"""

from collections.abc import AsyncGenerator, Sequence

from palaver.core.identity.invitations import DAYS
from palaver.core.runtime import Core
from palaver.model import (
    Account,
    AccountStatus,
    Actor,
    ApiKey,
    Device,
    Invitation,
    KeyId,
    RoomId,
    ServerRole,
)
from palaver.policy import ServerAct, asks


class People:
    """The accounts of an open Palaver, their sessions and keys, and the links by which others get one."""

    def __init__(self, core: Core) -> None:
        self._core, self._register = core, core.register

    @asks(ServerAct.OPERATE)
    async def create(
        self,
        handle: str,
        *,
        name: str | None = None,
        role: ServerRole = ServerRole.PERSON,
        person: Actor | None = None,
    ) -> Account:
        """Makes an account without a password yet, of a `person` who is there or of a new one.

        `handle`: 2 to 32 of `a-z`, `0-9`, `.`, `_` and `-`. Refused: `handle_invalid`, `handle_taken`,
        `name_reserved`, `name_invalid`, `identity_in_use` (the person has one).
        """
        return await self._register.create(handle, name, person, role=role)

    @asks(ServerAct.OPERATE)
    async def get(self, handle: str) -> Account:
        """Finds an account. Refused: `not_found`."""
        return await self._register.get(handle)

    @asks(ServerAct.OPERATE)
    async def all(self) -> AsyncGenerator[Account, None]:
        """Yields all accounts by handle, and reads a page of them at a time."""
        after = None
        while found := await self._register.listing(after=after):
            for account in found:
                yield account
            after = found[-1].actor.handle

    @asks(ServerAct.OPERATE)
    async def rename(self, handle: str, new: str) -> Account:
        """Gives an account another handle. Refused: `not_found`, `handle_invalid`, `handle_taken`, `name_reserved`."""
        return await self._register.rename(handle, new)

    @asks(ServerAct.OPERATE)
    async def set_role(self, handle: str, role: ServerRole) -> Account:
        """Gives another role on the server, and ends the sessions. Refused: `not_found`, `last_owner`."""
        return await self._register.set_role(handle, role)

    @asks(ServerAct.OPERATE)
    async def disable(self, handle: str) -> Account:
        """Shuts somebody out at once, at every door, until `enable`. Refused: `not_found`, `last_owner`."""
        return await self._register.set_status(handle, AccountStatus.DISABLED)

    @asks(ServerAct.OPERATE)
    async def enable(self, handle: str) -> Account:
        """Lets somebody in who was shut out, or waits to be let in. Refused: `not_found`."""
        return await self._register.set_status(handle, AccountStatus.ACTIVE)

    @asks(ServerAct.OPERATE)
    async def delete(self, handle: str) -> None:
        """Takes somebody out for good; what they said stays. Refused: `not_found`, `last_owner`."""
        await self._register.delete(handle)

    @asks(ServerAct.OPERATE)
    async def reset_token(self, handle: str) -> str:
        """Makes the token of a link (`…/reset#<token>`) by which a password is chosen: once, within an hour."""
        return await self._register.reset_link(handle)

    @asks(ServerAct.OPERATE)
    async def sessions(self, handle: str) -> Sequence[Device]:
        """Lists somebody's sessions, the oldest first, at most 21. Refused: `not_found`."""
        return await self._register.sessions(handle)

    @asks(ServerAct.OPERATE)
    async def end_sessions(self, handle: str, session: str | None = None) -> Sequence[str]:
        """Ends all of somebody's sessions, or one, and what lives by them; their ids. Refused: `not_found`."""
        return await self._register.end_sessions(handle, session)

    @asks(ServerAct.OPERATE)
    async def create_key(
        self,
        person: Actor,
        *,
        name: str | None = None,
        scopes: Sequence[str] = (),
        days: int | None = None,
        rooms: Sequence[RoomId] | None = None,
    ) -> tuple[str, ApiKey]:
        """Makes an API key that speaks for a person; its token, told this once, and the key.

        No `scopes` are all but `admin` and `metrics`; no `days`: until it is revoked; `rooms`: the only ones for it, 1
        to 100 that the person sees. Refused: `bad_request`, `name_invalid`, `not_found`, `room_not_found`,
        `too_many_keys`.
        """
        return await self._core.keys.create(
            name=name, scopes=scopes, handle=person.id, days=days, rooms=rooms
        )

    @asks(ServerAct.OPERATE)
    async def keys(self, person: Actor) -> Sequence[ApiKey]:
        """Lists a person's API keys that were not revoked, the oldest first, at most 200."""
        return await self._core.keys.own(person)

    @asks(ServerAct.OPERATE)
    async def revoke_key(self, key: KeyId) -> ApiKey:
        """Ends an API key for ever. Refused: `not_found`."""
        return await self._core.keys.revoke(key)

    @asks(ServerAct.OPERATE)
    async def invite(
        self,
        by: Actor,
        *,
        role: ServerRole = ServerRole.PERSON,
        rooms: Sequence[RoomId] = (),
        uses: int | None = None,
        days: int = DAYS,
    ) -> tuple[str, Invitation]:
        """Makes a link (`…/invite#<token>`) by which others make accounts, in somebody's name; its token, and itself.

        `by`: who may invite as what, and into these `rooms`, at most 20, now and when it is used. `uses`: 1 to 1,000,
        None for any number; `days`: 1 to 365. Refused: `forbidden`, `room_not_found`, `bad_request`,
        `too_many_invitations`.
        """
        return await self._core.invitations.make(
            by, *rooms, server_role=role, uses=uses, days=days, operated=True
        )

    @asks(ServerAct.OPERATE)
    async def invitations(self) -> AsyncGenerator[Invitation, None]:
        """Yields the links that are open, the newest first, and reads a page of them at a time."""
        cursor: str | None = None
        while True:
            found, cursor = await self._core.invitations.to_server(None, limit=50, cursor=cursor)
            for invitation in found:
                yield invitation
            if cursor is None:
                return

    @asks(ServerAct.OPERATE)
    async def revoke_invitation(self, invitation: str) -> None:
        """Ends a link; who came by it stays. Refused: `invite_not_found`."""
        await self._core.invitations.revoke(None, invitation)
