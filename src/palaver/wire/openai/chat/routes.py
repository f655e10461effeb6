"""`/v1/chat/completions`: requests go to the model server as they are, and are stored as what was said.

Rules: the request's bytes go on unchanged, but for `conversation`, which is ours, and an agent's name, which becomes
its model, its instructions and its settings. What comes back goes to the client byte for byte, one write an event;
its last bytes once the answer is stored; only where a stream was asked for and one body came, or the other way round,
it is put into the form that was asked for. The call starts while the request is being stored, and nothing reaches the
client before it is. An answer that breaks says so in an error event, and its connection ends without an end.

Which room it is stored in: the one that is named (see `names`), else the one whose history this one continues, else a
new one. `store: false` stores nothing at all.

Those that their client asked to keep (`store: true`) are found, changed and forgotten: the caller's own, each put
together again from what the room holds of it. Forgetting one takes it from these calls; what was said stays in its
room. A completion has the id that its model server gave it. Some servers give the same one again and again: then it
means the newest of them, and the others are known by an id of ours.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from functools import partial

import orjson
from msgspec import Struct
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from palaver.core.answers.tape import Call, ExchangeRequest
from palaver.core.runtime import Core
from palaver.errors import Code, Refused
from palaver.model import Actor, ExchangeId, Scope
from palaver.model.agents import AgentCard
from palaver.model.exchanges import Exchange, ExchangeKind
from palaver.policy import Action, ServerAct
from palaver.strict_json import Json, as_list, as_object
from palaver.wire.calls import call
from palaver.wire.edge.rates import Use
from palaver.wire.openai import params, problems
from palaver.wire.openai.answering import Answering, Dialect
from palaver.wire.openai.auth import keeps_unstored, standing_of, visibility_of
from palaver.wire.openai.chat.messages import completion_of, entries_of, messages_of
from palaver.wire.openai.fields import check, flag
from palaver.wire.openai.models import Models, as_agent
from palaver.wire.openai.names import KEPT_DESPITE, named
from palaver.wire.openai.problems import refusal
from palaver.wire.openai.proxy import passed_on

PATH = "/chat/completions"
COMPLETION = "/chat/completions/{completion}"
CHOICES_MAX = 128
PREFIX = "chatcmpl-"
HEX_CHARS = 32
_METADATA = re.compile(r"metadata\[(.*)\]", re.DOTALL)
ECHOED = (
    *("tools", "tool_choice", "response_format", "seed", "temperature", "top_p"),
    *("presence_penalty", "frequency_penalty"),
)
"""What a stored completion tells of its request."""

_call = partial(call, scope=Scope.CHAT)


class Chat(Struct, frozen=True):
    """The calls for chat completions."""

    core: Core
    models: Models

    @_call("POST", PATH, Action.WRITE, use=Use.MESSAGES)
    async def create(self, me: Actor, request: Request) -> Response:
        """Asks the model server, and passes its answer on."""
        raw, body = await params.passed_body(request)
        choices = body.get("n")
        check(body, params.CHAT)
        agent = await self.models.agent(body.get("model") or "", me)
        stores, streams = flag(body, "store", default=True), flag(body, "stream")
        by = standing_of(me)
        asked = replace(_asked(request, raw, body, agent), by=by)
        if not stores and (stores := keeps_unstored(self.core, me)):
            asked = replace(asked, about=KEPT_DESPITE)
        asked = named(request.headers, asked)
        model = None if agent is None else agent.asks or await self.models.default()
        sent = self._sent(raw, body, agent, model)
        headers = passed_on(request.headers.items()) | {"content-type": "application/json"}

        async def ask() -> Call:
            many = choices if isinstance(choices, int) and 0 < choices <= CHOICES_MAX else 1
            return await self.core.models.of(me, agent).call(
                "POST", PATH, sent, headers, stream=streams, choices=many, model=model
            )

        exchanges = self.core.exchanges
        if asked.kept and stores:
            asked = replace(asked, metadata=params.metadata_of(asked.request.get("metadata")))
        running = (
            await exchanges.begin(me, asked, ask) if stores else exchanges.unstored(me, asked, ask)
        )
        dialect = Dialect(
            refusal=lambda call, body, _: refusal(call, body),
            error=problems.event,
            stored=completion_of,
            events=partial(_chunks, body),
            holds="choices",
        )
        return Answering(self.core, running, dialect, streams).response()

    @_call("GET", PATH, ServerAct.OWN)
    async def listing(self, me: Actor, request: Request) -> Response:
        """The caller's completions, the oldest first unless asked otherwise."""
        query, paging = request.query_params, params.paging_of(request, newest_first=False)
        after = None if paging.after is None else (await self._found(me, paging.after)).id
        found, more = await self.core.exchanges.listing(
            me,
            ExchangeKind.CHAT,
            after=after,
            limit=paging.limit,
            newest_first=paging.newest_first,
            model=query.get("model") or None,
            metadata={match[1]: query[one] for one in query if (match := _METADATA.fullmatch(one))},
        )
        data = [await self._kept(one, await self._id_of(me, one)) for one in found]
        return params.answer(params.listed(data, has_more=more))

    @_call("GET", COMPLETION, ServerAct.OWN)
    async def retrieve(self, me: Actor, request: Request) -> Response:
        """One completion."""
        id_: str = request.path_params["completion"]
        return params.answer(await self._kept(await self._found(me, id_), id_))

    @_call("POST", COMPLETION, ServerAct.OWN, use=Use.MESSAGES)
    async def update(self, me: Actor, request: Request) -> Response:
        """Replaces the metadata."""
        id_: str = request.path_params["completion"]
        metadata = await params.new_metadata(request)
        found = await self._found(me, id_)
        changed = await self.core.exchanges.change(me, found.id, metadata)
        return params.answer(await self._kept(changed, id_))

    @_call("DELETE", COMPLETION, ServerAct.OWN, use=Use.MESSAGES)
    async def delete(self, me: Actor, request: Request) -> Response:
        """Forgets one."""
        id_: str = request.path_params["completion"]
        await self.core.exchanges.forget(me, (await self._found(me, id_)).id)
        return params.answer({"id": id_, "object": "chat.completion.deleted", "deleted": True})

    @_call("GET", f"{COMPLETION}/messages", ServerAct.OWN)
    async def messages(self, me: Actor, request: Request) -> Response:
        """The messages of its request."""
        id_: str = request.path_params["completion"]
        paging = params.paging_of(request, newest_first=False)
        found = await self._found(me, id_)
        said = messages_of(await self.core.exchanges.messages(found, answers=False))
        rows = [_message(message, f"{id_}-{place}") for place, message in enumerate(said)]
        return params.answer(params.page_of(rows, paging))

    # inside

    def _sent(self, raw: bytes, body: Json, agent: AgentCard | None, model: str | None) -> bytes:
        """Builds the body for the model server."""
        if agent is None and "conversation" not in body:
            return raw
        sent = {key: value for key, value in body.items() if key != "conversation"}
        if agent is not None and model is not None:
            sent = as_agent(agent, sent, model, self.core.settings.system_prompt)
        return orjson.dumps(sent)

    async def _id_of(self, me: Actor, exchange: Exchange) -> str:
        """The id by which `_found` finds it."""
        if exchange.name is not None:
            newest = await self.core.exchanges.named(me, exchange.name)
            if newest.id == exchange.id:
                return exchange.name
        return PREFIX + exchange.id[2:]

    async def _found(self, me: Actor, name: str) -> Exchange:
        """Finds the stored completion of this id. Refused: `exchange_not_found`."""
        found, digits = None, name.removeprefix(PREFIX)
        with suppress(Refused):
            found = await self.core.exchanges.named(me, name)
        if found is None and len(digits) == HEX_CHARS:  # one to which its upstream gave no id
            with suppress(Refused):
                found = await self.core.exchanges.get(me, ExchangeId(f"x_{digits}"))
        if found is None or not found.kept or found.kind is not ExchangeKind.CHAT:
            words = f"No stored chat completion found with id '{name}'."
            raise Refused(Code.EXCHANGE_NOT_FOUND, words)
        return found

    async def _kept(self, exchange: Exchange, id_: str) -> Json:
        answers = await self.core.exchanges.messages(exchange, answers=True)
        echoed = {name: exchange.request[name] for name in ECHOED if name in exchange.request}
        return {**echoed, **completion_of(exchange, answers), "id": id_}


def _asked(request: Request, raw: bytes, body: Json, agent: AgentCard | None) -> ExchangeRequest:
    """Reads the request as the core takes it, but for what its headers and metadata say of its conversation."""
    return ExchangeRequest(
        kind=ExchangeKind.CHAT,
        entries=entries_of(body.get("messages")),
        model=str(body.get("model") or ""),
        request={key: value for key, value in body.items() if key != "messages"},
        visibility=visibility_of(request.headers),
        room=params.room_of(body),
        whole=True,
        kept=body.get("store") is True,
        digest=params.digest_of(raw),
        repeated=params.is_repeated(request.headers),
        agent=None if agent is None else agent.id,
        card=None if agent is None else agent.version,
    )


def _chunks(body: Json, completion: Json) -> Iterator[bytes]:
    """Streams a whole completion, each choice in one chunk."""
    head = {key: value for key, value in completion.items() if key not in {"choices", "usage"}}
    head["object"] = "chat.completion.chunk"
    for index, choice in enumerate(map(as_object, as_list(completion.get("choices")))):
        delta = dict(as_object(choice.get("message")))
        if "tool_calls" in delta:
            calls = map(as_object, as_list(delta["tool_calls"]))
            delta["tool_calls"] = [{"index": place, **call} for place, call in enumerate(calls)]
        part = {"index": choice.get("index", index), "delta": delta, "finish_reason": None}
        yield _frame({**head, "choices": [part]})
        end = {**part, "delta": {}, "finish_reason": choice.get("finish_reason")}
        yield _frame({**head, "choices": [end]})
    if as_object(body.get("stream_options")).get("include_usage"):
        yield _frame({**head, "choices": [], "usage": completion.get("usage")})
    yield b"data: [DONE]\n\n"


def _frame(value: Json) -> bytes:
    return b"data: %s\n\n" % orjson.dumps(value)


def _message(message: Json, id_: str) -> Json:
    """Writes a message as the list of a request's messages has it."""
    shown: Json = {"name": None, "content_parts": None, **message, "id": id_}
    if isinstance(message.get("content"), list):
        shown["content_parts"], shown["content"] = message["content"], None
    return shown
