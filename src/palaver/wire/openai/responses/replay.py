"""An exchange told as a response: what there is of it, or its events as they come.

Whether its answer is coming right now, is stored, or was cut when a server died, the same pieces go through the same
composer.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing

import orjson

from palaver.core.answers.tape import LiveAnswer
from palaver.core.exchanges import ELSEWHERE_SECONDS
from palaver.core.runtime import Core
from palaver.errors import Code
from palaver.model import Actor
from palaver.model.exchanges import Exchange, ExchangeState
from palaver.strict_json import Json, as_object
from palaver.wire.openai import items
from palaver.wire.openai.responses import events, requests
from palaver.wire.openai.responses.events import Composer, Ending, Event
from palaver.wire.openai.responses.packing import unpacked

END = b"data: [DONE]\n\n"

_CODES = {Code.PROVIDER_RATE_LIMITED: "rate_limit_exceeded"}
_LOST = {
    "code": "server_error",
    "message": "The server ended in the middle of the answer. What came until then is kept.",
}


def composer_of(exchange: Exchange) -> Composer:
    """Composes the events of an exchange, from its beginning."""
    id_ = items.response_id(exchange.id)
    return Composer(requests.skeleton(exchange, id_, exchange.created_ms), exchange.message)


async def response_of(core: Core, exchange: Exchange) -> Json:
    """Builds the response as it is now."""
    composer = composer_of(exchange)
    ending = ending_of(exchange)
    list(composer.begin())
    if ending is None:
        composer.so_far(await core.exchanges.so_far(exchange))
    else:
        list(await _retold(core, exchange, composer, ending))
    return composer.response


async def _stored_events(core: Core, me: Actor, exchange: Exchange) -> AsyncGenerator[Event, None]:
    """Yields the events of an exchange that is over, or at its end where it comes to another process."""
    composer = composer_of(exchange)
    for event in composer.begin():
        yield event
    while (ending := ending_of(exchange)) is None:
        await asyncio.sleep(ELSEWHERE_SECONDS)
        exchange = await core.exchanges.get(me, exchange.id)
    for event in await _retold(core, exchange, composer, ending):
        yield event


async def _retold(
    core: Core, exchange: Exchange, composer: Composer, ending: Ending
) -> Iterator[Event]:
    """The events of a stored exchange behind those of its beginning."""
    told: str | None = exchange.response.get("envelope", {}).get("told")
    if told is None:
        return composer.rest(await core.exchanges.pieces(exchange), ending)
    said = await core.exchanges.messages(exchange, answers=True)
    return composer.passed(*unpacked(told, exchange.message, said), ending)


def events_of(core: Core, me: Actor, exchange: Exchange) -> AsyncGenerator[Event, None]:
    """Yields the events of an exchange from the first to the end, wherever it is."""
    running = core.exchanges.running(exchange.id)
    if running is None:
        return _stored_events(core, me, exchange)
    return live_events(running, composer_of(exchange))


async def live_events(running: LiveAnswer, composer: Composer) -> AsyncGenerator[Event, None]:
    """Yields the events of an answer as it comes. The last comes once it is stored."""
    for event in composer.begin():
        yield event
    async with aclosing(running.follow()) as tape:
        async for told in tape:
            if running.own is not None:
                yield composer.pass_on(orjson.loads(told.raw))
                continue
            for piece in told.pieces:
                for event in composer.take(piece):
                    yield event
    own, ending = running.own, ending_of_running(running, int(composer.response["created_at"]))
    if own is not None and own.told:
        yield composer.end_as(dict(own.told), ending)
        return
    for event in composer.end(ending):
        yield event


async def framed(
    told: AsyncGenerator[Event, None], *, after: int = -1
) -> AsyncGenerator[bytes, None]:
    """Writes the events behind a number as a stream."""
    async with aclosing(told):
        async for event in told:
            if event["sequence_number"] > after:
                yield events.frame_of(event)
    yield END


def ending_of(exchange: Exchange) -> Ending | None:
    """Says how a stored exchange ended; None while it runs."""
    if exchange.state is ExchangeState.RUNNING:
        return None
    found, told = as_object(exchange.response.get("error")), None
    if found and exchange.state is ExchangeState.FAILED:
        told = _error(found["code"], found["detail"]) if "detail" in found else _LOST
    envelope = as_object(exchange.response.get("envelope"))
    return Ending(state=exchange.state, ended_ms=exchange.ended_ms, envelope=envelope, error=told)


def ending_of_running(running: LiveAnswer, created_at: int) -> Ending:
    """Says how a live answer ended, whose response was made at this second."""
    if running.exchange is not None:
        ending = None if running.ended is None else ending_of(running.ended)
        return ending or Ending(state=ExchangeState.FAILED, error=_LOST)
    failed, outcome = running.state is ExchangeState.FAILED, running.outcome
    failure = running.failure if failed else None
    told = None if failure is None else _error(failure.code, failure.detail)
    envelope = {} if outcome is None else outcome.envelope
    ended_ms = created_at * 1_000 + running.ms.get("total", 0)
    return Ending(state=running.state, ended_ms=ended_ms, envelope=envelope, error=told)


def _error(code: str, detail: str) -> Json:
    return {"code": _CODES.get(Code(code), "server_error"), "message": detail}
