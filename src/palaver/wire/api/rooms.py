"""REST, `/api`: one method for each row of the table in docs/protocol.md.

Each one turns a request into a call of the core and its value into JSON. Bodies are JSON objects, read strictly;
whole numbers in a query are ASCII digits. Nothing is decided here.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Generic, TypeVar

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, BeforeValidator, ValidationError
from starlette.responses import Response

from palaver.core.runtime import Core
from palaver.errors import Code, Refused
from palaver.model import ExchangeId, KeyId, MessageId, RoomId, TurnId
from palaver.strict_json import dump, load
from palaver.wire import parts, shapes
from palaver.wire.api.feed import EventFeed, wants_feed
from palaver.wire.auth import Me, Present, begin, identity, session_of
from palaver.wire.edge.proxies import address_of
from palaver.wire.edge.rates import Use, take
from palaver.wire.live import frames
from palaver.wire.openai.inspect import inspected

LIMIT_DEFAULT = 50
WAIT_SECONDS_MAX = 30
KEPT = "private, max-age=31536000, immutable"
_DIGITS = re.compile(r"[0-9]{1,15}")

S = TypeVar("S", bound=BaseModel)


def whole_number(text: object) -> object:
    """A whole number as a query writes it: ASCII digits, not all that `int` takes."""
    if isinstance(text, str) and not _DIGITS.fullmatch(text):
        raise ValueError("must be a whole number in the digits 0 to 9")
    return text


Whole = Annotated[int, BeforeValidator(whole_number)]
Limit = Annotated[Whole, Query(description="Rows at the most; more than 200 are 200.")]


class Body(Generic[S]):
    """A request's body: a JSON object of a shape.

    Refused: `unsupported_media_type`, `bad_request` and what `load` refuses.
    """

    def __init__(self, shape: type[S]) -> None:
        self.shape = shape

    async def __call__(self, request: Request) -> S:
        """FastAPI's dependency."""
        data = await request.body()
        if data:
            _check_media_type(request)
        try:
            return self.shape.model_validate(load(data) if data else {}, strict=True)
        except ValidationError as problem:
            first = problem.errors()[0]
            field = ".".join(str(part) for part in first["loc"])
            raise Refused(Code.BAD_REQUEST, f"The field '{field}': {first['msg']}.") from None


_NewName = Annotated[shapes.NewName, Depends(Body(shapes.NewName))]
_NewGuest = Annotated[shapes.NewGuest, Depends(Body(shapes.NewGuest))]
_NewKey = Annotated[shapes.NewKey, Depends(Body(shapes.NewKey))]
_GivenLink = Annotated[shapes.GivenLink, Depends(Body(shapes.GivenLink))]
_NewDevice = Annotated[shapes.NewDevice, Depends(Body(shapes.NewDevice))]
_NewRoom = Annotated[shapes.NewRoom, Depends(Body(shapes.NewRoom))]
_NewTitle = Annotated[shapes.NewTitle, Depends(Body(shapes.NewTitle))]
_NewMessage = Annotated[shapes.NewMessage, Depends(Body(shapes.NewMessage))]
_ReadUpTo = Annotated[shapes.ReadUpTo, Depends(Body(shapes.ReadUpTo))]


class Rest:
    """The calls. `router` gives them their addresses."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def me(self, me: Me) -> Response:
        """Who is asking. Without a session a cookie is set; its guest is stored with the first call that writes."""
        return answer(frames.me(me))

    async def rename_me(self, me: Me, body: _NewName) -> Response:
        """Takes another name."""
        return answer(frames.me(await self._core.identity.rename(me, body.name)))

    async def new_guest(self, body: _NewGuest) -> Response:
        """An identity for a program, which sends the token as `Authorization: Bearer`."""
        token, actor = await self._core.identity.new_guest(body.name)
        return answer({"token": token, "me": frames.me(actor)}, 201)

    async def keys(self, me: Me) -> Response:
        """One's own API keys that were not revoked, the oldest first."""
        return answer({"keys": [frames.key(one) for one in await self._core.keys.own(me)]})

    async def new_key(self, me: Me, body: _NewKey) -> Response:
        """Makes an API key that speaks for who asks. Its token is shown here and never again."""
        token, made = await self._core.keys.create(name=body.name, scopes=body.scopes, actor=me)
        return answer({"token": token, "key": frames.key(made)}, 201)

    async def revoke_key(self, me: Me, key: str) -> Response:
        """Ends one of one's own API keys for ever."""
        await self._core.keys.revoke(KeyId(key), by=me)
        return Response(status_code=204)

    async def devices(self, me: Me, request: Request) -> Response:
        """One's own devices, the oldest first, and the link that is still good."""
        found = await self._core.devices.listing(me, session_of(request))
        shown = [frames.device(one, current=found.current) for one in found.devices]
        return answer({"devices": shown, "link": found.link and frames.link(found.link)})

    async def new_link(self, me: Me, request: Request) -> Response:
        """Makes a link that adds a device: once, within ten minutes, in the place of the one before it."""
        token, ticket = await self._core.devices.invite(me)
        url = f"{address_of(request.scope, self._core.settings)}device#{token}"
        return answer({"url": url, "link": frames.link(ticket)}, 201)

    async def end_device(self, me: Me, request: Request, device: str) -> Response:
        """Ends the session on another device of one's own, or a link."""
        await self._core.devices.end(me, device, session_of(request))
        return Response(status_code=204)

    async def look(self, me: Present, body: _GivenLink) -> Response:
        """Whose link it is, without using it."""
        by = (await self._core.devices.look(body.token)).actor
        return answer({"by": frames.person(by), "me": me and frames.person(me)})

    async def redeem(self, me: Present, request: Request, body: _NewDevice) -> Response:
        """Uses a link: the cookie makes this browser who made it."""
        token, actor = await self._core.devices.redeem(
            body.token, body.name, me=me, replace=body.replace
        )
        begin(request, token)
        return answer(frames.me(actor))

    async def models(self, me: Me) -> Response:  # noqa: ARG002  asks for a session, like its neighbours
        """The models that can answer."""
        found = await self._core.models()
        models = [
            {"id": one.id, "provider": one.provider, "default": one.default} for one in found.models
        ]
        return answer({"models": models, "provider": found.provider, "hint": found.hint})

    async def rooms(
        self,
        me: Me,
        *,
        limit: Limit = 20,
        cursor: str | None = None,
        search: str | None = None,
        deleted: bool = False,
    ) -> Response:
        """The rooms, by last activity; `search` in titles, at most 200 characters; `deleted`: what can be restored."""
        found, following = await self._core.rooms.listing(
            me, limit=limit, cursor=cursor, search=search, deleted=deleted
        )
        return answer({"rooms": [frames.room(one) for one in found], "next": following})

    async def new_room(self, me: Me, body: _NewRoom) -> Response:
        """Makes a room."""
        return answer(frames.room(await self._core.rooms.create(me, title=body.title)), 201)

    async def room(self, me: Me, room: str) -> Response:
        """One room."""
        return answer(frames.room(await self._core.rooms.get(me, RoomId(room))))

    async def rename_room(self, me: Me, room: str, body: _NewTitle) -> Response:
        """Names a room."""
        return answer(frames.room(await self._core.rooms.rename(me, RoomId(room), body.title)))

    async def delete_room(self, me: Me, room: str) -> Response:
        """Deletes a room; `restore` takes that back."""
        await self._core.rooms.delete(me, RoomId(room))
        return Response(status_code=204)

    async def restore_room(self, me: Me, room: str) -> Response:
        """Takes a deletion back."""
        return answer(frames.room(await self._core.rooms.restore(me, RoomId(room))))

    async def messages(
        self,
        me: Me,
        room: str,
        *,
        limit: Limit = LIMIT_DEFAULT,
        before: Whole | None = None,
        after: Whole | None = None,
        around: Whole | None = None,
    ) -> Response:
        """A page of messages, oldest first: the newest, or those before, after or around a seq."""
        found = await self._core.chat.history(
            me, RoomId(room), before=before, after=after, around=around, limit=limit
        )
        return answer(frames.page(found))

    async def send(self, me: Me, room: str, body: _NewMessage) -> Response:
        """Says something: 201, or 200 when this `cid` was stored before, or 202 while the database is away."""
        sent = await self._core.chat.send(
            me,
            RoomId(room),
            text=body.text,
            cid=body.cid,
            reply_to=None if body.reply_to is None else MessageId(body.reply_to),
            accepts=True,
        )
        return answer(
            {
                "state": sent.state,
                "msg": sent.id,
                "seq": sent.seq,
                "dup": sent.dup,
                "turns": [turn.id for turn in sent.turns],
            },
            202 if sent.state == "accepted" else 200 if sent.dup else 201,
        )

    async def part(self, me: Me, message: str, place: Whole) -> Response:
        """The picture in a part of a message that came through the API."""
        found = await self._core.access.message(me, MessageId(message))
        media_type, data = parts.picture(found, place)
        return Response(data, media_type=media_type, headers={"cache-control": KEPT})

    async def exchange(self, me: Me, exchange: str) -> Response:
        """A request through the OpenAI-compatible API and its answer, in a room that one may read."""
        return answer(await inspected(self._core, me, ExchangeId(exchange)))

    async def read(self, me: Me, room: str, body: _ReadUpTo) -> Response:
        """Notes what was read."""
        await self._core.chat.mark_read(me, RoomId(room), body.seq)
        return Response(status_code=204)

    async def events(
        self,
        request: Request,
        me: Me,
        room: str,
        *,
        after: Whole | None = None,
        limit: Limit = 200,
        wait: Whole = 0,
    ) -> Response:
        """What happened after a seq; `wait` (up to 30 seconds) for something.

        With `Accept: text/event-stream` a feed that goes on, resumed by `Last-Event-ID`.
        """
        if wants_feed(request):
            take(request.scope, Use.CONNECTIONS)
            return EventFeed(self._core, me, RoomId(room), after, request)
        found, seq = await self._core.chat.events(
            me,
            RoomId(room),
            after=after or 0,
            limit=limit,
            wait_seconds=min(wait, WAIT_SECONDS_MAX),
        )
        if wait:
            await identity(request)  # the session may have ended meanwhile
        events = [frames.event(one) for one in found]
        return answer({"events": events, "seq": seq, "epoch": self._core.epoch})

    async def stop(self, me: Me, turn: str) -> Response:
        """Stops an answer; what came is stored with status `stopped`."""
        await self._core.turns.stop(me, TurnId(turn))
        return answer({"turn": turn}, 202)

    async def retry(self, me: Me, message: str) -> Response:
        """Answers again; the old answer is deleted."""
        turn = await self._core.turns.retry(me, MessageId(message))
        return answer({"turn": turn.id}, 202)

    def router(self) -> APIRouter:
        """The calls under their addresses."""
        router = APIRouter(prefix="/api")
        room = "/rooms/{room}"

        def add(
            method: str,
            path: str,
            call: Callable[..., Awaitable[Response]],
            shape: type[BaseModel] | None,
            status: int = 200,
            *,
            body: type[BaseModel] | None = None,
            use: Use | None = None,
            others: tuple[int, ...] = (),
            also: Mapping[str, dict[str, Any]] | None = None,
        ) -> None:
            router.add_api_route(
                path,
                call,
                methods=[method],
                status_code=status,
                response_model=shape,
                response_class=Response,
                dependencies=[] if use is None else [_taking(use)],
                responses=_documented(shape, (status, *others), also or {}),
                openapi_extra=None if body is None else _body(body),
            )

        self._add_people(add)
        add("GET", "/models", self.models, shapes.Models)
        add("GET", "/rooms", self.rooms, shapes.Rooms)
        new_room = shapes.NewRoom
        add("POST", "/rooms", self.new_room, shapes.Room, 201, body=new_room, use=Use.ROOMS)
        add("GET", room, self.room, shapes.Room)
        add("PATCH", room, self.rename_room, shapes.Room, body=shapes.NewTitle)
        add("DELETE", room, self.delete_room, None, status=204)
        add("POST", f"{room}/restore", self.restore_room, shapes.Room)
        add("GET", f"{room}/messages", self.messages, shapes.Messages)
        add(
            *("POST", f"{room}/messages", self.send, shapes.Sent, 201),
            body=shapes.NewMessage,
            use=Use.MESSAGES,
            others=(200, 202),
        )
        add("POST", f"{room}/read", self.read, None, status=204, body=shapes.ReadUpTo)
        add("GET", f"{room}/events", self.events, shapes.Events, also={"text/event-stream": {}})
        add("GET", "/messages/{message}/parts/{place}", self.part, None, also={"image/*": {}})
        add("GET", "/exchanges/{exchange}", self.exchange, shapes.Exchange)
        add("POST", "/turns/{turn}/stop", self.stop, shapes.Turn, status=202)
        again = Use.MESSAGES
        add("POST", "/messages/{message}/retry", self.retry, shapes.Turn, 202, use=again)
        return router

    def _add_people(self, add: Callable[..., None]) -> None:
        """The calls about who asks: their name, keys and devices."""
        add("GET", "/me", self.me, shapes.Me)
        add("PATCH", "/me", self.rename_me, shapes.Me, body=shapes.NewName)
        guests, guest = Use.GUESTS, shapes.Guest
        add("POST", "/guests", self.new_guest, guest, 201, body=shapes.NewGuest, use=guests)
        add("GET", "/keys", self.keys, shapes.Keys)
        add("POST", "/keys", self.new_key, shapes.MadeKey, status=201, body=shapes.NewKey)
        add("DELETE", "/keys/{key}", self.revoke_key, None, status=204)
        links = Use.CONNECTIONS
        add("GET", "/devices", self.devices, shapes.Devices)
        add("POST", "/devices", self.new_link, shapes.MadeLink, status=201, use=links)
        add("DELETE", "/devices/{device}", self.end_device, None, status=204)
        given, new = shapes.GivenLink, shapes.NewDevice
        add("POST", "/devices/look", self.look, shapes.Owner, body=given, use=links)
        add("POST", "/devices/redeem", self.redeem, shapes.Me, body=new, use=links)


def _taking(use: Use) -> Any:
    """Counts a use of the caller's address before the call. Unavailable: `rate_limited`."""

    async def taken(request: Request) -> None:
        take(request.scope, use)

    return Depends(taken)


def answer(value: Any, status: int = 200) -> Response:
    """A value as JSON."""
    return Response(dump(value), status, media_type="application/json")


def _check_media_type(request: Request) -> None:
    """Only JSON, so that no form of another site can post; in UTF-8, and not compressed."""
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    charset = parameters.strip().lower().replace('"', "")
    if kind.strip().lower() != "application/json" or charset not in {"", "charset=utf-8"}:
        raise Refused(
            Code.UNSUPPORTED_MEDIA_TYPE, "A body needs the header 'Content-Type: application/json'."
        )
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refused(Code.UNSUPPORTED_MEDIA_TYPE, "A body must not be compressed.")


def _documented(
    shape: type[BaseModel] | None, statuses: tuple[int, ...], content: Mapping[str, Any]
) -> dict[int | str, dict[str, Any]]:
    """What the OpenAPI document says of a call's answers; `content`: of which other media types they may be."""
    problem: dict[str, Any] = {"model": shapes.Problem, "description": "A problem document."}
    documented: dict[int | str, dict[str, Any]] = {"4XX": problem, "5XX": problem}
    if shape is not None or content:
        told = "What was asked for." if shape is None else (shape.__doc__ or "").strip()
        documented |= {
            status: {"model": shape, "description": told, "content": content} for status in statuses
        }
    return documented


def _body(shape: type[BaseModel]) -> dict[str, Any]:
    """What the OpenAPI document says of a body."""
    required = any(field.is_required() for field in shape.model_fields.values())
    content = {"application/json": {"schema": shape.model_json_schema()}}
    return {"requestBody": {"required": required, "content": content}}
