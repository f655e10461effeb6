"""Finds and makes guests, people and agents, and the tokens that prove a session.

An identity is an actor; a session's token proves it and is kept only as its SHA-256. For now everyone is a guest:
a person without an account, known by the token in a cookie. All tokens are made here; the id that a classic client
chooses is good at that door only.
"""

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping
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
from palaver.model import Actor, ActorId, ActorKind, AgentCard, CredentialId, SessionUse
from palaver.settings import Settings
from palaver.store.read import actors
from palaver.store.read.devices import id_of
from palaver.store.store import Store
from palaver.store.write.actors import AddActor, RenameActor, SaveAgent, SweepGuests
from palaver.store.write.credentials import SessionsUsed

ASSISTANT_HANDLE = "assistant"
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

    async def claimed(self, user: UUID, making: Callable[[], None] | None = None) -> Actor:
        """The guest of an id that its client chose, made at its first use. It is no session's token: see `actor`.

        `making` is asked before one is made.
        """
        digest = digest_of(str(user))
        known = await self._store.read(actors.by_chosen, digest)
        if known is None and making is not None:
            making()
        return known or await self._guest(digest)

    async def looking(self, user: UUID) -> Actor:
        """The same without making it: an id that is new here is a visitor's."""
        digest = digest_of(str(user))
        return await self._store.read(actors.by_chosen, digest) or _guest_of(digest)

    async def rename(self, actor: Actor, name: str) -> Actor:
        """Gives a person another name. Refused: `name_invalid`, `name_reserved`."""
        return await self._store.write(RenameActor(actor=actor.id, name=self._checked(name)))

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

    async def assistant(self) -> ActorId:
        """The server's own agent, made if need be."""
        known = await self._store.read(actors.by_handle, ASSISTANT_HANDLE)
        if known is not None:
            return known.id
        return (await self.agent(ASSISTANT_HANDLE, "Assistant")).actor.id

    async def agent(
        self,
        handle: str,
        name: str | None = None,
        *,
        model: str | None = None,
        system_prompt: str | None = None,
    ) -> AgentCard:
        """The agent with this handle, made or changed. What is None stays as it is; the model "" is the default one."""
        known = await self._store.read(actors.by_handle, handle)
        there = None if known is None else await self._store.read(actors.agent, known.id)
        agent = ActorId(f"a_{self._clock.new_id()}")
        card = there or AgentCard(actor=Actor(id=agent, kind=ActorKind.AGENT, name=handle))
        if name is not None:
            named = replace(card.actor, name=validation.well_formed(name, "name"))
            card = replace(card, actor=named)
        if model is not None:
            card = replace(card, model=model or None)
        if system_prompt is not None:
            card = replace(card, system_prompt=system_prompt)
        if card == there:
            return card
        return await self._store.write(SaveAgent(card=card, handle=handle))

    async def agents(self) -> dict[str, AgentCard]:
        """All agents, by their handles."""
        return await self._store.read(actors.agents_by_handle)

    def check_name(self, name: str) -> None:
        """That a person may have this name. Refused: `name_invalid`, `name_reserved`."""
        self._checked(name)

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
    """The guest of a token. The id is made of the digest: a visitor stays the same one when they are stored."""
    hex_id = hashlib.sha256(b"guest" + digest).hexdigest()[:32]
    name = name or f"Guest {hex_id[-4:]}"
    return Actor(id=ActorId(f"u_{hex_id}"), kind=ActorKind.PERSON, name=name, guest=True)


def session_of(token: str | None) -> CredentialId | None:
    """The session of a token, whether or not there is one; None without a token."""
    return None if token is None else id_of(digest_of(token))


def digest_of(token: str) -> bytes:
    """The SHA-256 under which a token is kept."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
