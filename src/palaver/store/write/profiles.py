"""Keeps connections to model servers, takes them away, and seals their keys anew.

All of it is done with the audit room locked: names stay apart, and no key is sealed with a secret that is forgotten.
"""

from collections.abc import Callable, Sequence

from sqlalchemy import Connection, delete

from palaver.errors import Code, Refused
from palaver.model import AUDIT, ActorId, EventType, RoomId
from palaver.model.profiles import Profile, ProfileId, ProfileKind
from palaver.policy import ServerAct, check_server
from palaver.store.engine.statement import inserting, matching, updating
from palaver.store.read import accounts, profiles as stored, webhooks
from palaver.store.schema import profiles, webhooks as webhooks_table
from palaver.store.sealing import Secret
from palaver.store.write.actors import known_actor, nobody
from palaver.store.write.audit import audit
from palaver.store.write.command import Command, T_co
from palaver.store.write.transaction import KnownActor, Transaction

PROFILES_MAX = 50
SEALED_AT_ONCE = 500
KEY, HEADERS, SECRET = "key", "headers", "secret"
"""The fields that are sealed: of a connection, and of a webhook."""

Seal = Callable[[str], bytes | None]
"""Seals something for the field of this name; a function, so that no log shows what it holds."""

_COLUMNS = ("kind", "name", "base_url", "model", "sealed", "headers_sealed")
_ADD = inserting(profiles, "id", "owner_key", *_COLUMNS)
_SET = updating(profiles.c.id, *_COLUMNS)
_REMOVE = matching(delete(profiles), profiles.c.id)
_SEAL = updating(profiles.c.id, "sealed", "headers_sealed")
_SEAL_WEBHOOK = updating(webhooks_table.c.id, "sealed", "sealed_before")


class OfProfile(Command[T_co], frozen=True, kw_only=True):
    """Something done to a profile; `by` None: by the operator. `act`: what is asked for one's own."""

    id: ProfileId
    by: ActorId | None
    act: ServerAct

    def rooms(self, conn: Connection) -> Sequence[RoomId]:  # noqa: ARG002  as `Command.rooms`
        return (AUDIT,)

    def _begun(self, tx: Transaction) -> tuple[KnownActor | None, Profile | None]:
        """Who does it, and the profile where it is the server's or theirs. Refused: `profile_not_found`."""
        tx.lock(self.rooms_in(tx))
        by = None if self.by is None else known_actor(tx, self.by, nobody())
        found = stored.get(tx.conn, self.id)
        if found is not None and found.owner not in {None, self.by}:
            raise missing()
        return by, found

    def _check(self, tx: Transaction, *, own: bool) -> None:
        if self.by is not None:
            act = self.act if own else ServerAct.PROFILES
            check_server(act, accounts.role_of(tx.conn, self.by))


class SaveProfile(OfProfile[Profile], frozen=True, kw_only=True):
    """Keeps a new profile, one's `own` or the server's, or another form of one (`own` None); None: as it is.

    Once more by the same id it is another form. Refused: `forbidden`, `profile_not_found`, `profile_invalid` (its name
    is another's, or it would send its key to another address), `too_many_profiles`, `place_unusable`.
    """

    own: bool | None
    kind: ProfileKind | None
    name: str | None
    base_url: str | None
    model: str | None
    key: Seal | None
    headers: Seal | None

    def apply(self, tx: Transaction) -> Profile:
        by, found = self._begun(tx)
        own = self.own if found is None else found.owner is not None
        if own is None:
            raise missing()
        self._check(tx, own=own)
        owner = self.by if own else None
        others = [one for one in stored.of(tx.conn, owner) if one.id != self.id]
        if len(others) >= PROFILES_MAX:
            raise Refused(Code.TOO_MANY_PROFILES, f"There are {PROFILES_MAX}. Remove one first.")
        values = self._values(found)
        if values[1] in {one.name for one in others}:
            raise invalid(f"There is a connection named {values[1]} already.")
        if found is None:
            if by is not None:
                tx.used(by.key)
            _ADD.run(tx.conn, self.id, by.key if own and by is not None else None, *values)
        else:
            _SET.run(tx.conn, *values, self.id)
        audit(tx, EventType.PROFILE_SAVED, by, profile=self.id, server=not own)
        made = stored.get(tx.conn, self.id)
        assert made is not None
        return made

    def _values(self, found: Profile | None) -> tuple[object, ...]:
        """What is to be in the columns."""
        model = None if found is None else found.model
        key, headers = (None, None) if found is None else (found.sealed, found.headers_sealed)
        if found is not None and self.base_url not in {None, found.base_url}:
            kept = (key is not None and self.key is None, headers is not None and not self.headers)
            if any(kept):
                raise invalid("Another address needs its key and headers again.")
        return (
            self.kind or (found and found.kind),
            self.name or (found and found.name),
            self.base_url or (found and found.base_url),
            model if self.model is None else self.model or None,
            key if self.key is None else self.key(f"{self.id} {KEY}"),
            headers if self.headers is None else self.headers(f"{self.id} {HEADERS}"),
        )


class DeleteProfile(OfProfile[Profile], frozen=True, kw_only=True):
    """Takes a profile away. Refused: `profile_not_found`, `forbidden`."""

    def apply(self, tx: Transaction) -> Profile:
        by, found = self._begun(tx)
        if found is None:
            raise missing()
        own = found.owner is not None
        self._check(tx, own=own)
        _REMOVE.run(tx.conn, self.id)
        audit(tx, EventType.PROFILE_DELETED, by, profile=self.id, server=not own)
        return found


class SealAnew(Command[int], frozen=True, kw_only=True):
    """Seals with the secret that seals now what was sealed with another; how many rows, at most `SEALED_AT_ONCE`."""

    secret: Secret

    def rooms(self, conn: Connection) -> Sequence[RoomId]:  # noqa: ARG002  as `Command.rooms`
        return (AUDIT,)

    def apply(self, tx: Transaction) -> int:
        tx.lock(self.rooms_in(tx))
        kept = [
            (_SEAL, one.id, ((KEY, one.sealed), (HEADERS, one.headers_sealed)))
            for one in stored.everybodys(tx.conn)
        ]
        kept += [
            (_SEAL_WEBHOOK, one.id, ((SECRET, one.sealed), (SECRET, one.sealed_before)))
            for one in webhooks.everybodys(tx.conn)
        ]
        anew = 0
        for put, id_, fields in kept:
            sealed = [self._anew(f"{id_} {field}", value) for field, value in fields]
            if sealed != [value for _, value in fields]:
                put.run(tx.conn, *sealed, id_)
                anew += 1
            if anew == SEALED_AT_ONCE:
                break
        return anew

    def _anew(self, field: str, sealed: bytes | None) -> bytes | None:
        """What cannot be opened stays as it is."""
        if sealed is None or self.secret.is_current(sealed):
            return sealed
        text = self.secret.opened(sealed, field)
        return sealed if text is None else self.secret.seal(text, field)


def invalid(why: str) -> Refused:
    """A profile that cannot be one."""
    return Refused(Code.PROFILE_INVALID, why)


def missing() -> Refused:
    """There is no such profile, or it is another's."""
    return Refused(Code.PROFILE_NOT_FOUND, "There is no such connection of yours.")
