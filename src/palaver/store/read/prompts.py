"""Reads stored prompts. Nobody but their owner is told of them."""

from sqlalchemy import Connection, bindparam, exists, select

from palaver.model import ActorId, Prompt, PromptId
from palaver.store.columns import INTEGER_MAX
from palaver.store.engine.statement import Statement
from palaver.store.schema import actors, prompts
from palaver.store.values import ByName

_later = prompts.alias("later")
_own = (
    select(*prompts.c["id", "version", "name", "text", "created_ms"])
    .join(actors, actors.c.key == prompts.c.actor_key)
    .where(actors.c.id == bindparam("actor"), prompts.c.deleted_ms.is_(None))
)
_of_id = _own.where(prompts.c.id == bindparam("prompt"))
_PROMPT = ByName(Prompt)
_NEWEST = Statement(_of_id.order_by(prompts.c.version.desc()).limit(1), "actor", "prompt")
_VERSION = Statement(
    _of_id.where(prompts.c.version == bindparam("version")), "actor", "prompt", "version"
)
_OF_ACTOR = Statement(
    _own.where(~exists().where(_later.c.id == prompts.c.id, _later.c.version > prompts.c.version))
    .order_by(prompts.c.id)
    .limit(bindparam("count")),
    "actor",
    "count",
)


def get(
    conn: Connection, actor: ActorId, prompt: PromptId, version: int | None = None
) -> Prompt | None:
    """A version of a prompt of this actor's, the newest unless said."""
    if version is None:
        row = _NEWEST.first(conn, actor, prompt)
    else:
        row = _VERSION.first(conn, actor, prompt, min(version, INTEGER_MAX))
    return None if row is None else _PROMPT.one(row)


def of_actor(conn: Connection, actor: ActorId, count: int) -> tuple[Prompt, ...]:
    """At most `count` prompts of an actor, each in its newest version, the oldest first."""
    return tuple([_PROMPT.one(row) for row in _OF_ACTOR.all(conn, actor, count)])
