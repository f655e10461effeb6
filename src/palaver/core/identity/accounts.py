"""Signs people up, in and out: accounts with a handle and a password, for persons who were guests or are new.

A guest who signs up stays the actor that they are, with all their rooms. Whatever proves somebody anew (signing up or
in, another password) begins a session with a new token and ends the one that was there, so that nobody's choice of a
token becomes an account's. Failures are counted (`identity/attempts`). What an operator does is in `identity/register`.
"""

from msgspec import structs

from palaver.clock import Clock
from palaver.core import validation
from palaver.core.identity.actors import Client, Identity, digest_of
from palaver.core.identity.attempts import Attempts
from palaver.core.identity.devices import Devices
from palaver.core.identity.passwords import Passwords
from palaver.core.identity.register import adding
from palaver.errors import Code, Refused
from palaver.model import Account, Actor, ActorId, TicketKind
from palaver.settings import Settings
from palaver.store.read import accounts
from palaver.store.store import Store
from palaver.store.write.accounts import (
    Beginning,
    ChangePassword,
    ResetPassword,
    SignIn,
    wrong,
)
from palaver.store.write.credentials import Audited


class Accounts:
    """The accounts of one database."""

    def __init__(
        self,
        store: Store,
        devices: Devices,
        identity: Identity,
        *,
        passwords: Passwords,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._store, self._devices, self._identity = store, devices, identity
        self._settings, self._clock, self._passwords = settings, clock, passwords
        self._attempts = Attempts(clock.monotonic)

    async def sign_up(
        self,
        handle: str,
        password: str,
        name: str | None = None,
        *,
        me: Actor | None,
        session: str,
        by: Client,
    ) -> tuple[str, Actor]:
        """A new account of `me`, or of a new person, and the token of its session.

        Refused: `forbidden` (the setting `sign_up`), `handle_invalid`, `handle_taken`, `name_reserved`,
        `name_invalid`, `password_weak`, `identity_in_use` (who has an account). Unavailable: `too_busy`.
        """
        if self._settings.sign_up == "off":
            raise Refused(Code.FORBIDDEN, "Who runs this server makes its accounts. Ask them.")
        handle, secret = validation.handle(handle), validation.password(password)
        name = None if name is None else self._checked(name)
        if me is not None and me.handle is not None:
            raise Refused(Code.IDENTITY_IN_USE, f"You are @{me.handle} already.")
        added = adding(self._clock, handle, name, me)
        token, beginning = self._beginning(session, me)
        hashed = await self._passwords.hash(secret)
        return token, await self._enter(
            structs.replace(added, password=hashed, session=beginning), token, by
        )

    async def sign_in(
        self,
        handle: str,
        password: str,
        *,
        me: Actor | None,
        session: str,
        replace: bool,
        by: Client,
        counted: str,
    ) -> tuple[str, Actor]:
        """The token of a new session of who has this handle and password. `counted`: whose failures are counted.

        Refused: `credentials_wrong`, `account_disabled`, `identity_in_use` (a guest, unless they shall be replaced).
        Unavailable: `rate_limited`, `too_busy`.
        """
        if me is not None and me.handle is None and not replace:
            raise Refused(Code.IDENTITY_IN_USE, f"This browser is {me.name} already.")
        small = handle.lower() if handle.isascii() else handle
        skeleton = validation.skeleton(small[: validation.HANDLE_CHARS_MAX + 1])
        with self._attempts.counted(account=skeleton, address=counted):
            found = await self._store.read(accounts.by_handle, small, skeleton)
            actor, proof = await self._proven(found, password)
        signed_in = None if me is None or me.handle is None else me
        token, beginning = self._beginning(session, signed_in)
        signing = SignIn(actor=actor, password=proof, session=beginning)
        return token, await self._enter(signing, token, by)

    async def change_password(
        self, me: Actor, old: str, new: str, *, session: str, by: Client, counted: str
    ) -> tuple[str, Actor]:
        """Another password, and the token of a new session; all others end.

        Refused: `credentials_wrong`, `password_weak`, `not_found` (no account). Unavailable: as `sign_in`.
        """
        secret = validation.password(new)
        if me.handle is None:
            raise Refused(Code.NOT_FOUND, "You have no account yet.")
        skeleton = validation.skeleton(me.handle)
        with self._attempts.counted(account=skeleton, address=counted):
            found = await self._store.read(accounts.of_actor, me.id)
            actor, proof = await self._proven(found, old)
        token, beginning = self._beginning(session, me)
        changing = ChangePassword(
            actor=actor, old=proof, new=await self._passwords.hash(secret), session=beginning
        )
        return token, await self._enter(changing, token, by)

    async def sign_out(self, me: Actor, session: str) -> None:
        """Ends the session that asks. Refused: `forbidden` (a guest, who could not come back)."""
        if me.handle is None:
            raise Refused(Code.FORBIDDEN, "A guest who leaves cannot come back. Sign up first.")
        await self._devices.end_own(me, session)

    async def reset(self, ticket: str, password: str, *, by: Client) -> tuple[str, Actor]:
        """Another password by a link, once, and the token of a new session; all others end.

        Refused: `ticket_ended`, `password_weak`, `account_disabled`. Unavailable: `too_busy`.
        """
        secret = validation.password(password)
        digest = digest_of(ticket)
        await self._devices.look(ticket, TicketKind.RESET)  # so that no hash is made for nothing
        token, beginning = self._beginning()
        new = await self._passwords.hash(secret)
        resetting = ResetPassword(ticket_sha256=digest, new=new, session=beginning)
        return token, await self._enter(resetting, token, by)

    async def _proven(
        self, found: tuple[Account, str | None] | None, password: str
    ) -> tuple[ActorId, bytes]:
        """Whose password this is, and the hash that says so; it costs the same for who is not there."""
        stored = None if found is None or found[1] is None else found[1].encode()
        try:
            secret = validation.password(password)
        except Refused:
            secret, stored = b"", None
        right = await self._passwords.is_right(secret, stored)
        if found is None or stored is None or not right:
            raise wrong()
        return found[0].actor.id, stored

    def _beginning(self, session: str = "", me: Actor | None = None) -> tuple[str, Beginning]:
        token = self._clock.secret()
        return token, Beginning(
            token_sha256=digest_of(token),
            lasts_ms=self._settings.session_ms_max,
            idle_ms=self._settings.session_idle_ms,
            instead_of=None if me is None else (digest_of(session), me.id),
        )

    async def _enter(self, entering: Audited[Actor], token: str, by: Client) -> Actor:
        actor = await self._store.write(entering)
        self._identity.used(token, by)
        return actor

    def _checked(self, name: str) -> str:
        return validation.person_name(name, self._settings.name_chars_max)
