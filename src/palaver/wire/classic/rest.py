"""The classic wire's HTTP: sessions, histories, and the questions about accounts that a guest's client asks.

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
from palaver.errors import Code, PalaverError
from palaver.model import Actor
from palaver.strict_json import Json
from palaver.wire.classic.live import converse
from palaver.wire.classic.sessions import (
    COOKIE,
    COOKIE_SECONDS,
    HISTORY_MAX,
    NEW_TITLE,
    default_room,
    history_json,
    known_guest,
    message_json,
    metadata_of,
    new_guest,
    room_of,
    session_json,
    sessions_of,
)
from palaver.wire.edge.proxies import base_of, is_secure
from palaver.wire.edge.rates import Use, take

TITLE_CHARS_MAX = 255
OFFSET_MAX = 10_000
"""What lies before an offset is counted anew each time."""

Limit = Annotated[int, Query(ge=1, le=100)]
Offset = Annotated[int, Query(ge=0, le=OFFSET_MAX)]
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


async def _guest(request: Request) -> Actor:
    core: Core = request.app.state.core
    actor = await known_guest(core, request)
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
                response = _refusal(error)
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
    _session_routes(router, core)
    _history_routes(router, core)
    _account_routes(router)
    _live_routes(router, core)
    return router


def _session_routes(router: APIRouter, core: Core) -> None:
    @router.get("/api/sessions")
    async def listed(actor: Guest, limit: Limit = 50, offset: Offset = 0) -> Json:
        """The guest's sessions, the one with the newest message first."""
        shown, total = await sessions_of(core, actor, limit=limit, offset=offset)
        return {"sessions": shown, "total": total, "limit": limit, "offset": offset}

    @router.post("/api/sessions", status_code=201)
    async def created(request: Request, body: NewSession, actor: Guest) -> Json:
        """A new session. Without a title it is named after its first message."""
        take(request.scope, Use.ROOMS)
        title = "" if body.title in {None, NEW_TITLE} else body.title
        settings = {"metadata": metadata_of(body.metadata)} if body.metadata else {}
        room = await core.rooms.create(actor, title=title or "", settings=settings)
        return session_json(room, actor)

    @router.get("/api/sessions/{session_id}", responses=_told(404, 422))
    async def shown(session_id: UUID, actor: Guest) -> Json:
        """One session."""
        room = await core.rooms.get(actor, room_of(session_id))
        return session_json(room, actor)

    @router.patch("/api/sessions/{session_id}", responses=_told(404, 422))
    async def changed(session_id: UUID, body: SessionChange, actor: Guest) -> Json:
        """One session under another title, which may be empty, or with other metadata."""
        room = await core.rooms.get(actor, room_of(session_id))
        if body.metadata is not None:
            kept = {"metadata": metadata_of(body.metadata)}
            room = await core.rooms.change_settings(actor, room.id, kept)
        if body.title is not None:
            room = await core.rooms.rename(actor, room.id, body.title)
        return session_json(room, actor)

    @router.delete("/api/sessions/{session_id}", status_code=204, responses=_told(400, 404, 422))
    async def deleted(session_id: UUID, actor: Guest) -> Response:
        """Deletes a session; never the default one."""
        room = await core.rooms.get(actor, room_of(session_id))
        if room.id == default_room(actor):
            return _answer(400, {"detail": "Cannot delete the default session"})
        await core.rooms.delete(actor, room.id)
        return Response(status_code=204)

    _ = listed, created, shown, changed, deleted


def _history_routes(router: APIRouter, core: Core) -> None:
    @router.get("/api/sessions/{session_id}/history", responses=_told(404, 422))
    async def session_history(session_id: UUID, actor: Guest, limit: Limit = 50) -> Json:
        """The first `limit` of a session's newest 50 messages, oldest first."""
        room = room_of(session_id)
        page = await core.chat.history(actor, room, limit=min(HISTORY_MAX, core.settings.page_max))
        said = history_json(page.messages)[:limit]
        return {"session_id": str(session_id), "messages": said, "count": len(said)}

    @router.get(
        "/api/sessions/{session_id}/messages",
        response_model=list[dict[str, Any]],
        responses=_told(404, 422),
    )
    async def session_messages(
        session_id: UUID, actor: Guest, limit: Limit = 50, offset: Offset = 0
    ) -> list[Json]:
        """A session's messages from the first one on."""
        room = room_of(session_id)
        said = await core.chat.spoken(actor, room, limit=limit, offset=offset)
        return [message_json(message) for message in said]

    @router.get("/api/history")
    async def default_history(request: Request, limit: Limit = 50) -> Json:
        """The newest messages of the default session, oldest first; without the cookie, of the Lobby."""
        actor = await known_guest(core, request)
        room = core.lobby if actor is None else default_room(actor)
        if actor is None:
            _, actor = core.identity.visitor(None)
        try:
            page = await core.chat.history(actor, room, limit=min(limit, core.settings.page_max))
        except PalaverError as error:
            if error.code is not Code.ROOM_NOT_FOUND:
                raise
            return {"messages": [], "count": 0}
        said = history_json(page.messages)
        return {"messages": said, "count": len(said)}

    _ = session_history, session_messages, default_history


def _account_routes(router: APIRouter) -> None:
    """What a client asks about accounts, answered for a guest: there are none to sign in to."""
    no_accounts = "This server has no accounts. Everyone is a guest."

    @router.get("/api/auth/methods")
    async def methods() -> Json:
        """No way to sign in."""
        return {"oauth_providers": [], "email_password_enabled": False}

    @router.get("/api/auth/providers")
    async def providers() -> Json:
        """No provider to sign in with."""
        return {"providers": []}

    @router.get("/api/auth/me")
    async def me() -> Json:
        """Nobody is signed in."""
        return {"user": None, "authenticated": False}

    @router.post("/api/auth/refresh", status_code=401, response_model=Detail)
    async def refresh() -> Response:
        """Nothing to refresh."""
        return _answer(401, {"detail": "No refresh token provided"})

    @router.post("/api/auth/login", status_code=401, response_model=Detail)
    async def login() -> Response:
        """No account to sign in to."""
        return _answer(401, {"detail": no_accounts})

    @router.post("/api/auth/register", status_code=400, response_model=Detail)
    async def register() -> Response:
        """No account to be had."""
        return _answer(400, {"detail": no_accounts})

    @router.post("/api/auth/logout")
    async def logout() -> Json:
        """Nobody was signed in, and nobody is now."""
        return {"message": "Logged out successfully"}

    _ = methods, providers, me, refresh, login, register, logout


def _live_routes(router: APIRouter, core: Core) -> None:
    @router.websocket("/ws/chat")
    async def by_query(websocket: WebSocket) -> None:
        await converse(core, websocket, websocket.query_params.get("session_id"))

    @router.websocket("/ws/chat/{session_id}")
    async def by_path(websocket: WebSocket, session_id: str) -> None:
        await converse(core, websocket, session_id)

    _ = by_query, by_path


def _told(*statuses: int | str) -> dict[int | str, dict[str, Any]]:
    """What the OpenAPI document says of refusals."""
    return {status: {"model": Detail, "description": "The reason in words."} for status in statuses}


def _answer(status: int, body: Json) -> Response:
    # ASCII only: an error repeats what was sent, and half a character in it could not be encoded
    return Response(json.dumps(body), status_code=status, media_type="application/json")


def _refusal(error: PalaverError) -> Response:
    if error.code is Code.ROOM_NOT_FOUND:
        return _answer(404, {"detail": "Session not found"})
    answer = _answer(error.status, {"detail": error.detail})
    if error.retry_ms is not None:
        answer.headers["retry-after"] = str(-(-error.retry_ms // 1000))
    return answer
