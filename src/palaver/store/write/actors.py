"""Makes and renames who can speak."""

from collections.abc import Sequence

from msgspec.structs import replace
from sqlalchemy import Connection, bindparam, delete, select

from palaver.errors import Code, Refused
from palaver.model import AccountStatus, Actor, ActorId, ActorKind, EventType, RoomId
from palaver.store.engine.statement import Statement, among, inserting, matching, updating
from palaver.store.read import actors as stored_actors
from palaver.store.schema import (
    accounts,
    actor_is_unused,
    actors,
    exchanges,
    keys,
    member_is_in,
    members,
    rooms,
    sessions,
    tickets,
)
from palaver.store.write.command import Command
from palaver.store.write.transaction import KnownActor, Overtaken, Transaction, distinct

SHARED_MAX = 200
"""So many rooms, the newest of those that somebody is a member of, are told of another name."""

_INSERT_ACTOR = inserting(
    actors, "id", "kind", "handle", "name", "guest", "created_ms", "unused", returning=actors.c.key
)
_INSERT_SESSION = inserting(sessions, "token_sha256", "actor_key", "created_ms", "expires_ms")
_RENAME = updating([actors.c.id, actors.c.name], "name", unused=None)
_SHARED = Statement(
    select(rooms.c.id)
    .join(members, members.c.room_key == rooms.c.key)
    .join(actors, actors.c.key == members.c.actor_key)
    .where(actors.c.id == bindparam("its_id"), member_is_in)
    .order_by(members.c.joined_ms.desc())
    .limit(bindparam("count")),
    "its_id",
    "count",
)
_OLD = Statement(
    select(actors.c.key)
    .where(actor_is_unused, actors.c.created_ms < bindparam("before_ms"))
    .order_by(actors.c.created_ms, actors.c.key)
    .limit(bindparam("count"))
    .with_for_update(skip_locked=True),
    "before_ms",
    "count",
)
_KEPT = [
    among(select(column).distinct(), column)
    for column in [table.c.actor_key for table in (members, keys, exchanges, tickets, accounts)]
]
_USED = updating(actors.c.key, unused=None)
_END_SESSIONS = matching(delete(sessions), sessions.c.actor_key)
_DELETE = matching(delete(actors), actors.c.key)


class AddActor(Command[Actor], frozen=True, kw_only=True):
    """Makes an actor, with the SHA-256 of its session's token where it has one.

    The same `handle` gives the one that is there, and stores no further token. `lasts_ms`: how long that session may
    last, where it may not for ever. `unused`: a guest who may be deleted again as long as nothing of them is kept.
    """

    actor: Actor
    handle: str
    token_sha256: bytes | None = None
    lasts_ms: int | None = None
    unused: bool = False

    def apply(self, tx: Transaction) -> Actor:
        """A handle that is there gets no further token: nobody takes over another one's name."""
        there = stored_actors.by_handle(tx.conn, self.handle)
        if there is not None:
            return there
        key = insert(tx, self.actor, self.handle, unused=self.unused or None)
        if self.token_sha256 is not None:
            expires_ms = None if self.lasts_ms is None else tx.now_ms + self.lasts_ms
            _INSERT_SESSION.run(tx.conn, self.token_sha256, key, tx.now_ms, expires_ms)
        return self.actor


class RenameActor(Command[Actor], frozen=True, kw_only=True):
    """Gives an actor another name, and each of the newest rooms that it is a member of an event that says so."""

    actor: ActorId
    name: str

    @property
    def anywhere(self) -> bool:
        return True

    def rooms(self, conn: Connection) -> Sequence[RoomId]:
        return shared_rooms(conn, self.actor)

    def apply(self, tx: Transaction) -> Actor:
        """Refused: `not_found`. Who leaves for good meanwhile has no name any more, and gets none."""
        there = stored_actors.get(tx.conn, known_actor(tx, self.actor).id)
        assert there is not None, "it is known"
        if there.name == self.name:
            return there
        tell_members(tx, there.id, self.name)
        if not _RENAME.run(tx.conn, self.name, there.id, there.name):
            raise Overtaken
        tx.actors.pop(there.id, None)
        return replace(there, name=self.name)


def tell_members(tx: Transaction, actor: ActorId, name: str) -> None:
    """Says in the newest rooms that somebody shares what they are called now, or that they look otherwise."""
    shared = shared_rooms(tx.conn, actor)
    tx.lock(shared)
    for id_ in sorted(shared):
        room = tx.room(id_, deleted_too=True)
        by, data = tx.actor(actor), {"actor": actor}
        tx.log(room, EventType.MEMBER_RENAMED, by, data=data, name=name)


class SweepGuests(Command[tuple[int, int]], frozen=True, kw_only=True):
    """Deletes guests made before `before_ms` of whom nothing is kept; how many of how many it looked at.

    Those are at most `count`, and each is looked at once: what is kept of the others is kept for ever.
    """

    before_ms: int
    count: int

    def apply(self, tx: Transaction) -> tuple[int, int]:
        """They are locked before it is asked what is kept of them, so that who adds to it waits."""
        old = _OLD.column(tx.conn, self.before_ms, self.count)
        asked = distinct(old)
        kept = {key for statement in _KEPT for (key,) in statement.all(tx.conn, asked)}
        gone = [key for key in old if key not in kept]
        _USED.many(tx.conn, distinct([*kept]))
        for key in gone:
            _END_SESSIONS.run(tx.conn, key)
            _DELETE.run(tx.conn, key)
        tx.actors.clear()
        return len(gone), len(old)


def of_handle(tx: Transaction, handle: str, kind: ActorKind) -> Actor | None:
    """The actor of this handle, if there is one. Refused: `name_reserved` when it is of another kind."""
    there = stored_actors.by_handle(tx.conn, handle)
    if there is not None and there.kind is not kind:
        raise Refused(Code.NAME_RESERVED, f"This handle belongs to somebody who is no {kind}.")
    return there


def known_actor(tx: Transaction, actor: ActorId, missing: Refused | None = None) -> KnownActor:
    """The actor of this id, who has not left for good. Refused: `missing`, or `not_found`."""
    found = tx.actor(actor)
    if found is None or found.status is AccountStatus.DELETED:
        raise missing or not_found()
    return found


def check_free(tx: Transaction, handle: str, skeleton: str, actor: ActorId) -> None:
    """Refused: `handle_taken`, also by the inner name of somebody else."""
    inner = stored_actors.by_handle(tx.conn, handle)
    looks_alike = stored_actors.of_skeleton(tx.conn, skeleton)
    if any(one is not None and one.id != actor for one in (inner, looks_alike)):
        raise Refused(Code.HANDLE_TAKEN, "Somebody has this handle, or one that looks like it.")


def nobody() -> Refused:
    """Whoever asks is no more."""
    return Refused(
        Code.UNAUTHENTICATED, "Nobody is known by this session any more. Begin a new one."
    )


def not_found() -> Refused:
    """There is no such actor."""
    return Refused(Code.NOT_FOUND, "There is no such person or agent.")


def shared_rooms(conn: Connection, actor: ActorId) -> list[RoomId]:
    """The newest rooms that an actor is a member of, at most `SHARED_MAX`."""
    return _SHARED.column(conn, actor, SHARED_MAX)


def insert(tx: Transaction, actor: Actor, handle: str, *, unused: bool | None = None) -> int:
    """Adds an actor; its key."""
    assert actor.id.startswith(stored_actors.PREFIX[actor.kind])
    return _INSERT_ACTOR.value(
        tx.conn, actor.id, actor.kind, handle, actor.name, actor.guest, tx.now_ms, unused
    )
