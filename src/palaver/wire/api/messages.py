"""REST about what is said in rooms: messages, events, answers, and the API's exchanges."""

from typing import Any, Literal

from fastapi import Request
from msgspec import to_builtins
from pydantic import Field
from starlette.responses import Response
from typing_extensions import TypedDict

from palaver.core.runtime import Core
from palaver.model import ActorId, ExchangeId, MessageId, RoomId, Scope, TurnId
from palaver.policy import Action, ServerAct
from palaver.wire import answer_shapes, parts, shapes
from palaver.wire.api.body import KEPT, Given, Limit, Whole, answer
from palaver.wire.api.feed import MEDIA_TYPE, feed, wants_feed
from palaver.wire.auth import Me, identity, standing_of
from palaver.wire.calls import call
from palaver.wire.edge.rates import Use, hold, take, take_by
from palaver.wire.openai.inspect import Exchange, discreet, inspected
from palaver.wire.shapes import explained

LIMIT_DEFAULT = 50
WAIT_SECONDS_MAX = 30
BEFORE_MAX = 2**53
MODELS_MAX = 4
_ALWAYS = frozenset({"role", "text"})


class NewMessage(Given):
    """A message."""

    cid: str
    """Made once per message, best a UUID: the same one is stored once, for ever."""
    text: str
    """At most 100,000 characters (Unicode code points)."""
    reply_to: MessageId | None = None
    """The message that this one answers."""
    models: list[str] = Field(default=[], max_length=MODELS_MAX)
    """Each answers it, by one of the names that `GET /api/models` lists. Default: the room's own, or the card's."""
    after: int | None = Field(default=None, ge=0)
    """The seq of the message that it follows: of a branch's newest, which goes on so, or of another (0: of none), where
    a branch begins. Default: the end of the room's main branch."""
    branch: int | None = Field(default=None, ge=0)
    """At the end of which it stands, in the place of `after`."""


class Edit(Given):
    """What a message is to say."""

    text: str
    """As of a new message."""
    version: int | None = None
    """The one that was seen: the seq of its last edit. Default: it was seen as it was sent."""


class Edited(TypedDict):
    """A message as it is now, and its version."""

    message: shapes.Message
    version: int


class MessageVersion(TypedDict):
    """What a message said since `seq`, and who said so."""

    seq: int
    at: str
    by: str | None
    text: str


class MessageVersions(TypedDict):
    """What a message said, the oldest version first; `more`: there were older ones than these 50."""

    versions: list[MessageVersion]
    more: bool


class DeletedMessage(TypedDict):
    """A deleted message, with the text that it had, and what its room is called."""

    message: shapes.Message
    title: str


class ClearedHistory(TypedDict):
    """A room whose history was cleared, by the event at `seq`."""

    room: str
    title: str
    seq: int
    at: str


class Deleted(TypedDict):
    """What one may restore, the last deleted first; `histories` are all on the first page."""

    messages: list[DeletedMessage]
    histories: list[ClearedHistory]
    next: str | None


@explained
class Sent(TypedDict):
    """What became of a message."""

    state: Literal["stored", "accepted"]
    """`accepted`: kept by this server until the database is back."""
    msg: str
    seq: int | None
    dup: bool
    turns: list[str]
    branch: int | None
    """Null while it is only accepted."""


class Events(TypedDict):
    """What happened after a seq."""

    events: list[shapes.RoomEvent]
    seq: int
    epoch: str


class Pins(TypedDict):
    """Messages that are pinned."""

    messages: list[shapes.Message]


@explained
class Starred(TypedDict):
    """A message that one has starred."""

    message: shapes.Message
    title: str
    """Of its room; "" where it has none."""


class StarredPage(TypedDict):
    """A page of them."""

    starred: list[Starred]
    next: str | None


class Notices(TypedDict):
    """What is told among the messages, and of whom it tells."""

    events: list[shapes.RoomEvent]
    people: list[shapes.Person]


class Asked(Given):
    """Whom to ask for an answer."""

    agents: list[str] | None = None
    """At most 20; default: all agents of the room."""
    message: MessageId | None = None
    """Default: the newest message."""
    models: list[str] = Field(default=[], max_length=MODELS_MAX)
    """Each answers it, by one of the names that `GET /api/models` lists. Default: the room's own, or the card's."""


class Turns(TypedDict):
    """Answers that are being made, or wait for their turn."""

    turns: list[str]


class Turn(TypedDict):
    """An answer that is being made."""

    turn: str


class Piece(Given):
    """More of an answer."""

    n: int
    """The number of the piece, from 1."""
    text: str = ""
    """Empty as a sign of life."""


class End(Given):
    """The end of an answer: with its text, or why there is none."""

    text: str | None = None
    """All of it."""
    error: str = ""


class AskedTurns(TypedDict):
    """What an agent is asked, the oldest first."""

    turns: list[answer_shapes.ToAnswer]


class Ended(TypedDict):
    """The message that an answer became; null where its program gave it up."""

    msg: str | None
    seq: int | None
    dup: bool


@explained
class PromptTold(TypedDict):
    """What a model was told for an answer, built again from the log."""

    turn: str
    agent: str
    model: str | None
    """Null for the server's own choice; which one it was stands in the answer's `meta`."""
    system: str
    """Instructions. Of the agent's own there is only a note for who may not edit it (`persona` false)."""
    persona: bool
    messages: list[dict[str, Any]]
    """Oldest first: `role`, `text`, and what else a message has: `name`, `parts`, `calls`, `call_id`, `thought`."""
    settings: dict[str, Any]
    digest: str
    """SHA-256 of the request as it is built now."""
    same: bool | None
    """Whether this is what was sent, by its digest; null where nothing is kept to compare with."""
    why: str | None
    """Why it is not the same, or nobody knows."""


class Messages:
    """The calls about what is said."""

    def __init__(self, core: Core) -> None:
        self._core = core

    @call("GET", "/rooms/{room}/messages", Action.READ)
    async def messages(
        self,
        me: Me,
        room: RoomId,
        *,
        limit: Limit = LIMIT_DEFAULT,
        before: Whole | None = None,
        after: Whole | None = None,
        around: Whole | None = None,
        at: Whole | None = None,
        branch: Whole | None = None,
    ) -> shapes.Page:
        """A page of messages, oldest first: the newest, or those before, after or around a seq.

        Of `branch`, else of the one that one looks at, or in which `around` lies. With `at` (alone, or with `before`)
        they and the room are as they were at that seq.
        """
        found = await self._core.chat.history(
            me, room, before=before, after=after, around=around, at=at, branch=branch, limit=limit
        )
        if at is None:
            return shapes.page(found)
        then = await self._core.chat.then(me, room, at)
        return {**shapes.page(found), "then": shapes.then(then)}

    @call(
        *("POST", "/rooms/{room}/messages", Action.WRITE),
        use=Use.MESSAGES,
        status=201,
        others=(200, 202),
    )
    async def send(
        self, request: Request, me: Me, room: RoomId, body: NewMessage
    ) -> Sent | Response:
        """Says something: 201, or 200 when this `cid` was stored before, or 202 while the database is away."""
        take_by(request.scope, me)
        by, reply_to = standing_of(request, me), body.reply_to
        sent = await self._core.chat.send(
            *(me, room),
            text=body.text,
            cid=body.cid,
            reply_to=reply_to,
            models=body.models,
            after=body.after,
            branch=body.branch,
            by=by,
            accepts=True,
        )
        told: Sent = {
            "state": sent.state,
            "msg": sent.id,
            "seq": sent.seq,
            "dup": sent.dup,
            "turns": [turn.id for turn in sent.turns],
            "branch": None if sent.message is None else sent.message.branch,
        }
        return answer(told, 202 if sent.state == "accepted" else 200 if sent.dup else 201)

    @call("PATCH", "/rooms/{room}/messages/{message}", Action.EDIT, use=Use.MESSAGES)
    async def edit(
        self, request: Request, me: Me, room: RoomId, message: MessageId, body: Edit
    ) -> Edited:
        """Gives a message another text; what it said before stays in its history. No agent answers it."""
        take_by(request.scope, me)
        edited = await self._core.chat.edit(me, room, message, body.text, body.version)
        return {"message": shapes.message(edited.message), "version": edited.version}

    @call("GET", "/rooms/{room}/messages/{message}/history", Action.READ)
    async def versions(self, me: Me, room: RoomId, message: MessageId) -> MessageVersions:
        """What a message said, from when on, and who said so."""
        found, more = await self._core.chat.versions(me, room, message)
        told: list[MessageVersion] = [
            {"seq": one.seq, "at": shapes.moment(one.at_ms), "by": one.by, "text": one.text}
            for one in found
        ]
        return {"versions": told, "more": more}

    @call("DELETE", "/messages/{message}", Action.TAKE_BACK, use=Use.MESSAGES, status=204)
    async def delete(self, request: Request, me: Me, message: MessageId) -> None:
        """Deletes a message; `restore` takes that back."""
        take_by(request.scope, me)
        await self._core.chat.set_deleted(me, message, deleted=True)

    @call("POST", "/messages/{message}/restore", Action.TAKE_BACK, use=Use.MESSAGES, status=204)
    async def restore(self, request: Request, me: Me, message: MessageId) -> None:
        """Takes a deletion back."""
        take_by(request.scope, me)
        await self._core.chat.set_deleted(me, message, deleted=False)

    @call("GET", "/deleted", ServerAct.ROOMS)
    async def deleted(
        self, me: Me, *, limit: Limit = LIMIT_DEFAULT, cursor: str | None = None
    ) -> Deleted:
        """The messages and histories that one may restore; `GET /api/rooms?deleted=true` has the rooms."""
        found = await self._core.chat.deleted(me, cursor=cursor, limit=limit)
        return {
            "messages": [
                {"message": shapes.message(one.message), "title": one.title}
                for one in found.messages
            ],
            "histories": [
                {
                    "room": one.room,
                    "title": one.title,
                    "seq": one.seq,
                    "at": shapes.moment(one.at_ms),
                }
                for one in found.histories
            ],
            "next": found.cursor,
        }

    @call("GET", "/rooms/{room}/events", Action.READ, media=MEDIA_TYPE)
    async def events(
        self,
        request: Request,
        me: Me,
        room: RoomId,
        *,
        after: Whole | None = None,
        limit: Limit = 200,
        wait: Whole = 0,
    ) -> Events | Response:
        """What happened after a seq; `wait` (up to 30 seconds) for something.

        With `Accept: text/event-stream` a feed that goes on, resumed by `Last-Event-ID`.
        """
        if wants_feed(request):
            take(request.scope, Use.CONNECTIONS)
            hold(request.scope)
            return feed(self._core, me, room, after, request)
        if wait:
            hold(request.scope)
        wait_seconds = min(wait, WAIT_SECONDS_MAX)
        found, seq = await self._core.chat.events(
            me,
            room,
            after=after or 0,
            limit=limit,
            wait_seconds=wait_seconds,
            by=standing_of(request, me),
        )
        if wait:
            await identity(request)  # the session may have ended meanwhile
        events = [shapes.event(one) for one in found]
        return {"events": events, "seq": seq, "epoch": self._core.epoch}

    @call("GET", "/rooms/{room}/notices", Action.READ)
    async def notices(
        self,
        me: Me,
        room: RoomId,
        *,
        after: Whole = 0,
        before: Whole = BEFORE_MAX,
        limit: Limit = 200,
    ) -> Notices:
        """Who came and went, and the like, between two seqs: the last `limit` of it, oldest first."""
        found, people = await self._core.chat.notices(
            me, room, after=after, before=before, limit=limit
        )
        told = [shapes.event(one) for one in found]
        return {"events": told, "people": [shapes.person(one) for one in people]}

    @call("GET", "/messages/{message}/parts/{place}", Action.READ, media="image/*")
    async def part(self, me: Me, message: MessageId, place: Whole) -> Response:
        """The picture in a part of a message that came through the API."""
        media_type, data = parts.picture(await self._core.access.message(me, message), place)
        return Response(data, media_type=media_type, headers={"cache-control": KEPT})

    @call(
        *("PUT", "/messages/{message}/reactions/{emoji}", Action.WRITE),
        use=Use.MESSAGES,
        status=204,
    )
    async def react(self, request: Request, me: Me, message: MessageId, emoji: str) -> None:
        """Reacts to a message with one emoji, percent-encoded; a second time changes nothing."""
        take_by(request.scope, me)
        await self._core.chat.react(me, message, emoji)

    @call("DELETE", "/messages/{message}/reactions/{emoji}", Action.WRITE, status=204)
    async def unreact(self, me: Me, message: MessageId, emoji: str) -> None:
        """Takes one's reaction away."""
        await self._core.chat.react(me, message, emoji, there=False)

    @call("PUT", "/messages/{message}/pin", Action.WRITE, use=Use.MESSAGES, status=204)
    async def pin(self, request: Request, me: Me, message: MessageId) -> None:
        """Pins a message for all who read its room; a second time changes nothing."""
        take_by(request.scope, me)
        await self._core.chat.pin(me, message)

    @call("DELETE", "/messages/{message}/pin", Action.WRITE, status=204)
    async def unpin(self, me: Me, message: MessageId) -> None:
        """Pins it no more."""
        await self._core.chat.pin(me, message, there=False)

    @call("GET", "/rooms/{room}/pins", Action.READ)
    async def pins(self, me: Me, room: RoomId) -> Pins:
        """The messages that are pinned in a room, the last pinned first; at most 100."""
        return {"messages": [shapes.message(one) for one in await self._core.chat.pins(me, room)]}

    @call("PUT", "/messages/{message}/star", Action.READ, use=Use.MESSAGES, status=204)
    async def star(self, request: Request, me: Me, message: MessageId) -> None:
        """Stars a message for oneself, which nobody else sees; a second time changes nothing."""
        take_by(request.scope, me)
        await self._core.chat.star(me, message)

    @call("DELETE", "/messages/{message}/star", Action.READ, status=204)
    async def unstar(self, me: Me, message: MessageId) -> None:
        """Stars it no more."""
        await self._core.chat.star(me, message, there=False)

    @call("GET", "/starred", ServerAct.ROOMS)
    async def starred(
        self, me: Me, *, limit: Limit = LIMIT_DEFAULT, cursor: str | None = None
    ) -> StarredPage:
        """What one has starred and may read, the last starred first; a page before the last may be short."""
        found, following = await self._core.chat.starred(me, limit=limit, cursor=cursor)
        told: list[Starred] = [
            {"message": shapes.message(one), "title": title} for one, title in found
        ]
        return {"starred": told, "next": following}

    @call("GET", "/exchanges/{exchange}", Action.READ)
    async def exchange(self, me: Me, exchange: ExchangeId) -> Exchange:
        """A request through the OpenAI-compatible API and its answer, in a room that one may read."""
        return await inspected(self._core, me, exchange)

    @call("GET", "/turns/{turn}/prompt", Action.READ)
    async def prompt(self, me: Me, turn: TurnId) -> PromptTold:
        """What the model was told for an answer in a room, and whether this is byte for byte what was sent."""
        found = await self._core.told.again(me, turn)
        request = found.request
        said: list[dict[str, Any]] = to_builtins(request.history)
        return {
            "turn": turn,
            "agent": found.turn.agent,
            "model": request.model,
            "system": request.system_prompt,
            "persona": found.persona,
            "messages": [
                {name: one[name] for name in one if one[name] or name in _ALWAYS} for one in said
            ],
            "settings": discreet(request.settings),
            "digest": found.digest,
            "same": found.same,
            "why": found.why,
        }

    @call("POST", "/rooms/{room}/ask", Action.ASK, use=Use.MESSAGES, status=202)
    async def ask(self, me: Me, room: RoomId, body: Asked) -> Turns:
        """Asks agents of the room for an answer now, whenever they speak by themselves."""
        agents = None if body.agents is None else [ActorId(one) for one in body.agents]
        turns = await self._core.turns.ask(
            me, room, agents=agents, message=body.message, models=body.models
        )
        return {"turns": [turn.id for turn in turns]}

    @call("POST", "/rooms/{room}/stop", Action.WRITE, status=204)
    async def stop_room(self, me: Me, room: RoomId) -> None:
        """Stops all answers of the room that one may stop; those that wait for their turn are not given."""
        await self._core.turns.stop_room(me, room)

    @call("POST", "/turns/{turn}/stop", Action.TAKE_BACK, status=202)
    async def stop(self, me: Me, turn: TurnId) -> Turn:
        """Stops an answer; what came is stored with status `stopped`."""
        await self._core.turns.stop(me, turn)
        return {"turn": turn}

    @call("GET", "/turns", ServerAct.OWN, scope=Scope.ROOMS)
    async def asked(self, request: Request, me: Me, *, wait: Whole = 0) -> AskedTurns:
        """What the agent whose program asks is asked; `wait` (up to 30 seconds) for something that nobody has begun."""
        by, wait_seconds = standing_of(request, me), min(wait, WAIT_SECONDS_MAX)
        found = await self._core.bots.asked(me, by, wait_seconds=wait_seconds)
        if wait:
            await identity(request)  # the key may have ended meanwhile
        return {"turns": [answer_shapes.to_answer(one) for one in found]}

    @call("POST", "/turns/{turn}/pieces", Action.WRITE, status=204)
    async def piece(self, request: Request, me: Me, turn: TurnId, body: Piece) -> None:
        """Says more of an answer, as its agent; a piece that has come already is none."""
        await self._core.bots.write(me, standing_of(request, me), turn, body.n, body.text)

    @call("POST", "/turns/{turn}/end", Action.WRITE)
    async def end(self, request: Request, me: Me, turn: TurnId, body: End) -> Ended:
        """Ends an answer, as its agent, and stores it once; the same text again gives what is stored."""
        by = standing_of(request, me)
        if body.text is None:
            await self._core.bots.fail(me, by, turn, body.error)
            return {"msg": None, "seq": None, "dup": False}
        said, dup = await self._core.bots.end(me, by, turn, body.text)
        return {"msg": said.id, "seq": said.seq, "dup": dup}

    @call("POST", "/messages/{message}/retry", Action.TAKE_BACK, use=Use.MESSAGES, status=202)
    async def retry(self, request: Request, me: Me, message: MessageId) -> Turn:
        """Answers again; the old answer is deleted."""
        take_by(request.scope, me)
        return {"turn": (await self._core.turns.retry(me, message)).id}
