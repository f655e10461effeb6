"""A request that came through the API and its answer, for whoever may read the room.

As the client sent and got them: put together from the messages of the room and what the exchange keeps beside them,
each time anew. What a request says only to reach something else (a server's token in a tool) is not for other eyes and
is left out.
"""

from collections.abc import Mapping
from typing import Any, cast

from typing_extensions import TypedDict

from palaver.core.runtime import Core
from palaver.model import Actor, ExchangeId, Message, exchanges
from palaver.model.exchanges import ExchangeKind, ExchangeState
from palaver.strict_json import Json, as_object
from palaver.wire.anthropic.events import message_of
from palaver.wire.anthropic.messages import told_again
from palaver.wire.openai import items
from palaver.wire.openai.chat import messages
from palaver.wire.openai.responses import replay
from palaver.wire.shapes import explained, moment, moment_or_none

LEFT_OUT = "(left out)"
_SECRETS = frozenset({"authorization", "api_key", "apikey", "access_token", "token", "password"})
_HEADERS = frozenset({"headers", "extra_headers"})


@explained
class Exchange(TypedDict):
    """A request through an API below `/v1` and its answer, as its client sent and got them."""

    id: str
    name: str | None
    """The id that its client knows."""
    kind: ExchangeKind
    state: ExchangeState
    model: str
    created_at: str
    ended_at: str | None
    request: dict[str, Any]
    response: dict[str, Any] | None
    """None while it is running."""
    usage: dict[str, Any] | None
    ms: int | None
    finish: str | None


async def inspected(core: Core, actor: Actor, id_: ExchangeId) -> Exchange:
    """Shows an exchange. Refused: `exchange_not_found`, also where the actor may not see its room."""
    exchange = await core.exchanges.seen(actor, id_)
    view = await core.exchanges.messages(exchange, answers=False)
    answers = await core.exchanges.messages(exchange, answers=True)
    running = exchange.state is ExchangeState.RUNNING
    envelope = as_object(exchange.response.get("envelope"))
    return {
        "id": exchange.id,
        "name": exchange.name,
        "kind": exchange.kind,
        "state": exchange.state,
        "model": exchange.model,
        "created_at": moment(exchange.created_ms),
        "ended_at": moment_or_none(exchange.ended_ms),
        "request": _request(exchange, view),
        "response": None if running else await _response(core, exchange, answers),
        "usage": as_object(envelope.get("usage")) or None,
        "ms": exchange.response.get("ms"),
        "finish": next((one.meta["finish"] for one in answers if "finish" in one.meta), None),
    }


def _request(exchange: exchanges.Exchange, view: tuple[Message, ...]) -> Json:
    if exchange.kind is ExchangeKind.CHAT:
        made = {**exchange.request, "messages": messages.messages_of(view)}
    elif exchange.kind is ExchangeKind.MESSAGES:
        made = {**exchange.request, **told_again(view)}
    else:
        # What was said before is the request's own where it brought it; else its rows were stored with it.
        whole = exchange.previous is None and not exchange.request.get("conversation")
        own = [one for one in view if whole or one.created_ms >= exchange.created_ms]
        made = {**exchange.request, "input": [items.item_of(one) for one in own]}
        if exchange.metadata:
            made["metadata"] = dict(exchange.metadata)
    said = {key: made.pop(key) for key in ("system", "messages", "input") if key in made}
    return discreet(made) | said


async def _response(core: Core, exchange: exchanges.Exchange, answers: tuple[Message, ...]) -> Json:
    if exchange.kind is ExchangeKind.RESPONSE:
        return await replay.response_of(core, exchange)
    error = exchange.response.get("error")
    made = {"error": error} if error else {}
    if not exchange.response.get("envelope") and not any(one.text for one in answers):
        return made
    whole = message_of if exchange.kind is ExchangeKind.MESSAGES else messages.completion_of
    return whole(exchange, answers) | made


def discreet(said: Mapping[str, object]) -> Json:
    """Copies a request without its secrets."""
    return {key: _discreet(key.lower(), value) for key, value in said.items()}


def _discreet(key: str, value: object) -> object:
    match value:
        case str() if key in _SECRETS:
            return LEFT_OUT
        case Mapping():
            found = cast("Mapping[str, object]", value)
            return dict.fromkeys(found, LEFT_OUT) if key in _HEADERS else discreet(found)
        case list():
            return [_discreet("", one) for one in cast("list[object]", value)]
        case _:
            return value
