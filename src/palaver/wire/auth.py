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
from palaver.wire.proxies import base_of, is_secure

COOKIE = "palaver_session"
HOST_COOKIE, SECURE_COOKIE = f"__Host-{COOKIE}", f"__Secure-{COOKIE}"
"""By TLS, names that no page of a sibling domain and no plain connection can set; the first one is for the root."""
COOKIE_SECONDS = 365 * 24 * 3600

_NEW_SESSION = "new_session"


async def identity(request: HTTPConnection) -> Actor:
    """The actor of a REST call; a new guest when it has no session. Refused: `unauthenticated` (a wrong token)."""
    core: Core = request.app.state.core
    given = request.headers.get("authorization")
    if given is not None:
        return await of_bearer(core.access, given)
    token = _given(request)
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
    token = token or _given(HTTPConnection(scope))
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
                MutableHeaders(scope=message).append("set-cookie", _cookie(token, scope))
            await send(message)

        await self.app(scope, receive, with_cookie)


def _given(request: HTTPConnection) -> str | None:
    """The token in a cookie, under the name that says the most of where it comes from."""
    cookies = request.cookies
    return next(
        (cookies[name] for name in (HOST_COOKIE, SECURE_COOKIE, COOKIE) if name in cookies), None
    )


def _cookie(token: str, scope: Scope) -> str:
    path = base_of(scope)
    rest = f"={token}; HttpOnly; Max-Age={COOKIE_SECONDS}; Path={path}; SameSite=lax"
    if not is_secure(scope):
        return COOKIE + rest
    return (HOST_COOKIE if path == "/" else SECURE_COOKIE) + rest + "; Secure"
