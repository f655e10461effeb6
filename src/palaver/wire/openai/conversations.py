"""`/v1/conversations`: rooms, and what was said in them, as the OpenAI API has conversations and items.

A conversation is a room and an item is a message of it, whichever door it came through. Metadata lies in the room's
settings. Deleting can be undone on the page; until then nothing of it is seen here. Beyond the API,
`GET /v1/conversations` lists the rooms of the caller, the last active first.
"""

from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from hashlib import blake2b
from typing import Any

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from palaver.core.exchanges import DOOR, shown_to
from palaver.core.runtime import Core
from palaver.errors import Code, Refused
from palaver.model import Actor, Message, Room, RoomSettings, Scope
from palaver.policy import Action, ServerAct, allows
from palaver.strict_json import Json
from palaver.wire.calls import call
from palaver.wire.edge.rates import Use, take
from palaver.wire.openai import items, params
from palaver.wire.openai.auth import visibility_of
from palaver.wire.openai.fields import Invalid, missing
from palaver.wire.openai.responses import compaction

_call = partial(call, scope=Scope.CONVERSATIONS)


class Conversations(Struct):
    """The calls of the Conversations API."""

    core: Core

    @_call("POST", "/conversations", ServerAct.ROOMS, use=Use.MESSAGES)
    async def create(self, me: Actor, request: Request) -> Response:
        """Makes a conversation, with its first items."""
        body = await params.body_of(request)
        entries = items.entries_of(body.get("items"), "items")
        await compaction.checked(self.core, me, entries)
        made = blake2b(await request.body(), digest_size=16).hexdigest()
        settings: RoomSettings = {"made": made}
        if metadata := params.metadata_of(body.get("metadata")):
            settings["metadata"] = metadata
        repeated = params.is_repeated(request.headers)
        room = await self._made_before(me, made) if repeated else None
        if room is None:
            visibility = visibility_of(request.headers)
            if me.guest:
                take(request.scope, Use.ROOMS)
            room = await self.core.rooms.create(
                me, visibility=visibility, settings=settings, door=DOOR
            )
        if entries:
            await self.core.exchanges.add(me, room.id, entries, repeated=repeated)
        return params.answer(_conversation(room))

    @_call("GET", "/conversations", ServerAct.ROOMS)
    async def listing(self, me: Actor, request: Request) -> Response:
        """The caller's rooms."""
        paging = params.paging_of(request, newest_first=True)
        if not paging.newest_first:
            raise Invalid("Conversations are listed by their last activity only: 'desc'.", "order")
        after = None if paging.after is None else params.room_named(paging.after, "after")
        rooms, more = await self.core.rooms.listing(me, limit=paging.limit, after=after, own=True)
        data = [_conversation(room) for room in rooms]
        return params.answer(params.listed(data, has_more=more is not None))

    @_call("GET", "/conversations/{conversation}", Action.READ)
    async def retrieve(self, me: Actor, request: Request) -> Response:
        """One conversation."""
        return params.answer(_conversation(await self._room(me, request)))

    @_call("POST", "/conversations/{conversation}", Action.NAME, use=Use.MESSAGES)
    async def update(self, me: Actor, request: Request) -> Response:
        """Replaces the metadata."""
        metadata = await params.new_metadata(request)
        room = await self._room(me, request)
        changed = await self.core.rooms.change_settings(me, room.id, {"metadata": metadata})
        return params.answer(_conversation(changed))

    @_call("DELETE", "/conversations/{conversation}", Action.GOVERN, use=Use.MESSAGES)
    async def delete(self, me: Actor, request: Request) -> Response:
        """Deletes a conversation, and from this door all that was said in it."""
        room = (await self._room(me, request)).id
        await self.core.rooms.delete(me, room)
        id_ = items.conversation_id(room)
        return params.answer({"id": id_, "object": "conversation.deleted", "deleted": True})

    @_call("POST", "/conversations/{conversation}/items", Action.WRITE, use=Use.MESSAGES)
    async def add_items(self, me: Actor, request: Request) -> Response:
        """Adds items in their order, all of them or none."""
        body = await params.body_of(request)
        if body.get("items") is None:
            raise missing("items")
        entries = items.entries_of(body["items"], "items")
        await compaction.checked(self.core, me, entries)
        room = await self._room(me, request)
        repeated = params.is_repeated(request.headers)
        add = self.core.exchanges.add
        added = await add(me, room.id, entries, repeated=repeated) if entries else ()
        data = [items.item_of(message) for message in added]
        return params.answer(params.listed(data, has_more=False))

    @_call("GET", "/conversations/{conversation}/items", Action.READ)
    async def items(self, me: Actor, request: Request) -> Response:
        """What was said, the newest first unless asked otherwise."""
        paging = params.paging_of(request, newest_first=True)
        room = await self._room(me, request)
        read = partial(self.core.exchanges.page, me, room.id, ((1, room.seq),))
        return await params.items_page(paging, read, _no_item(room, paging.after))

    @_call("GET", "/conversations/{conversation}/items/{item}", Action.READ)
    async def item(self, me: Actor, request: Request) -> Response:
        """One item."""
        room = await self._room(me, request)
        found = await self._message(me, room, request.path_params["item"])
        return params.answer(items.item_of(shown_to(me.id, found)))

    @_call(
        "DELETE", "/conversations/{conversation}/items/{item}", Action.TAKE_BACK, use=Use.MESSAGES
    )
    async def delete_item(self, me: Actor, request: Request) -> Response:
        """Deletes an item. The answer is the conversation."""
        room = await self._room(me, request)
        message = await self._message(me, room, request.path_params["item"])
        await self.core.exchanges.remove(me, message.id)
        return params.answer(_conversation(room))

    async def _made_before(self, me: Actor, made: str) -> Room | None:
        """Finds the conversation that the same request made before."""
        rooms, _ = await self.core.rooms.listing(me, limit=params.LIMIT_MAX, own=True)
        own = (room for room in rooms if allows(Action.GOVERN, room.role))
        return next((room for room in own if room.settings.get("made") == made), None)

    async def _room(self, me: Actor, request: Request) -> Room:
        room = params.room_named(request.path_params["conversation"], "conversation_id")
        with params.finding(room):
            return await self.core.access.conversation(me, room)

    async def _message(self, me: Actor, room: Room, item: str) -> Message:
        """Finds the message of a room that an item's id means. Refused: `message_not_found`."""
        id_ = items.message_id(item)
        with suppress(Refused):
            found = None if id_ is None else await self.core.access.message(me, id_)
            if found is not None and found.room == room.id and found.deleted_ms is None:
                return found
        raise _no_item(room, item)


def _no_item(room: Room, item: str | None) -> Refused:
    conversation = items.conversation_id(room.id)
    words = f"Item with id '{item}' not found in conversation '{conversation}'."
    return Refused(Code.MESSAGE_NOT_FOUND, words)


def _conversation(room: Room) -> Json:
    metadata: Mapping[str, Any] = room.settings.get("metadata", {})
    return {
        "id": items.conversation_id(room.id),
        "object": "conversation",
        "created_at": room.created_ms // 1000,
        "metadata": metadata,
    }
