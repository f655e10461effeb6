"""Makes, lists, ends and recognises API keys, and says who speaks where none is needed.

A key is shown once, when it is made, and kept as its SHA-256. What was read of one is believed for a second, so that
a request that carries it costs no read of its own; a key that is revoked is dead as soon as this process hears of it, a
second later at the latest. One that has expired is dead at once, and what lives by it ends within a second. While the
database is away, what it said last holds for an hour. When a key was last used is written behind, once a minute.

Who may do without a key is not decided here: that depends on where the request comes from (`wire/openai/auth`).
"""

import hashlib
import math
import re
from collections.abc import Callable, Collection, Mapping
from typing import Final

from palaver.clock import Clock
from palaver.core import validation
from palaver.core.identity.actors import digest_of
from palaver.core.identity.last_used import LastUsed
from palaver.core.live.standing import Standings
from palaver.errors import Code, Refused, Unavailable
from palaver.model import Actor, ActorId, ActorKind, ApiKey, CredentialId, KeyId, RoomId, Scope
from palaver.policy import NAMED_SCOPES, ServerAct, caller_by, check_server
from palaver.settings import DAY_MS, Settings
from palaver.store.read import actors, api_keys, devices
from palaver.store.read.rooms import AMONG_MAX
from palaver.store.store import Store
from palaver.store.write.actors import AddActor
from palaver.store.write.agents import AddAgentKey
from palaver.store.write.people.credentials import AddKey, KeysUsed, RevokeKey

PREFIX: Final = "plv_"
TOKEN_CHARS = len(PREFIX) + 43
BELIEVED_SECONDS = 1.0
BELIEVED_AWAY_SECONDS = 3_600.0
KNOWN_MAX = 1_024
GUEST_NAME = "API"
HANDLE_CHARS_MAX = 64
OWN_MAX = 200
LASTS_MS_MAX = 36_525 * DAY_MS
_ID = re.compile(r"u_[0-9a-f]{32}")


class Keys:
    """The API keys of one database. `last_used` writes when they were used."""

    def __init__(
        self, store: Store, settings: Settings, clock: Clock, standings: Standings
    ) -> None:
        self._store = store
        self._standings = standings
        self._settings = settings
        self._clock = clock
        # of a token's digest: until when, on the monotonic clock, what was read is believed
        self._known: dict[bytes, tuple[float, ApiKey | Actor | None]] = {}
        self.last_used = LastUsed(store, _used)

    async def create(
        self,
        *,
        name: str | None = None,
        scopes: Collection[str] = (),
        handle: str | None = None,
        actor: Actor | None = None,
        agent: Actor | None = None,
        expires_ms: int | None = None,
        days: int | None = None,
        rooms: Collection[str] | None = None,
    ) -> tuple[str, ApiKey]:
        """A new key and its token, which nobody learns again.

        It speaks for this `actor`, else for the person with this handle, made if need be, or with this id (`u_…`);
        without any, for a new person with the key's name. No scopes are all of them. It is good until `expires_ms`, or
        for so many `days`; `rooms`: there are no others for it. One of an `agent`, which must be a bot, is good in its
        rooms, and `actor` is who makes it. Refused: `bad_request` (an unknown scope, a handle that cannot be one, a
        time that is past or far, no rooms or more than `AMONG_MAX`), `name_invalid`, `name_reserved`, `not_found` (an
        id of nobody), `room_not_found`, `too_many_keys`, `agent_not_found`, `forbidden` (no admin's key for figures).
        """
        now_ms = self._clock.now_ms()
        if days is not None:
            expires_ms = now_ms + days * DAY_MS
        if expires_ms is not None and not now_ms < expires_ms <= now_ms + LASTS_MS_MAX:
            raise Refused(Code.BAD_REQUEST, "A key's end lies in the future, within 100 years.")
        wanted, by = _wanted(scopes, rooms, actor, agent), None if actor is None else actor.id
        actor = agent or actor
        id_ = KeyId(f"k_{self._clock.new_id()}")
        name = validation.person_name(name or f"Key {id_[-4:]}", self._settings.name_chars_max)
        if actor is None and handle is not None and _ID.fullmatch(handle):
            actor = await self.person(handle)
        if actor is None:
            owner = handle and validation.person_name(_handle(handle), HANDLE_CHARS_MAX)
            new_id = ActorId(f"u_{self._clock.new_id()}")
            person = Actor(id=new_id, kind=ActorKind.PERSON, name=owner or name)
            handle = handle or f"key-{id_[2:]}"
        else:
            person, handle = actor, None
        token = PREFIX + self._clock.secret()
        key = ApiKey(
            id=id_,
            name=name,
            actor=person,
            scopes=wanted,
            created_ms=0,
            expires_ms=expires_ms,
            rooms=None if rooms is None else frozenset(map(RoomId, rooms)),
        )
        adding = AddKey(key=key, handle=handle, token_sha256=digest_of(token), by=by)
        made = await self._store.write(
            adding if agent is None else AddAgentKey(id=agent.id, by=by, adding=adding)
        )
        self._known.clear()
        return token, made

    async def person(self, named: str) -> Actor:
        """The person of this handle or id. Refused: `not_found`."""
        if _ID.fullmatch(named):
            found = await self._store.read(actors.get, ActorId(named))
        else:
            found = await self._store.read(actors.by_handle, named)
        if found is None or found.kind is not ActorKind.PERSON:
            raise Refused(Code.NOT_FOUND, "There is nobody with this handle or id.")
        return found

    async def own(self, actor: Actor) -> tuple[ApiKey, ...]:
        """The keys that speak for an actor and are good, the oldest first."""
        return await self._store.read(api_keys.of_actor, actor.id, OWN_MAX)

    async def listing(self, *, after: KeyId | None = None, count: int = 200) -> tuple[ApiKey, ...]:
        """The keys, the oldest first; revoked ones too."""
        return await self._store.read(api_keys.listing, after=after, count=count)

    async def revoke(self, key: KeyId, by: Actor | None = None) -> ApiKey:
        """Ends a key for ever, one's own where `by` is given. Refused: `not_found`."""
        revoked = await self._store.write(RevokeKey(key=key, by=None if by is None else by.id))
        self._known.clear()
        return revoked

    async def recognise(self, token: str) -> ApiKey:
        """The key with this token. Refused: `unauthenticated`, also for one that has ended, `account_disabled`."""
        key = None
        if len(token) == TOKEN_CHARS and token.isascii():
            key = await self._of(digest_of(token))
        expires_ms = key.expires_ms if isinstance(key, ApiKey) else None
        if expires_ms is not None and expires_ms <= self._clock.now_ms():
            raise Refused(Code.UNAUTHENTICATED, "This API key has expired. Make another one.")
        if not isinstance(key, ApiKey) or key.revoked_ms is not None or self._has_ended(key):
            raise Refused(Code.UNAUTHENTICATED, "This API key is not known here, or was revoked.")
        self.last_used.note(key.id, self._clock.now_ms())
        return key

    async def caller(self, token: str) -> Actor:
        """Who asks by the key with this token. Refused: as `recognise`."""
        return caller_by(await self.recognise(token))

    async def guest(self, bearer: str, making: Callable[[], None] | None) -> Actor:
        """The guest who speaks with a key that is none of ours: one for each, whose session nobody has.

        An actor is made at the first call that writes, after `making` was asked, and found again after that. Who only
        reads (no `making`) is stored nowhere. Refused: `unauthenticated` (nobody is made a guest any more).
        """
        digest = digest_of(bearer)
        until, known = self._known.get(digest, (-math.inf, None))
        if isinstance(known, Actor) and until > self._clock.monotonic():
            return known
        handle = f"api-{digest.hex()[:32]}"
        id_ = ActorId(f"u_{hashlib.sha256(b'api' + digest).hexdigest()[:32]}")
        guest = Actor(id=id_, kind=ActorKind.PERSON, name=GUEST_NAME, guest=True)
        try:
            found = await self._store.read(actors.speaking, handle)
        except Unavailable:
            if isinstance(known, Actor):
                return known
            if making is not None:
                raise
            return guest
        if found is None and self._settings.guests == "off":
            raise Refused(Code.UNAUTHENTICATED, "An API key of this server is needed.")
        if found is None:
            if making is None:
                return guest
            making()
            found = await self._store.write(AddActor(actor=guest, handle=handle))
        self._believe(digest, found)
        return found

    def _has_ended(self, key: ApiKey) -> bool:
        return self._standings.has_ended(CredentialId(key.id))

    async def expire(self) -> None:
        """Ends what lives by keys that have expired meanwhile."""
        living = [key for key in self._standings.living if key.startswith("k_")]
        if living:
            asked, now_ms = [(0, key) for key in living], self._clock.now_ms()
            good = await self._store.read(devices.standing, asked, now_ms)
            for key in living:
                if key not in good:
                    self._standings.end(key)

    async def _of(self, digest: bytes) -> ApiKey | Actor | None:
        """Whose key this is, as read within a second; while the database is away, what it said last, for an hour."""
        until, known = self._known.get(digest, (-math.inf, None))
        if until > self._clock.monotonic():
            return known
        try:
            found = await self._store.read(api_keys.by_token, digest)
        except Unavailable:
            if until + BELIEVED_AWAY_SECONDS < self._clock.monotonic():
                raise
            return known
        except Refused:
            self._known.pop(digest, None)
            raise
        return self._believe(digest, found)

    def _believe(self, digest: bytes, found: ApiKey | Actor | None) -> ApiKey | Actor | None:
        """Remembers what was read, no longer for being asked again. When there is too much, all is forgotten."""
        if len(self._known) >= KNOWN_MAX:
            self._known.clear()
        self._known[digest] = (self._clock.monotonic() + BELIEVED_SECONDS, found)
        return found


def _used(last_used_ms: Mapping[KeyId, int]) -> KeysUsed:
    return KeysUsed(last_used_ms=last_used_ms)


def _scopes(words: Collection[str]) -> frozenset[Scope]:
    unknown = [word for word in words if word not in list(Scope)]
    if unknown:
        there = f"There are: {', '.join(Scope)}."
        raise Refused(Code.BAD_REQUEST, f"There is no scope {', '.join(unknown)}. {there}.")
    found = frozenset(Scope(word) for word in words)
    return found if found - {Scope.KEEP_UNSTORED} else found | {Scope.ALL}


def _wanted(
    scopes: Collection[str],
    rooms: Collection[str] | None,
    by: Actor | None,
    agent: Actor | None,
) -> frozenset[Scope]:
    """What a key will be good for, which somebody makes, perhaps of an agent."""
    if rooms is not None and not 1 <= len(set(rooms)) <= AMONG_MAX:
        raise Refused(Code.BAD_REQUEST, f"A key is limited to 1 to {AMONG_MAX} rooms.")
    wanted = _scopes(scopes)
    if rooms is not None and wanted & NAMED_SCOPES:
        raise Refused(Code.BAD_REQUEST, "A key for the whole server is limited to no rooms.")
    if agent is not None and wanted != _scopes(()):
        raise Refused(Code.BAD_REQUEST, "A bot's key is good in its rooms: name no scopes.")
    if by is not None and Scope.METRICS in wanted:
        check_server(ServerAct.AUDIT, by.server_role)  # the figures tell what everyone does
    return wanted if agent is None else frozenset({Scope.ROOMS})


def _handle(handle: str) -> str:
    if not handle.isascii() or any(char.isspace() for char in handle):
        raise Refused(Code.BAD_REQUEST, "A handle has visible ASCII characters only.")
    return handle
