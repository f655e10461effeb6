"""Reads invitations: links that let their bearers into a room.

An invitation is good until it expires, is used up or is revoked, and as long as its room is there and its maker may
invite. No read gives a token back, of which the store has only the SHA-256.
"""

from sqlalchemy import Connection, and_, bindparam, func, or_, select

from palaver.model import ActorId, Invitation, RoomId
from palaver.policy import Action, refusal, role_in
from palaver.store.engine.statement import Row, Statement
from palaver.store.read import members as stored_members, rooms as stored_rooms
from palaver.store.read.actors import COLUMNS as ACTOR_COLUMNS, actor_of
from palaver.store.read.devices import ticket_is_good
from palaver.store.schema import actors, members, room_is_live, rooms, ticket_is_invitation, tickets
from palaver.store.values import ByName

INVITATIONS_MAX = 100
"""So many open invitations a room has."""

invitation_is_good = and_(
    ticket_is_invitation,
    ticket_is_good,
    or_(tickets.c.uses_left.is_(None), tickets.c.uses_left > 0),
)
_INVITATION = ByName(Invitation, "by")
_selected = (
    select(
        *ACTOR_COLUMNS,
        *tickets.c["id", "role", "created_ms", "expires_ms", "uses_left"],
        rooms.c.id.label("room"),
        *rooms.c["title", "visibility"],
        members.c.role.label("makers_role"),
        members.c.kept_out,
        invitation_is_good.label("good"),
    )
    .select_from(tickets)
    .join(rooms, rooms.c.key == tickets.c.room_key)
    .join(actors, actors.c.key == tickets.c.actor_key)
    .outerjoin(
        members,
        and_(members.c.room_key == tickets.c.room_key, members.c.actor_key == tickets.c.actor_key),
    )
    .where(room_is_live)
)
_BY_TOKEN = Statement(
    _selected.where(tickets.c.token_sha256 == bindparam("token")), "now_ms", "token"
)
_OF_ROOM = Statement(
    _selected.where(rooms.c.id == bindparam("its_room"), invitation_is_good)
    .order_by(tickets.c.created_ms)
    .limit(INVITATIONS_MAX),
    *("now_ms", "its_room"),
)
_open = (
    select(tickets.c.id)
    .where(tickets.c.room_key == bindparam("room_key"), invitation_is_good)
    .limit(INVITATIONS_MAX)
)
_COUNT = Statement(select(func.count()).select_from(_open.subquery()), "now_ms", "room_key")


def by_token(conn: Connection, token_sha256: bytes, now_ms: int) -> Invitation | None:
    """The invitation of this token, while it is good."""
    row = _BY_TOKEN.first(conn, now_ms, token_sha256)
    return _invitation(row) if row is not None and row.good and _may_invite(row) else None


def of_room(conn: Connection, room: RoomId, now_ms: int) -> tuple[Invitation, ...]:
    """A room's invitations that are good, the oldest first."""
    return tuple([_invitation(row) for row in _OF_ROOM.all(conn, now_ms, room) if _may_invite(row)])


def count(conn: Connection, room_key: int, now_ms: int) -> int:
    """How many open invitations a room has, at most `INVITATIONS_MAX`."""
    return _COUNT.value(conn, now_ms, room_key)


def looked_at(
    conn: Connection, token_sha256: bytes, actor: ActorId | None, now_ms: int
) -> tuple[Invitation, int, bool] | None:
    """The invitation of this token for an actor, how many people the room has, and whether the actor is one.

    None for one that has ended, but for who is a member already; and for who was removed from the room.
    """
    row = _BY_TOKEN.first(conn, now_ms, token_sha256)
    if row is None:
        return None
    room: RoomId = row.room
    member = actor is not None and stored_members.get(conn, room, actor) is not None
    kept_out = actor is not None and stored_rooms.keeps_out(conn, room, actor)
    if kept_out or not (member or (row.good and _may_invite(row))):
        return None
    return _invitation(row), stored_members.count(conn, room), member


def _may_invite(row: Row) -> bool:
    role = role_in(row.visibility, row.makers_role, kept_out=bool(row.kept_out))
    return refusal(Action.INVITE, role, of=row.role) is None


def _invitation(row: Row) -> Invitation:
    return _INVITATION.one(row, actor_of(row))
