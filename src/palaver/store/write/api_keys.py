"""Makes and ends API keys, and notes when they were used."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import bindparam, or_, update

from palaver.errors import Code, Refused
from palaver.model import ActorId, ActorKind, ApiKey, KeyId
from palaver.policy import owns
from palaver.store.engine.statement import Statement, inserting
from palaver.store.read import api_keys as stored_keys
from palaver.store.schema import keys
from palaver.store.write import actors
from palaver.store.write.actors import AddActor
from palaver.store.write.command import Command
from palaver.store.write.transaction import Transaction

KEYS_MAX = 50
"""So many good keys a person makes."""

_INSERT = inserting(keys, "id", "token_sha256", "actor_key", "name", "scopes", "created_ms")
_REVOKE = Statement(
    update(keys)
    .where(keys.c.id == bindparam("key"), keys.c.revoked_ms.is_(None))
    .values(revoked_ms=bindparam("now_ms")),
    "now_ms",
    "key",
)
_USED = Statement(
    update(keys)
    .where(
        keys.c.id == bindparam("key"),
        or_(keys.c.last_used_ms.is_(None), keys.c.last_used_ms < bindparam("at_ms")),
    )
    .values(last_used_ms=bindparam("at_ms")),
    "at_ms",
    "key",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AddKey(Command[ApiKey]):
    """Makes an API key of the person with this handle, made as `key.actor` if need be; without one, of `key.actor`.

    Refused: `name_reserved` when the handle is no person's, `not_found` (`key.actor`), `too_many_keys` (without a
    handle, when the person has as many as it may).
    """

    key: ApiKey
    handle: str | None
    token_sha256: bytes

    def apply(self, tx: Transaction) -> ApiKey:
        key, owner = self.key, self.key.actor
        if self.handle is not None:
            actors.of_handle(tx, self.handle, ActorKind.PERSON)
            owner = AddActor(actor=owner, handle=self.handle).apply(tx)
        elif len(stored_keys.of_actor(tx.conn, owner.id, KEYS_MAX)) == KEYS_MAX:
            raise Refused(
                Code.TOO_MANY_KEYS, f"You have {KEYS_MAX} keys already. Revoke one first."
            )
        found = actors.known_actor(tx, owner.id)
        scopes = " ".join(sorted(key.scopes))
        _INSERT.run(tx.conn, key.id, self.token_sha256, found.key, key.name, scopes, tx.now_ms)
        made = stored_keys.get(tx.conn, key.id)
        assert made is not None
        return made


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokeKey(Command[ApiKey]):
    """Ends an API key for ever; one that has ended stays as it is. Refused: `not_found`, also for one not of `by`."""

    key: KeyId
    by: ActorId | None = None

    def apply(self, tx: Transaction) -> ApiKey:
        found = stored_keys.get(tx.conn, self.key)
        if found is None or not owns(self.by, found.actor.id):
            raise Refused(Code.NOT_FOUND, "There is no such key. The list of keys shows their ids.")
        _REVOKE.run(tx.conn, tx.now_ms, self.key)
        return stored_keys.get(tx.conn, self.key) or found


@dataclass(frozen=True, slots=True, kw_only=True)
class KeysUsed(Command[None]):
    """Notes when API keys were last used, which never falls."""

    last_used_ms: Mapping[KeyId, int]

    def apply(self, tx: Transaction) -> None:
        for key, at_ms in self.last_used_ms.items():
            _USED.run(tx.conn, at_ms, key)
