"""Reads agents: the cards that make them, their versions, and who may use them."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from msgspec.structs import replace
from sqlalchemy import ColumnElement, Connection, and_, bindparam, exists, func, or_, select

from palaver.errors import Refused
from palaver.model import ActorId, ActorKind, RoomId
from palaver.model.agents import AgentCard, Audience, Card, CardVersion, OwnSettings
from palaver.policy import agent_not_found, agent_refusal
from palaver.store.columns import INTEGER_MAX
from palaver.store.engine.statement import Row, Statement, among, matching
from palaver.store.read import accounts, actors as actors_read
from palaver.store.read.actors import id_of
from palaver.store.schema import (
    actors,
    agent_people,
    agent_versions,
    agents,
    events,
    members,
    rooms,
)

AGENTS_MAX = 1_000
T = TypeVar("T", bound=Card)

_owner, _maker = actors.alias("owner"), actors.alias("maker")
_newest = (agent_versions.c.actor_key == agents.c.actor_key) & (
    agent_versions.c.version == agents.c.version
)
_selected = (
    select(
        *actors.c["id", "handle"],
        *agents.c["actor_key", "version", "audience", "archived_ms"],
        agent_versions.c.card,
        _owner.c.id.label("owner"),
        _owner.c.name.label("owner_name"),
    )
    .select_from(agents)  # outer joins, so that no planner begins with another table
    .outerjoin(actors, actors.c.key == agents.c.actor_key)
    .outerjoin(agent_versions, _newest)
    .outerjoin(_owner, _owner.c.key == agents.c.owner_key)
)
_AGENT = matching(_selected, actors.c.id)
_BY_SUBJECT = matching(_selected, actors.c.handle)
_AGENTS = Statement(_selected.limit(AGENTS_MAX))
_PEOPLE = among(
    select(agent_people.c.agent_key, *actors.c["kind", "id"]).join(
        actors, actors.c.key == agent_people.c.person_key
    ),
    agent_people.c.agent_key,
)
_VERSIONS = Statement(
    select(*agent_versions.c["version", "card", "at_ms"], *_maker.c["kind", "id", "name"])
    .join(actors, actors.c.key == agent_versions.c.actor_key)
    .outerjoin(_maker, _maker.c.key == agent_versions.c.by_key)
    .where(actors.c.id == bindparam("agent"), agent_versions.c.version < bindparam("before"))
    .order_by(agent_versions.c.version.desc())
    .limit(bindparam("count")),
    *("agent", "before", "count"),
)
_said = (
    select(*events.c["seq", "data"])
    .join(rooms, rooms.c.key == events.c.room_key)
    .where(rooms.c.id == bindparam("room"))
)
_OWN_AT = Statement(_said.where(events.c.seq == bindparam("seq")), "room", "seq")
_OWN = Statement(
    _said.join(members, members.c.room_key == rooms.c.key)
    .join(actors, actors.c.key == members.c.actor_key)
    .where(actors.c.id == bindparam("agent"), events.c.seq == members.c.settings_seq),
    *("room", "agent"),
)
_OWNED = matching(select(func.count()).select_from(agents), agents.c.owner_key)
_ALL = Statement(select(func.count()).select_from(agents))


def get(conn: Connection, agent: ActorId) -> AgentCard | None:
    """The agent of this id, also one that is archived."""
    row = _AGENT.first(conn, agent)
    return None if row is None or not agent.startswith("a_") else _cards(conn, [row])[0]


def is_for(asker: ColumnElement[int]) -> ColumnElement[bool]:
    """Whether an agent is for who has this key, as `policy.may_use` says of one that is not archived."""
    named = exists(
        select(agent_people.c.agent_key)
        .where(agent_people.c.agent_key == agents.c.actor_key)
        .where(agent_people.c.person_key == asker)
    )
    return or_(
        agents.c.audience == Audience.EVERYONE,
        func.coalesce(agents.c.owner_key, 0) == asker,
        and_(agents.c.audience == Audience.SOME, named),
    )


def refusal(conn: Connection, by: ActorId, card: AgentCard) -> Refused | None:
    """Why somebody, as they are now, may not edit an agent; None where they may."""
    asks = actors_read.get(conn, by)
    role = accounts.role_of(conn, by)
    return (
        agent_not_found() if asks is None else agent_refusal(replace(asks, server_role=role), card)
    )


def by_subject(conn: Connection, subject: str) -> AgentCard | None:
    """The agent of this inner name."""
    row = _BY_SUBJECT.first(conn, subject)
    return None if row is None else _cards(conn, [row])[0]


def by_name(conn: Connection) -> dict[str, AgentCard]:
    """The agents that answer, by what people and programs call them, in that order."""
    rows = _AGENTS.all(conn)
    found = zip(rows, _cards(conn, rows), strict=True)
    named = {one.handle or row.handle: one for row, one in found if one.archived_ms is None}
    return dict(sorted(named.items()))


def everyones(conn: Connection) -> list[AgentCard]:
    """All agents, also archived ones, by name."""
    return sorted(_cards(conn, _AGENTS.all(conn)), key=lambda one: (one.name, one.id))


def versions(
    conn: Connection, agent: ActorId, *, before: int | None, count: int
) -> tuple[CardVersion, ...]:
    """At most `count` versions of an agent's card, those before one, the newest first."""
    rows = _VERSIONS.all(conn, agent, min(before or INTEGER_MAX, INTEGER_MAX), count)
    return tuple(
        [
            CardVersion(
                version=row.version,
                card=_card(Card, row.card),
                by=None if row.id is None else id_of(row.kind, row.id),
                by_name=row.name,
                at_ms=row.at_ms,
            )
            for row in rows
        ]
    )


def own(conn: Connection, room: RoomId, agent: ActorId) -> tuple[int | None, OwnSettings]:
    """What a room has of its own for an agent there, and the seq of the event that says so."""
    row = _OWN.first(conn, room, agent)
    return (None, OwnSettings()) if row is None else (row.seq, OwnSettings(**row.data["settings"]))


def own_at(conn: Connection, room: RoomId, seq: int | None) -> OwnSettings:
    """What it had of its own, by the seq of the event that says so (None: nothing)."""
    row = None if seq is None else _OWN_AT.first(conn, room, seq)
    return OwnSettings() if row is None else OwnSettings(**row.data["settings"])


def counts(conn: Connection, owner_key: int | None) -> tuple[int, int]:
    """How many agents somebody has, and how many there are."""
    return _OWNED.value(conn, owner_key), _ALL.value(conn)


def _cards(conn: Connection, rows: Sequence[Row]) -> list[AgentCard]:
    people: dict[int, list[ActorId]] = {row.actor_key: [] for row in rows}
    for found in _PEOPLE.all(conn, [(key,) for key in people]):
        people[found.agent_key].append(id_of(found.kind, found.id))
    return [
        _card(
            AgentCard,
            row.card,
            id=id_of(ActorKind.AGENT, row.id),
            version=row.version,
            owner=None if row.owner is None else id_of(ActorKind.PERSON, row.owner),
            owner_name=row.owner_name,
            audience=row.audience,
            people=frozenset(people[row.actor_key]),
            archived_ms=row.archived_ms,
        )
        for row in rows
    ]


def _card(kind: type[T], said: Mapping[str, Any], **more: Any) -> T:
    """A card as it was kept, whatever its bounds are now."""
    lists: dict[str, Any] = {
        name: tuple(said[name]) for name in ("group_greetings", "tags") if name in said
    }
    return kind(**{**said, **lists, **more})
