"""Reads accounts: who can sign in, by their handles, and what their passwords must hash to."""

from sqlalchemy import Connection, Text, bindparam, func, literal, or_, select

from palaver.model import Account, AccountStatus, Actor, ActorId, MemberRole, ServerRole, Visibility
from palaver.store.engine.statement import Row, Statement, matching
from palaver.store.migrate import META
from palaver.store.read.actors import ACCOUNT_COLUMNS, COLUMNS as ACTOR_COLUMNS, with_role
from palaver.store.read.rooms import containing
from palaver.store.schema import (
    account_is_owner,
    accounts,
    actors,
    events,
    member_is_in,
    members,
    rooms,
    sessions,
)
from palaver.store.values import ByName

_used_ms = (
    select(func.max(func.coalesce(sessions.c.used_ms, sessions.c.created_ms)))
    .where(sessions.c.actor_key == actors.c.key)
    .scalar_subquery()
    .label("used_ms")
)
_selected = select(
    *ACTOR_COLUMNS,
    *ACCOUNT_COLUMNS,
    *accounts.c["password", "created_ms"],
    actors.c.email,
    _used_ms,
).join(accounts, accounts.c.actor_key == actors.c.key)
_pattern = bindparam("pattern", type_=Text)
_called = or_(
    actors.c.public_handle.like(_pattern, escape="\\"),
    func.lower(actors.c.name).like(func.lower(_pattern), escape="\\"),
)
_ACCOUNT = ByName(Account, "actor")
_BY_SKELETON = matching(_selected, actors.c.skeleton)
_OF_ACTOR = matching(_selected, actors.c.id)
_listed = (
    _selected.where(actors.c.skeleton > bindparam("after"), _called)
    .order_by(actors.c.skeleton)
    .limit(bindparam("count"))
)
_LISTING = Statement(_listed, "after", "pattern", "count")
_OF_STATUS = Statement(
    _listed.where(accounts.c.status == bindparam("status", type_=accounts.c.status.type)),
    *("after", "pattern", "count", "status"),
)
_AN_OWNER = Statement(_selected.where(account_is_owner).limit(1))
_host, _maker = members.alias("host"), actors.alias("maker")
_HOSTED = matching(
    select(literal(1))
    .select_from(members)
    .join(actors, actors.c.key == members.c.actor_key)
    .join(rooms, rooms.c.key == members.c.room_key)
    .join(_host, _host.c.room_key == members.c.room_key)
    .join(accounts, accounts.c.actor_key == _host.c.actor_key)
    .join(events, (events.c.room_key == members.c.room_key) & (events.c.seq == 1))
    .join(_maker, _maker.c.key == events.c.actor_key)
    .where(
        member_is_in,
        func.coalesce(_maker.c.became_key, _maker.c.key) == accounts.c.actor_key,
        rooms.c.visibility == Visibility.PRIVATE,
        _host.c.role == MemberRole.OWNER,
        accounts.c.status == AccountStatus.ACTIVE,
    )
    .limit(1),
    actors.c.id,
)
LEAVING = "leaving"
"""The name in `meta` of who is being taken out: ids, separated by blanks."""
_OWNERS = Statement(select(accounts.c.actor_key).where(account_is_owner).limit(2))


def owners(conn: Connection) -> list[int]:
    """The keys of those who may act as the server's owner, up to two."""
    return _OWNERS.column(conn)


def an_owner(conn: Connection) -> Actor | None:
    """One of those who may act as the server's owner."""
    row = _AN_OWNER.first(conn)
    return None if row is None else _account(row).actor


def is_hosted(conn: Connection, actor: ActorId) -> bool:
    """Whether somebody who has an account has let this actor into a private room of theirs.

    They made it, too: a guest may give a room of their own to anybody, and stay in it.
    """
    return _HOSTED.first(conn, actor) is not None


def had_guests(conn: Connection) -> bool:
    """Whether there were guests before there were owners: revision 0017 has looked."""
    return META.value(conn, "guests_before") is not None


def unfinished(conn: Connection) -> list[ActorId]:
    """Those who are being taken out."""
    return [ActorId(one) for one in (META.value(conn, LEAVING) or "").split()]


def by_handle(conn: Connection, handle: str, skeleton: str) -> tuple[Account, str | None] | None:
    """The account of exactly this handle, and what its password must hash to (None: there is none yet)."""
    row = _BY_SKELETON.first(conn, skeleton)
    return None if row is None or row.public_handle != handle else (_account(row), row.password)


def of_actor(conn: Connection, actor: ActorId) -> tuple[Account, str | None] | None:
    """An actor's account and password, as above."""
    row = _OF_ACTOR.first(conn, actor)
    found = None if row is None else (_account(row), row.password)
    return found if found is not None and found[0].actor.id == actor else None


def role_of(conn: Connection, actor: ActorId) -> ServerRole | None:
    """The server role that somebody has now; None for who has no account, or may not use it."""
    found = of_actor(conn, actor)
    active = found is not None and found[0].status is AccountStatus.ACTIVE
    return found[0].actor.server_role if found and active else None


def listing(
    conn: Connection,
    *,
    after: str,
    count: int,
    search: str = "",
    status: AccountStatus | None = None,
) -> tuple[Account, ...]:
    """At most `count` accounts in the order of their handles' skeletons, those behind `after`.

    `search`: those with this in their handle or name, in any case (of a name: as far as the database knows it);
    `status`: those that are so.
    """
    pattern = containing(search.lower())
    given = (after, pattern, count)
    rows = _LISTING.all(conn, *given) if status is None else _OF_STATUS.all(conn, *given, status)
    return tuple([_account(row) for row in rows])


def _account(row: Row) -> Account:
    return _ACCOUNT.one(row, with_role(row))
