"""Reads API keys, by which programs at the OpenAI-compatible API prove who they are.

The store has only the SHA-256 of a key's token, and no read gives it back.
"""

from msgspec.structs import replace
from sqlalchemy import Connection, bindparam, select

from palaver.model import ActorId, ApiKey, KeyId, RoomId, Scope
from palaver.store.engine.statement import Row, Statement
from palaver.store.read.actors import ACCOUNT_COLUMNS, COLUMNS as ACTOR_COLUMNS, actor_of, asking
from palaver.store.read.devices import key_speaks
from palaver.store.schema import accounts, actors, keys
from palaver.store.values import ByName

_selected = select(
    *ACTOR_COLUMNS,
    *keys.c["id", "name", "scopes", "created_ms", "last_used_ms", "revoked_ms"],
    *keys.c["expires_ms", "rooms"],
).join(keys, keys.c.actor_key == actors.c.key)

_KEY = ByName(ApiKey, "actor", "scopes", "rooms")
_BY_ID = Statement(_selected.where(keys.c.id == bindparam("key")), "key")
_BY_TOKEN = Statement(
    _selected.add_columns(*ACCOUNT_COLUMNS)
    .outerjoin(accounts, accounts.c.actor_key == actors.c.key)
    .where(keys.c.token_sha256 == bindparam("token"), key_speaks),
    "token",
)
_OF_ACTOR = Statement(
    _selected.where(actors.c.id == bindparam("actor"), keys.c.revoked_ms.is_(None))
    .order_by(keys.c.id)
    .limit(bindparam("count")),
    "actor",
    "count",
)
_LISTING = Statement(
    _selected.where(keys.c.id > bindparam("after")).order_by(keys.c.id).limit(bindparam("count")),
    "after",
    "count",
)


def get(conn: Connection, key: KeyId) -> ApiKey | None:
    """The key of this id."""
    row = _BY_ID.first(conn, key)
    return None if row is None else _key(row)


def by_token(conn: Connection, sha256: bytes) -> ApiKey | None:
    """The key whose token has this SHA-256, ended or not. Refused: `account_disabled`, for whom it speaks."""
    row = _BY_TOKEN.first(conn, sha256)
    return None if row is None else replace(_key(row), actor=asking(row))


def listing(conn: Connection, *, after: KeyId | None, count: int) -> tuple[ApiKey, ...]:
    """At most `count` keys, the oldest first, those behind `after`; revoked ones too."""
    return tuple([_key(row) for row in _LISTING.all(conn, after or "", count)])


def of_actor(conn: Connection, actor: ActorId, count: int) -> tuple[ApiKey, ...]:
    """At most `count` keys that speak for this actor and were not revoked, the oldest first."""
    return tuple([_key(row) for row in _OF_ACTOR.all(conn, actor, count)])


def _key(row: Row) -> ApiKey:
    scopes = frozenset(Scope(word) for word in row.scopes.split())
    rooms = None if row.rooms is None else frozenset(map(RoomId, row.rooms.split()))
    return _KEY.one(row, actor_of(row), scopes, rooms)
