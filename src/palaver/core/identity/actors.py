"""Finds and makes guests, people and agents, and the tokens that prove a session.

An identity is an actor; a session's token proves it and is kept only as its SHA-256. For now everyone is a guest:
a person without an account, known by the token in a cookie. All tokens are made here; the id that a classic client
chooses is good at that door only.
"""

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from uuid import UUID

import structlog
from msgspec.structs import replace

from palaver.clock import Clock
from palaver.core import validation
from palaver.core.access import remember
from palaver.errors import Refused, Unavailable
from palaver.model import Actor, ActorId, ActorKind, AgentCard
from palaver.settings import Settings
from palaver.store.read import actors
from palaver.store.store import Store
from palaver.store.write.actors import AddActor, RenameActor, SaveAgent, SweepGuests

ASSISTANT_HANDLE = "assistant"
TOKEN_CHARS = 43
UNUSED_MS, SWEPT_MAX = 24 * 3_600_000, 200

log = structlog.stdlib.get_logger()


class Identity:
    """Finds and makes actors. The store is asked each time; what it said last is good while it cannot be asked."""

    def __init__(self, store: Store, settings: Settings, clock: Clock, secret: str) -> None:
        """`secret` signs the tokens of visitors; every process of the database has the same."""
        self._store = store
        self._settings = settings
        self._clock = clock
        self._secret = secret
        self._sessions: dict[bytes, Actor] = {}
        self.swept = 0
        """How many guests this process has deleted (`sweep`)."""

    async def actor(self, token: str) -> Actor | None:
        """Whose session this token is; None for an unknown one, and for an id that its client chose.

        Refused: `unauthenticated` for a session that has ended.
        """
        if not _may_be_token(token):
            return None
        digest = digest_of(token)
        try:
            found = await self._store.read(actors.by_token, digest)
        except Unavailable:
            if digest in self._sessions:
                return self._sessions[digest]
            raise
        except Refused:
            self._sessions.pop(digest, None)
            raise
        if found is not None:
            remember(self._sessions, digest, found)
        return found

    async def new_guest(self, name: str | None = None) -> tuple[str, Actor]:
        """A new person without an account, and the token of its session. Refused: `name_invalid`, `name_reserved`."""
        token, _ = self.visitor(None)
        name = None if name is None else self._checked(name)
        return token, await self._guest(digest_of(token), name)

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

    async def entered(self, token: str) -> Actor:
        """The guest of a visitor's token, stored because they write."""
        return await self._guest(digest_of(token))

    async def claimed(self, user: UUID, making: Callable[[], None] | None = None) -> Actor:
        """The guest of an id that its client chose, made at its first use. It is no session's token: see `actor`.

        `making` is asked before one is made.
        """
        digest = digest_of(str(user))
        known = await self._store.read(actors.by_token, digest)
        if known is None and making is not None:
            making()
        return known or await self._guest(digest)

    async def looking(self, user: UUID) -> Actor:
        """The same without making it: an id that is new here is a visitor's."""
        digest = digest_of(str(user))
        return await self._store.read(actors.by_token, digest) or _guest_of(digest)

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

    def _signed(self, nonce: bytes) -> str:
        proof = hmac.digest(self._secret.encode(), nonce, "sha256")[:16]
        return urlsafe_b64encode(nonce + proof).rstrip(b"=").decode()

    def _is_signed(self, token: str) -> bool:
        try:
            nonce = urlsafe_b64decode(token + "=")[:16]
        except ValueError:
            return False
        return hmac.compare_digest(self._signed(nonce).encode(), token.encode())

    async def _guest(self, digest: bytes, name: str | None = None) -> Actor:
        guest = _guest_of(digest, name)
        handle = f"guest-{digest.hex()[:32]}"
        adding = AddActor(actor=guest, handle=handle, token_sha256=digest, unused=name is None)
        return await self._store.write(adding)

    def _checked(self, name: str) -> str:
        return validation.person_name(name, self._settings.name_chars_max)


def _may_be_token(token: str) -> bool:
    """Whether a text may be a token that was made here. A UUID is none: it was chosen by a client (`claimed`)."""
    return len(token) == TOKEN_CHARS and token.isascii()


def _guest_of(digest: bytes, name: str | None = None) -> Actor:
    """The guest of a token. The id is made of the digest: a visitor stays the same one when they are stored."""
    hex_id = hashlib.sha256(b"guest" + digest).hexdigest()[:32]
    name = name or f"Guest {hex_id[-4:]}"
    return Actor(id=ActorId(f"u_{hex_id}"), kind=ActorKind.PERSON, name=name, guest=True)


def digest_of(token: str) -> bytes:
    """The SHA-256 under which a token is kept."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
