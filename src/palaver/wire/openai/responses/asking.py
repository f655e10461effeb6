"""Asking for a response: reads a request, finds what was said before, stores it, and calls the model server.

Every way in asks here: HTTP, and whatever else speaks the Responses API. A model server that speaks this API itself is
asked in it, any other for a chat completion; which it is, is found out by asking, and remembered for a while. What
cannot be asked as a chat completion is tried before anything is stored. How an answer is told is no business of this.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from functools import partial
from http import HTTPStatus
from typing import cast

from msgspec import Struct
from msgspec.structs import replace

from palaver.core.answers.compaction import tokens_in, told as told_from
from palaver.core.answers.source import ModelServer
from palaver.core.answers.tape import Call, ExchangeRequest, LiveAnswer
from palaver.core.exchanges import heard
from palaver.core.runtime import Core
from palaver.errors import Code, Refused
from palaver.model import NO_DATA, Actor, Entry, ExchangeId, Kind, Message, MessageId, RoomId
from palaver.model.exchanges import Exchange, ExchangeKind
from palaver.strict_json import Json, as_object
from palaver.wire.openai import items
from palaver.wire.openai.auth import keeps_unstored, standing_of, visibility_of
from palaver.wire.openai.fields import Invalid, bounded
from palaver.wire.openai.models import Models, as_agent
from palaver.wire.openai.names import KEPT_DESPITE, named
from palaver.wire.openai.params import digest_of, finding, is_repeated
from palaver.wire.openai.proxy import passed_on, whole
from palaver.wire.openai.responses import compaction, prompts, relay, replay, requests
from palaver.wire.openai.responses.compaction import Preceded, Wish
from palaver.wire.openai.responses.events import Composer
from palaver.wire.openai.responses.relay import Relayed
from palaver.wire.openai.responses.requests import Wanted
from palaver.wire.openai.responses.tools import restored, tools_of

ABSENT_SECONDS = 60.0
"""How long a model server that does not speak this API is not asked in it again."""
STRANGE_SECONDS = 3600.0
"""The same of one whose events cannot be followed: each try has it begin an answer that nobody reads."""

_ABSENT = frozenset({404, 405, 501})
_COMPACT = "/responses/compact"
_JSON: Mapping[str, str] = {"content-type": "application/json"}
_GOES_ON = ("previous_response_id", "conversation", "background")


Place = tuple[RoomId | None, MessageId]
"""The room of an answer, if it is stored, and its first message."""


class Asking(Struct):
    """Asks on behalf of clients; one for a server, since what it learns of the model server holds for all."""

    core: Core
    models: Models
    _chat_until: float = 0.0
    _not_until: float = 0.0
    _no_compact_until: float = 0.0

    async def passed(
        self, me: Actor, headers: Mapping[str, str], raw: bytes, body: Json
    ) -> Call | None:
        """Passes a request of which nothing is kept to a model server that speaks this API; None elsewhere."""
        goes_on = any(body.get(name) is not None for name in _GOES_ON)
        goes_on = goes_on or prompts.ours(body) is not None
        if body.get("store") is not False or goes_on or not self._speaks():
            return None
        if compaction.concerns(raw):
            return None
        if await self.models.agent(str(body.get("model")), me) is not None:
            return None
        if keeps_unstored(self.core, me):
            return None
        given = passed_on(headers.items())
        there = self.core.models.of(me)
        return await self._called(there, raw, given, stream=body.get("stream") is True)

    async def wanted(self, me: Actor, body: Json, *, compacts: bool = False) -> Wanted:
        """Reads a request; with `compacts`, one for a compaction. Refused: one that cannot be done."""
        given: object = body.get("input")
        if isinstance(given, list):
            bounded(cast("list[object]", given), "input")
            body["input"] = [await self._named(me, one) for one in cast("list[object]", given)]
        body, alien = await prompts.placed(self.core.prompts, me, body)
        unstored = body.get("store") is False and not keeps_unstored(self.core, me)
        triggered, goes_on = await compaction.prepared(self.core, me, body, unstored=unstored)
        compacts = compacts or triggered
        read = requests.read(body, compacts=compacts)
        asked = replace(read.asked, by=standing_of(me))
        wanted = replace(read, asked=asked, goes_on=goes_on)
        agent = await self.models.agent(asked.model, me)
        if agent is not None:
            wanted = replace(
                wanted, agent=agent, asked=replace(asked, agent=agent.id, card=agent.version)
            )
        refused = alien
        try:
            requests.chat_body(asked, requests.chat_messages(asked.entries))
            compaction.threshold_of(asked.request)
            compaction.ours_only(asked.entries)
        except Invalid as unsaid:
            refused = refused or unsaid
        if refused is not None and not self._relays(wanted):
            raise refused
        wanted = replace(wanted, refused=refused)
        if not compacts and any(entry.kind is Kind.TOOL_RESULT for entry in asked.entries):
            said = [*await self.before(me, asked), *asked.entries]
            told = await compaction.resolved(self.core, me, said)
            known = [one for one in told if isinstance(one, Message)]
            unpaired = requests.unpaired([one for one in told if isinstance(one, Entry)], known)
            if unpaired is not None:
                raise unpaired
        return wanted

    async def _named(self, me: Actor, given: object) -> object:
        """Looks an item up that is only named. Refused: an item that is not there."""
        item = as_object(given)
        named = item.get("type", "role" in item or "item_reference") == "item_reference"
        if not named or not isinstance(item.get("id"), str):
            return given
        message = items.message_id(item["id"])
        with suppress(Refused):
            if message is not None:
                found = await self.core.access.message(me, message)
                await self.core.access.conversation(me, found.room)
                return items.item_named(item["id"], found)
        raise Invalid(f"Item with id '{item['id']}' not found.", "input")

    async def before(self, me: Actor, asked: ExchangeRequest) -> Sequence[Message]:
        """Reads what was said before the request's own input."""
        if asked.previous is not None:
            previous = await self._previous(me, asked.previous)
            read = self.core.exchanges.messages
            return (*await read(previous, answers=False), *await read(previous, answers=True))
        if asked.room is None:
            return ()
        with finding(asked.room):
            return await self.core.exchanges.standing(me, asked.room)

    async def _previous(self, me: Actor, id_: ExchangeId) -> Exchange:
        """Finds the response to go on from. Refused: one that is not there."""
        return await self._response(me, id_, requests.previous_not_found(items.response_id(id_)))

    async def begun(
        self, me: Actor, wanted: Wanted, headers: Mapping[str, str], raw: bytes
    ) -> tuple[LiveAnswer, Composer]:
        """Begins an answer, and what composes its events; what is to be kept of the request is stored."""
        wanted = self._kept(me, wanted)
        if not wanted.store:
            composer = self.composer(wanted)
            return await self._unstored(me, wanted, composer.first), composer
        running = await self._stored(me, wanted, headers, raw)
        assert running.exchange is not None, "it is stored"
        return running, replay.composer_of(running.exchange)

    def composer(self, wanted: Wanted) -> Composer:
        """Composes the events of a response that is not stored."""
        clock = self.core.clock
        skeleton = requests.skeleton(wanted.asked, f"resp_{clock.new_id()}", clock.now_ms())
        return Composer(skeleton, MessageId(f"m_{clock.new_id()}"))

    async def response(self, me: Actor, given: str) -> Exchange:
        """Finds the response of this id. Refused: `exchange_not_found`."""
        missing = Refused(Code.EXCHANGE_NOT_FOUND, f"Response with id '{given}' not found.")
        return await self._response(me, items.exchange_id(given), missing)

    async def _response(self, me: Actor, id_: ExchangeId | None, missing: Refused) -> Exchange:
        if id_ is not None:
            with suppress(Refused):
                found = await self.core.exchanges.get(me, id_)
                if found.kind is ExchangeKind.RESPONSE:
                    return found
        raise missing

    def _kept(self, me: Actor, wanted: Wanted) -> Wanted:
        """The request, to be stored although it says `store: false`, where its caller's key says so."""
        if wanted.store or not keeps_unstored(self.core, me):
            return wanted
        asked = replace(wanted.asked, kept=False, about=KEPT_DESPITE)
        return replace(wanted, store=True, asked=asked)

    async def _stored(
        self, me: Actor, wanted: Wanted, headers: Mapping[str, str], raw: bytes
    ) -> LiveAnswer:
        """Stores the request, and begins its answer."""
        if wanted.asked.previous is not None:
            await self._previous(me, wanted.asked.previous)
        given = replace(wanted.asked, digest=digest_of(raw), repeated=is_repeated(headers))
        asked = named(headers, replace(given, visibility=visibility_of(headers)))
        if wanted.goes_on is not None and asked.room is None and asked.whole and not asked.client:
            asked = replace(asked, room=wanted.goes_on)
        async with AsyncExitStack() as unless_used:
            tried = await self._tried(me, wanted)
            if tried is not None:
                unless_used.push_async_callback(tried.close)
            with finding(wanted.asked.room):
                running = await self.core.exchanges.open(me, asked)
            exchange, said = running.exchange, running.context
            assert exchange is not None, "it is stored"
            if not running.dup:
                unless_used.pop_all()
                place = (exchange.room, exchange.message)
                ask = partial(self._ask, me, wanted, tried, relay.input_of, said, place)
                self.core.exchanges.run(running, ask, close=None if tried is None else tried.close)
        return running

    async def _unstored(self, me: Actor, wanted: Wanted, first: MessageId) -> LiveAnswer:
        """Begins an answer of which nothing is kept. `first` will be its first message."""
        before = await compaction.resolved(self.core, me, await self.before(me, wanted.asked))
        tried = await self._tried(me, wanted)
        given, said = partial(_given, wanted, before), [*before, *wanted.asked.entries]
        ask = partial(
            self._ask, me, wanted, tried, lambda _, origin: given(origin), said, (None, first)
        )
        close = None if tried is None else tried.close
        return self.core.exchanges.unstored(me, wanted.asked, ask, before=before, close=close)

    async def again(self, exchange: Exchange, said: Sequence[Message]) -> Call:
        """Asks what is stored once more, after a crash."""
        me, request = await self.core.exchanges.asker(exchange), exchange.request
        agent = await self.models.agent(exchange.model, me)
        kind, model = exchange.kind, exchange.model
        asked = ExchangeRequest(kind=kind, entries=(), model=model, request=request)
        wanted = Wanted(
            asked=asked, given=(), stream=False, background=True, store=True, agent=agent
        )
        place = (exchange.room, exchange.message)
        told = heard(tuple(said), exchange.actor)
        return await self._ask(me, wanted, None, relay.input_of, told, place)

    # the model server

    async def _ask(  # noqa: PLR0917  all that is known of an answer before it begins
        self,
        me: Actor,
        wanted: Wanted,
        tried: Call | None,
        given: Callable[[Sequence[Entry | Message], str | None], Sequence[Json]],
        said: Sequence[Entry | Message],
        place: Place,
    ) -> Call:
        """Asks in this API where the model server speaks it. `place`: the room, and the answer's first message."""
        said = await compaction.resolved(self.core, me, said)
        there = self.core.models.of(me, wanted.agent)
        if wanted.compacts:
            return await self._compacted(there, wanted, said, place)
        call = tried or await self._in_their_words(there, wanted, partial(given, said))
        call = call or await self._complete(there, wanted, said, place)
        if isinstance(call, Relayed):
            call.first, call.redaction = place[1], self.core.redaction
            call.origin = await there.origin(wanted.asked.model)
        return call

    async def _compacted(
        self, there: ModelServer, wanted: Wanted, said: Sequence[Entry | Message], place: Place
    ) -> Call:
        """Asks for a compaction: the model server, where it makes any, else its model for a summary."""
        clock = self.core.clock
        if self._relays(wanted) and clock.monotonic() >= self._no_compact_until:
            body = compaction.request_of(wanted.asked.request, said)
            call = await there.call("POST", _COMPACT, body, _JSON)
            if call.status not in _ABSENT:
                failed = call.status >= HTTPStatus.MULTIPLE_CHOICES
                return call if failed else compaction.theirs(await whole(call))
            await call.close()
            self._no_compact_until = clock.monotonic() + ABSENT_SECONDS
        wish = Wish(said, await self._model(wanted), *place)
        return (await compaction.made(self.core, there, wish))[0]

    async def _tried(self, me: Actor, wanted: Wanted) -> Call | None:
        """Asks what no chat completion can be asked, before anything is stored. Refused: what nobody can do."""
        if wanted.refused is None:
            return None
        before = await compaction.resolved(self.core, me, await self.before(me, wanted.asked))
        there = self.core.models.of(me)
        call = await self._in_their_words(there, wanted, partial(_given, wanted, before))
        if call is None:
            raise wanted.refused
        return call

    def _relays(self, wanted: Wanted) -> bool:
        """Whether the model server may be asked in this API, and its events be followed."""
        followed = self.core.clock.monotonic() >= self._not_until
        return wanted.agent is None and followed and self._speaks()

    async def _in_their_words(
        self, there: ModelServer, wanted: Wanted, given: Callable[[str | None], Sequence[Json]]
    ) -> Call | None:
        """Asks in this API; None where the model server does not speak it."""
        if not self._relays(wanted):
            return None
        origin = await there.origin(wanted.asked.model)
        body = relay.request_of(wanted.asked.request, given(origin))
        call = await self._called(there, body, NO_DATA, stream=True)
        if call is None or call.status >= HTTPStatus.MULTIPLE_CHOICES:
            return call
        found = await relay.relayed(call)
        if found is None:
            self._not_until = self.core.clock.monotonic() + STRANGE_SECONDS
        return found

    def _speaks(self) -> bool:
        """Whether the model server is not known to have nothing of this API."""
        auto = self.core.settings.openai_responses == "auto"
        return auto and self.core.clock.monotonic() >= self._chat_until

    async def _called(
        self, there: ModelServer, body: bytes, headers: Mapping[str, str], *, stream: bool
    ) -> Call | None:
        """Calls the model server's Responses API; None, and remembered, where it has none."""
        headers = {**headers, **_JSON}
        call = await there.call("POST", "/responses", body, headers, stream=stream)
        if call.status not in _ABSENT:
            return call
        if b"model" not in (await whole(call)).lower():  # else it is only a model that is not there
            self._chat_until = self.core.clock.monotonic() + ABSENT_SECONDS
        return None

    async def _model(self, wanted: Wanted) -> str:
        if wanted.agent is not None:
            return wanted.agent.asks or await self.models.default()
        return wanted.asked.model

    async def _complete(
        self, there: ModelServer, wanted: Wanted, said: Sequence[Entry | Message], place: Place
    ) -> Call:
        """Asks for a chat completion; first for a summary, where what was said is more than the client wants."""
        asked, agent, model = wanted.asked, wanted.agent, await self._model(wanted)
        limit, made = compaction.threshold_of(asked.request), None
        if limit is not None and tokens_in(said) > limit:
            wish = Wish(said, model, *place, tokens_max=limit // 4)
            made, done = await compaction.made(self.core, there, wish)
            said = told_from(said[:0], done, said[:0])
        origin = await there.origin(model)
        offered = tools_of(asked.request, said)
        chat = requests.chat_body(asked, requests.chat_messages(said, origin), offered)
        if agent is not None:
            chat = as_agent(agent, chat, model, self.core.settings.system_prompt)
        shortens = asked.request.get("truncation") == "auto"
        call = await there.complete(chat, shortens=shortens)
        call = restored(call, offered)
        if made is None or call.status >= HTTPStatus.MULTIPLE_CHOICES:
            return call
        return Preceded(call, made)


def _given(wanted: Wanted, before: Sequence[Entry | Message], origin: str | None) -> list[Json]:
    """Writes what was said before and the input as items, for a model server that speaks this API."""
    return [*relay.input_of(before, origin), *wanted.given]
