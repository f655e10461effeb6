"""Reads which of many rooms, known by their keys, an actor may read: as `rooms.get` and `policy` have it of one.

Whose account is disabled or deleted reads nothing, whatever is asked in their name meanwhile.
"""

from collections.abc import Collection

from msgspec import Struct
from sqlalchemy import Connection, and_, bindparam, select

from palaver.model import ActorId, ActorKind, RoomId
from palaver.policy import Action, allows, role_in
from palaver.store.engine.statement import among
from palaver.store.read.actors import OUT, PREFIX
from palaver.store.schema import accounts, actors, members, room_is_live, rooms

_me = select(actors.c.key).where(actors.c.id == bindparam("actor")).scalar_subquery()
_KNOWN = among(
    select(
        *rooms.c["key", "id", "title", "seq", "visibility", "open_to", "open_role"],
        *members.c["role", "kept_out"],
        select(accounts.c.status)
        .where(accounts.c.actor_key == _me)
        .scalar_subquery()
        .label("status"),
    )
    .select_from(rooms)
    .outerjoin(members, and_(members.c.room_key == rooms.c.key, members.c.actor_key == _me))
    .where(room_is_live),
    rooms.c.key,
    "actor",
)


class Readable(Struct, frozen=True):
    """A room that an actor may read."""

    id: RoomId
    title: str
    seq: int


def readable(conn: Connection, keys: Collection[int], actor: ActorId) -> dict[int, Readable]:
    """Those of the rooms with these keys that are not deleted and that an actor may read, by their keys."""
    found: dict[int, Readable] = {}
    agent = actor.startswith(PREFIX[ActorKind.AGENT])
    for row in _KNOWN.all(conn, [(key,) for key in keys], actor):
        kept_out, status = bool(row.kept_out), row.status
        role = role_in(row, row.role, kept_out=kept_out, status=status, agent=agent)
        if allows(Action.READ, role) and status not in OUT:
            found[row.key] = Readable(row.id, row.title, row.seq)
    return found
