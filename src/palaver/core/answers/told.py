"""Builds again, from the log, what a model was told for an answer."""

from msgspec import Struct

from palaver.core.answers import context
from palaver.core.ground import Ground
from palaver.errors import Code, Refused
from palaver.model import Actor, Turn, TurnId, TurnState
from palaver.policy import agent_refusal
from palaver.providers.base import Request
from palaver.store.read import turns

RUNNING = "The answer is still being written."
UNKNOWN = "Nothing is kept to compare it with: the answer is an old one, or ended with its server."
CHANGED = "The room, its people and messages, or the agent have changed since: this is what a model would be told now."


class Rebuilt(Struct, frozen=True, kw_only=True):
    """What a model was told. `persona`: the agent's own instructions are in it, or it has none.

    `same`: whether it is what was sent, by the digest; `why` it is not, or nobody knows.
    """

    turn: Turn
    request: Request
    persona: bool
    digest: str
    same: bool | None
    why: str | None


class PromptsTold:
    """What models were told."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground

    async def again(self, actor: Actor, turn: TurnId, *, trusted: bool = False) -> Rebuilt:
        """What was told for an answer in a room that the actor reads. `trusted`: whoever they are, they see it all.

        Refused: `turn_not_found`, also where a program answered or asked by itself.
        """
        store = self._ground.store
        found = await self._ground.access.turn(actor, turn)
        if found.external:
            raise Refused(Code.TURN_NOT_FOUND, "What a model was told is known of our own turns.")
        told = await store.read(turns.told, turn)
        prompt = await context.to_answer(store, self._ground.settings, found, told)
        if prompt.card.bot and told is None:
            raise Refused(Code.TURN_NOT_FOUND, "A program gave this answer, and no model was told.")
        digest = prompt.told.digest
        same, why = None, RUNNING if found.state is TurnState.OPEN else UNKNOWN
        if told is not None:
            same = digest == told.digest
            why = None if same else CHANGED
        whole = agent_refusal(None if trusted else actor, prompt.card) is None
        whole = whole or prompt.request == prompt.discreet
        request = prompt.request if whole else prompt.discreet
        return Rebuilt(
            turn=found, request=request, persona=whole, digest=digest.hex(), same=same, why=why
        )
