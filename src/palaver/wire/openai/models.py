"""`/v1/models`: what can be asked. The model server's models as it lists them, and Palaver's agents, by their handles.

A client of the Messages API, known by its `anthropic-version`, is told them in that API's shape and pages.

An agent is asked like a model, by its handle, with an `@` or without; `Models.agent` says which name is one. Neither
list is asked for more often than `KNOWN_SECONDS` allows, so that a request for an answer costs no read of its own.
While the database is away, the agents that were read last still hold: clients ask for this list before anything else.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import cast

import orjson
from msgspec import Struct, field
from starlette.requests import Request
from starlette.responses import Response

from palaver.cards.characters import told_to
from palaver.core.runtime import Core
from palaver.errors import Code, ProviderError, Refused, Unavailable
from palaver.model import Actor, Scope
from palaver.model.agents import AgentCard
from palaver.policy import ServerAct, may_use
from palaver.speaking import HANDLE
from palaver.strict_json import Json
from palaver.wire.calls import call
from palaver.wire.edge.rates import Use
from palaver.wire.openai.items import Invalid
from palaver.wire.openai.params import answer, limit_of, listed
from palaver.wire.openai.problems import ServerRefused
from palaver.wire.openai.proxy import forwarded, segments_of_model, whole
from palaver.wire.shapes import moment

PATH = "/models"
OWNER = "palaver"
KNOWN_SECONDS = 1.0
DEFAULT_SECONDS = 60.0
VERSION_HEADER = "anthropic-version"
PAGE_MAX = 1_000
SECONDS_MAX = 253_402_300_799
"""The last second that a time is written of."""
_OF_CALL = frozenset({"model", "messages", "stream", "stream_options", "n"})


class ModelMissing(Invalid):
    """The name is no model's and no agent's."""

    def __init__(self, model: str) -> None:
        words = f"The model '{model}' does not exist here. GET /v1/models lists those that do."
        super().__init__(words, "model", "model_not_found")
        self.code = Code.NOT_FOUND


class Models(Struct):
    """The calls about models, and which of them are agents."""

    core: Core
    _agents: Mapping[str, AgentCard] = field(default_factory=dict[str, AgentCard])
    _agents_until: float = 0.0
    _default: str = ""
    _default_until: float = 0.0

    @call("GET", PATH, ServerAct.MODELS)
    async def listing(self, me: Actor, request: Request) -> Response:
        """Lists all of them; to a client of the Messages API, a page."""
        found = await self._offered(me)
        if VERSION_HEADER in request.headers:
            return answer(_page([_described(one) for one in found], request))
        return answer({"object": "list", "data": found})

    @call("GET", f"{PATH}/{{model:path}}", ServerAct.MODELS)
    async def retrieve(self, me: Actor, request: Request) -> Response:
        """Finds one by its name. It may have slashes, and may stand behind its provider's, as in a request."""
        wanted = request.path_params["model"]
        found = await self._offered(me)
        one = await self._named(me, wanted, found)
        return answer(_described(one) if VERSION_HEADER in request.headers else one)

    @call(
        "DELETE",
        f"{PATH}/{{model:path}}",
        ServerAct.MODELS,
        scope=Scope.EMBEDDINGS,
        use=Use.MESSAGES,
    )
    async def delete(self, me: Actor, request: Request) -> Response:
        """Lets the model server delete a model of its own. Refused: `forbidden`, an agent."""
        segments = segments_of_model(request)
        if await self.agent("/".join(segments[1:]), me) is not None:
            raise Refused(Code.FORBIDDEN, "That is an agent of this server, and no model.")
        return await forwarded(self.core, me, request, segments)

    async def agent(self, model: str, me: Actor) -> AgentCard | None:
        """The agent that a model's name means to who asks; None for what is a model.

        Refused: `forbidden`, one for which a program answers; `not_found`, an `@handle` of none.
        """
        if self.core.clock.monotonic() >= self._agents_until:
            await self._read_agents()
        name = _handle(model)
        found = self._agents.get(name)
        if found is None or not may_use(me.id, found):
            if name != model:
                raise ModelMissing(model)
            return None
        if found.bot:
            raise Refused(Code.FORBIDDEN, "A program answers for this agent, in its rooms alone.")
        return told_to(found, me.handle or me.name)

    async def default(self) -> str:
        """The model of an agent that names none. Raises `ProviderError`."""
        now = self.core.clock.monotonic()
        if now >= self._default_until:
            models = await self.core.models.listed()
            if not models.models:
                raise ProviderError(Code.PROVIDER_UNREACHABLE, models.hint or "No model is there.")
            self._default = models.models[0].id
            self._default_until = now + DEFAULT_SECONDS
        return self._default

    async def _named(self, me: Actor, wanted: str, found: Sequence[Json]) -> Json:
        """The model of this name, or the one that is asked by it. Refused: `not_found`."""
        name = _handle(wanted)
        for one in found:
            if one.get("id") == name:
                return one
        origin = self.core.models.of(me).origin
        meant = await origin(wanted)
        for one in found:
            if meant is not None and await origin(str(one.get("id"))) == meant:
                return one
        raise ModelMissing(wanted)

    async def _read_agents(self) -> Mapping[str, AgentCard]:
        with suppress(Unavailable):
            self._agents = await self.core.agents.by_name()
        self._agents_until = self.core.clock.monotonic() + KNOWN_SECONDS
        return self._agents

    async def _offered(self, me: Actor) -> list[Json]:
        """Lists the model server's models as it tells them, and the agents that one may use. Raises `ServerRefused`."""
        there = self.core.models.of(me)
        call = await there.call("GET", PATH)
        found: list[Json] = []
        if call.status == HTTPStatus.NOT_FOUND:
            await call.close()
            models = (await there.listed()).models
            found = [_model(one.id, one.provider) for one in models]
        elif call.status >= HTTPStatus.BAD_REQUEST:
            raise ServerRefused(call, await whole(call))
        else:
            body = await whole(call)
            if call.outcome.error is not None:
                raise call.outcome.error
            found = _listed(body)
        agents = (await self._read_agents()).items()
        names = {one.get("id") for one in found}
        return found + [
            _model(name, OWNER)
            for name, one in agents
            if name not in names and may_use(me.id, one) and not one.bot
        ]


def as_agent(card: AgentCard, chat: Json, model: str, system_prompt: str) -> Json:
    """Asks as an agent of ours: with its model, its instructions first, and its settings where none are asked for."""
    defaults = {key: one for key, one in card.parameters.items() if key not in _OF_CALL}
    prompt, said = card.persona or system_prompt, chat.get("messages")
    if prompt and isinstance(said, list):
        said = [{"role": "system", "content": prompt}, *cast("list[object]", said)]
    return {**defaults, **chat, "model": model, "messages": said}


def _handle(model: str) -> str:
    """The handle in `@handle`. Any other name, such as a model's `@cf/meta/llama`, stays as it is."""
    return model[1:] if model[:1] == "@" and HANDLE.fullmatch(model[1:]) else model


def _listed(body: bytes) -> list[Json]:
    try:
        return [one for one in orjson.loads(body)["data"] if isinstance(one, dict)]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        words = "The model server sent no list of models."
        raise ProviderError(Code.PROVIDER_BAD_REPLY, words) from None


def _model(model: str, owner: str) -> Json:
    return {"id": model, "object": "model", "created": 0, "owned_by": owner}


def _described(one: Json) -> Json:
    """Writes a model as the Messages API does. When it was made is the beginning of time where nobody says it."""
    made = one.get("created")
    seconds = made if type(made) is int and 0 <= made <= SECONDS_MAX else 0
    named = (one.get(name) for name in ("display_name", "name", "id"))
    return {
        "type": "model",
        "id": one.get("id"),
        "display_name": next((name for name in named if isinstance(name, str) and name), ""),
        "created_at": moment(seconds * 1000),
    }


def _page(rows: Sequence[Json], request: Request) -> Json:
    """Cuts a page out of them: the first ones behind `after_id`, or the last ones before `before_id`.

    Refused: a name that is not among them.
    """
    ids, query = [one["id"] for one in rows], request.query_params
    after, before = query.get("after_id"), query.get("before_id")
    for name, given in (("after_id", after), ("before_id", before)):
        if given and given not in ids:
            raise Invalid(f"There is no model '{given}' here.", name)
    rows = rows[ids.index(after) + 1 if after else 0 : ids.index(before) if before else None]
    limit = limit_of(request, PAGE_MAX)
    shown = rows[-limit:] if before and not after else rows[:limit]
    page = listed(shown, has_more=len(rows) > limit)
    return {name: one for name, one in page.items() if name != "object"}
