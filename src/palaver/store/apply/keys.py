"""Makes and ends API keys, and notes when they were used."""

from sqlalchemy import bindparam, or_, update

from palaver.errors import Code, Refused
from palaver.model import ActorKind, ApiKey
from palaver.store import keys as stored_keys
from palaver.store.apply import actors
from palaver.store.apply.transaction import Transaction
from palaver.store.commands import AddActor, AddKey, KeysUsed, RevokeKey
from palaver.store.engine.statement import Statement, inserting
from palaver.store.schema import keys

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


def add(tx: Transaction, command: AddKey) -> ApiKey:
    """Applies `AddKey`."""
    actors.of_handle(tx, command.handle, ActorKind.PERSON)
    owner = actors.add(tx, AddActor(actor=command.key.actor, handle=command.handle))
    found = tx.actor(owner.id)
    assert found is not None
    key = command.key
    scopes = " ".join(sorted(key.scopes))
    _INSERT.run(tx.conn, key.id, command.token_sha256, found.key, key.name, scopes, tx.now_ms)
    made = stored_keys.get(tx.conn, key.id)
    assert made is not None
    return made


def revoke(tx: Transaction, command: RevokeKey) -> ApiKey:
    """Applies `RevokeKey`."""
    _REVOKE.run(tx.conn, tx.now_ms, command.key)
    found = stored_keys.get(tx.conn, command.key)
    if found is None:
        raise Refused(Code.NOT_FOUND, "There is no such key. `palaver key list` shows them.")
    return found


def used(tx: Transaction, command: KeysUsed) -> None:
    """Applies `KeysUsed`."""
    for key, at_ms in command.last_used_ms.items():
        _USED.run(tx.conn, at_ms, key)
