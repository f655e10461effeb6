"""Connections to model servers that people make on the page: kept, sealed, tried, and in use as soon as stored.

A server's is for everyone, one's own for oneself alone, and reaches public addresses only. Who keeps a profile never
sees its key again. All are read when one has changed, in whichever process: an event of the audit room says so. While
the database is away, what was read last still holds; while a secret is missing, a profile is asked without its key.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress

import orjson
import structlog
from msgspec.structs import replace
from pydantic import SecretStr

from palaver.clock import Clock
from palaver.core import validation
from palaver.errors import Code, ProviderError, Refused, Unavailable
from palaver.model import AUDIT, Actor, ActorId, Event, EventType
from palaver.model.profiles import Given, Profile, ProfileId, ProfileKind, Shown
from palaver.policy import ServerAct, check_server, server_refusal
from palaver.providers.base import Model
from palaver.providers.pool import connected, name_of
from palaver.providers.profiles import Profile as Connection
from palaver.settings import SECRET_CHARS_MAX, Settings
from palaver.store.read import profiles
from palaver.store.sealing import Secret
from palaver.store.store import Store
from palaver.store.write.profiles import (
    HEADERS,
    KEY,
    DeleteProfile,
    SaveProfile,
    Seal,
    SealAnew,
    invalid,
    missing,
)

NAME_CHARS_MAX = 60
URL_CHARS_MAX, MODEL_CHARS_MAX = 2_000, 300
HEADERS_MAX = 20
TEST_SECONDS = 20.0
CONNECTIONS_MAX = 200
"""So many are held; of those not asked for longest, another is made when they are."""

_CHANGING = frozenset(
    {
        *(EventType.PROFILE_SAVED, EventType.PROFILE_DELETED),
        *(EventType.ACCOUNT_ROLE, EventType.ACCOUNT_STATUS),
    }
)
_ID = re.compile("f_[0-9a-f]{32}")
_HEADER = re.compile("[A-Za-z0-9-]{1,60}")
_OURS = re.compile(
    "host|te|trailer|upgrade|expect|content-.*|transfer-.*|connection|keep-alive|proxy-.*|accept-encoding"
)
"""Headers that belong to the connection, or to the body."""

Headers = Mapping[str, SecretStr]

log = structlog.stdlib.get_logger()


class ModelProfiles:
    """The stored profiles of one database, and the connections that are made of them."""

    def __init__(self, store: Store, settings: Settings, clock: Clock) -> None:
        self._store, self._settings, self._clock = store, settings, clock
        self._secret = Secret(settings)
        self._rows: tuple[Profile, ...] = ()
        self._changes, self._read = 0, -1
        self._connections: dict[ProfileId, tuple[Profile, Connection | None]] = {}
        self._working = asyncio.Lock()

    # in use

    async def of(self, caller: ActorId | None) -> Sequence[Connection]:
        """What a caller may ask beside what the environment says: the server's, then their own."""
        await self.read()
        rows = [one for one in self._rows if one.owner is None]
        if caller is not None:
            rows += [one for one in self._rows if one.owner == caller and self._may(one)]
        if any(one.id not in self._connections for one in rows):
            async with self._working:
                for one in rows:
                    if one.id not in self._connections:
                        made = await asyncio.to_thread(self._connected, one)
                        self._connections[one.id] = one, made
                while len(self._connections) > max(CONNECTIONS_MAX, len(rows)):
                    await self._end(next(iter(self._connections)))
        found = (self._connections.get(one.id, (one, None))[1] for one in rows)
        return [one for one in found if one is not None]

    async def read(self) -> None:
        """Reads all again, if any has changed."""
        if self._read == self._changes:
            return
        async with self._working:
            changes = self._changes
            with suppress(Unavailable):
                self._rows = await self._store.read(profiles.everybodys)
                self._read = changes
                for id_, (known, _) in list(self._connections.items()):
                    if known not in self._rows:
                        await self._end(id_)
                if self._rows:
                    await asyncio.to_thread(self._tell_unreadable)

    def committed(self, happened: Sequence[Event]) -> None:
        """Events of the audit room, of this process or another: a profile may be another one now."""
        if any(event.room == AUDIT and event.type in _CHANGING for event in happened):
            self._changes += 1

    async def close(self) -> None:
        """Ends all connections."""
        for id_ in list(self._connections):
            await self._end(id_)

    # looked after

    @property
    def act(self) -> ServerAct:
        """What one's own profile asks of who makes it."""
        return ServerAct.CONNECT if self._settings.profiles == "people" else ServerAct.PROFILES

    def may(self, actor: Actor) -> bool:
        """Whether an actor connects model servers."""
        return server_refusal(self.act, actor.server_role) is None

    async def listing(self, actor: Actor | None, fixed: Sequence[Connection]) -> list[Shown]:
        """One's own, behind what is `fixed` and the server's for who looks after those; None: the operator.

        Refused: `forbidden`.
        """
        self._check(actor)
        server = actor is None or server_refusal(ServerAct.PROFILES, actor.server_role) is None
        mine = await self._store.read(profiles.of, None) if server else ()
        if actor is not None:
            mine = (*mine, *await self._store.read(profiles.of, actor.id))
        shown = await asyncio.to_thread(lambda: [self._shown(one) for one in mine])
        return [*map(_fixed, fixed if server else ()), *shown]

    async def keep(
        self, actor: Actor | None, given: Given, *, own: bool, id_: str | None = None
    ) -> Shown:
        """Keeps a new profile; once more by the same id, another form of it. Refused: as `SaveProfile`."""
        self._check(actor)
        if given.base_url is None:
            raise invalid("A connection needs the URL of a model server.")
        if id_ is not None and not _ID.fullmatch(id_):
            raise Refused(Code.BAD_REQUEST, "An id is 'f_' and 32 of 0-9 and a-f.")
        given = replace(_checked(given), kind=given.kind or ProfileKind.OPENAI)
        assert given.base_url is not None
        given = replace(given, name=given.name or name_of(given.base_url))
        return await self._save(actor, id_ or f"f_{self._clock.new_id()}", given, own=own)

    async def change(self, actor: Actor | None, id_: str, given: Given) -> Shown:
        """Keeps another form of a profile. Refused: as `SaveProfile`."""
        return await self._save(actor, id_, _checked(given), own=None)

    async def delete(self, actor: Actor | None, id_: str) -> None:
        """Takes a profile away. Refused: `profile_not_found`, `forbidden`."""
        self._check(actor)
        by = None if actor is None else actor.id
        await self._store.write(DeleteProfile(id=ProfileId(id_), by=by, act=self.act))

    async def tested(
        self, actor: Actor | None, given: Given, *, own: bool, id_: str | None = None
    ) -> Sequence[Model]:
        """Asks a model server for its models: one that is not kept, or one that is, with what is to be changed of it.

        Refused: `forbidden`, `profile_not_found`, `profile_invalid`, `profile_refused`, `profile_unreachable`.
        """
        self._check(actor)
        given, me = _checked(given), None if actor is None else actor.id
        key, headers = given.key, given.headers
        found = None if id_ is None else await self._store.read(profiles.get, ProfileId(id_))
        if id_ is not None and (found is None or found.owner not in {None, me}):
            raise missing()
        own = own if found is None else found.owner is not None
        self._check(actor, self.act if own else ServerAct.PROFILES)
        if found is not None and given.base_url in {None, found.base_url}:
            kept = await asyncio.to_thread(self._opened, found)
            key, headers = (
                (kept[0] if key is None else key),
                kept[1] if headers is None else headers,
            )
        base_url = given.base_url or (found and found.base_url)
        if not base_url:
            raise invalid("A connection needs the URL of a model server.")
        trial = Profile(
            id=ProfileId(""),
            owner=me if own else None,
            role=None if actor is None else actor.server_role,
            kind=given.kind or (found.kind if found is not None else ProfileKind.OPENAI),
            name="",
            base_url=base_url,
            model=None,
            sealed=None,
            headers_sealed=None,
        )
        making = (self._settings, self._clock, trial, key, headers or {})
        server = (await asyncio.to_thread(connected, *making)).provider
        try:
            async with asyncio.timeout(TEST_SECONDS):
                return await server.models()
        except TimeoutError:
            raise Unavailable(Code.PROFILE_UNREACHABLE, "It did not answer in time.") from None
        except ProviderError as failure:
            if failure.code is Code.PROVIDER_AUTH:
                raise Refused(Code.PROFILE_REFUSED, failure.detail) from None
            kind = Unavailable if failure.temporary else Refused
            raise kind(Code.PROFILE_UNREACHABLE, failure.detail) from None
        finally:
            await server.close()

    # inside

    def _check(self, actor: Actor | None, act: ServerAct | None = None) -> None:
        if actor is not None:
            check_server(act or self.act, actor.server_role)

    async def _save(
        self, actor: Actor | None, id_: str, given: Given, *, own: bool | None
    ) -> Shown:
        self._check(actor)
        saving = SaveProfile(
            id=ProfileId(id_),
            by=None if actor is None else actor.id,
            act=self.act,
            own=own,
            kind=given.kind,
            name=given.name,
            base_url=given.base_url,
            model=given.model,
            key=None if given.key is None else self._sealing(given.key),
            headers=None if given.headers is None else self._sealing(given.headers),
        )
        saved = await self._store.write(saving)
        return await asyncio.to_thread(self._shown, saved)

    def _sealing(self, held: SecretStr | Mapping[str, SecretStr]) -> Seal:
        """Seals a key, or headers as JSON; None for an empty one."""
        if isinstance(held, Mapping):
            told = orjson.dumps({name: value.get_secret_value() for name, value in held.items()})
            text = SecretStr(told.decode() if held else "")
        else:
            text = held
        return lambda field: self._secret.seal(text, field) if text else None

    def _opened(self, profile: Profile) -> tuple[SecretStr | None, Headers, bool]:
        """The key and the headers, as far as they can be read, and whether they can."""
        sealed = ((KEY, profile.sealed), (HEADERS, profile.headers_sealed))
        key, headers = (
            None if one is None else self._secret.opened(one, f"{profile.id} {field}")
            for field, one in sealed
        )
        readable = (key is None) == (profile.sealed is None)
        readable = readable and (headers is None) == (profile.headers_sealed is None)
        found = orjson.loads("{}" if headers is None else headers.get_secret_value())
        return key, {name: SecretStr(value) for name, value in found.items()}, readable

    def _may(self, profile: Profile) -> bool:
        return server_refusal(self.act, profile.role) is None

    def _connected(self, profile: Profile) -> Connection | None:
        key, headers, _ = self._opened(profile)
        try:
            return connected(self._settings, self._clock, profile, key, headers)
        except Refused as refused:  # what the environment says of the way there is of no use
            log.warning("profile.unusable", profile=profile.id, why=refused.detail)
            return None

    async def _end(self, id_: ProfileId) -> None:
        _, connection = self._connections.pop(id_)
        if connection is not None:
            await connection.provider.close()

    def _shown(self, profile: Profile) -> Shown:
        _, headers, readable = self._opened(profile)
        return Shown(
            id=profile.id,
            kind=profile.kind,
            name=profile.name,
            base_url=profile.base_url,
            model=profile.model,
            has_key=profile.sealed is not None,
            headers=tuple(headers),
            readable=readable,
            own=profile.owner is not None,
        )

    def _tell_unreadable(self) -> None:
        for one in self._rows:
            if not self._opened(one)[2]:
                log.warning("profile.key_missing", profile=one.id, name=one.name)


async def rotated(store: Store, settings: Settings) -> int:
    """Seals all keys with a new secret, and forgets the one before; how many. Cut off at any place, all can be read.

    One that was cut off is ended first: a file holds a bounded number of secrets.
    """
    secret, anew = Secret(settings), 0
    for begin in (secret.is_changing, secret.renew):
        if await asyncio.to_thread(begin) is False:
            continue
        while count := await store.write(SealAnew(secret=secret)):
            anew += count
        await asyncio.to_thread(secret.forget_others)
    return anew


def _fixed(connection: Connection) -> Shown:
    """What the environment says, as it is told."""
    return Shown(
        id=ProfileId(connection.id),
        kind=connection.kind,
        name=connection.name,
        base_url=connection.base_url,
        model=None,
        has_key=False,
        headers=(),
        fixed=True,
    )


def _checked(given: Given) -> Given:
    """What can be kept. Refused: `profile_invalid`, `header_refused`, and as `validation.person_name`."""
    if given.name is not None:
        name = validation.person_name(given.name, NAME_CHARS_MAX)
        if "/" in name or name.startswith(("f_", "environment")):
            raise invalid("The name of a connection has no slash, and is none of ours.")
        given = replace(given, name=name)
    if given.base_url is not None:
        given = replace(given, base_url=_checked_url(given.base_url))
    if given.key is not None:
        key = SecretStr(given.key.get_secret_value().strip())
        _plain(key.get_secret_value(), "key", SECRET_CHARS_MAX)
        given = replace(given, key=key)
    if given.model is not None:
        given = replace(given, model=_plain(given.model.strip(), "model", MODEL_CHARS_MAX))
    for name, value in (given.headers or {}).items():
        if not _HEADER.fullmatch(name) or _OURS.fullmatch(name.lower()):
            raise Refused(Code.HEADER_REFUSED, f"The header '{name[:60]}' cannot be sent along.")
        _plain(value.get_secret_value(), "header", SECRET_CHARS_MAX)
    if len(given.headers or {}) > HEADERS_MAX:
        raise Refused(Code.HEADER_REFUSED, f"A connection has at most {HEADERS_MAX} headers.")
    return given


def _checked_url(text: str) -> str:
    from palaver.providers.http.route import address  # noqa: PLC0415  a server is ready sooner

    url = address(text) if len(text) <= URL_CHARS_MAX else None
    if url is None or url.userinfo or url.query:
        raise invalid("The URL is such as https://api.example.com/v1: no user name, no query.")
    return str(url)


def _plain(text: str, what: str, chars_max: int) -> str:
    if len(text) > chars_max or not text.isascii() or not text.isprintable():
        raise invalid(f"The {what} has characters that none has, or is too long.")
    return text
