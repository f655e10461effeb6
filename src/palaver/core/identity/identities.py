"""Lets people in whom somebody else has signed in: a proxy that names them in a header.

Who they are is an issuer and a subject, whatever they are called. At first sight an account without a password is made,
whose handle is what they are called there where that is free. Whom the proxy names has one session, whose token all
processes make alike and nobody else can: it ends like every other, and the next request begins another one.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from palaver.clock import Clock
from palaver.core import validation
from palaver.core.access import remember
from palaver.core.identity.actors import Client, Identity
from palaver.core.identity.register import adding, beginning
from palaver.errors import Code, Refused
from palaver.model import Actor
from palaver.model.identities import Linked
from palaver.settings import Settings
from palaver.store.read import identities
from palaver.store.store import Store
from palaver.store.write.people.accounts import AddAccount
from palaver.store.write.people.identities import LetIn, UnlinkIdentity

PROXY = "proxy"
"""The issuer of those whom a proxy names."""
_ENDED = frozenset({Code.SESSION_ENDED, Code.UNAUTHENTICATED})
_OTHERS = re.compile(r"[^a-z0-9._-]+")


class Identities:
    """Who the people of one database are elsewhere."""

    def __init__(self, store: Store, identity: Identity, settings: Settings, clock: Clock) -> None:
        self._store, self._identity = store, identity
        self._settings, self._clock = settings, clock
        self._begun: dict[str, int] = {}

    async def named(self, subject: str, by: Client) -> str:
        """The token of the session of whom the proxy names, begun if need be.

        Refused: `account_disabled`. Unavailable: while the database is away, and they were not seen before.
        """
        knew_ms = self._begun.get(subject)
        if knew_ms is None:
            found = await self._store.read(identities.find, PROXY, subject)
            knew_ms = None if found is None else found.seen_ms
        if knew_ms is not None and await self._is_good(token := self._token(subject, knew_ms), by):
            remember(self._begun, subject, knew_ms)
            return token
        begun = await self._begin(subject, knew_ms)
        remember(self._begun, subject, begun.seen_ms)
        return self._token(subject, begun.seen_ms)

    async def _is_good(self, token: str, by: Client) -> bool:
        try:
            return await self._identity.actor(token, by) is not None
        except Refused as refused:
            if refused.code not in _ENDED:
                raise
            return False

    async def _begin(self, subject: str, knew_ms: int | None) -> Linked:
        at_ms = max(self._clock.now_ms(), (knew_ms or 0) + 1)
        session = beginning(self._settings, self._token(subject, at_ms))

        def letting(newcomer: AddAccount) -> LetIn:
            return LetIn(
                issuer=PROXY,
                subject=subject.encode(),
                newcomer=newcomer,
                session=session,
                at_ms=at_ms,
                once=True,
                knew_ms=knew_ms,
            )

        return await self.let_in(letting, handles(subject, PROXY, subject))

    async def let_in(
        self,
        letting: Callable[[AddAccount], LetIn],
        handles: Iterable[str],
        name: str | None = None,
        person: Actor | None = None,
    ) -> Linked:
        """Lets somebody in, under the first of the handles that is free where they are new here.

        `person`: who they are until then. Refused: as `LetIn`.
        """
        for handle in handles:
            try:
                return await self._store.write(letting(adding(self._clock, handle, name, person)))
            except Refused as refused:
                if refused.code is not Code.HANDLE_TAKEN:
                    raise
        raise Refused(Code.HANDLE_TAKEN, "Whatever you might be called here, somebody is.")

    async def listing(self, actor: Actor) -> tuple[Linked, ...]:
        """Who an actor is elsewhere."""
        return await self._store.read(identities.of_actor, actor.id)

    async def unlink(self, actor: Actor, identity: str) -> None:
        """Takes one of an actor's identities away. Refused: `not_found`, `forbidden` (the only way in; the proxy's)."""
        await self._store.write(UnlinkIdentity(id=identity, by=actor.id, but=PROXY))

    def _token(self, subject: str, begun_ms: int) -> str:
        return self._identity.derived(f"{PROXY}\0{subject}\0{begun_ms}")


def handles(called: str, issuer: str, subject: str) -> Iterator[str]:
    """Handles to try for who is called so elsewhere: that, if it may be one, and what is like it and nobody else's."""
    own = hashlib.sha256(f"{issuer}\0{subject}".encode()).hexdigest()[:8]
    like = _OTHERS.sub("-", called.lower().partition("@")[0]).strip("._-")[
        : validation.HANDLE_CHARS_MAX - 9
    ]
    for one in dict.fromkeys((called, like, f"{like or 'person'}-{own}")):
        with suppress(Refused):
            yield validation.handle(one)
