"""The classic wire's HTTP: its sessions and histories. Its accounts are in `classic/accounts`.

Errors are `{"detail": …}`, not the problem details of the other doors: that is this contract. Any answer about sessions
to a request without an identity sets the cookie.
"""

import json
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Self
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response, WebSocket
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field, model_validator
from pydantic_core import PydanticCustomError

from palaver.core.runtime import Core
from palaver.errors import Code, PalaverError, Refused
from palaver.model import Actor, Page, RoomId, RoomSettings
from palaver.policy import Action, ServerAct
from palaver.strict_json import Json
from palaver.wire.calls import call, calls_of, counting
from palaver.wire.classic.accounts import Accounts
from palaver.wire.classic.live import converse
from palaver.wire.classic.sessions import (
    COOKIE,
    COOKIE_SECONDS,
    HISTORY_MAX,
    NEW_TITLE,
    default_room,
    history_json,
    known,
    message_json,
    metadata_of,
    new_guest,
    room_of,
    session_json,
)
from palaver.wire.edge.proxies import base_of, is_secure
from palaver.wire.edge.rates import Use

TITLE_CHARS_MAX = 255
REFUSED_AT = {"register": 400, "login": 401, "refresh": 401}
OFFSET_MAX = 10_000
"""What lies before an offset is counted anew each time."""

Limit = Annotated[int, Query(ge=1, le=100)]
Offset = Annotated[int, Query(ge=0, le=OFFSET_MAX)]
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


async def _guest(request: Request) -> Actor:
    core: Core = request.app.state.core
    actor = await known(core, request)
    if actor is None:
        cookie, actor = await new_guest(core, request)
        if request.headers.get("sec-fetch-site") != "cross-site":
            request.state.classic_cookie = cookie
    return actor


Guest = Annotated[Actor, Depends(_guest)]


class NewSession(BaseModel):
    """The body that makes a session."""

    title: Annotated[str | None, Field(max_length=TITLE_CHARS_MAX)] = None
    metadata: Json | None = None


class SessionChange(BaseModel):
    """The body that gives one another title, other metadata, or both."""

    title: Annotated[str, Field(max_length=TITLE_CHARS_MAX)] | None = None
    metadata: Json | None = None

    @model_validator(mode="after")
    def _changes(self) -> Self:
        if self.title is None and self.metadata is None:
            raise PydanticCustomError("missing", "Give a title or metadata")
        return self


class Detail(BaseModel):
    """Why something was refused."""

    detail: str | list[Any]


class ClassicRoute(APIRoute):
    """A route whose errors and whose cookie are the classic wire's."""

    def get_route_handler(self) -> Handler:
        """See `APIRoute`: the one seam between a route and its answer."""
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            try:
                response = await handle(request)
            except RequestValidationError as invalid:
                response = _answer(422, {"detail": jsonable_encoder(invalid.errors())})
            except PalaverError as error:
                response = _refusal(error, request.url.path)
            cookie = getattr(request.state, "classic_cookie", None)
            if cookie is not None:
                response.set_cookie(
                    COOKIE,
                    cookie,
                    max_age=COOKIE_SECONDS,
                    path=base_of(request.scope),
                    secure=is_secure(request.scope),
                    httponly=True,
                    samesite="lax",
                )
            return response

        return handled


def classic_routes(core: Core) -> APIRouter:
    """Every route of the classic wire."""
    router = APIRouter(route_class=ClassicRoute, tags=["classic"], responses=_told("4XX", "5XX"))
    for part in (Sessions(core), Accounts(core)):
        for declared, name in calls_of(type(part)):
            router.add_api_route(
                declared.path,
                getattr(part, name),
                methods=[declared.method],
                status_code=declared.status,
                responses=_told(*declared.others),
                dependencies=counting(declared.use),
            )
    talks = Talks(core)
    for declared, name in calls_of(Talks):
        router.add_api_websocket_route(declared.path, getattr(talks, name))
    return router


class Sessions:
    """The calls about sessions and what was said in them."""

    def __init__(self, core: Core) -> None:
        self._core = core

    @call("GET", "/api/sessions", ServerAct.ROOMS)
    async def listed(self, actor: Guest, limit: Limit = 50, offset: Offset = 0) -> Json:
        """The guest's sessions, the one with the newest message first."""
        rooms = self._core.rooms  # open ones, which are everyone's, are found by their id only
        found, _ = await rooms.listing(actor, limit=limit, offset=offset, own=True)
        shown, total = [session_json(room, actor) for room in found], await rooms.count_own(actor)
        return {"sessions": shown, "total": total, "limit": limit, "offset": offset}

    @call("POST", "/api/sessions", ServerAct.ROOMS, use=Use.ROOMS, status=201)
    async def created(self, body: NewSession, actor: Guest) -> Json:
        """A new session. Without a title it is named after its first message."""
        title = "" if body.title in {None, NEW_TITLE} else body.title
        settings: RoomSettings = {"metadata": metadata_of(body.metadata)} if body.metadata else {}
        room = await self._core.rooms.create(actor, title=title or "", settings=settings)
        return session_json(room, actor)

    @call("GET", "/api/sessions/{session_id}", Action.READ, others=(404, 422))
    async def shown(self, session_id: UUID, actor: Guest) -> Json:
        """One session."""
        return session_json(await self._core.rooms.get(actor, room_of(session_id)), actor)

    @call("PATCH", "/api/sessions/{session_id}", Action.NAME, others=(404, 422))
    async def changed(self, session_id: UUID, body: SessionChange, actor: Guest) -> Json:
        """One session under another title, which may be empty, or with other metadata."""
        room = await self._core.rooms.get(actor, room_of(session_id))
        if body.metadata is not None:
            kept: RoomSettings = {"metadata": metadata_of(body.metadata)}
            room = await self._core.rooms.change_settings(actor, room.id, kept)
        if body.title is not None:
            room = await self._core.rooms.rename(actor, room.id, body.title)
        return session_json(room, actor)

    @call(
        *("DELETE", "/api/sessions/{session_id}", Action.GOVERN), status=204, others=(400, 404, 422)
    )
    async def deleted(self, session_id: UUID, actor: Guest) -> Response:
        """Deletes a session; never the default one."""
        room = await self._core.rooms.get(actor, room_of(session_id))
        if room.id == default_room(actor):
            return _answer(400, {"detail": "Cannot delete the default session"})
        await self._core.rooms.delete(actor, room.id)
        return Response(status_code=204)

    @call("GET", "/api/sessions/{session_id}/history", Action.READ, others=(404, 422))
    async def session_history(self, session_id: UUID, actor: Guest, limit: Limit = 50) -> Json:
        """The first `limit` of a session's newest 50 messages, oldest first."""
        room, most = room_of(session_id), min(HISTORY_MAX, self._core.settings.page_max)
        page = await _newest(self._core, actor, room, most)
        said = history_json(page.messages)[:limit]
        return {"session_id": str(session_id), "messages": said, "count": len(said)}

    @call("GET", "/api/sessions/{session_id}/messages", Action.READ, others=(404, 422))
    async def session_messages(
        self, session_id: UUID, actor: Guest, limit: Limit = 50, offset: Offset = 0
    ) -> list[Json]:
        """A session's messages from the first one on."""
        room = room_of(session_id)
        said = await self._core.chat.spoken(actor, room, limit=limit, offset=offset)
        return list(map(message_json, said))

    @call("GET", "/api/history", Action.READ)
    async def default_history(self, request: Request, limit: Limit = 50) -> Json:
        """The newest messages of the default session, oldest first; without the cookie, of the Lobby."""
        core = self._core
        actor = await known(core, request)
        room = core.lobby if actor is None else default_room(actor)
        if actor is None:
            _, actor = core.identity.visitor(None)
        try:
            page = await _newest(core, actor, room, min(limit, core.settings.page_max))
        except PalaverError as error:
            if error.code is not Code.ROOM_NOT_FOUND:
                raise
            return {"messages": [], "count": 0}
        said = history_json(page.messages)
        return {"messages": said, "count": len(said)}


class Talks:
    """The live connections. Each counts as one, as every WebSocket does."""

    def __init__(self, core: Core) -> None:
        self._core = core

    @call("WS", "/ws/chat", Action.WRITE, use=Use.CONNECTIONS)
    async def by_query(self, websocket: WebSocket) -> None:
        """Talks in the session that the query names."""
        await converse(self._core, websocket, websocket.query_params.get("session_id"))

    @call("WS", "/ws/chat/{session_id}", Action.WRITE, use=Use.CONNECTIONS)
    async def by_path(self, websocket: WebSocket, session_id: str) -> None:
        """Talks in a session."""
        await converse(self._core, websocket, session_id)


def _told(*statuses: int | str) -> dict[int | str, dict[str, Any]]:
    """What the OpenAPI document says of refusals."""
    return {status: {"model": Detail, "description": "The reason in words."} for status in statuses}


def _answer(status: int, body: Json) -> Response:
    # ASCII only: an error repeats what was sent, and half a character in it could not be encoded
    return Response(json.dumps(body), status_code=status, media_type="application/json")


def _refusal(error: PalaverError, path: str) -> Response:
    if error.code is Code.ROOM_NOT_FOUND:
        return _answer(404, {"detail": "Session not found"})
    status = error.status
    if isinstance(error, Refused):  # as the contract has it, whatever the reason
        status = REFUSED_AT.get(path.rstrip("/").rpartition("/auth/")[2], status)
    answer = _answer(status, {"detail": error.detail})
    if error.retry_ms is not None:
        answer.headers["retry-after"] = str(-(-error.retry_ms // 1000))
    return answer


async def _newest(core: Core, actor: Actor, room: RoomId, limit: int) -> Page:
    """The newest messages of a room's main branch: this contract knows no other."""
    main = (await core.rooms.get(actor, room)).main_branch
    return await core.chat.history(actor, room, branch=main, limit=limit)
