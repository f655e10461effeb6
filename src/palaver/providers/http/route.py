"""The route to a model server: our own transport, or httpx2's, where a proxy of the environment stands between.

Rules: what of the environment is needed on the way and cannot be used is refused with its variable's name, before
anything is asked; what is not needed is not looked at. Proxies are `HTTP_PROXY`, `HTTPS_PROXY` and `ALL_PROXY` (lower
case first), but for what `NO_PROXY` names and for this machine. Certificates are those of `SSL_CERT_FILE` and
`SSL_CERT_DIR`, else the system's. What a person connected goes through no proxy and to public addresses only, and
nothing is told of why it cannot be reached.
"""

import os
import re
import ssl
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from pathlib import Path
from urllib.request import getproxies

import httpx2
from msgspec import Struct

from palaver.errors import Code, Refused
from palaver.providers.errors import setting_of
from palaver.settings import Settings

CONNECTIONS_KEPT_MAX = 20
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
HTTP = frozenset({"http", "https"})

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"(?!.{{254}})(?:{_LABEL}\.)*{_LABEL}\.?")
_HASHED = re.compile(r"[0-9a-f]{8}\.\d+")
_TLS = (
    ("mismatch", ": its TLS certificate is for another name. Use one that stands in it"),
    ("has expired", ": its TLS certificate has expired. Renew it there"),
    (
        "VERIFY_FAILED",
        ": its TLS certificate is not trusted. Name a file that holds it in SSL_CERT_FILE, restart Palaver",
    ),
    (
        "(?i)wrong.version|record.layer|length.too.long|http.request",
        ": no TLS is spoken there. Let {setting} begin with http:",
    ),
    ("SSL", ": TLS could not be agreed. Look at its log"),
)
"""What went wrong, by a pattern of OpenSSL's words."""


class Route(Struct, frozen=True, kw_only=True):
    """How a server is reached. `proxy`: the address of the one between, `variable` names it.

    `variables`: how the names of the server's own settings begin; empty: it is a saved profile's. `public`: nothing
    else is reached.
    """

    transport: httpx2.AsyncBaseTransport
    base: httpx2.URL
    public: bool = False
    proxy: str | None = None
    variable: str = ""
    variables: str = "OPENAI"

    def failure(self, failure: httpx2.RequestError) -> tuple[str, bool]:
        """Why nothing came and what to do, as the rest of a sentence; whether it is worth another try at once."""
        said, setting = str(failure), setting_of(self.variables)
        if self.public:
            return f". Check {setting}", False
        if self.base.scheme == "https":
            for pattern, why in _TLS:
                if re.search(pattern, said):
                    return why.format(setting=setting), False
        if isinstance(failure, httpx2.ProxyError):
            words = f": the proxy of {self.variable} refuses ({said[:3]})."
            return f"{words} Correct the variable, or NO_PROXY", False
        if not isinstance(failure, httpx2.ConnectError | httpx2.ConnectTimeout):
            return ": it hangs up without a word. If TLS is spoken there, use https", True
        if self.proxy:
            words = f": the proxy of {self.variable} cannot be reached."
            return f"{words} Start it, or correct the variable", True
        local = self.base.host in LOOPBACK
        return f". {'Start it' if local else f'Check {setting}'}", True


def route_to(
    base: httpx2.URL,
    settings: Settings,
    variables: str = "OPENAI",
    may_reach: Callable[[str], bool] | None = None,
) -> Route:
    """Finds the route to a server. Refused: `settings_invalid`, with the variable that cannot be used.

    With `may_reach`, only to addresses that pass.
    """
    # Plain HTTP needs no certificates, and loading them would block the loop for some 20 ms.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if base.scheme == "http" else _certificates()
    public = may_reach is not None
    variable, proxy = ("", None) if public else _proxy(base)
    if proxy is None and (own := _own_transport(settings, context, may_reach)) is not None:
        return Route(transport=own, base=base, variables=variables, public=public)
    if public:
        raise unusable("A person's own model server is reached by the package httptools alone.")
    most, kept = 2 * settings.turns_running_max, CONNECTIONS_KEPT_MAX
    transport = httpx2.AsyncHTTPTransport(
        verify=context,
        trust_env=False,
        limits=httpx2.Limits(max_connections=most, max_keepalive_connections=kept),
        proxy=proxy,
    )
    at = None if proxy is None else proxy.netloc.decode()
    return Route(transport=transport, base=base, proxy=at, variable=variable, variables=variables)


def address(text: str) -> httpx2.URL | None:
    """An address of http or https that can be asked; None for any other text."""
    text = text.strip()
    try:
        url = httpx2.URL(text)
    except httpx2.InvalidURL:
        return None
    host = url.raw_host.decode()
    usable = ":" in host or _HOST.fullmatch(host)
    port = 1 if url.port is None else url.port
    good = url.scheme in HTTP and usable and 1 <= port <= 65_535 and not re.search(r"\s", text)  # noqa: PLR2004  TCP's
    return url.copy_with(fragment=None) if good else None


def checked_base(
    base_url: str, variables: str = "OPENAI", like: str = "http://127.0.0.1:11434/v1"
) -> httpx2.URL:
    """Reads a server's address from its setting. Refused: `settings_invalid`."""
    base = address(base_url)
    if base is None or base.userinfo:
        raise unusable(f"{variables}_BASE_URL must look like {like}, without a user name in it.")
    return base


def unusable(why: str) -> Refused:
    """The refusal of a setting that cannot be used."""
    return Refused(Code.SETTINGS_INVALID, why)


def _own_transport(
    settings: Settings, context: ssl.SSLContext, may_reach: Callable[[str], bool] | None
) -> httpx2.AsyncBaseTransport | None:
    """Our own transport, where its parser is installed; it is not on Windows."""
    try:
        from palaver.providers.http.connection import Transport  # noqa: PLC0415  see above
    except ImportError:
        return None
    seconds = settings.provider_connect_seconds
    kept_max = CONNECTIONS_KEPT_MAX
    return Transport(
        context=context, connect_seconds=seconds, kept_max=kept_max, may_reach=may_reach
    )


def _certificates() -> ssl.SSLContext:
    """Loads the certificates that are trusted."""
    file, folders = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if not file and not folders:
        return httpx2.create_ssl_context(trust_env=False)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # a server's own certificate may be named
    if file:
        try:
            if not Path(file).is_file():
                raise unusable(f"SSL_CERT_FILE: there is no file {file}.")
            context.load_verify_locations(cafile=file)
        except OSError as error:
            why = error.strerror or "it holds no certificate"
            raise unusable(f"SSL_CERT_FILE: {file} cannot be used: {why}.") from None
    if folders:
        found = [folder for one in folders.split(os.pathsep) if (folder := Path(one)).is_dir()]
        if not any(_HASHED.fullmatch(one.name) for folder in found for one in folder.iterdir()):
            how = "as `openssl rehash` names them"
            raise unusable(f"SSL_CERT_DIR: {folders} holds no certificates {how}.")
        context.load_verify_locations(capath=folders)
    return context


def _proxy(base: httpx2.URL) -> tuple[str, httpx2.URL | None]:
    """The proxy for an address, and the variable that names it."""
    told = getproxies()
    scheme = base.scheme if told.get(base.scheme) else "all"
    value = told.get(scheme, "").strip()
    if not value or base.host in LOOPBACK or _is_direct(base.host, told.get("no", "")):
        return "", None
    names = (f"{scheme}_proxy", f"{scheme}_proxy".upper())
    variable = next((name for name in names if os.environ.get(name)), "the system's settings")
    proxy = address(value if "://" in value else f"http://{value}")
    if proxy is None:
        raise unusable(
            f"{variable} must look like http://proxy.example:3128, without SOCKS;"
            f" NO_PROXY={base.host} goes there without a proxy."
        )
    return variable, proxy


def _is_direct(host: str, listed: str) -> bool:
    """Whether `NO_PROXY` names the host: itself, a domain above it, its network, or `*`."""
    for entry in (one.strip().lower().strip("[]") for one in listed.split(",")):
        try:
            if ip_address(host) in ip_network(entry, strict=False):
                return True
        except ValueError:
            name = entry.removeprefix("*").removeprefix(".")
            if entry == "*" or (name and (host == name or host.endswith(f".{name}"))):
                return True
    return False
