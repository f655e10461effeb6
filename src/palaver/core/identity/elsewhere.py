"""Signs people in whom an OpenID provider has signed in, and out when it says so.

An attempt begins here and ends here, in the browser in which it began, once and within ten minutes: what is known of it
is kept under the SHA-256 of its state. Who somebody is there is the issuer and its subject, for good; nobody is taken
for somebody because names are alike, nor e-mail addresses, unless the settings say so. A guest who comes for the first
time stays who they are.
"""

from collections.abc import Mapping
from contextlib import suppress

import msgspec
from msgspec import Struct

from palaver.clock import Clock
from palaver.core import validation
from palaver.core.identity.actors import Client, Identity, digest_of
from palaver.core.identity.identities import Identities, handles
from palaver.core.identity.register import beginning, claimed
from palaver.errors import Code, Refused
from palaver.model import Actor, ServerRole
from palaver.providers.oidc import Attempt, OpenIDProvider, failed
from palaver.settings import Settings
from palaver.store.read import identities
from palaver.store.store import Store
from palaver.store.write.people.accounts import AddAccount
from palaver.store.write.people.claims import Claim
from palaver.store.write.people.credentials import KeepOnce, TakeOnce
from palaver.store.write.people.identities import LetIn, LinkIdentity, SignOutElsewhere

ATTEMPT_MS = 10 * 60_000
CALLED = ("preferred_username", "email", "name")
"""The claims of which the first gives a handle."""


class Kept(Struct, frozen=True, kw_only=True):
    """What is known of an attempt: in which browser it began, where it goes on, and what it is for.

    `link`: it gives another way in to who is signed in; `replace`: the guest that this browser is may be left behind;
    `bring`: what is theirs comes along.
    """

    attempt: Attempt
    browser: str
    next: str
    link: bool
    replace: bool
    bring: bool


class Elsewhere:
    """The ways in of one database by a provider."""

    def __init__(
        self,
        store: Store,
        identity: Identity,
        settings: Settings,
        clock: Clock,
        *,
        inside: Identities,
        provider: OpenIDProvider,
    ) -> None:
        self._store, self._identity, self._identities = store, identity, inside
        self._provider, self._settings, self._clock = provider, settings, clock
        self._roles = [
            (group, ServerRole(role))
            for group, _, role in (one.rpartition("=") for one in settings.oidc_roles)
        ]

    async def begin(
        self, redirect: str, next_: str, *, session: str, link: bool, replace: bool, bring: bool
    ) -> str:
        """Where to send the browser of this session, to come back to `redirect` and go on to `next_`."""
        secret = self._clock.secret
        attempt, state = Attempt(redirect=redirect, nonce=secret(), verifier=secret()), secret()
        address = await self._provider.address_for(attempt, state)
        kept = Kept(
            attempt=attempt,
            browser=digest_of(session).hex(),
            next=next_,
            link=link,
            replace=replace,
            bring=bring,
        )
        said = msgspec.json.encode(kept)
        keeping = KeepOnce(digest=digest_of(state), said=said, lasts_ms=ATTEMPT_MS)
        await self._store.write(keeping)
        return address

    async def end(
        self, answer: Mapping[str, str], *, session: str, me: Actor | None, by: Client
    ) -> tuple[str, str | None]:
        """Where the browser goes on that came back with this answer, and the token of its new session.

        There is none where it has another way in from now on. Refused: `sign_in_failed`, `account_disabled`,
        `forbidden` (no role), `identity_in_use` (a guest, unless they shall be replaced; somebody else's).
        """
        state = digest_of(answer.get("state", ""))
        said = await self._store.write(TakeOnce(digest=state))
        if said is None:
            raise failed("it was not begun here, or too long ago")
        kept = msgspec.json.decode(said, type=Kept)
        if kept.browser != digest_of(session).hex():
            raise failed("it was begun in another browser")
        claims = await self._provider.claims(kept.attempt, answer)
        subject, at_ms = str(claims["sub"]), self._clock.now_ms()
        if kept.link:
            if me is None:
                raise failed("nobody is signed in any more")
            linking = LinkIdentity(
                issuer=self._provider.issuer, subject=subject.encode(), actor=me, at_ms=at_ms
            )
            await self._store.write(linking)
            return kept.next, None
        return kept.next, await self._let_in(claims, kept, session, me, by)

    async def _let_in(
        self, claims: Mapping[str, object], kept: Kept, session: str, me: Actor | None, by: Client
    ) -> str:
        issuer, subject, role = self._provider.issuer, str(claims["sub"]), self._role(claims)
        known, merges = await self._store.read(identities.find, issuer, subject), None
        mine, email = None if known is None else known.actor, self._email(claims)
        if known is None and email is not None:
            mine = await self._store.read(identities.of_email, email)
            merges = None if mine is None else (email, mine.id)
        guest = me if me is not None and me.handle is None else None
        if mine is not None and guest is not None and kept.bring:
            asks = digest_of(session)
            await claimed(self._store, Claim(actor=mine.id, guest=guest.id, by=mine.id, but=asks))
        elif mine is not None and guest is not None and not kept.replace:
            raise Refused(Code.IDENTITY_IN_USE, f"This browser is {guest.name} already.")
        token, sid = self._clock.secret(), claims.get("sid")
        replaced = me if guest is None or mine is None or kept.bring else None
        begins = beginning(
            self._settings,
            token,
            instead_of=None if replaced is None else (digest_of(session), replaced.id),
            elsewhere=sid if isinstance(sid, str) else "",
        )

        def letting(newcomer: AddAccount) -> LetIn:
            return LetIn(
                issuer=issuer,
                subject=subject.encode(),
                newcomer=newcomer,
                session=begins,
                at_ms=self._clock.now_ms(),
                role=role,
                merges=merges,
            )

        called = next((one for one in map(claims.get, CALLED) if isinstance(one, str)), "")
        newcomer = guest if mine is None else None
        name = None if newcomer is not None else self._name(claims.get("name"))
        await self._identities.let_in(letting, handles(called, issuer, subject), name, newcomer)
        self._identity.used(token, by)
        return token

    async def leaving(self, back: str) -> str:
        """Where a browser signs out at the provider, to come `back`; there at once where it cannot."""
        return await self._provider.leaving(back) or back

    async def signed_out(self, token: str) -> None:
        """Ends what the provider says is over, by a logout token, which is good once. Refused: `sign_in_failed`."""
        claims = await self._provider.signed_out(token)
        sid = claims.get("sid")
        ending = SignOutElsewhere(
            issuer=self._provider.issuer,
            subject=claims["sub"].encode() if "sub" in claims else None,
            session=sid,
            digest=digest_of(f"logout\0{claims['jti']}"),
            lasts_ms=max(0, int(claims["exp"] * 1_000) - self._clock.now_ms()) + ATTEMPT_MS,
        )
        await self._store.write(ending)

    def _role(self, claims: Mapping[str, object]) -> ServerRole | None:
        """The role that the provider's groups give; None where they give none. Refused: `forbidden`."""
        claim = self._settings.oidc_roles_claim
        if claim is None or not self._roles:
            return None
        groups = claims.get(claim)
        found = [
            role for group, role in self._roles if isinstance(groups, list) and group in groups
        ]
        if not found:
            raise Refused(Code.FORBIDDEN, "You are in no group that is let in here.")
        return ServerRole.ADMIN if ServerRole.ADMIN in found else ServerRole.PERSON

    def _email(self, claims: Mapping[str, object]) -> str | None:
        """The address by which somebody may be found here; None where that is not set, or it is not surely theirs."""
        found = claims.get("email")
        is_theirs = self._settings.oidc_link_email and claims.get("email_verified") is True
        return found if is_theirs and isinstance(found, str) else None

    def _name(self, name: object) -> str | None:
        """What somebody is called there, where that may be a name here."""
        with suppress(Refused):
            most = self._settings.name_chars_max
            return validation.person_name(name, most) if isinstance(name, str) else None
        return None
