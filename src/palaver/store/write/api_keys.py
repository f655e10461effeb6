"""Makes and ends API keys, and notes when they were used."""

from sqlalchemy import bindparam, or_, update

from palaver.errors import Code, Refused
from palaver.model import ActorKind, ApiKey
from palaver.store.engine.statement import Statement, inserting
from palaver.store.read import api_keys as stored_keys
from palaver.store.schema import keys
from palaver.store.write import actors
from palaver.store.write.command import AddActor, AddKey, KeysUsed, RevokeKey
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


def add(tx: Transaction, command: AddKey) -> ApiKey:
    """Applies `AddKey`."""
    key, owner = command.key, command.key.actor
    if command.handle is not None:
        actors.of_handle(tx, command.handle, ActorKind.PERSON)
        owner = actors.add(tx, AddActor(actor=owner, handle=command.handle))
    elif len(stored_keys.of_actor(tx.conn, owner.id, KEYS_MAX)) == KEYS_MAX:
        raise Refused(Code.TOO_MANY_KEYS, f"You have {KEYS_MAX} keys already. Revoke one first.")
    found = tx.actor(owner.id)
    if found is None:
        raise actors.not_found()
    scopes = " ".join(sorted(key.scopes))
    _INSERT.run(tx.conn, key.id, command.token_sha256, found.key, key.name, scopes, tx.now_ms)
    made = stored_keys.get(tx.conn, key.id)
    assert made is not None
    return made


def revoke(tx: Transaction, command: RevokeKey) -> ApiKey:
    """Applies `RevokeKey`."""
    found = stored_keys.get(tx.conn, command.key)
    if found is None or command.by not in (None, found.actor.id):
        raise Refused(Code.NOT_FOUND, "There is no such key. The list of keys shows their ids.")
    _REVOKE.run(tx.conn, tx.now_ms, command.key)
    return stored_keys.get(tx.conn, command.key) or found


def used(tx: Transaction, command: KeysUsed) -> None:
    """Applies `KeysUsed`."""
    for key, at_ms in command.last_used_ms.items():
        _USED.run(tx.conn, at_ms, key)
