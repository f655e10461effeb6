"""Reads the connections to model servers that are stored, each with its owner's role."""

from sqlalchemy import Connection, Select, bindparam, select

from palaver.model import AccountStatus, ActorId, ActorKind
from palaver.model.agents import AgentCard
from palaver.model.profiles import Profile, ProfileId
from palaver.store.engine.statement import Row, Statement
from palaver.store.read import agents
from palaver.store.read.actors import id_of
from palaver.store.schema import accounts, actors, profiles
from palaver.store.values import ByName

PAGE = 1_000
WITHHELD = (
    "A connection of your own answers only for agents that you may edit, or that have no instructions of their own:"
    " its model server would read those of this agent. Choose a model of the server's."
)
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


def withheld(conn: Connection, model: str, by: ActorId, card: AgentCard) -> str | None:
    """Why a model is not asked: it is of one's own connection, which would read of a card what one may not."""
    told = not card.bot and (card.persona or card.examples or card.post_history)
    found = get(conn, ProfileId(model.partition("/")[0])) if told else None
    if found is None or found.owner is None or agents.refusal(conn, by, card) is None:
        return None
    return WITHHELD


def _profile_of(row: Row) -> Profile:
    owner: ActorId | None = None if row.actor is None else id_of(ActorKind.PERSON, row.actor)
    return _PROFILE.one(row, owner, row.role if row.status is AccountStatus.ACTIVE else None)
