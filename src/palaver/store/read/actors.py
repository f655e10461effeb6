"""Reads actors, who can speak: people, agents, the system."""

import hashlib
from collections.abc import Collection, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Connection, and_, bindparam, func, or_, select

from palaver.errors import Code, Refused
from palaver.model import NO_DATA, AccountStatus, Actor, ActorId, ActorKind
from palaver.store.engine.statement import Row, Statement, among, matching
from palaver.store.schema import accounts, actor_is_unused, actors, blobs, sessions

PREFIX = {ActorKind.PERSON: "u_", ActorKind.AGENT: "a_", ActorKind.SYSTEM: "s_"}

HERE = "here"
"""The preference whose `false` lets nobody see that a person is here."""
REPLACED_MS = 60_000
OUT = frozenset({AccountStatus.DISABLED, AccountStatus.DELETED})
"""Who may use their account no more."""
COLUMNS = (
    actors.c.id.label("actor"),
    actors.c.kind.label("actor_kind"),
    actors.c.name.label("actor_name"),
    actors.c.guest,
    actors.c.public_handle,
    actors.c.avatar,
)
"""What `actor_of` takes."""
ACCOUNT_COLUMNS = (
    accounts.c.status,
    accounts.c.role.label("server_role"),
    actors.c.preferences,
)
"""What `with_role` takes, too."""

its = actors.alias("its")
became_key = func.coalesce(its.c.became_key, its.c.key)
"""Of an actor, and of one who went into an account: who has it."""
_BY_ID = matching(select(*COLUMNS), actors.c.id)
_OF_IDS = among(select(*COLUMNS), actors.c.id)
_BY_HANDLE = matching(
    select(*COLUMNS, *ACCOUNT_COLUMNS)
    .join(its, actors.c.key == became_key)
    .outerjoin(accounts, accounts.c.actor_key == actors.c.key),
    its.c.handle,
)
_BY_SKELETON = matching(select(*COLUMNS), actors.c.skeleton)
session_is_good = and_(
    sessions.c.ended_ms.is_(None),
    or_(sessions.c.expires_ms.is_(None), sessions.c.expires_ms > bindparam("now_ms")),
    or_(
        actors.c.guest,
        func.coalesce(sessions.c.used_ms, sessions.c.created_ms) + bindparam("idle_ms")
        > bindparam("now_ms"),
    ),
)
"""Of a session, at `now_ms`. One that was not used for `idle_ms` has ended, unless it is a guest's only way in."""
_with_session = (
    select(*COLUMNS, *ACCOUNT_COLUMNS, *sessions.c["ended_ms", "replaced"])
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
_PROFILE = matching(select(*actors.c["preferences", "email"]), actors.c.id)
_BLOB = matching(select(*blobs.c["media_type", "data"]), blobs.c.digest)
_UNUSED = Statement(
    select(actors.c.key)
    .where(actor_is_unused, actors.c.created_ms < bindparam("before_ms"))
    .limit(1),
    "before_ms",
)


class Profile(Struct, frozen=True):
    """What only a person and the server's admins see of them."""

    preferences: Mapping[str, Any] = NO_DATA
    email: str | None = None


def get(conn: Connection, actor: ActorId) -> Actor | None:
    """The actor of this id."""
    found = _one(_BY_ID.first(conn, actor))
    return found if found is not None and found.id == actor else None


def of_ids(conn: Connection, ids: Collection[ActorId]) -> dict[ActorId, Actor]:
    """The actors of these ids."""
    found = map(actor_of, _OF_IDS.all(conn, [(one,) for one in ids]))
    return {one.id: one for one in found}


def by_token(conn: Connection, sha256: bytes, now_ms: int, idle_ms: int) -> Actor | None:
    """The actor whose session's token has this SHA-256.

    Refused: `account_disabled`, `session_ended`; and for a minute `unauthenticated`, where the session goes on under
    another token: what its browser still asks with the old one must not make it somebody else.
    """
    row = _BY_TOKEN.first(conn, now_ms, idle_ms, sha256)
    if row is None:
        return None
    asks = asking(row)
    if row.replaced and row.ended_ms > now_ms - REPLACED_MS:
        raise Refused(Code.UNAUTHENTICATED, "This session goes on under another token.")
    if not row.good:
        raise session_ended()
    return asks


def by_chosen(conn: Connection, sha256: bytes) -> Actor | None:
    """The actor of an id that a classic client chose, which never expires.

    Refused: `account_disabled`; `session_ended`, where it was ended.
    """
    row = _BY_CHOSEN.first(conn, sha256)
    if row is not None and row.ended_ms is not None:
        raise session_ended()
    return None if row is None else asking(row)


def session_ended() -> Refused:
    """What is told to who asks by a session that is over."""
    return Refused(Code.SESSION_ENDED, "This session has ended, or was ended elsewhere.")


def refuse_disabled(status: AccountStatus | None) -> None:
    """Refused: `account_disabled`; `session_ended` for who has left. Without an account there is no status."""
    if status is AccountStatus.DELETED:
        raise session_ended()
    if status is AccountStatus.DISABLED:
        raise Refused(Code.ACCOUNT_DISABLED, "This account is disabled. Ask who runs this server.")


def guest_of(token_sha256: bytes) -> ActorId:
    """The guest that a visitor's token makes: a visitor stays the same one when they are stored."""
    return ActorId(f"u_{hashlib.sha256(b'guest' + token_sha256).hexdigest()[:32]}")


def by_handle(conn: Connection, handle: str) -> Actor | None:
    """The actor of this unique handle, or who has the account that this one went into."""
    return _one(_BY_HANDLE.first(conn, handle))


def of_skeleton(conn: Connection, skeleton: str) -> Actor | None:
    """Who has a handle that looks like this."""
    return _one(_BY_SKELETON.first(conn, skeleton))


def speaking(conn: Connection, handle: str) -> Actor | None:
    """The same, as who says something. Refused: `account_disabled`, `session_ended`."""
    row = _BY_HANDLE.first(conn, handle)
    refuse_disabled(None if row is None else row.status)
    return _one(row)


def profile(conn: Connection, actor: ActorId) -> Profile:
    """What a person has told of themselves; nothing of who is not stored."""
    return Profile(*(_PROFILE.first(conn, actor) or ()))


def blob(conn: Connection, digest: bytes) -> tuple[str, bytes] | None:
    """The media type and the bytes under a digest."""
    row = _BLOB.first(conn, digest)
    return None if row is None else (row.media_type, bytes(row.data))


def any_unused(conn: Connection, before_ms: int) -> bool:
    """Whether there are guests made before this of whom, as far as is known, nothing is kept."""
    return _UNUSED.first(conn, before_ms) is not None


def actor_of(row: Row) -> Actor:
    """The actor of a row with the `COLUMNS`."""
    id_ = id_of(row.actor_kind, row.actor)
    name, handle = row.actor_name, row.public_handle
    avatar = None if row.avatar is None else row.avatar.hex()
    return Actor(
        id=id_, kind=row.actor_kind, name=name, guest=row.guest, handle=handle, avatar=avatar
    )


def asking(row: Row) -> Actor:
    """The actor of a row with the `ACCOUNT_COLUMNS`, too, as which somebody asks. Refused: `account_disabled`."""
    refuse_disabled(row.status)
    asks = actor_of(row) if row.status is AccountStatus.PENDING else with_role(row)
    return replace(asks, hidden=True) if row.preferences.get(HERE) is False else asks


def with_role(row: Row) -> Actor:
    """The actor of a row with the `ACCOUNT_COLUMNS`, too."""
    return replace(actor_of(row), server_role=row.server_role)


def id_of(kind: ActorKind, digits: Any) -> ActorId:
    """An actor's public id, whose prefix is its kind's."""
    return ActorId(PREFIX[kind] + digits)


def _one(row: Row | None) -> Actor | None:
    return None if row is None else actor_of(row)
