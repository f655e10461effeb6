"""Reads accounts: who can sign in, by their handles, and what their passwords must hash to."""

from sqlalchemy import Connection, bindparam, func, select

from palaver.model import Account, Actor, ActorId
from palaver.store.engine.statement import Row, Statement, matching
from palaver.store.read.actors import COLUMNS as ACTOR_COLUMNS, actor_of
from palaver.store.schema import accounts, actors, sessions
from palaver.store.values import ByName

_used_ms = (
    select(func.max(func.coalesce(sessions.c.used_ms, sessions.c.created_ms)))
    .where(sessions.c.actor_key == actors.c.key)
    .scalar_subquery()
    .label("used_ms")
)
_selected = select(*ACTOR_COLUMNS, *accounts.c["status", "password", "created_ms"], _used_ms).join(
    accounts, accounts.c.actor_key == actors.c.key
)
_ACCOUNT = ByName(Account, "actor")
_BY_SKELETON = matching(_selected, actors.c.skeleton)
_OF_ACTOR = matching(_selected, actors.c.id)
_LISTING = Statement(
    _selected.where(actors.c.skeleton > bindparam("after"))
    .order_by(actors.c.skeleton)
    .limit(bindparam("count")),
    "after",
    "count",
)


def by_handle(conn: Connection, handle: str, skeleton: str) -> tuple[Account, str | None] | None:
    """The account of exactly this handle, and what its password must hash to (None: there is none yet)."""
    row = _BY_SKELETON.first(conn, skeleton)
    return None if row is None or row.public_handle != handle else (_account(row), row.password)


def of_skeleton(conn: Connection, skeleton: str) -> Actor | None:
    """Who has a handle that looks like this."""
    row = _BY_SKELETON.first(conn, skeleton)
    return None if row is None else actor_of(row)


def of_actor(conn: Connection, actor: ActorId) -> tuple[Account, str | None] | None:
    """An actor's account and password, as above."""
    row = _OF_ACTOR.first(conn, actor)
    return None if row is None else (_account(row), row.password)


def listing(conn: Connection, *, after: str, count: int) -> tuple[Account, ...]:
    """At most `count` accounts in the order of their handles' skeletons, those behind `after`."""
    return tuple([_account(row) for row in _LISTING.all(conn, after, count)])


def _account(row: Row) -> Account:
    return _ACCOUNT.one(row, actor_of(row))
