"""Reads an actor's devices, which are its sessions, and the tickets that add one.

The store has only the SHA-256 of a token, and no read gives one back.
"""

import hashlib

from sqlalchemy import Connection, and_, bindparam, func, select

from palaver.model import ActorId, CredentialId, Device, Ticket, TicketKind
from palaver.store.engine.statement import Row, Statement, database_now
from palaver.store.read.actors import COLUMNS as ACTOR_COLUMNS, actor_of, session_is_good
from palaver.store.schema import actors, sessions, tickets
from palaver.store.values import ByName

DEVICES_MAX = 20
"""So many devices an actor has at once."""

ticket_is_good = and_(
    tickets.c.used_ms.is_(None),
    tickets.c.revoked_ms.is_(None),
    tickets.c.expires_ms > database_now,
)

_selected = (
    select(*ACTOR_COLUMNS, *tickets.c["id", "kind", "created_ms", "expires_ms"])
    .join(tickets, tickets.c.actor_key == actors.c.key)
    .where(ticket_is_good)
)
_TICKET = ByName(Ticket, "actor")
_BY_TOKEN = Statement(
    _selected.where(
        tickets.c.token_sha256 == bindparam("token"), tickets.c.kind == bindparam("kind")
    ),
    *("now_ms", "token", "kind"),
)
_OF_ACTOR = Statement(
    _selected.where(actors.c.id == bindparam("actor"), tickets.c.kind == bindparam("kind")),
    *("now_ms", "actor", "kind"),
)
_used_ms = func.coalesce(sessions.c.used_ms, sessions.c.created_ms).label("used_ms")
_DEVICE = ByName(Device, "id", "expires_ms")
_DEVICES = Statement(
    select(
        *sessions.c["token_sha256", "name", "created_ms", "expires_ms", "agent", "address"],
        _used_ms,
    )
    .join(actors, actors.c.key == sessions.c.actor_key)
    .where(actors.c.id == bindparam("actor"), session_is_good)
    .order_by(sessions.c.created_ms)
    .limit(DEVICES_MAX + 1),
    *("now_ms", "idle_ms", "actor"),
)


def id_of(token_sha256: bytes) -> CredentialId:
    """The public id of a device, which says nothing of its token."""
    return CredentialId("d_" + hashlib.sha256(b"device" + token_sha256).hexdigest()[:32])


def ticket(conn: Connection, token_sha256: bytes, kind: TicketKind, now_ms: int) -> Ticket | None:
    """The ticket of this token, while it is good, and good for this."""
    row = _BY_TOKEN.first(conn, now_ms, token_sha256, kind)
    return None if row is None else _ticket(row)


def ticket_of(conn: Connection, actor: ActorId, now_ms: int) -> Ticket | None:
    """The link to a device that an actor has given out and nobody has used."""
    row = _OF_ACTOR.first(conn, now_ms, actor, TicketKind.DEVICE)
    return None if row is None else _ticket(row)


def of_actor(
    conn: Connection, actor: ActorId, now_ms: int, idle_ms: int
) -> tuple[tuple[bytes, Device], ...]:
    """An actor's devices behind their tokens' SHA-256, the oldest first, while their sessions are good."""
    return tuple(
        [
            (row.token_sha256, _DEVICE.one(row, id_of(row.token_sha256), _end_of(row, idle_ms)))
            for row in _DEVICES.all(conn, now_ms, idle_ms, actor)
        ]
    )


def _end_of(row: Row, idle_ms: int) -> int:
    """When a session ends if it is not used any more."""
    idle = row.used_ms + idle_ms
    return idle if row.expires_ms is None else min(idle, row.expires_ms)


def _ticket(row: Row) -> Ticket:
    return _TICKET.one(row, actor_of(row))
