"""Who is asking: a session's token, from the cookie or the `Authorization` header, to an actor.

For now everyone is a guest. The first `/api` call without a session makes one and sets the cookie, which no script of
the page can read. A token never stands in a URL. Who may see what is not decided here (`core.access`).
"""

from typing import Annotated

from fastapi import Depends
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from palaver.core.access import Access
from palaver.core.start import Core
from palaver.errors import Code, Refused
from palaver.model import Actor

COOKIE = "palaver_session"
COOKIE_SECONDS = 365 * 24 * 3600

_NEW_SESSION = "new_session"


async def identity(request: HTTPConnection) -> Actor:
    """The actor of a REST call; a new guest when it has no session. Refused: `unauthenticated` (a wrong token)."""
    core: Core = request.app.state.core
    given = request.headers.get("authorization")
    if given is not None:
        return await of_bearer(core.access, given)
    token = request.cookies.get(COOKIE)
    actor = None if token is None else await core.access.actor(token)
    if actor is None:
        token, actor = await core.access.new_guest()
        setattr(request.state, _NEW_SESSION, token)
    return actor


Me = Annotated[Actor, Depends(identity)]


async def of_bearer(access: Access, header: str) -> Actor:
    """The actor of an `Authorization` header. Refused: `unauthenticated`."""
    scheme, _, token = header.partition(" ")
    actor = await access.actor(token.strip()) if scheme.lower() == "bearer" else None
    if actor is None:
        raise Refused(Code.UNAUTHENTICATED, "That token is not known here.")
    return actor


async def of_socket(access: Access, scope: Scope, token: str | None) -> Actor | None:
    """The actor of a live connection: by the token in its hello, else by its cookie; None for neither."""
    token = token or HTTPConnection(scope).cookies.get(COOKIE)
    return None if token is None else await access.actor(token)


class Sessions:
    """Sets the cookie of a session that a call began, whatever the call's answer is."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        state: dict[str, str] = scope.setdefault("state", {})

        async def with_cookie(message: Message) -> None:
            token = state.get(_NEW_SESSION)
            if message["type"] == "http.response.start" and token is not None:
                secure = scope["scheme"] == "https"
                MutableHeaders(scope=message).append("set-cookie", _cookie(token, secure=secure))
            await send(message)

        await self.app(scope, receive, with_cookie)


def _cookie(token: str, *, secure: bool) -> str:
    cookie = f"{COOKIE}={token}; HttpOnly; Max-Age={COOKIE_SECONDS}; Path=/; SameSite=lax"
    return f"{cookie}; Secure" if secure else cookie
