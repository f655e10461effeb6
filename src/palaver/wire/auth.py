"""Who is asking: a session's token, from the cookie or the `Authorization` header, to an actor.

For now everyone is a guest. The first `/api` call without a session sets the cookie, which no script of the page can
read; until something is written, nobody is stored for it: who only looks is a visitor. A page of another site makes
nobody. A token never stands in a URL. Who may see what is not decided here (`core.access`).
"""

from contextlib import suppress
from typing import Annotated

from fastapi import Depends
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from palaver.core.identity.actors import Client, Identity, session_of as session_id
from palaver.core.runtime import Core
from palaver.errors import Code, Refused
from palaver.model import Actor, CredentialId
from palaver.settings import Settings
from palaver.wire.edge import rates
from palaver.wire.edge.programs import program_of
from palaver.wire.edge.proxies import SAFE_METHODS, base_of, is_secure

COOKIE = "palaver_session"
HOST_COOKIE, SECURE_COOKIE = f"__Host-{COOKIE}", f"__Secure-{COOKIE}"
"""By TLS, names that no page of a sibling domain and no plain connection can set; the first one is for the root."""
NOBODY = frozenset({Code.UNAUTHENTICATED, Code.SESSION_ENDED, Code.ACCOUNT_DISABLED})
"""The codes of what lets nobody in."""

_NEW_SESSION = "new_session"


async def identity(request: HTTPConnection) -> Actor:
    """The actor of a REST call; without a session a visitor, who becomes a guest by the first call that writes.

    Refused: `unauthenticated` (a wrong token; a page of another site that writes without one), `session_ended`,
    `account_disabled`.
    Unavailable: `rate_limited` (too many new guests).
    """
    core: Core = request.app.state.core
    bearer, given = request.headers.get("authorization"), _shown(request)
    try:
        actor = None if given is None else await core.identity.actor(given, client(request.scope))
    except Refused as refused:
        # it has ended: the page is told so, and is somebody else from then on
        if bearer is None and refused.code is Code.SESSION_ENDED:
            begin(request, core.identity.visitor(None)[0])
        raise
    if actor is not None:
        return actor
    token, actor = core.identity.visitor(given)
    if bearer is not None and token != given:
        raise Refused(Code.UNAUTHENTICATED, "That token is not known here.")
    foreign = bearer is None and request.headers.get("sec-fetch-site") == "cross-site"
    if request.scope["method"] not in SAFE_METHODS:
        if foreign:
            raise Refused(Code.UNAUTHENTICATED, "Send a token, which POST /api/guests gives.")
        actor = await entered(core, request.scope, token)
    if token != given and not foreign:
        begin(request, token)
    return actor


def begin(request: HTTPConnection, token: str) -> None:
    """Gives the browser the cookie of this session."""
    setattr(request.state, _NEW_SESSION, token)


def session_of(request: HTTPConnection) -> str:
    """The token that a request proves itself with; empty without one."""
    return _shown(request) or ""


def standing_of(request: HTTPConnection) -> CredentialId | None:
    """The session by which a request is made; None without one."""
    return session_id(_shown(request))


async def present(request: HTTPConnection) -> Actor | None:
    """Who asks already, stored and not ended; it makes nobody of who is nobody."""
    core: Core = request.app.state.core
    given = _shown(request)
    with suppress(Refused):
        return None if given is None else await core.identity.actor(given, client(request.scope))
    return None


async def entered(core: Core, scope: Scope, token: str) -> Actor:
    """The guest that a visitor becomes. Unavailable: `rate_limited`."""
    rates.take(scope, rates.Use.GUESTS)
    return await core.identity.entered(token, client(scope))


def client(scope: Scope) -> Client:
    """By which program and from which address a request comes, as the list of sessions says it."""
    agent = Headers(scope=scope).get("user-agent", "")
    return Client(
        agent=program_of(agent), address=scope["client"][0] if scope.get("client") else ""
    )


Me = Annotated[Actor, Depends(identity)]
Present = Annotated[Actor | None, Depends(present)]


async def of_socket(
    identity: Identity, scope: Scope, token: str | None
) -> tuple[Actor | None, str | None, CredentialId | None]:
    """The actor of a live connection, by the token in its hello, else by its cookie; None for neither.

    With a visitor comes the token that makes a guest of them (`entered`). The last is the session of the token.
    """
    given = token or _given(HTTPConnection(scope))
    actor = None if given is None else await identity.actor(given, client(scope))
    if actor is not None or given is None:
        return actor, None, session_id(given)
    made, visitor = identity.visitor(given)
    return (visitor, made, session_id(given)) if made == given else (None, None, None)


class Sessions:
    """Sets the cookie of a session that a call began, whatever the call's answer is, for as long as one may last."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self._seconds = settings.session_ms_max // 1_000

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        state: dict[str, str] = scope.setdefault("state", {})

        async def with_cookie(message: Message) -> None:
            token = state.get(_NEW_SESSION)
            if message["type"] == "http.response.start" and token is not None:
                MutableHeaders(scope=message).append(
                    "set-cookie", _cookie(token, scope, self._seconds)
                )
            await send(message)

        await self.app(scope, receive, with_cookie)


def _shown(request: HTTPConnection) -> str | None:
    """The token in the `Authorization` header, else in a cookie."""
    bearer = request.headers.get("authorization")
    if bearer is None:
        return _given(request)
    scheme, _, token = bearer.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _given(request: HTTPConnection) -> str | None:
    """The token in a cookie, under the name that says the most of where it comes from."""
    names = (HOST_COOKIE, SECURE_COOKIE, COOKIE)
    return next((request.cookies[name] for name in names if name in request.cookies), None)


def _cookie(token: str, scope: Scope, seconds: int) -> str:
    path = base_of(scope)
    rest = f"={token}; HttpOnly; Max-Age={seconds}; Path={path}; SameSite=lax"
    if not is_secure(scope):
        return COOKIE + rest
    return (HOST_COOKIE if path == "/" else SECURE_COOKIE) + rest + "; Secure"
