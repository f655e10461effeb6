"""Makes and renames who can speak."""

from sqlalchemy import bindparam, insert, select, update

from palaver.errors import Code, Refused
from palaver.model import Actor, ActorKind, AgentCard
from palaver.store import actors as stored_actors
from palaver.store.apply.transaction import Transaction
from palaver.store.commands import AddActor, RenameActor, SaveAgent
from palaver.store.engine.statement import Statement
from palaver.store.schema import actors, agents, sessions

_ACTOR_COLUMNS = ("id", "kind", "handle", "name", "guest", "created_ms")
_INSERT_ACTOR = Statement(
    insert(actors)
    .values({name: bindparam(name) for name in _ACTOR_COLUMNS})
    .returning(actors.c.key),
    *_ACTOR_COLUMNS,
)
_INSERT_SESSION = Statement(
    insert(sessions).values(
        token_sha256=bindparam("token"), actor_key=bindparam("key"), created_ms=bindparam("now_ms")
    ),
    "token",
    "key",
    "now_ms",
)
_RENAME = Statement(
    update(actors).where(actors.c.id == bindparam("actor")).values(name=bindparam("new_name")),
    "new_name",
    "actor",
)
_CARD = Statement(select(agents.c.actor_key).where(agents.c.actor_key == bindparam("key")), "key")
_CARD_COLUMNS = ("actor_key", "model", "system_prompt", "settings")
_INSERT_CARD = Statement(
    insert(agents).values({name: bindparam(name) for name in _CARD_COLUMNS}), *_CARD_COLUMNS
)
_UPDATE_CARD = Statement(
    update(agents)
    .where(agents.c.actor_key == bindparam("key"))
    .values(
        model=bindparam("new_model"),
        system_prompt=bindparam("new_system_prompt"),
        settings=bindparam("new_settings"),
    ),
    "new_model",
    "new_system_prompt",
    "new_settings",
    "key",
)


def add(tx: Transaction, command: AddActor) -> Actor:
    """Applies `AddActor`. A handle that is there gets no further token: nobody takes over another one's name."""
    there = stored_actors.by_handle(tx.conn, command.handle)
    if there is not None:
        return there
    key = _insert(tx, command.actor, command.handle)
    if command.token_sha256 is not None:
        _INSERT_SESSION.run(tx.conn, command.token_sha256, key, tx.now_ms)
    return command.actor


def rename(tx: Transaction, command: RenameActor) -> Actor:
    """Applies `RenameActor`. Refused: `not_found`."""
    if stored_actors.get(tx.conn, command.actor) is None:
        raise Refused(Code.NOT_FOUND, "there is no such person or agent")
    _RENAME.run(tx.conn, command.name, command.actor)
    tx.actors.pop(command.actor, None)
    renamed = stored_actors.get(tx.conn, command.actor)
    assert renamed is not None
    return renamed


def save_agent(tx: Transaction, command: SaveAgent) -> AgentCard:
    """Applies `SaveAgent`. Refused: `name_reserved` when the handle is no agent's."""
    card = command.card
    there = stored_actors.by_handle(tx.conn, command.handle)
    if there is not None and there.kind is not ActorKind.AGENT:
        raise Refused(Code.NAME_RESERVED, "this handle belongs to somebody who is no agent")
    if there is None:
        key = _insert(tx, card.actor, command.handle)
        id_ = card.actor.id
    else:
        id_ = there.id
        _RENAME.run(tx.conn, card.actor.name, id_)
        found = tx.actor(id_)
        assert found is not None
        key = found.key
    if _CARD.first(tx.conn, key) is None:
        _INSERT_CARD.run(tx.conn, key, card.model, card.system_prompt, card.settings)
    else:
        _UPDATE_CARD.run(tx.conn, card.model, card.system_prompt, card.settings, key)
    saved = stored_actors.agent(tx.conn, id_)
    assert saved is not None
    return saved


def _insert(tx: Transaction, actor: Actor, handle: str) -> int:
    assert actor.id.startswith(stored_actors.PREFIX[actor.kind])
    row = _INSERT_ACTOR.first(
        tx.conn, actor.id, actor.kind, handle, actor.name, actor.guest, tx.now_ms
    )
    assert row is not None
    return int(row[0])
