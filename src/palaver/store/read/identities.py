"""Reads who people are elsewhere: at a provider, or as a proxy says it."""

from sqlalchemy import Connection, select

from palaver.model import AccountStatus, Actor, ActorId, ServerRole
from palaver.model.identities import Linked
from palaver.store.engine.statement import matching
from palaver.store.read.actors import ACCOUNT_COLUMNS, COLUMNS as ACTOR_COLUMNS, actor_of, asking
from palaver.store.schema import accounts, actors, identities, session_is_of_elsewhere, sessions
from palaver.store.values import ByName

_LINKED = ByName(Linked, "actor")
_selected = (
    select(*ACTOR_COLUMNS, *ACCOUNT_COLUMNS, *identities.c["issuer", "subject", "seen_ms"])
    .join(identities, identities.c.actor_key == actors.c.key)
    .outerjoin(accounts, accounts.c.actor_key == actors.c.key)
)
_OF_ACTOR = matching(_selected, actors.c.id)
_begun = (
    select(*ACTOR_COLUMNS, *sessions.c["token_sha256", "elsewhere"], identities.c.issuer)
    .join(sessions, sessions.c.actor_key == actors.c.key)
    .join(identities, identities.c.actor_key == actors.c.key)
    .where(session_is_of_elsewhere, sessions.c.ended_ms.is_(None))
)
_OF_SUBJECT = matching(_begun, identities.c.issuer, identities.c.subject)
_OF_SESSION = matching(_begun, sessions.c.elsewhere)
_OF_EMAIL = matching(
    select(*ACTOR_COLUMNS, *ACCOUNT_COLUMNS)
    .join(accounts, accounts.c.actor_key == actors.c.key)
    .where(accounts.c.status == AccountStatus.ACTIVE)
    .limit(2),
    actors.c.email,
)
_FIND = matching(_selected, identities.c.issuer, identities.c.subject)


def find(conn: Connection, issuer: str, subject: str) -> Linked | None:
    """Who this is here. Refused: `account_disabled`."""
    row = _FIND.first(conn, issuer, subject)
    return None if row is None else _LINKED.one(row, asking(row))


def of_actor(conn: Connection, actor: ActorId) -> tuple[Linked, ...]:
    """Who somebody is elsewhere. Refused: `account_disabled`."""
    return tuple([_LINKED.one(row, asking(row)) for row in _OF_ACTOR.all(conn, actor)])


def of_email(conn: Connection, email: str) -> Actor | None:
    """Who may be taken for whom a provider knows by this address: the one person who has it and is nobody elsewhere."""
    found = [asking(row) for row in _OF_EMAIL.all(conn, email)]
    is_one = len(found) == 1 and found[0].server_role is ServerRole.PERSON
    return found[0] if is_one and not of_actor(conn, found[0].id) else None


def begun_elsewhere(
    conn: Connection, issuer: str, subject: str | None, session: str | None
) -> list[tuple[bytes, ActorId]]:
    """The SHA-256 of the tokens of sessions that a provider began, and whose: of its subject, its session, or both."""
    asked = (session,) if subject is None else (issuer, subject)
    return [
        (row.token_sha256, actor_of(row).id)
        for row in (_OF_SESSION if subject is None else _OF_SUBJECT).all(conn, *asked)
        if row.issuer == issuer and session in {None, row.elsewhere}
    ]
