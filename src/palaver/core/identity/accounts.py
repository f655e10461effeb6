"""Signs people up, in and out: accounts with a handle and a password, for persons who were guests or are new.

A guest who signs up stays the actor that they are, with all their rooms. Whatever proves somebody anew (signing up or
in, another password) begins a session with a new token and ends the one that was there, so that nobody's choice of a
token becomes an account's. Failures are counted (`identity/attempts`). What an operator does is in `identity/register`.
"""

from collections import Counter

from msgspec import structs

from palaver.clock import Clock
from palaver.core import validation
from palaver.core.identity.actors import Client, Identity, digest_of
from palaver.core.identity.attempts import Attempts
from palaver.core.identity.devices import Devices
from palaver.core.identity.invitations import Invitations
from palaver.core.identity.passwords import Passwords
from palaver.core.identity.register import adding, beginning, claimed, left
from palaver.errors import Code, Refused, Unavailable
from palaver.model import Account, AccountStatus, Actor, ActorId, ServerRole, TicketKind
from palaver.settings import Settings
from palaver.store.read import accounts
from palaver.store.store import Store
from palaver.store.write.people.accounts import (
    Beginning,
    ChangePassword,
    Renew,
    ResetPassword,
    SignIn,
    TellFailures,
    wrong,
)
from palaver.store.write.people.claims import Claim
from palaver.store.write.people.credentials import Audited
from palaver.store.write.people.invitations import invite_not_found
from palaver.store.write.people.leaving import Leave

FAILED_MAX = 1_000
"""Of so many accounts failures are told apart."""
_CLOSED = {
    "off": "Who runs this server makes its accounts. Ask them.",
    "invite": "An invitation is needed. Ask somebody who is here.",
}


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
        invitations: Invitations,
    ) -> None:
        self._store, self._devices, self._identity = store, devices, identity
        self._invitations = invitations
        self._settings, self._clock, self._passwords = settings, clock, passwords
        self._attempts = Attempts(clock.monotonic)
        self._failed = Counter[str]()

    async def sign_up(
        self,
        handle: str,
        password: str,
        name: str | None = None,
        *,
        me: Actor | None,
        session: str,
        by: Client,
        setup: str | None = None,
        invitation: str | None = None,
    ) -> tuple[str | None, Actor]:
        """A new account of `me`, or of a new person, and the token of its session; None: an admin lets them in.

        `setup`: the token of the link that the server prints; the account is that of its first owner, whatever is set.
        `invitation`: that of one to the server, whose maker has let them in.
        Refused: `forbidden` (the setting `sign_up`), `ticket_ended`, `invite_not_found`, `handle_invalid`,
        `handle_taken`, `name_reserved`, `name_invalid`, `password_weak`, `identity_in_use` (who has an account).
        Unavailable: `too_busy`.
        """
        if setup is not None:
            await self._devices.look(setup, TicketKind.SETUP)  # so that no hash is made for nothing
        elif invitation is not None:
            if (await self._invitations.look(invitation, None))[0].server_role is None:
                raise invite_not_found()
        elif (way := await self.sign_up_for(me)) in _CLOSED:
            raise Refused(Code.FORBIDDEN, _CLOSED[way])
        handle, secret = validation.handle(handle), validation.password(password)
        name = None if name is None else self._checked(name)
        if me is not None and me.handle is not None:
            raise Refused(Code.IDENTITY_IN_USE, f"You are @{me.handle} already.")
        added = adding(self._clock, handle, name, me)
        token, beginning = self._beginning(session, me)
        hashed = await self._passwords.hash(secret)
        role = ServerRole.PERSON if setup is None else ServerRole.OWNER
        pending = self._settings.sign_up == "approve" and setup is None and invitation is None
        invited = None if invitation is None else (digest_of(invitation), self._invitations.act)
        entering = structs.replace(
            added,
            password=hashed,
            session=None if pending and me is None else beginning,
            role=role,
            setup=None if setup is None else digest_of(setup),
            invited=invited,
            status=AccountStatus.PENDING if pending else AccountStatus.ACTIVE,
        )
        if entering.session is None:
            return None, await self._store.write(entering)
        return token, await self._enter(entering, token, by)

    async def sign_up_for(self, me: Actor | None) -> str:
        """The setting `sign_up`. A guest whom an account's owner let into a chat was invited: to them it is `open`."""
        way = self._settings.sign_up
        if way != "invite" or me is None or me.handle is not None:
            return way
        return "open" if await self._store.read(accounts.is_hosted, me.id) else way

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
        bring: bool = False,
    ) -> tuple[str, Actor]:
        """The token of a new session of who has this handle and password. `counted`: whose failures are counted.

        A guest who asks is left behind (`replace`), or what is theirs comes along (`bring`); who is cut off in that may
        ask again. Refused: `credentials_wrong`, `account_disabled`, `identity_in_use` (a guest, without either).
        Unavailable: `rate_limited`, `too_busy`.
        """
        guest = me if me is not None and me.handle is None else None
        if guest is not None and not (replace or bring):
            told = f"This browser is {guest.name} already. Bring what is theirs along, or leave it."
            raise Refused(Code.IDENTITY_IN_USE, told)
        small = handle.lower() if handle.isascii() else handle
        skeleton = validation.skeleton(small[: validation.HANDLE_CHARS_MAX + 1])
        with self._attempts.counted(account=skeleton, address=counted):
            found = await self._store.read(accounts.by_handle, small, skeleton)
            actor, proof = await self._proven(found, password)
        if guest is not None and bring:
            asks = digest_of(session)
            claim = Claim(actor=actor, guest=guest.id, by=actor, password=proof, but=asks)
            await claimed(self._store, claim)
        token, beginning = self._beginning(session, None if me is guest and not bring else me)
        signing = SignIn(actor=actor, password=proof, session=beginning)
        return token, await self._enter(signing, token, by)

    async def renew(self, me: Actor, session: str, *, by: Client) -> str:
        """The token of a session in the place of the one that asks. Refused: `session_ended`, `account_disabled`."""
        token, beginning = self._beginning(session, me)
        await self._enter(Renew(actor=me.id, session=beginning), token, by)
        return token

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

    async def leave(self, me: Actor, password: str, *, counted: str) -> None:
        """Takes who asks out for good, by the password of an account that has one; once more changes nothing.

        Refused: `credentials_wrong`, `last_owner`. Unavailable: as `sign_in`.
        """
        found, proof = await self._store.read(accounts.of_actor, me.id), None
        if found is not None and found[1] is not None:
            skeleton = validation.skeleton(me.handle or "")
            with self._attempts.counted(account=skeleton, address=counted):
                _, proof = await self._proven(found, password)
        await left(self._store, Leave(actor=me.id, by=me.id, password=proof))

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

    async def tell_failures(self) -> None:
        """Audits how many attempts to sign in have failed since the last time. What a killed process had is lost."""
        failed, self._failed = self._failed, Counter[str]()
        if failed:
            try:
                await self._store.write(TellFailures(counts=failed))
            except Unavailable:
                self._failed += failed
                raise

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
            whose = "" if found is None else found[0].actor.id
            self._failed[whose if len(self._failed) < FAILED_MAX else ""] += 1
            raise wrong()
        return found[0].actor.id, stored

    def _beginning(self, session: str = "", me: Actor | None = None) -> tuple[str, Beginning]:
        token = self._clock.secret()
        instead_of = None if me is None else (digest_of(session), me.id)
        return token, beginning(self._settings, token, instead_of=instead_of)

    async def _enter(self, entering: Audited[Actor], token: str, by: Client) -> Actor:
        actor = await self._store.write(entering)
        self._identity.used(token, by)
        return actor

    def _checked(self, name: str) -> str:
        return validation.person_name(name, self._settings.name_chars_max)
