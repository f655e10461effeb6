"""Stored chat completions: those that their client asked to keep (`store: true`), found, changed and forgotten.

Only the caller's own are there. Each is put together again from what the room holds of it. Forgetting one takes it from
these calls; what was said stays in its room.

A completion has the id that its model server gave it. Some servers give the same one again and again: then it means the
newest of them, and the others are known by an id of ours.
"""

import re
from contextlib import suppress
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
_METADATA = re.compile(r"metadata\[(.*)\]", re.DOTALL)
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
        query, paging = request.query_params, paging_of(request, newest_first=False)
        after = None if paging.after is None else (await self._found(me, paging.after)).id
        found, more = await self.core.exchanges.listing(
            me,
            ExchangeKind.CHAT,
            after=after,
            limit=paging.limit,
            newest_first=paging.newest_first,
            model=query.get("model") or None,
            metadata={found[1]: query[one] for one in query if (found := _METADATA.fullmatch(one))},
        )
        data = [await self._whole(one, await self._id_of(me, one)) for one in found]
        return answer(listed(data, has_more=more))

    @_call("GET", "/chat/completions/{completion}", None)
    async def retrieve(self, me: Actor, request: Request) -> Response:
        """One completion."""
        id_: str = request.path_params["completion"]
        return answer(await self._whole(await self._found(me, id_), id_))

    @_call("POST", "/chat/completions/{completion}", None, use=Use.MESSAGES)
    async def update(self, me: Actor, request: Request) -> Response:
        """Replaces the metadata."""
        id_: str = request.path_params["completion"]
        metadata = await new_metadata(request)
        found = await self._found(me, id_)
        changed = await self.core.exchanges.change(me, found.id, metadata)
        return answer(await self._whole(changed, id_))

    @_call("DELETE", "/chat/completions/{completion}", None, use=Use.MESSAGES)
    async def delete(self, me: Actor, request: Request) -> Response:
        """Forgets one."""
        id_: str = request.path_params["completion"]
        await self.core.exchanges.forget(me, (await self._found(me, id_)).id)
        return answer({"id": id_, "object": "chat.completion.deleted", "deleted": True})

    @_call("GET", "/chat/completions/{completion}/messages", None)
    async def messages(self, me: Actor, request: Request) -> Response:
        """The messages with which it was asked."""
        id_: str = request.path_params["completion"]
        paging = paging_of(request, newest_first=False)
        found = await self._found(me, id_)
        said = messages_of(await self.core.exchanges.messages(found, answers=False))
        rows = [_message(message, f"{id_}-{place}") for place, message in enumerate(said)]
        return answer(page_of(rows, paging))

    async def _id_of(self, me: Actor, exchange: Exchange) -> str:
        """The id by which `_found` finds it."""
        if exchange.name is not None:
            newest = await self.core.exchanges.named(me, exchange.name)
            if newest.id == exchange.id:
                return exchange.name
        return PREFIX + exchange.id[2:]

    async def _found(self, me: Actor, name: str) -> Exchange:
        """The stored completion of this id. Refused: `exchange_not_found`."""
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
