"""REST about one's own stored prompts, which programs name in requests of the Responses API."""

from functools import partial

from typing_extensions import TypedDict

import palaver.model as stored
from palaver.core.prompts import variables_of
from palaver.core.runtime import Core
from palaver.model import PromptId, Scope
from palaver.policy import ServerAct
from palaver.wire.api.body import Given, Whole
from palaver.wire.auth import Me
from palaver.wire.calls import call
from palaver.wire.shapes import moment

PREFIX = "pmpt_"

_call = partial(call, scope=Scope.RESPONSES)


class NewPrompt(Given):
    """A new prompt."""

    name: str
    """What the list calls it: 1 to 200 characters."""
    text: str
    """1 to 100,000 characters, with `{{variables}}`."""


class NewVersion(Given):
    """Another version of a prompt."""

    text: str
    name: str | None = None
    """Another name. Default: the one before."""


class Prompt(TypedDict):
    """A version of a stored prompt."""

    id: str
    version: str
    name: str
    text: str
    variables: list[str]
    created_at: str


class Prompts(TypedDict):
    """One's own prompts, each in its newest version."""

    prompts: list[Prompt]


class StoredPrompts:
    """The calls about stored prompts."""

    def __init__(self, core: Core) -> None:
        self._prompts = core.prompts

    @_call("GET", "/prompts", ServerAct.OWN)
    async def listing(self, me: Me) -> Prompts:
        """One's own prompts, the oldest first."""
        return {"prompts": [shape(one) for one in await self._prompts.own(me)]}

    @_call("POST", "/prompts", ServerAct.OWN, status=201)
    async def create(self, me: Me, body: NewPrompt) -> Prompt:
        """Makes a prompt."""
        return shape(await self._prompts.save(me, body.text, name=body.name))

    @_call("GET", "/prompts/{prompt}", ServerAct.OWN)
    async def show(self, me: Me, prompt: str, version: Whole | None = None) -> Prompt:
        """One of one's prompts, in its newest version unless another is asked for."""
        return shape(await self._prompts.get(me, id_of(prompt), version))

    @_call("POST", "/prompts/{prompt}/versions", ServerAct.OWN, status=201)
    async def add_version(self, me: Me, prompt: str, body: NewVersion) -> Prompt:
        """Makes another version, which is the newest."""
        return shape(await self._prompts.save(me, body.text, name=body.name, of=id_of(prompt)))

    @_call("DELETE", "/prompts/{prompt}", ServerAct.OWN, status=204)
    async def delete(self, me: Me, prompt: str) -> None:
        """Takes a prompt away, with all its versions."""
        await self._prompts.delete(me, id_of(prompt))


def id_of(given: str) -> PromptId:
    """The id of a prompt as the core has it."""
    return PromptId(f"p_{given.removeprefix(PREFIX)}")


def shape(value: stored.Prompt) -> Prompt:
    """A version of a prompt, as it is told."""
    return {
        "id": PREFIX + value.id[2:],
        "version": str(value.version),
        "name": value.name,
        "text": value.text,
        "variables": sorted(variables_of(value)),
        "created_at": moment(value.created_ms),
    }
