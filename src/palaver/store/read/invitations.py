"""Reads invitations: links that let their bearers into a room, or to the server with an account of their own.

An invitation is good until it expires, is used up or is revoked, and as long as its maker may invite and is not
disabled; one into a room, as long as that is there; one to the server leads into those of its rooms to which that
applies. No read gives a token back, of which the store has only the SHA-256.
"""

from sqlalchemy import Connection, and_, bindparam, func, literal_column, or_, select

from palaver.model import AccountStatus, ActorId, Invitation, MemberRole, RoomId
from palaver.policy import (
    TABLE,
    Action,
    Right,
    ServerAct,
    is_everyones,
    refusal,
    server_refusal,
)
from palaver.store.engine.statement import Row, Statement, among, matching
from palaver.store.read import members as stored_members, rooms as stored_rooms
from palaver.store.read.actors import COLUMNS as ACTOR_COLUMNS, actor_of
from palaver.store.read.devices import ticket_is_good
from palaver.store.schema import (
    accounts,
    actors,
    member_is_in,
    members,
    room_is_live,
    rooms,
    ticket_is_to_server,
    tickets,
)
from palaver.store.values import ByName

INVITATIONS_MAX = 100
"""So many open invitations a room has, and into the server whoever makes them."""

invitation_is_good = and_(
    ticket_is_good,
    or_(tickets.c.uses_left.is_(None), tickets.c.uses_left > 0),
)
_is_its_makers = and_(
    members.c.room_key == tickets.c.room_key, members.c.actor_key == tickets.c.actor_key
)
_INVITERS = [role for role, right in TABLE[Action.INVITE].items() if right is not Right.NONE]
_maker_may_invite = and_(
    member_is_in,
    members.c.role.in_([literal_column(f"'{one}'") for one in _INVITERS]),
    func.coalesce(accounts.c.status, "") != literal_column(f"'{AccountStatus.DISABLED}'"),
)
"""So that those of makers who may not any more fill no page and no room's bound."""
_INVITATION = ByName(Invitation, "by", "rooms")
_selected = (
    select(
        *ACTOR_COLUMNS,
        *tickets.c["id", "role", "server_role", "created_ms", "expires_ms", "uses_left"],
        tickets.c.actor_key,
        tickets.c.rooms.label("words"),
        rooms.c.id.label("room"),
        rooms.c.title,
        members.c.role.label("makers_role"),
        members.c.kept_out,
        accounts.c.status,
        accounts.c.role.label("makers_server_role"),
        invitation_is_good.label("good"),
    )
    .select_from(tickets)
    .join(actors, actors.c.key == tickets.c.actor_key)
    .outerjoin(rooms, rooms.c.key == tickets.c.room_key)
    .outerjoin(members, _is_its_makers)
    .outerjoin(accounts, accounts.c.actor_key == tickets.c.actor_key)
    .where(or_(ticket_is_to_server, and_(rooms.c.key.is_not(None), room_is_live)))
)
_BY_TOKEN = Statement(
    _selected.where(tickets.c.token_sha256 == bindparam("token")), "now_ms", "token"
)
_BY_ID = Statement(_selected.where(tickets.c.id == bindparam("its_id")), "now_ms", "its_id")
_OF_ROOM = Statement(
    _selected.where(rooms.c.id == bindparam("its_room"), invitation_is_good, _maker_may_invite)
    .order_by(tickets.c.created_ms)
    .limit(INVITATIONS_MAX),
    *("now_ms", "its_room"),
)
_to_server = (
    _selected.where(ticket_is_to_server, invitation_is_good, tickets.c.id < bindparam("before"))
    .where(accounts.c.status == literal_column(f"'{AccountStatus.ACTIVE}'"))
    .order_by(tickets.c.id.desc())
    .limit(bindparam("count"))
)
_TO_SERVER = Statement(_to_server, "now_ms", "before", "count")
_OWN = Statement(
    _to_server.where(actors.c.id == bindparam("maker")), "now_ms", "before", "count", "maker"
)
_open = (
    select(tickets.c.id)
    .join(members, _is_its_makers)
    .outerjoin(accounts, accounts.c.actor_key == tickets.c.actor_key)
    .where(tickets.c.room_key == bindparam("room_key"), invitation_is_good, _maker_may_invite)
    .limit(INVITATIONS_MAX)
)
_COUNT = Statement(select(func.count()).select_from(_open.subquery()), "now_ms", "room_key")
_ROOMS = among(
    select(
        *rooms.c["id", "title", "visibility", "open_role", "door"], *members.c["role", "kept_out"]
    )
    .outerjoin(
        members,
        and_(members.c.room_key == rooms.c.key, members.c.actor_key == bindparam("maker")),
    )
    .where(room_is_live),
    rooms.c.id,
    "maker",
)
_WHERE = matching(
    select(rooms.c.id, tickets.c.rooms).outerjoin(rooms, rooms.c.key == tickets.c.room_key),
    tickets.c.token_sha256,
)
LAST = f"i_{'f' * 32}"
"""No id stands behind this one."""


def by_token(
    conn: Connection, token_sha256: bytes, now_ms: int, act: ServerAct
) -> Invitation | None:
    """The invitation of this token, while it is good. `act`: that of making one to the server."""
    row = _BY_TOKEN.first(conn, now_ms, token_sha256)
    return (
        _invitation(conn, row) if row is not None and row.good and _may_invite(row, act) else None
    )


def by_id(conn: Connection, id_: str, now_ms: int) -> tuple[Invitation, bool] | None:
    """The invitation of this id, and whether it is good but for what its maker may."""
    row = _BY_ID.first(conn, now_ms, id_)
    return None if row is None else (_invitation(conn, row), row.good)


def of_room(conn: Connection, room: RoomId, now_ms: int) -> tuple[Invitation, ...]:
    """A room's invitations that are good, the oldest first."""
    found = _OF_ROOM.all(conn, now_ms, room)
    return tuple([_invitation(conn, row) for row in found if _may_invite(row)])


def to_server(
    conn: Connection,
    now_ms: int,
    act: ServerAct,
    *,
    maker: ActorId | None,
    before: str,
    count: int,
) -> tuple[tuple[Invitation, ...], str | None]:
    """Some of those to the server that are good, all or a maker's, the newest first; and before which it goes on."""
    given = (now_ms, before, count)
    found = _TO_SERVER.all(conn, *given) if maker is None else _OWN.all(conn, *given, maker)
    good = tuple([_invitation(conn, row) for row in found if _may_invite(row, act)])
    return good, found[-1].id if len(found) == count else None


def count(conn: Connection, room_key: int, now_ms: int) -> int:
    """How many open invitations a room has, at most `INVITATIONS_MAX`."""
    return _COUNT.value(conn, now_ms, room_key)


def leads_to(conn: Connection, token_sha256: bytes) -> list[RoomId]:
    """The rooms of an invitation, whatever has become of it or them."""
    for room, words in _WHERE.all(conn, token_sha256):
        return [room] if words is None else [RoomId(word) for word in words.split()]
    return []


def looked_at(
    conn: Connection, token_sha256: bytes, actor: ActorId | None, now_ms: int, act: ServerAct
) -> tuple[Invitation, int, bool] | None:
    """The invitation of this token for an actor, how many people its room has, and whether the actor is one.

    None for one that has ended, but for who is a member already; and for who was removed from the room.
    """
    row = _BY_TOKEN.first(conn, now_ms, token_sha256)
    if row is None:
        return None
    good = row.good and _may_invite(row, act)
    if row.room is None:
        return (_invitation(conn, row), 0, False) if good else None
    room: RoomId = row.room
    member = actor is not None and stored_members.get(conn, room, actor) is not None
    kept_out = actor is not None and stored_rooms.keeps_out(conn, room, actor)
    if kept_out or not (member or good):
        return None
    return _invitation(conn, row), stored_members.count(conn, room), member


def _may_invite(row: Row, act: ServerAct = ServerAct.MANAGE) -> bool:
    if row.room is None:
        may = server_refusal(act, row.makers_server_role, of=row.server_role) is None
        return may and row.status is AccountStatus.ACTIVE
    role = None if row.kept_out else row.makers_role
    is_disabled = row.status is AccountStatus.DISABLED
    return not is_disabled and refusal(Action.INVITE, role, of=row.role) is None


def _invitation(conn: Connection, row: Row) -> Invitation:
    titles = {row.room: row.title}
    if row.room is None:
        found = _ROOMS.all(conn, [(word,) for word in row.words.split()], row.actor_key)
        titles = {one.id: one.title for one in found if _leads(one)}
    return _INVITATION.one(row, actor_of(row), titles)


def _leads(room: Row) -> bool:
    """Whether the maker of an invitation may invite into this room of it."""
    role, everyones = None if room.kept_out else room.role, is_everyones(room, room.door)
    return refusal(Action.INVITE, role, of=MemberRole.MEMBER, everyones=everyones) is None
