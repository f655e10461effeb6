"""Reads an actor's devices, which are its sessions, and the tickets that add one.

The store has only the SHA-256 of a token, and no read gives one back.
"""

import hashlib
from collections.abc import Collection

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    func,
    literal_column,
    not_,
    or_,
    select,
)

from palaver.model import ActorId, CredentialId, Device, Ticket, TicketKind
from palaver.store.engine.statement import Row, Statement, among, database_now, matching
from palaver.store.read.actors import COLUMNS as ACTOR_COLUMNS, OUT, actor_of, session_is_good
from palaver.store.schema import accounts, actors, agents, keys, once, sessions, tickets
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
_MADE_BY = matching(
    select(*ACTOR_COLUMNS).join(tickets, tickets.c.by_key == actors.c.key), tickets.c.token_sha256
)
_used_ms = func.coalesce(sessions.c.used_ms, sessions.c.created_ms).label("used_ms")
_DEVICE = ByName(Device, "id", "expires_ms")
_DEVICES = Statement(
    select(
        *sessions.c["token_sha256", "name", "created_ms", "expires_ms", "agent", "address"],
        _used_ms,
        actors.c.guest,
    )
    .join(actors, actors.c.key == sessions.c.actor_key)
    .where(actors.c.id == bindparam("actor"), session_is_good)
    .order_by(sessions.c.created_ms)
    .limit(DEVICES_MAX + 1),
    *("now_ms", "idle_ms", "actor"),
)
_OPEN = among(
    select(sessions.c.token_sha256).where(sessions.c.ended_ms.is_(None)), sessions.c.actor_key
)
_RUN_OUT = among(
    select(sessions.c.token_sha256)
    .join(actors, actors.c.key == sessions.c.actor_key)
    .where(sessions.c.ended_ms.is_(None), ~session_is_good),
    actors.c.id,
    *("now_ms", "idle_ms"),
)
_LONG_ENDED = Statement(
    select(*ACTOR_COLUMNS, sessions.c.token_sha256)
    .join(actors, actors.c.key == sessions.c.actor_key)
    .where(sessions.c.ended_ms > 0, sessions.c.ended_ms < bindparam("before_ms"))
    .order_by(sessions.c.ended_ms)
    .limit(bindparam("count")),
    *("before_ms", "count"),
)
_PAST = [
    Statement(select(one).where(one < bindparam("before_ms")).limit(1), "before_ms")
    for one in (tickets.c.expires_ms, once.c.expires_ms)
]
_owners = accounts.alias("owners")
_OUT: list[ColumnElement[str]] = [literal_column(f"'{one}'") for one in sorted(OUT)]
key_speaks = not_(
    select(agents.c.actor_key)
    .outerjoin(_owners, _owners.c.actor_key == agents.c.owner_key)
    .where(agents.c.actor_key == keys.c.actor_key)
    .where(or_(agents.c.archived_ms.is_not(None), _owners.c.status.in_(_OUT)))
    .exists()
)
"""Of a key: it is no agent's that is archived, or whose owner has been shut out."""
_KEYS = among(
    select(keys.c.id).where(
        key_speaks,
        keys.c.revoked_ms.is_(None),
        or_(keys.c.expires_ms.is_(None), keys.c.expires_ms > database_now),
    ),
    *(keys.c.id, "now_ms"),
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


def made_by(conn: Connection, token_sha256: bytes) -> ActorId | None:
    """Who made the ticket of this token for somebody else; None for the operator, and for its own actor."""
    row = _MADE_BY.first(conn, token_sha256)
    return None if row is None else actor_of(row).id


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


def standing(
    conn: Connection, asked: Collection[tuple[int, CredentialId]], now_ms: int
) -> set[str]:
    """Those of these sessions and keys, each behind the key of its actor, that nobody has ended; no expired key."""
    by_key = [(by,) for _, by in asked if by.startswith("k_")]
    by_session = {(actor,) for actor, by in asked if not by.startswith("k_")}
    found: set[str] = {id_of(row.token_sha256) for row in _OPEN.all(conn, list(by_session))}
    return found.union([row.id for row in _KEYS.all(conn, by_key, now_ms)])


def long_ended(conn: Connection, before_ms: int, count: int) -> list[tuple[bytes, ActorId]]:
    """Some sessions that ended before a time, and whose they were; not those of which only that is known."""
    found = _LONG_ENDED.all(conn, before_ms, count)
    return [(row.token_sha256, actor_of(row).id) for row in found]


def any_ended(conn: Connection, before_ms: int) -> bool:
    """Whether there is something to forget (`ForgetEnded`)."""
    return bool(long_ended(conn, before_ms, 1)) or any(
        statement.first(conn, before_ms) is not None for statement in _PAST
    )


def run_out(
    conn: Connection, owners: Collection[ActorId], now_ms: int, idle_ms: int
) -> list[CredentialId]:
    """The sessions of these actors that nobody has ended, and that are over."""
    asked = [(actor,) for actor in owners]
    return [id_of(row.token_sha256) for row in _RUN_OUT.all(conn, asked, now_ms, idle_ms)]


def _end_of(row: Row, idle_ms: int) -> int:
    """When a session ends if it is not used any more."""
    idle = row.used_ms + idle_ms
    if row.expires_ms is None:
        return idle
    return row.expires_ms if row.guest else min(idle, row.expires_ms)


def _ticket(row: Row) -> Ticket:
    return _TICKET.one(row, actor_of(row))
