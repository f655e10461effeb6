"""The tools: `list_rooms`, `search` and `read`, on what the caller may read now, which the core says.

The arguments of each are a model whose docstrings are what a model's host shows; nothing is written by any of them.
"""

import re
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, NotRequired

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from palaver import model
from palaver.core.runtime import Core
from palaver.errors import Code, Refused
from palaver.model import Actor, Message, Page, Role, RoomId, Status
from palaver.wire.mcp.told import Item, Told, cut, fitting, short, told
from palaver.wire.shapes import moment, moment_or_none

KINDS = {"u": "person", "a": "agent", "s": "system"}
"""Who an author is, by how their id begins."""
_USUAL = {"person": Role.USER, "agent": Role.ASSISTANT}
_CURSOR = re.compile(r"(before|after)\.(\d{1,15})\.(\d{1,9})")


class Room(TypedDict):
    """A room that one may read."""

    room: str
    seq: int
    active_at: str
    title: str


class Said(TypedDict):
    """A message, or a piece of one. `role` and `status` where they are not the usual ones, `kind` if it is no text."""

    seq: int
    at: str
    by: Literal["person", "agent", "system"]
    kind: NotRequired[str]
    role: NotRequired[str]
    status: NotRequired[str]
    offset: NotRequired[int]
    cut: NotRequired[bool]
    author: str
    text: str


class Hit(Said):
    """A message that was found, with a piece of its text around the words."""

    room: str
    title: str


class RoomList(TypedDict):
    """Rooms, the last active first."""

    notice: str
    rooms: list[Room]
    cursor: str | None


class Found(TypedDict):
    """Hits. `complete` false: something is left out; where `indexed_until` is a time, what was said after it."""

    notice: str
    hits: list[Hit]
    complete: bool
    indexed_until: str | None
    cursor: str | None


class Messages(TypedDict):
    """Messages, oldest first."""

    notice: str
    messages: list[Said]
    cursor: str | None


class Tool(BaseModel):
    """What may be called, with its arguments."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)
    result: ClassVar[type]

    @abstractmethod
    async def tell(self, core: Core, me: Actor) -> Told:
        """What the caller is told."""


class ListRooms(Tool):
    """List the chat rooms that you may read, the last active first. Go on with `cursor` while there is one."""

    result = RoomList
    query: str = ""
    """Only rooms whose title holds this."""
    cursor: str | None = None
    """The `cursor` of the result before, to go on."""

    async def tell(self, core: Core, me: Actor) -> Told:
        """The rooms. Refused: `bad_request`, `cursor_invalid`."""

        async def page(limit: int) -> tuple[list[Item], dict[str, Any]]:
            found, cursor = await core.rooms.listing(
                me, limit=limit, cursor=self.cursor, search=self.query or None, hidden=False
            )
            return [_room(one) for one in found], {"cursor": cursor}

        return await _fitted("rooms", page, 50)


class Search(Tool):
    """Find messages in all chat rooms that you may read, the newest first. `read` with `around` shows what is near.

    All words must be there; "a phrase", prefix*, -without, from:name, in:title, before:2026-12-31, after:7d,
    has:link|code|file|tool|thought and is:edited|failed narrow it. Where `complete` is false, there may be more.
    """

    result = Found
    query: str
    """What to look for, at most 500 characters."""
    room: str | None = None
    """In this room alone: its id (`r_…`)."""
    limit: int = 20
    """Hits at the most, up to 100."""
    cursor: str | None = None
    """The `cursor` of the result before, to go on with the same query."""

    async def tell(self, core: Core, me: Actor) -> Told:
        """The hits. Refused: as `core.search` says."""
        room = None if self.room is None else RoomId(self.room)

        async def page(limit: int) -> tuple[list[Item], dict[str, Any]]:
            found = await core.search.find(
                me, self.query, room=room, limit=limit, cursor=self.cursor
            )
            hits: list[Item] = [
                {
                    "room": hit.message.room,
                    **_said(hit.message),
                    "title": short(hit.title),
                    "text": hit.snippet.text,
                }
                for hit in found.hits
            ]
            return hits, {
                "complete": found.complete,
                "indexed_until": moment_or_none(found.indexed_until),
                "cursor": found.cursor,
            }

        return await _fitted("hits", page, self.limit)


class Read(Tool):
    """Read messages of a chat room: the newest, or those before, after or around a `seq`, oldest first.

    `cursor` goes on: to older ones, with `after` and `around` to newer ones, and to the rest of a message that was cut.
    """

    result = Messages
    room: str
    """The room's id (`r_…`), as `list_rooms` and `search` tell it."""
    before: int | None = None
    """Only messages with a lower `seq`."""
    after: int | None = None
    """Only messages with a higher `seq`."""
    around: int | None = None
    """Messages on both sides of this `seq`."""
    limit: int = 50
    """Messages at the most, up to 200."""
    cursor: str | None = None
    """The `cursor` of the result before, to go on; instead of `before`, `after` and `around`."""

    async def tell(self, core: Core, me: Actor) -> Told:
        """The messages. Refused: as `Chat.history` says, and `cursor_invalid`."""
        before, after, cut_seq, offset = self.before, self.after, None, 0
        if self.cursor is not None:
            way, seq, offset = self._place(self.cursor)
            cut_seq = seq if offset else None
            within = 0 if cut_seq is None else 1  # the message that was cut is asked for again
            before, after = (
                (seq + within, None) if way == "before" else (None, max(0, seq - within))
            )
        page = await core.chat.history(
            me, RoomId(self.room), before=before, after=after, around=self.around, limit=self.limit
        )
        items = [
            _said(one, offset if one.seq == cut_seq else 0)
            for one in self._in_order(page, forward=after is not None)
            if one.deleted_ms is None and (one.seq != cut_seq or len(one.text) > offset)
        ]
        return self._fitted(items, page, forward=after is not None or self.around is not None)

    def _place(self, cursor: str) -> tuple[str, int, int]:
        found = _CURSOR.fullmatch(cursor)
        if found is None:
            raise Refused(Code.CURSOR_INVALID, "This cursor is none of `read`.")
        if (self.before, self.after, self.around) != (None, None, None):
            told = "Give the cursor alone, without before, after and around."
            raise Refused(Code.BAD_REQUEST, told)
        return found[1], int(found[2]), int(found[3])

    def _in_order(self, page: Page, *, forward: bool) -> Sequence[Message]:
        """The messages of a page, those first that must be told where not all fit."""
        near = self.around
        if near is not None:
            return sorted(page.messages, key=lambda one: (abs(one.seq - near), one.seq))
        return page.messages if forward else page.messages[::-1]

    def _fitted(self, items: list[Item], page: Page, *, forward: bool) -> Told:
        """As many of the items as fit, and the cursor to go on with behind them."""
        way, goes_on = ("after", page.after) if forward else ("before", page.before)
        cursor = None if goes_on is None else f"{way}.{goes_on}.0"
        count = fitting(items)
        shown = sorted(items[:count], key=_seq)
        if items and not shown:
            shown = [cut(items[0])]
            reached = shown[0].get("offset", 0) + len(shown[0]["text"])
            cursor = f"{way}.{shown[0]['seq']}.{reached}"
        elif count < len(items):
            cursor = f"{way}.{shown[-1 if forward else 0]['seq']}.0"
        return told("messages", shown, cursor=cursor)


TOOLS: Mapping[str, type[Tool]] = {"list_rooms": ListRooms, "search": Search, "read": Read}


def asked(tool: type[Tool], arguments: Mapping[str, Any]) -> Tool:
    """A call with its arguments. Refused: `bad_request`."""
    try:
        return tool.model_validate(arguments)
    except ValidationError as problem:
        first = problem.errors(include_input=False, include_url=False)[0]
        name = ".".join(map(str, first["loc"]))
        known = ", ".join(tool.model_fields)
        told = f"The argument '{short(name)}': {first['msg']}. There are: {known}."
        raise Refused(Code.BAD_REQUEST, told) from None


def output_schema(tool: type[Tool]) -> dict[str, Any]:
    """The JSON Schema of what a tool tells."""
    return TypeAdapter[Any](tool.result).json_schema()


def _room(room: model.Room) -> Item:
    return {
        "room": room.id,
        "seq": room.seq,
        "active_at": moment(room.active_ms),
        "title": short(room.title),
    }


def _said(message: Message, offset: int = 0) -> Item:
    by = KINDS[message.author[0]]
    item: dict[str, Any] = {"seq": message.seq, "at": moment(message.created_ms), "by": by}
    if message.kind != "text":
        item["kind"] = message.kind
    if message.role != _USUAL.get(by):
        item["role"] = message.role
    if message.status is not Status.DONE:
        item["status"] = message.status
    if offset:
        item["offset"] = offset
    return {**item, "author": short(message.name), "text": message.text[offset:]}


def _seq(item: Item) -> int:
    return item["seq"]


async def _fitted(
    name: str, page: Callable[[int], Awaitable[tuple[list[Item], dict[str, Any]]]], limit: int
) -> Told:
    """A page of as many items as fit; what is too much is asked for anew, so that its cursor is the right one."""
    while True:
        items, rest = await page(limit)
        fits = fitting(items)
        if fits == len(items):
            return told(name, items, **rest)
        limit = fits
