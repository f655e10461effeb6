"""Makes and renames who can speak."""

from sqlalchemy import bindparam, select

from palaver.errors import Code, Refused
from palaver.model import Actor, ActorKind, AgentCard
from palaver.store import actors as stored_actors
from palaver.store.apply.transaction import Transaction
from palaver.store.commands import AddActor, RenameActor, SaveAgent
from palaver.store.engine.statement import Statement, inserting, updating
from palaver.store.schema import actors, agents, sessions

_INSERT_ACTOR = inserting(
    actors, "id", "kind", "handle", "name", "guest", "created_ms", returning=actors.c.key
)
_INSERT_SESSION = inserting(sessions, "token_sha256", "actor_key", "created_ms")
_RENAME = updating(actors.c.id, "name")
_CARD = Statement(select(agents.c.actor_key).where(agents.c.actor_key == bindparam("key")), "key")
_INSERT_CARD = inserting(agents, "actor_key", "model", "system_prompt", "settings")
_UPDATE_CARD = updating(agents.c.actor_key, "model", "system_prompt", "settings")


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
