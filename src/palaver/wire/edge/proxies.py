"""Whom a request comes from and under which address, where a reverse proxy may stand between.

Rules. `X-Forwarded-…` and `Forwarded` are believed of a connection from one of `trusted_proxies`, and of no other; the
client is the right-most address in them that is no trusted proxy's. A request for the host of `public_url` came by its
scheme, and the path of that URL is taken off. A request that any proxy left a trace in is not from this machine.

It decides nothing of what a client may do: the rest of the server reads the scope as if nobody stood between.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from palaver.settings import Settings

BASE = "palaver.base"
"""In a scope: the path below which the browser of this request sees the server, `/` or such as `/chat/`."""
PEER = "palaver.peer"
"""In a scope: the address at the other end of the socket, whatever a header says."""
DIRECT = "palaver.direct"
"""In a scope: whether a program of this machine asks, with no proxy between."""
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
TRACES = (
    *("forwarded", "via", "true-client-ip", "cdn-loop", "client-ip", "forwarded-for"),
    *("front-end-https", "max-forwards", "proxy-connection", "surrogate-capability", "x-scheme"),
)
TRACE_PREFIXES = (
    *("x-forwarded", "x-real-", "x-client-ip", "x-cluster-", "x-original-", "x-proxy", "x-envoy-"),
    *("x-amz", "x-azure-", "x-arr-", "x-appengine-", "cf-", "cloudfront-", "fastly-", "fly-"),
    *("x-nf-", "x-vercel-", "tailscale-", "ngrok-", "x-varnish", "akamai-", "incap-", "wl-proxy-"),
)
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9_.-]+))(?::([0-9]{1,5}))?")
_PORT_MAX = 65_535
_PAIR = re.compile(r'([a-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^",;\s]*))', re.IGNORECASE)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class Proxies:
    """Puts into a request's scope what it was at the outermost trusted proxy."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self._trusted = networks_of(settings.trusted_proxies)
        self._naming = settings.auth_header or ""
        self._public = settings.public_url is not None
        self._origin = settings.public_origin
        self._path = settings.public_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] in {"http", "websocket"}:
            self._resolve(scope)
        await self.app(scope, receive, send)

    def _resolve(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        peer = "" if scope.get("client") is None else scope["client"][0]
        scope[PEER] = peer
        passed = _passed_on(scope, headers.keys()) or self._naming in headers
        scope[DIRECT] = is_loopback(peer) and not passed and not self._public
        if passed and is_in(peer, self._trusted):
            self._believe(scope, headers, peer)
        prefixed = self._strip(scope)
        host = Headers(scope=scope).get("host", "").lower()
        _, _, public_host = self._origin.partition("://")
        public = self._public and (passed or prefixed or host == public_host)
        scope[BASE] = f"{self._path}/" if public else "/"
        if public:
            _set_scheme(scope, self._origin.partition(":")[0])

    def _believe(self, scope: Scope, headers: Headers, peer: str) -> None:
        """Takes client, scheme and host from a trusted proxy's headers, `X-Forwarded-…` before `Forwarded`."""
        told = _forwarded(headers.getlist("forwarded"))
        chain = _listed(headers.getlist("x-forwarded-for")) or told["for"]
        scope["client"] = (self._client(chain, peer), 0)
        scheme = _last(headers.getlist("x-forwarded-proto"), told["proto"]).lower()
        if scheme in {"http", "https", "ws", "wss"}:
            _set_scheme(scope, scheme.replace("ws", "http"))
        host = _last(headers.getlist("x-forwarded-host"), told["host"])
        if host:
            others = [(name, value) for name, value in scope["headers"] if name != b"host"]
            scope["headers"] = [*others, (b"host", host.encode("latin-1"))]

    def _client(self, chain: list[str], peer: str) -> str:
        """The right-most address that is no trusted proxy's; what cannot be read ends the search."""
        client = peer
        for hop in reversed(chain):
            address = _address(host_name(hop.lower()) or hop)
            if address is None:
                break
            client = str(address)
            if not is_in(client, self._trusted):
                break
        return client

    def _strip(self, scope: Scope) -> bool:
        """Takes the public path off; a proxy may have done it."""
        raw: bytes = scope.get("raw_path") or scope["path"].encode()
        path = self._path.encode()
        if not path or not (raw == path or raw.startswith(path + b"/")):
            return False
        scope["raw_path"] = raw[len(path) :] or b"/"
        scope["path"] = scope["path"][len(self._path) :] or "/"
        return True


def networks_of(settings: Iterable[str]) -> tuple[Network, ...]:
    """The networks that a setting lists."""
    return tuple(ip_network(one, strict=False) for one in settings)


def is_in(host: str, networks: Iterable[Network]) -> bool:
    """Whether an address is in one of these."""
    address = _address(host)
    return address is not None and any(address in network for network in networks)


def is_direct(scope: Scope) -> bool:
    """Whether a program of this machine asks with no proxy between, as far as one can tell."""
    return bool(scope.get(DIRECT))


def is_local(scope: Scope) -> bool:
    """The same under a name that no other machine knows this one by."""
    return is_direct(scope) and is_loopback(host_name(Headers(scope=scope).get("host", "")))


def base_of(scope: Scope) -> str:
    """The path below which the browser of this request sees the server; ends with a slash."""
    return str(scope.get(BASE, "/"))


def base_url(settings: Settings) -> str:
    """Where browsers reach this server, as far as the settings say; ends with a slash."""
    if settings.public_url is not None:
        return f"{settings.public_origin}{settings.public_path}/"
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{settings.port}/"


def address_of(scope: Scope, settings: Settings) -> str:
    """Where browsers reach this server: the public URL, else as this request came; ends with a slash."""
    if settings.public_url is not None:
        return base_url(settings)
    return f"{scope['scheme']}://{Headers(scope=scope).get('host', '')}{base_of(scope)}"


def is_secure(scope: Scope) -> bool:
    """Whether the browser of this request came by TLS."""
    return scope["scheme"] in {"https", "wss"}


def host_name(host: str) -> str:
    """The name in a `Host` header, without its port; empty for what cannot be one."""
    found = _HOST.fullmatch(host.strip().lower())
    if found is None or int(found[3] or 0) > _PORT_MAX:
        return ""
    return found[1] or found[2]


@lru_cache(maxsize=1_000)
def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    address = _address(host)
    return host.lower() == "localhost" if address is None else address.is_loopback


@lru_cache(maxsize=10_000)
def client_of(host: str) -> str:
    """Whom a bound for each client counts: an address, of IPv6 its /64, which one household has."""
    address = _address(host)
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address, 64), strict=False))
    return host if address is None else str(address)


def _passed_on(scope: Scope, names: Iterable[str]) -> bool:
    """Whether a proxy left a trace."""
    if scope.get("http_version") == "1.0":  # what nginx speaks unless told otherwise
        return True
    return any(name in TRACES or name.startswith(TRACE_PREFIXES) for name in names)


def _address(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _set_scheme(scope: Scope, scheme: str) -> None:
    """`http` or `https`, on a live connection as `ws` and `wss`."""
    scope["scheme"] = scheme.replace("http", "ws") if scope["type"] == "websocket" else scheme


def _listed(values: list[str]) -> list[str]:
    return [one.strip() for value in values for one in value.split(",") if one.strip()]


def _last(values: list[str], others: list[str]) -> str:
    return next(reversed(_listed(values) or others), "")


def _forwarded(values: list[str]) -> dict[str, list[Any]]:
    """The pairs of a `Forwarded` header (RFC 7239) by their names, in their order."""
    told: dict[str, list[Any]] = {"for": [], "proto": [], "host": [], "by": []}
    for name, quoted, plain in _PAIR.findall(",".join(values)):
        told.setdefault(name.lower(), []).append(quoted or plain)
    return told
