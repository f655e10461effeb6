"""Writes what a person tells of themselves: preferences, an e-mail address, a picture."""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

from sqlalchemy import Connection, delete, select

from palaver.errors import Code, Refused
from palaver.model import ActorId, RoomId
from palaver.store.columns import json_in
from palaver.store.engine.statement import inserting, matching, updating
from palaver.store.hash_chain import DIGEST_BYTES
from palaver.store.read import actors as stored_actors
from palaver.store.schema import actors, blobs
from palaver.store.write.actors import known_actor, nobody, shared_rooms, tell_members
from palaver.store.write.command import Command
from palaver.store.write.transaction import KnownActor, Transaction

PREFERENCES_BYTES_MAX = 4_096

_LOCK = matching(select(actors.c.avatar).with_for_update(), actors.c.key)
_SET = updating(actors.c.key, "preferences", "email", unused=None)
_SET_AVATAR = updating(actors.c.key, "avatar", unused=None)
_ADD = inserting(blobs, "digest", "media_type", "data")
_REMOVE = matching(delete(blobs), blobs.c.digest)


class SetProfile(Command[None], frozen=True, kw_only=True):
    """Sets a person's e-mail address ("": none; None: as it is) and some preferences; those that are None go.

    Refused: `bad_request` (more than `PREFERENCES_BYTES_MAX` of preferences).
    """

    actor: ActorId
    email: str | None
    preferences: Mapping[str, Any]

    def apply(self, tx: Transaction) -> None:
        owner, _ = _locked(tx, self.actor)
        before = stored_actors.profile(tx.conn, self.actor)
        merged = {**before.preferences, **self.preferences}
        kept = {name: value for name, value in merged.items() if value is not None}
        if len((json_in(kept) or "").encode()) > PREFERENCES_BYTES_MAX:
            told = f"Preferences have at most {PREFERENCES_BYTES_MAX:,} bytes in all."
            raise Refused(Code.BAD_REQUEST, told)
        email = before.email if self.email is None else self.email or None
        _SET.run(tx.conn, kept, email, owner.key)
        tx.unused.discard(owner.key)


class SetAvatar(Command[str | None], frozen=True, kw_only=True):
    """Gives a person a picture, or none; the name that it has from now on. Who shares rooms with them is told."""

    actor: ActorId
    media_type: str = ""
    data: bytes = b""

    @property
    def anywhere(self) -> bool:
        return True

    def rooms(self, conn: Connection) -> Sequence[RoomId]:
        return shared_rooms(conn, self.actor)

    def apply(self, tx: Transaction) -> str | None:
        tx.lock(self.rooms(tx.conn))
        owner, before = _locked(tx, self.actor)
        digest = None
        if self.data:
            key = bytes.fromhex(owner.id[2:])
            digest = blake2b(self.data, digest_size=DIGEST_BYTES, key=key).digest()
        if digest != before:
            _SET_AVATAR.run(tx.conn, digest, owner.key)
            _REMOVE.run(tx.conn, before or b"")
            if digest is not None:
                _ADD.run(tx.conn, digest, self.media_type, self.data)
            tx.unused.discard(owner.key)
            tell_members(tx, owner.id, owner.name)
        return None if digest is None else digest.hex()


def _locked(tx: Transaction, actor: ActorId) -> tuple[KnownActor, bytes | None]:
    """An actor who can leave no more before the commit, and their picture."""
    picture = _LOCK.value(tx.conn, known_actor(tx, actor, nobody()).key)
    tx.actors.pop(actor)  # who may have left until now
    return known_actor(tx, actor, nobody()), picture
