"""The edge of every request, before anything else looks at it: who may ask from where, and how much.

Rules: the `Host` must be a name of this server (against DNS rebinding). A page of another site may neither open a
live connection nor call with an unsafe method (`Origin`, `Sec-Fetch-Site`). What says who asks is said once, and whom a
proxy names, by that proxy. A body has a size and a time. A token in the URL of a live connection is refused. Every
answer carries the headers that keep a browser from guessing and leaking. The log tells an operator once what setting
would let a name or an origin in.

Pure ASGI. The bounds of a connection itself (headers, slow clients) stand in `protocols`.
"""

import asyncio
import re
from collections.abc import Callable
from ipaddress import ip_address
from urllib.parse import parse_qs

import structlog
from msgspec import Struct
from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from palaver.cards.bounds import FILE_BYTES_MAX
from palaver.errors import Code, PalaverError, Refused, Unavailable
from palaver.settings import Settings
from palaver.wire import problems
from palaver.wire.edge.proxies import PEER, SAFE_METHODS, host_name, is_in, is_secure, networks_of
from palaver.wire.edge.rates import HELD, RATES, Rates, Use

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
WILDCARDS = frozenset({"0.0.0.0", "::"})  # noqa: S104  to know them, not to bind to them
SINGLE = ("authorization", "content-type", "sec-fetch-site", "x-api-key")
"""Headers that decide something: of two, one reader would take the first and another the last."""
NAMED = "palaver.named"
"""In a scope: whom the proxy names that signs people in."""
NAMED_CHARS_MAX = 255
TOLD_MAX, TOLD_CHARS_MAX = 256, 200
TOKEN_PARAMETERS = frozenset({"token", "access_token", "key", "api_key"})
_ANY_SIGN = re.compile(rb"[^a-z0-9]")
_KEY_IN_URL = re.compile(rb"plv_[\w-]{43}")
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; img-src 'self' data: blob:; style-src 'self'; script-src 'self';"
    " connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_RAW_HEADERS = [
    (name.encode(), value.encode())
    for name, value in (HEADERS | {"cache-control": "no-store"}).items()
]

REFUSED_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Palaver</title>
<p>The server does not accept this address. Its log names the setting.</p>
</html>
"""

FILES = "/agents/import"
"""How the address of whoever takes a whole file ends."""

log = structlog.stdlib.get_logger()


class Apart(Struct, frozen=True):
    """Addresses that have refusals and a bound of bodies of their own."""

    prefix: str
    refusal: Callable[[PalaverError, dict[str, str], Scope], Response]
    bytes_max: int


class Limits:
    """Refuses what comes from the wrong place or is too much, and passes the rest on."""

    def __init__(self, app: ASGIApp, settings: Settings, rates: Rates, apart: Apart) -> None:
        self.app = app
        self._apart = apart
        self._settings = settings
        self._rates = rates
        self._hosts = LOOPBACK_NAMES | {settings.host.lower()} - WILDCARDS
        self._hosts |= {name.lower() for name in settings.allowed_hosts}
        self._any_address = settings.host in WILDCARDS
        self._origins = {origin.lower().rstrip("/") for origin in settings.allowed_origins}
        if settings.public_url is not None:
            self._hosts |= {host_name(settings.public_origin.partition("://")[2])}
            self._origins |= {settings.public_origin}
        self._naming = (settings.auth_header or "").encode()
        self._naming_peers = networks_of(settings.auth_header_networks)
        self._told: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        try:
            scope[RATES], scope[HELD] = self._rates, []
            self._check(scope)
            if scope["type"] == "websocket":
                self._rates.take(scope, Use.CONNECTIONS)
                self._rates.hold(scope)
        except PalaverError as error:
            await self._refused(error, scope)(scope, receive, send)
            return
        try:
            if scope["type"] == "websocket":
                await self.app(scope, receive, send)
            else:
                bounded = self._bounded(receive, self._bytes_max(scope))
                await self.app(scope, bounded, _with_headers(send))
        finally:
            self._rates.release(scope)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._is_own(hosts[0]):
            self._tell(
                "host.refused", ", ".join(hosts), "PALAVER_PUBLIC_URL, PALAVER_ALLOWED_HOSTS"
            )
            raise Refused(
                Code.HOST_REFUSED,
                "This server is not known under that name. Its operator can allow it:"
                " PALAVER_ALLOWED_HOSTS.",
            )
        for name in SINGLE:
            if len(headers.getlist(name)) > 1:
                raise Refused(Code.BAD_REQUEST, f"A request has one header '{name}', not several.")
        socket = scope["type"] == "websocket"
        if socket or scope["method"] not in SAFE_METHODS:
            self._check_origin(headers, hosts[0], secure=is_secure(scope))
        if socket and TOKEN_PARAMETERS & parse_qs(scope["query_string"].decode("latin-1")).keys():
            raise Refused(Code.BAD_REQUEST, "A token does not belong in a URL. Send it in hello.")
        if _KEY_IN_URL.search(scope["query_string"]):
            raise Refused(Code.BAD_REQUEST, "A key does not belong in a URL. Send it in a header.")
        if self._naming:
            self._take_name(scope)
        length, bytes_max = headers.get("content-length", "0"), self._bytes_max(scope)
        if not length.isdecimal() or int(length) > bytes_max:
            raise _too_large(bytes_max)

    def _is_own(self, host: str) -> bool:
        name = host_name(host)
        if name in self._hosts:
            return True
        if not self._any_address:
            return False
        try:  # an address is no name that somebody could make point here
            ip_address(name)
        except ValueError:
            return False
        return True

    def _check_origin(self, headers: Headers, host: str, *, secure: bool) -> None:
        """A browser always sends it; other programs need not."""
        origins = [origin.lower() for origin in headers.getlist("origin")]
        own = {f"https://{host.lower()}"} | (set[str]() if secure else {f"http://{host.lower()}"})
        allowed = len(origins) == 1 and origins[0] in own | self._origins
        if not allowed and (origins or headers.get("sec-fetch-site") == "cross-site"):
            settings = "PALAVER_PUBLIC_URL, PALAVER_ALLOWED_ORIGINS"
            self._tell("origin.refused", ", ".join(origins), settings)
            raise Refused(
                Code.ORIGIN_REFUSED,
                "A page of another site may not do that. The operator can allow it:"
                " PALAVER_ALLOWED_ORIGINS.",
            )

    def _take_name(self, scope: Scope) -> None:
        """Notes whom the proxy names. Some servers take `_` for `-`, so a name spelt like the header's is it, too."""
        found = [
            (name, value)
            for name, value in scope["headers"]
            if _ANY_SIGN.sub(b"-", name) == self._naming
        ]
        if not found:
            return
        peer = scope[PEER]
        if not is_in(peer, self._naming_peers):
            self._tell("header.refused", peer, "PALAVER_AUTH_HEADER_NETWORKS")
            raise Refused(Code.HEADER_REFUSED, "Only the proxy that signs people in may say that.")
        named = found[0][1].decode("utf-8", "replace").strip()
        plain = named.isprintable() and "\ufffd" not in named and len(named) <= NAMED_CHARS_MAX
        if len(found) > 1 or found[0][0] != self._naming or not plain:
            raise Refused(Code.HEADER_REFUSED, "The proxy must say once, and plainly, who asks.")
        if named:
            scope[NAMED] = named

    def _tell(self, event: str, refused: str, settings: str) -> None:
        """One line for each name that is refused."""
        refused = refused[:TOLD_CHARS_MAX]
        if refused in self._told:
            return
        if len(self._told) >= TOLD_MAX:
            self._told.clear()
        self._told.add(refused)
        log.warning(event, refused=refused, settings=settings)

    def _bytes_max(self, scope: Scope) -> int:
        """How large a body may be."""
        apart = scope["path"].startswith(self._apart.prefix)
        if scope["path"].rstrip("/").endswith(FILES):
            return max(FILE_BYTES_MAX, self._settings.body_bytes_max)
        return self._apart.bytes_max if apart else self._settings.body_bytes_max

    def _refused(self, error: PalaverError, scope: Scope) -> Response:
        """The answer to a request or a live connection's handshake: a problem document, or a page for a person."""
        if Headers(scope=scope).get("sec-fetch-mode") == "navigate":
            return HTMLResponse(REFUSED_PAGE, error.status, HEADERS)
        if scope["path"].startswith(self._apart.prefix):
            return self._apart.refusal(error, HEADERS, scope)
        return problems.response(error, HEADERS)

    def _bounded(self, receive: Receive, bytes_max: int) -> Receive:
        """Reads a body up to its size and time, and then waits for the client to leave, for as long as it takes."""
        left = bytes_max
        deadline: float | None = None
        more = True

        async def bounded() -> Message:
            nonlocal left, more, deadline
            if not more:
                return await receive()
            if deadline is None:
                deadline = asyncio.get_running_loop().time() + self._settings.body_seconds
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                raise Unavailable(
                    Code.REQUEST_TIMEOUT, "The request's body did not come in time."
                ) from None
            left -= len(message.get("body", b""))
            more = message.get("more_body", False)
            if left < 0:
                raise _too_large(bytes_max)
            return message

        return bounded


def _too_large(bytes_max: int) -> Refused:
    return Refused(
        Code.PAYLOAD_TOO_LARGE, f"A request's body has at most {bytes_max:,} bytes here."
    )


def _with_headers(send: Send) -> Send:
    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            given: list[tuple[bytes, bytes]] = list(message["headers"])
            names = {name for name, _ in given}
            given += [header for header in _RAW_HEADERS if header[0] not in names]
            message["headers"] = given
        await send(message)

    return with_headers
