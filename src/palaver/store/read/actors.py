"""Reads actors, who can speak: people, agents, the system."""

from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, and_, bindparam, func, or_, select

from palaver.errors import Code, Refused
from palaver.model import AccountStatus, Actor, ActorId, ActorKind, AgentCard
from palaver.store.engine.statement import Row, Statement, matching
from palaver.store.schema import accounts, actor_is_unused, actors, agents, sessions

PREFIX = {ActorKind.PERSON: "u_", ActorKind.AGENT: "a_", ActorKind.SYSTEM: "s_"}

AGENTS_MAX = 1_000
REPLACED_MS = 60_000
COLUMNS = (
    actors.c.id.label("actor"),
    actors.c.kind.label("actor_kind"),
    actors.c.name.label("actor_name"),
    actors.c.guest,
    actors.c.public_handle,
)
"""What `actor_of` takes."""
CARD_COLUMNS = (*COLUMNS, agents.c.model, agents.c.system_prompt, agents.c.settings)

_BY_ID, _BY_HANDLE = (
    matching(select(*COLUMNS), column) for column in (actors.c.id, actors.c.handle)
)
session_is_good = and_(
    sessions.c.ended_ms.is_(None),
    or_(sessions.c.expires_ms.is_(None), sessions.c.expires_ms > bindparam("now_ms")),
    func.coalesce(sessions.c.used_ms, sessions.c.created_ms) + bindparam("idle_ms")
    > bindparam("now_ms"),
)
"""Of a session, at `now_ms`, where one that was not used for `idle_ms` has ended."""
_with_session = (
    select(*COLUMNS, accounts.c.status, *sessions.c["ended_ms", "replaced"])
    .join(sessions, sessions.c.actor_key == actors.c.key)
    .outerjoin(accounts, accounts.c.actor_key == actors.c.key)
)
_BY_TOKEN = Statement(
    _with_session.add_columns(session_is_good.label("good")).where(
        sessions.c.token_sha256 == bindparam("token")
    ),
    *("now_ms", "idle_ms", "token"),
)
_BY_CHOSEN = matching(_with_session, sessions.c.token_sha256)
_UNUSED = Statement(
    select(actors.c.key)
    .where(actor_is_unused, actors.c.created_ms < bindparam("before_ms"))
    .limit(1),
    "before_ms",
)
_AGENT = matching(
    select(*CARD_COLUMNS).join(agents, agents.c.actor_key == actors.c.key), actors.c.id
)

_AGENTS = Statement(
    select(actors.c.handle, *CARD_COLUMNS)
    .select_from(agents)
    .outerjoin(
        actors, actors.c.key == agents.c.actor_key
    )  # so that no planner begins with the actors
    .limit(AGENTS_MAX)
)


def get(conn: Connection, actor: ActorId) -> Actor | None:
    """The actor of this id."""
    found = _one(_BY_ID.first(conn, actor))
    return found if found is not None and found.id == actor else None


def by_token(conn: Connection, sha256: bytes, now_ms: int, idle_ms: int) -> Actor | None:
    """The actor whose session's token has this SHA-256.

    Refused: `account_disabled`, `session_ended`; and for a minute `unauthenticated`, where the session goes on under
    another token: what its browser still asks with the old one must not make it somebody else.
    """
    row = _BY_TOKEN.first(conn, now_ms, idle_ms, sha256)
    if row is None:
        return None
    refuse_disabled(row.status)
    if row.replaced and row.ended_ms > now_ms - REPLACED_MS:
        raise Refused(Code.UNAUTHENTICATED, "This session goes on under another token.")
    if not row.good:
        raise Refused(Code.SESSION_ENDED, "This session has ended, or was ended elsewhere.")
    return actor_of(row)


def by_chosen(conn: Connection, sha256: bytes) -> Actor | None:
    """The actor of an id that a classic client chose, which never expires. Refused: `account_disabled`."""
    row = _BY_CHOSEN.first(conn, sha256)
    if row is None:
        return None
    refuse_disabled(row.status)
    return actor_of(row)


def refuse_disabled(status: AccountStatus | None) -> None:
    """Refused: `account_disabled`. Without an account there is no status."""
    if status is AccountStatus.DISABLED:
        raise Refused(Code.ACCOUNT_DISABLED, "This account is disabled. Ask who runs this server.")


def by_handle(conn: Connection, handle: str) -> Actor | None:
    """The actor of this unique handle."""
    return _one(_BY_HANDLE.first(conn, handle))


def any_unused(conn: Connection, before_ms: int) -> bool:
    """Whether there are guests made before this of whom, as far as is known, nothing is kept."""
    return _UNUSED.first(conn, before_ms) is not None


def agent(conn: Connection, actor: ActorId) -> AgentCard | None:
    """What makes this actor an agent; None when it is none."""
    row = _AGENT.first(conn, actor)
    return None if row is None else _card_of(row)


def agents_by_handle(conn: Connection) -> dict[str, AgentCard]:
    """All agents, in the order of their handles."""
    # sorted here: SQLite would walk all actors to have them in order
    return {row.handle: _card_of(row) for row in sorted(_AGENTS.all(conn), key=itemgetter(0))}


def actor_of(row: Row) -> Actor:
    """The actor of a row with the `COLUMNS`."""
    id_ = id_of(row.actor_kind, row.actor)
    name, handle = row.actor_name, row.public_handle
    return Actor(id=id_, kind=row.actor_kind, name=name, guest=row.guest, handle=handle)


def _card_of(row: Row) -> AgentCard:
    return AgentCard(
        actor=actor_of(row),
        model=row.model,
        system_prompt=row.system_prompt,
        settings=row.settings or {},
    )


def id_of(kind: ActorKind, digits: Any) -> ActorId:
    """An actor's public id, whose prefix is its kind's."""
    return ActorId(PREFIX[kind] + digits)


def _one(row: Row | None) -> Actor | None:
    return None if row is None else actor_of(row)
