"""Stored prompts: texts with `{{variables}}` that programs name in their requests, in versions, each of one person."""

import re
from collections.abc import Mapping

from palaver.clock import Clock
from palaver.core import validation
from palaver.errors import Code, Refused
from palaver.model import Actor, Prompt, PromptId
from palaver.store.read import prompts
from palaver.store.store import Store
from palaver.store.write.prompts import PROMPTS_MAX, DeletePrompt, SavePrompt, missing

NAME_CHARS_MAX = 200
TEXT_CHARS_MAX = 100_000
FILLED_CHARS_MAX = 10_000_000
"""A variable may stand in a prompt many times, and its value be long."""
_VARIABLE = re.compile(r"\{\{\s*([A-Za-z][\w-]{0,63})\s*\}\}", re.ASCII)


class Prompts:
    """The stored prompts of one database."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    async def save(
        self, actor: Actor, text: str, *, name: str | None = None, of: PromptId | None = None
    ) -> Prompt:
        """Keeps a new prompt, or another version of one. Refused: `bad_request`, `not_found`, `too_many_prompts`."""
        validation.well_formed(text, "text")
        if validation.is_blank(text) or len(text) > TEXT_CHARS_MAX:
            words = f"The text of a prompt has 1 to {TEXT_CHARS_MAX:,} characters."
            raise Refused(Code.BAD_REQUEST, words)
        if name is not None:
            name = validation.person_name(name, NAME_CHARS_MAX)
        id_ = of or PromptId(f"p_{self._clock.new_id()}")
        command = SavePrompt(id=id_, by=actor.id, name=name, text=text, again=of is not None)
        return await self._store.write(command)

    async def own(self, actor: Actor) -> tuple[Prompt, ...]:
        """The newest versions of an actor's prompts, the oldest prompt first."""
        return await self._store.read(prompts.of_actor, actor.id, PROMPTS_MAX)

    async def get(self, actor: Actor, prompt: PromptId, version: int | None = None) -> Prompt:
        """A version of an actor's prompt, the newest unless said. Refused: `not_found`."""
        found = await self._store.read(prompts.get, actor.id, prompt, version)
        if found is None:
            raise missing()
        return found

    async def delete(self, actor: Actor, prompt: PromptId) -> None:
        """Takes a prompt away. Refused: `not_found`."""
        await self._store.write(DeletePrompt(id=prompt, by=actor.id))


def variables_of(prompt: Prompt) -> set[str]:
    """The names of the variables in a prompt."""
    return set(_VARIABLE.findall(prompt.text))


def filled(prompt: Prompt, values: Mapping[str, str]) -> str:
    """Puts values in the places of all variables. What stands in a value is a text and no variable.

    Refused: a text that would become too long.
    """
    values_chars = sum(len(values[name]) for name in _VARIABLE.findall(prompt.text))
    if len(prompt.text) + values_chars > FILLED_CHARS_MAX:
        words = f"A prompt has at most {FILLED_CHARS_MAX:,} characters with its variables."
        raise Refused(Code.PAYLOAD_TOO_LARGE, words)
    return _VARIABLE.sub(lambda found: values[found[1]], prompt.text)
