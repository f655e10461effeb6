"""Makes stored prompts, their versions, and takes them away. A prompt is its owner's, and nobody else is told of it."""

from palaver.errors import Code, Refused
from palaver.model import ActorId, Prompt, PromptId
from palaver.store.engine.statement import inserting, updating
from palaver.store.read import prompts as stored
from palaver.store.schema import prompts
from palaver.store.write.actors import known_actor, nobody
from palaver.store.write.command import Command
from palaver.store.write.transaction import Transaction

PROMPTS_MAX = 200
VERSIONS_MAX = 100

_ADD = inserting(prompts, "id", "version", "actor_key", "name", "text", "created_ms")
_DELETE = updating(prompts.c.id, "deleted_ms", where=prompts.c.deleted_ms.is_(None))


class SavePrompt(Command[Prompt], frozen=True, kw_only=True):
    """Keeps a new prompt, or with `again` a version that follows its newest; without a name it keeps that one's.

    Refused: `not_found`, `too_many_prompts`.
    """

    id: PromptId
    by: ActorId
    name: str | None
    text: str
    again: bool = False

    def apply(self, tx: Transaction) -> Prompt:
        owner = known_actor(tx, self.by, nobody())
        tx.used(owner.key)
        newest = stored.get(tx.conn, self.by, self.id)
        if self.again and newest is None:
            raise missing()
        version = 1 if newest is None else newest.version + 1
        if not self.again and len(stored.of_actor(tx.conn, self.by, PROMPTS_MAX)) == PROMPTS_MAX:
            raise Refused(Code.TOO_MANY_PROMPTS, f"You have {PROMPTS_MAX} prompts. Delete one.")
        if version > VERSIONS_MAX:
            many = f"This prompt has {VERSIONS_MAX} versions. Make a new one."
            raise Refused(Code.TOO_MANY_PROMPTS, many)
        name = self.name or (newest.name if newest is not None else "")
        _ADD.run(tx.conn, self.id, version, owner.key, name, self.text, tx.now_ms)
        made = stored.get(tx.conn, self.by, self.id)
        assert made is not None
        return made


class DeletePrompt(Command[None], frozen=True, kw_only=True):
    """Takes a prompt away, with all its versions. Refused: `not_found`."""

    id: PromptId
    by: ActorId

    def apply(self, tx: Transaction) -> None:
        if stored.get(tx.conn, self.by, self.id) is None:
            raise missing()
        _DELETE.run(tx.conn, tx.now_ms, self.id)


def missing() -> Refused:
    """There is no such prompt of one's own."""
    return Refused(Code.NOT_FOUND, "There is no such prompt of yours.")
