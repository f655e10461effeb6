"""Who is asking: a session's token, from the cookie or the `Authorization` header, or an API key there, to an actor.

Who has no account is a guest, where the setting `guests` lets them. The first `/api` call without a session sets the
cookie, which no script of the page can read; until something is written, nobody is stored for it: who only looks is a
visitor. A page of another site makes nobody. Whom a trusted proxy names has a session without a cookie. A token never
stands in a URL. Who may see what is not decided here (`core.access`).
"""

from contextlib import suppress
from typing import Annotated

from fastapi import Depends
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from palaver.core.identity.actors import Client, session_of as session_id
from palaver.core.identity.api_keys import PREFIX
from palaver.core.runtime import Core
from palaver.errors import Code, Refused
from palaver.model import Actor, CredentialId
from palaver.policy import ServerAct, check_key
from palaver.settings import Settings
from palaver.wire.edge import rates
from palaver.wire.edge.limits import NAMED
from palaver.wire.edge.programs import program_of
from palaver.wire.edge.proxies import SAFE_METHODS, base_of, is_secure
from palaver.wire.setup import check_guest

COOKIE = "palaver_session"
HOST_COOKIE, SECURE_COOKIE = f"__Host-{COOKIE}", f"__Secure-{COOKIE}"
"""By TLS, names that no page of a sibling domain and no plain connection can set; the first one is for the root."""
NOBODY = frozenset(
    {Code.UNAUTHENTICATED, Code.SESSION_ENDED, Code.ACCOUNT_DISABLED, Code.SETUP_REQUIRED}
)
"""The codes of what lets nobody in."""

TOKEN = "palaver.token"  # noqa: S105  a name
"""In a scope: the token of the session of whom a trusted proxy names."""
_NEW_SESSION = "new_session"


async def identity(request: HTTPConnection) -> Actor:
    """The actor of a REST call; without a session a visitor, who becomes a guest by the first call that writes.

    Refused: `unauthenticated` (a wrong token or key; who may not be a guest; a page of another site that writes without
    one), `session_ended`, `account_disabled`.
    Unavailable: `rate_limited` (too many new guests).
    """
    if is_key(request):
        core: Core = request.app.state.core
        return await core.keys.caller(shown(request) or "")
    return await somebody(request)


async def somebody(request: HTTPConnection, *, invited: bool = False) -> Actor:
    """The same; who is `invited` may be a guest whatever the setting `guests` says."""
    core: Core = request.app.state.core
    if not _bears(request):
        await named(core, request)
    bearer, given = request.headers.get("authorization"), shown(request)
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
    if not invited:
        await check_guest(core, request.scope)
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


def begun(request: HTTPConnection) -> str:
    """The token that a request will prove itself with next time."""
    return getattr(request.state, _NEW_SESSION, None) or session_of(request)


def session_of(request: HTTPConnection) -> str:
    """The token that a request proves itself with; empty without one."""
    return shown(request) or ""


def standing_of(request: HTTPConnection, me: Actor) -> CredentialId | None:
    """The session or key by which somebody asks; None without one."""
    return session_id(shown(request)) if me.key is None else CredentialId(me.key.id)


async def present(request: HTTPConnection) -> Actor | None:
    """Who asks already, stored and not ended; it makes nobody of who is nobody."""
    core: Core = request.app.state.core
    with suppress(Refused):
        if not _bears(request):
            await named(core, request)
        given = shown(request)
        return None if given is None else await core.identity.actor(given, client(request.scope))
    return None


async def named(core: Core, connection: HTTPConnection) -> str | None:
    """The token of whom a trusted proxy names, which from now on stands for a cookie; None where it names nobody.

    Refused: `account_disabled`.
    """
    scope = connection.scope
    if NAMED in scope and TOKEN not in scope:
        scope[TOKEN] = await core.identities.named(scope[NAMED], client(scope))
    return scope.get(TOKEN)


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
    core: Core, scope: Scope, token: str | None
) -> tuple[Actor | None, str | None, CredentialId | None]:
    """The actor of a live connection, by the token or key in its hello, else by its cookie; None for neither.

    With a visitor comes the token that makes a guest of them (`entered`). The last is the session or key.
    Refused: `unauthenticated` (who may not be a guest).
    """
    identity, connection = core.identity, HTTPConnection(scope)
    if token is not None and token.startswith(PREFIX):
        me = await core.keys.caller(token)
        check_key(me, ServerAct.ROOMS, reads=True)
        return me, None, standing_of(connection, me)
    given = token or await named(core, connection) or _given(connection)
    actor = None if given is None else await identity.actor(given, client(scope))
    if actor is not None or given is None:
        return actor, None, session_id(given)
    await check_guest(core, scope)
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


def shown(request: HTTPConnection) -> str | None:
    """The token in the `Authorization` header, else in a cookie."""
    bearer = request.headers.get("authorization")
    if bearer is None or (TOKEN in request.scope and not _bears(request)):
        return _given(request)
    scheme, _, token = bearer.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _bears(request: HTTPConnection) -> bool:
    """Whether the `Authorization` header has a token; a proxy may leave a password there."""
    return request.headers.get("authorization", "").lower().startswith("bearer ")


def is_key(request: HTTPConnection) -> bool:
    """Whether a request is made by an API key, which only the header may hold."""
    return _bears(request) and (shown(request) or "").startswith(PREFIX)


def _given(request: HTTPConnection) -> str | None:
    """The token of whom a proxy names, else in a cookie, under the name that says the most of where it comes from."""
    if TOKEN in request.scope:
        return str(request.scope[TOKEN])
    names = (HOST_COOKIE, SECURE_COOKIE, COOKIE)
    return next((request.cookies[name] for name in names if name in request.cookies), None)


def _cookie(token: str, scope: Scope, seconds: int) -> str:
    path = base_of(scope)
    rest = f"={token}; HttpOnly; Max-Age={seconds}; Path={path}; SameSite=lax"
    if not is_secure(scope):
        return COOKIE + rest
    return (HOST_COOKIE if path == "/" else SECURE_COOKIE) + rest + "; Secure"
