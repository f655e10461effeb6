"""Stored chat completions: those that their client asked to keep (`store: true`), found, changed and forgotten.

Only the caller's own are there. Each is put together again from what the room holds of it. Forgetting one takes it from
these calls; what was said stays in its room.

A completion has the id that its model server gave it. Some servers give the same one again and again: then it means the
newest of them, and the others are known by an id of ours.
"""

from dataclasses import dataclass
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from palaver.core.runtime import Core
from palaver.errors import Code, Refused
from palaver.model import Actor, Exchange, ExchangeId, ExchangeKind, Scope
from palaver.wire.calls import call
from palaver.wire.edge.rates import Use
from palaver.wire.openai.chat.messages import completion_of, messages_of
from palaver.wire.openai.items import Json
from palaver.wire.openai.params import answer, listed, new_metadata, page_of, paging_of

PREFIX = "chatcmpl-"
HEX_CHARS = 32
ECHOED = (
    *("tools", "tool_choice", "response_format", "seed", "temperature", "top_p"),
    *("presence_penalty", "frequency_penalty"),
)
"""What a stored completion tells of its request."""


_call = partial(call, scope=Scope.CHAT)


@dataclass(slots=True)
class Completions:
    """The calls about stored chat completions."""

    core: Core

    @_call("GET", "/chat/completions", None)
    async def listing(self, me: Actor, request: Request) -> Response:
        """The caller's completions, the oldest first unless asked otherwise."""
        paging = paging_of(request, newest_first=False)
        after = None if paging.after is None else (await self._found(me, paging.after)).id
        found, more = await self.core.exchanges.listing(
            me,
            ExchangeKind.CHAT,
            after=after,
            limit=paging.limit,
            newest_first=paging.newest_first,
            model=request.query_params.get("model") or None,
            metadata=_wanted_metadata(request),
        )
        data = [await self._whole(one, await self._id_of(me, one)) for one in found]
        return answer(listed(data, has_more=more))

    @_call("GET", "/chat/completions/{completion}", None)
    async def retrieve(self, me: Actor, request: Request) -> Response:
        """One completion."""
        id_, found = await self._asked_for(me, request)
        return answer(await self._whole(found, id_))

    @_call("POST", "/chat/completions/{completion}", None, use=Use.MESSAGES)
    async def update(self, me: Actor, request: Request) -> Response:
        """Replaces the metadata."""
        metadata = await new_metadata(request)
        id_, found = await self._asked_for(me, request)
        changed = await self.core.exchanges.change(me, found.id, metadata)
        return answer(await self._whole(changed, id_))

    @_call("DELETE", "/chat/completions/{completion}", None, use=Use.MESSAGES)
    async def delete(self, me: Actor, request: Request) -> Response:
        """Forgets one."""
        id_, found = await self._asked_for(me, request)
        await self.core.exchanges.forget(me, found.id)
        return answer({"id": id_, "object": "chat.completion.deleted", "deleted": True})

    @_call("GET", "/chat/completions/{completion}/messages", None)
    async def messages(self, me: Actor, request: Request) -> Response:
        """The messages with which it was asked."""
        paging = paging_of(request, newest_first=False)
        id_, found = await self._asked_for(me, request)
        view = await self.core.exchanges.messages(found, answers=False)
        rows = [
            _message(message, f"{id_}-{place}") for place, message in enumerate(messages_of(view))
        ]
        return answer(page_of(rows, paging))

    async def _asked_for(self, me: Actor, request: Request) -> tuple[str, Exchange]:
        id_: str = request.path_params["completion"]
        return id_, await self._found(me, id_)

    async def _id_of(self, me: Actor, exchange: Exchange) -> str:
        """The id by which `_found` finds it."""
        if exchange.name is not None:
            newest = await self.core.exchanges.named(me, exchange.name)
            if newest.id == exchange.id:
                return exchange.name
        return PREFIX + exchange.id[2:]

    async def _found(self, me: Actor, name: str) -> Exchange:
        """The stored completion of this id. Refused: `exchange_not_found`."""
        exchanges = self.core.exchanges
        missing = Refused(
            Code.EXCHANGE_NOT_FOUND, f"No stored chat completion found with id '{name}'."
        )
        try:
            found = await exchanges.named(me, name)
        except Refused:
            digits = name.removeprefix(PREFIX)
            if len(digits) != HEX_CHARS:
                raise missing from None
            try:  # one to which its upstream gave no id
                found = await exchanges.get(me, ExchangeId(f"x_{digits}"))
            except Refused:
                raise missing from None
        if not found.kept or found.kind is not ExchangeKind.CHAT:
            raise missing
        return found

    async def _whole(self, exchange: Exchange, id_: str) -> Json:
        answers = await self.core.exchanges.messages(exchange, answers=True)
        echoed = {name: exchange.request[name] for name in ECHOED if name in exchange.request}
        return {**echoed, **completion_of(exchange, answers), "id": id_}


def _message(message: Json, id_: str) -> Json:
    """A message of the request, as the list of them has it."""
    shown: Json = {"name": None, "content_parts": None, **message, "id": id_}
    if isinstance(message.get("content"), list):
        shown["content_parts"], shown["content"] = message["content"], None
    return shown


def _wanted_metadata(request: Request) -> dict[str, str]:
    """What `metadata[key]=value` asks for."""
    return {
        name[len("metadata[") : -1]: value
        for name, value in request.query_params.items()
        if name.startswith("metadata[") and name.endswith("]")
    }
