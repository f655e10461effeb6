"""`/v1/messages/count_tokens`: how many tokens a request is. Nothing of it is stored.

A model server that speaks this API counts them itself. For any other one they are estimated, as they are for a
response.
"""

from http import HTTPStatus

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from palaver.core.runtime import Core
from palaver.model import Actor, Scope
from palaver.policy import ServerAct
from palaver.strict_json import load
from palaver.wire.anthropic import problems
from palaver.wire.anthropic.messages import entries_of
from palaver.wire.calls import call
from palaver.wire.edge.rates import Use
from palaver.wire.openai.items import Invalid
from palaver.wire.openai.models import Models
from palaver.wire.openai.params import answer
from palaver.wire.openai.proxy import passed_on, whole
from palaver.wire.openai.responses.requests import tokens_in

JSON_TYPE = "application/json"
ADDRESS = "/messages/count_tokens"
COUNTED = ("system", "messages", "tools", "output_config")
_NOT_THERE = frozenset(
    {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED}
)


class Tokens(Struct, frozen=True):
    """The call that counts."""

    core: Core
    models: Models

    @call("POST", ADDRESS, ServerAct.MODELS, scope=Scope.CHAT, use=Use.MESSAGES)
    async def count(self, me: Actor, request: Request) -> Response:
        """Counts the tokens of a request, or estimates them."""
        raw = await request.body()
        body = load(raw)
        model = body.get("model")
        if not isinstance(model, str) or not model:
            raise Invalid("model: must be the name of a model.", "model")
        entries_of(body)  # refuses what could not be asked
        counted = (
            None
            if await self.models.agent(model, me)
            else await self._there(me, request, raw, model)
        )
        if counted is not None:
            return counted
        return answer({"input_tokens": tokens_in([body.get(name) for name in COUNTED])})

    async def _there(self, me: Actor, request: Request, raw: bytes, model: str) -> Response | None:
        """What the model server says, if it can count. Raises `ProviderError`."""
        headers = passed_on(request.headers.items()) | {"content-type": JSON_TYPE}
        query = request.scope["query_string"].decode("latin-1")
        path = f"{ADDRESS}?{query}" if query else ADDRESS
        call = await self.core.models.of(me).in_messages(path, model, raw, headers)
        if call is None:
            return None
        told = await whole(call)
        if call.status in _NOT_THERE:
            return None
        if call.status >= HTTPStatus.MULTIPLE_CHOICES:
            return problems.refusal(call, told, ())
        if call.outcome.error is not None:
            raise call.outcome.error
        kept = {**dict(call.headers), "content-type": JSON_TYPE}
        return Response(told, call.status, headers=kept)
