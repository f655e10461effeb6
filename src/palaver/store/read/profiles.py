"""Reads the connections to model servers that are stored, each with its owner's role."""

from sqlalchemy import Connection, Select, bindparam, select

from palaver.model import AccountStatus, ActorId, ActorKind
from palaver.model.profiles import Profile, ProfileId
from palaver.store.engine.statement import Row, Statement
from palaver.store.read.actors import id_of
from palaver.store.schema import accounts, actors, profiles
from palaver.store.values import ByName

PAGE = 1_000
_PROFILE = ByName(Profile, "owner", "role")
_selected: Select[tuple[object, ...]] = (
    select(
        *profiles.c["key", "id", "kind", "name", "base_url", "model", "sealed", "headers_sealed"],
        *(actors.c.id.label("actor"), accounts.c.status, accounts.c.role),
    )
    .select_from(profiles)
    .outerjoin(actors, actors.c.key == profiles.c.owner_key)
    .outerjoin(accounts, accounts.c.actor_key == profiles.c.owner_key)
)
_PAGE = Statement(
    _selected.where(profiles.c.key > bindparam("after"))
    .order_by(profiles.c.key)
    .limit(bindparam("count")),
    *("after", "count"),
)
_its = select(actors.c.key).where(actors.c.id == bindparam("owner")).scalar_subquery()
_OF_OWNER = Statement(
    _selected.where(profiles.c.owner_key == _its).order_by(profiles.c.key), "owner"
)
_SERVERS = Statement(
    _selected.where(profiles.c.owner_key.is_(None))
    .order_by(profiles.c.key)
    .limit(bindparam("count")),
    "count",
)
_BY_ID = Statement(_selected.where(profiles.c.id == bindparam("profile")), "profile")


def everybodys(conn: Connection) -> tuple[Profile, ...]:
    """All there are, the oldest first, read page by page."""
    found: list[Profile] = []
    after = -1
    while rows := _PAGE.all(conn, after, PAGE):
        found += map(_profile_of, rows)
        after = rows[-1].key
    return tuple(found)


def of(conn: Connection, owner: ActorId | None) -> tuple[Profile, ...]:
    """Somebody's own, or the server's, the oldest first."""
    rows = _SERVERS.all(conn, PAGE) if owner is None else _OF_OWNER.all(conn, owner)
    return tuple(map(_profile_of, rows))


def get(conn: Connection, profile: ProfileId) -> Profile | None:
    """One of them."""
    row = _BY_ID.first(conn, profile)
    return None if row is None else _profile_of(row)


def _profile_of(row: Row) -> Profile:
    owner: ActorId | None = None if row.actor is None else id_of(ActorKind.PERSON, row.actor)
    return _PROFILE.one(row, owner, row.role if row.status is AccountStatus.ACTIVE else None)
