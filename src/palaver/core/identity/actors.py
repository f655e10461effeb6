"""Finds and makes guests and people, and the tokens that prove a session.

An identity is an actor; a session's token proves it and is kept only as its SHA-256. For now everyone is a guest:
a person without an account, known by the token in a cookie. All tokens are made here; the id that a classic client
chooses is good at that door only.
"""

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from uuid import UUID

import structlog
from msgspec import Struct
from msgspec.structs import replace

from palaver.clock import Clock
from palaver.core import validation
from palaver.core.access import remember
from palaver.core.identity.last_used import LastUsed
from palaver.core.live.standing import Standings
from palaver.errors import Refused, Unavailable
from palaver.model import Actor, ActorId, ActorKind, CredentialId
from palaver.settings import Settings
from palaver.store.read import actors
from palaver.store.read.devices import id_of
from palaver.store.store import Store
from palaver.store.write.actors import AddActor, RenameActor, SweepGuests
from palaver.store.write.people.credentials import SessionsUsed, SessionUse

APPLICATION_HANDLE = "application"
"""A program's own, which owns its rooms and is nobody in them."""
TOKEN_CHARS = 43
UNUSED_MS, SWEPT_MAX = 24 * 3_600_000, 200

log = structlog.stdlib.get_logger()


class Client(Struct, frozen=True, kw_only=True):
    """From where a session is used: a program, in a few words, and its address."""

    agent: str
    address: str


class Identity:
    """Finds and makes actors. The store is asked each time; what it said last is good while it cannot be asked."""

    def __init__(
        self, store: Store, settings: Settings, clock: Clock, secret: str, standings: Standings
    ) -> None:
        """`secret` signs the tokens of visitors; every process of the database has the same."""
        self._store = store
        self._standings = standings
        self._settings = settings
        self._clock = clock
        self._secret = secret
        self._sessions: dict[bytes, Actor] = {}
        self.last_used = LastUsed(store, _used)
        """Writes when sessions were used."""
        self.swept = 0
        """How many guests this process has deleted (`sweep`)."""

    async def actor(self, token: str, by: Client | None = None) -> Actor | None:
        """Whose session this token is; None for an unknown one, and for an id that its client chose.

        `by` is noted as what used it last. Refused: `session_ended`.
        """
        if not _may_be_token(token):
            return None
        digest, now_ms = digest_of(token), self._clock.now_ms()
        try:
            idle_ms = self._settings.session_idle_ms
            found = await self._store.read(actors.by_token, digest, now_ms, idle_ms)
        except Unavailable:
            if digest in self._sessions and not self._standings.has_ended(id_of(digest)):
                return self._sessions[digest]
            raise
        except Refused:
            self._sessions.pop(digest, None)
            raise
        if found is not None:
            remember(self._sessions, digest, found)
            self.used(token, by)
        return found

    def used(self, token: str, by: Client | None) -> None:
        """Notes that a session was used just now."""
        if by is not None:
            use = SessionUse(self._clock.now_ms(), by.agent, by.address)
            self.last_used.note(digest_of(token), use)

    async def new_guest(self, name: str | None = None) -> tuple[str, Actor]:
        """A new person without an account, and the token of its session. Refused: `name_invalid`, `name_reserved`."""
        token, _ = self.visitor(None)
        name = None if name is None else self._checked(name)
        lasts_ms = self._settings.session_ms_max
        return token, await self._guest(digest_of(token), name, lasts_ms=lasts_ms)

    async def sweep(self) -> None:
        """Deletes some guests who were made a day ago and have left nothing.

        Who comes again with a token of theirs is a visitor, and the same guest from what they write on.
        """
        before_ms = self._clock.now_ms() - UNUSED_MS
        if await self._store.read(actors.any_unused, before_ms):
            sweeping = SweepGuests(before_ms=before_ms, count=SWEPT_MAX)
            gone, found = await self._store.write(sweeping)
            self.swept += gone
            log.info("guests.swept", guests=gone, looked_at=found)

    def visitor(self, token: str | None) -> tuple[str, Actor]:
        """A guest who has written nothing and is stored nowhere: the one that this token will be, or a new one.

        Such tokens are signed, so that nobody's choice of one becomes a session.
        """
        if token is None or not self._is_signed(token):
            nonce = hashlib.sha256(self._clock.secret().encode()).digest()[:16]
            token = self._signed(nonce)
        return token, _guest_of(digest_of(token))

    async def entered(self, token: str, by: Client | None = None) -> Actor:
        """The guest of a visitor's token, stored because they write."""
        guest = await self._guest(digest_of(token), lasts_ms=self._settings.session_ms_max)
        self.used(token, by)
        return guest

    async def chosen(self, user: UUID) -> Actor | None:
        """The guest of an id that its client chose. It is no session's token: see `actor`."""
        return await self._store.read(actors.by_chosen, digest_of(str(user)))

    async def claimed(self, user: UUID) -> Actor:
        """The same, made at the id's first use."""
        return await self._guest(digest_of(str(user)))

    def looking(self, user: UUID) -> Actor:
        """The visitor of an id that is new here."""
        return _guest_of(digest_of(str(user)))

    async def rename(self, actor: Actor, name: str) -> Actor:
        """Gives a person another name. Refused: `name_invalid`, `name_reserved`."""
        renamed = await self._store.write(RenameActor(actor=actor.id, name=self._checked(name)))
        return replace(renamed, server_role=actor.server_role)

    async def person(self, handle: str, name: str | None = None) -> Actor:
        """The person with this handle, made if need be. For programs that know their people themselves."""
        known = await self._store.read(actors.by_handle, handle)
        if known is not None and name in {None, known.name}:
            return known
        name = self._checked(name or handle)
        if known is not None:
            return await self._store.write(RenameActor(actor=known.id, name=name))
        id_ = ActorId(f"u_{self._clock.new_id()}")
        actor = Actor(id=id_, kind=ActorKind.PERSON, name=name)
        return await self._store.write(AddActor(actor=actor, handle=handle))

    def check_name(self, name: str) -> None:
        """That a person may have this name. Refused: `name_invalid`, `name_reserved`."""
        self._checked(name)

    def derived(self, words: str) -> str:
        """The token that the servers of this database make of these words, and nobody else can."""
        made = hmac.digest(self._secret.encode(), words.encode(), "sha256")
        return urlsafe_b64encode(made).rstrip(b"=").decode()

    def _signed(self, nonce: bytes) -> str:
        proof = hmac.digest(self._secret.encode(), nonce, "sha256")[:16]
        return urlsafe_b64encode(nonce + proof).rstrip(b"=").decode()

    def _is_signed(self, token: str) -> bool:
        try:
            nonce = urlsafe_b64decode(token + "=")[:16]
        except ValueError:
            return False
        return hmac.compare_digest(self._signed(nonce).encode(), token.encode())

    async def _guest(
        self, digest: bytes, name: str | None = None, *, lasts_ms: int | None = None
    ) -> Actor:
        adding = AddActor(
            actor=_guest_of(digest, name),
            handle=f"guest-{digest.hex()[:32]}",
            token_sha256=digest,
            lasts_ms=lasts_ms,
            unused=name is None,
        )
        return await self._store.write(adding)

    def _checked(self, name: str) -> str:
        return validation.person_name(name, self._settings.name_chars_max)


def _used(used: Mapping[bytes, SessionUse]) -> SessionsUsed:
    return SessionsUsed(used=used)


def _may_be_token(token: str) -> bool:
    """Whether a text may be a token that was made here. A UUID is none: it was chosen by a client (`claimed`)."""
    return len(token) == TOKEN_CHARS and token.isascii()


def _guest_of(digest: bytes, name: str | None = None) -> Actor:
    id_ = actors.guest_of(digest)
    return Actor(id=id_, kind=ActorKind.PERSON, name=name or f"Guest {id_[-4:]}", guest=True)


def session_of(token: str | None) -> CredentialId | None:
    """The session of a token, whether or not there is one; None without a token."""
    return None if token is None else id_of(digest_of(token))


def digest_of(token: str) -> bytes:
    """The SHA-256 under which a token is kept."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
