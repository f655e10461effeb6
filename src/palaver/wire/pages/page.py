"""The page's files: built into the package, read once, served with the headers that each kind deserves.

Hashed assets never change and are kept by browsers for ever; everything else is asked for again and answered with 304
by its ETag. `/`, `/r/…`, `/settings/…`, `/admin/…`, `/agents/…`, `/search`, `/archive`, `/deleted` and `/starred` are
the page's own and get its one document; `/device`, `/invite`, `/reset` and `/setup`, where links lead, `/sign-in` and
`/sign-up` small ones of their own. Whoever opens an address that nothing is at gets the page's document with a 404. A
program gets the problem document. Where the page was not built, a page says what to do.

Paths come from a table made of what is there, so that no request can leave the folder.
"""

import asyncio
import gzip
import hashlib
import mimetypes
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from palaver.policy import ServerAct
from palaver.wire.calls import call, routes_of
from palaver.wire.edge.proxies import base_of

GZIP_BYTES_MIN = 1_024
MANIFEST = "application/manifest+json"
"""The type of a `.webmanifest`, which not every system knows."""
FOREVER = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"
NOT_BUILT = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Palaver: the page is not built</title>
<h1>The server runs. Its page is not built yet.</h1>
<p>In a clone of the repository, <code>./run</code> builds it and starts the server again. With Node.js at hand,
<code>npm --prefix ui ci &amp;&amp; npm --prefix ui run build</code> does it too.</p>
<p>Everything else works: <a href="docs">the REST interface</a>, the live connection at <code>/ws</code> and every
other client.</p>
</html>
"""


class Asset(Struct, frozen=True, kw_only=True):
    """One file, as it is served."""

    body: bytes
    zipped: bytes | None
    media_type: str
    etag: str
    cache: str


class Page:
    """The built page. `root` is its folder; it may be missing."""

    def __init__(self, root: Path | None = None) -> None:
        root = root or Path(str(files("palaver"))) / "page"
        self._paths = {
            f"/{path.relative_to(root).as_posix()}": path
            for path in sorted(root.rglob("*"))
            if path.is_file() and not path.relative_to(root).as_posix().startswith(".")
        }
        self._assets: dict[str, Asset] = {}

    def routes(self) -> list[Route]:
        """Routes to the page's own addresses, and to each of its files that stands where one is declared."""
        declared = routes_of(self)
        files = [route.path_regex for route in declared if route.endpoint == self.file]
        return [
            *(route for route in declared if route.endpoint != self.file),
            *(
                Route(path, self.file)
                for path in self._paths
                if any(address.fullmatch(path) for address in files)
            ),
        ]

    def files(self) -> frozenset[str]:
        """The addresses of its files."""
        return frozenset(route.path for route in self.routes() if route.endpoint == self.file)

    def nowhere(self, otherwise: ASGIApp) -> ASGIApp:
        """What answers where no route leads: the document to who opens a page, else `otherwise`."""

        async def answered(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http" and self._is_visit(Request(scope)):
                response = await self._answer("/index.html", Request(scope), HTTPStatus.NOT_FOUND)
                await response(scope, receive, send)
            else:
                await otherwise(scope, receive, send)

        return answered

    def _is_visit(self, request: Request) -> bool:
        """Whether a person looks for a page, rather than a program for a call or a file."""
        wants_page = "text/html" in request.headers.get("accept", "")
        is_call = request.url.path.startswith(("/api/", "/assets/"))
        built = "/index.html" in self._paths
        return built and request.method == "GET" and wants_page and not is_call

    @call("GET", "/", ServerAct.PUBLIC)
    @call("GET", "/r/{rest:path}", ServerAct.PUBLIC)
    @call("GET", "/settings", ServerAct.PUBLIC)
    @call("GET", "/settings/{section}", ServerAct.PUBLIC)
    @call("GET", "/admin", ServerAct.PUBLIC)
    @call("GET", "/admin/{section}", ServerAct.PUBLIC)
    @call("GET", "/agents", ServerAct.PUBLIC)
    @call("GET", "/agents/{rest:path}", ServerAct.PUBLIC)
    @call("GET", "/search", ServerAct.PUBLIC)
    @call("GET", "/archive", ServerAct.PUBLIC)
    @call("GET", "/deleted", ServerAct.PUBLIC)
    @call("GET", "/starred", ServerAct.PUBLIC)
    async def document(self, request: Request) -> Response:
        """The page's one document."""
        return await self._document("/index.html", request)

    @call("GET", "/device", ServerAct.PUBLIC)
    async def device(self, request: Request) -> Response:
        """The document that a link to another device opens."""
        return await self._document("/device.html", request)

    @call("GET", "/invite", ServerAct.PUBLIC)
    async def invite(self, request: Request) -> Response:
        """The document that an invitation opens."""
        return await self._document("/invite.html", request)

    @call("GET", "/sign-in", ServerAct.PUBLIC)
    @call("GET", "/sign-up", ServerAct.PUBLIC)
    @call("GET", "/reset", ServerAct.PUBLIC)
    @call("GET", "/setup", ServerAct.PUBLIC)
    async def sign(self, request: Request) -> Response:
        """The document on which one signs in, makes an account, or does by a link what it is for."""
        return await self._document("/sign.html", request)

    @call("GET", "/assets/{file}", ServerAct.PUBLIC)
    @call("GET", "/icons/{file}", ServerAct.PUBLIC)
    @call("GET", "/favicon.svg", ServerAct.PUBLIC)
    @call("GET", "/favicon-unread.svg", ServerAct.PUBLIC)
    @call("GET", "/manifest.webmanifest", ServerAct.PUBLIC)
    @call("GET", "/theme.js", ServerAct.PUBLIC)
    async def file(self, request: Request) -> Response:
        """A file of the page."""
        return await self._answer(request.url.path, request)

    async def _document(self, path: str, request: Request) -> Response:
        if path not in self._paths:
            return Response(NOT_BUILT, 503, media_type="text/html")
        return await self._answer(path, request)

    async def _answer(self, path: str, request: Request, status: int = 200) -> Response:
        base = base_of(request.scope) if path.endswith(".html") else "/"
        asset = self._assets.get(base + path) or await asyncio.to_thread(self._load, path, base)
        headers = {"etag": asset.etag, "cache-control": asset.cache, "vary": "accept-encoding"}
        if status == HTTPStatus.OK and asset.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        body = asset.body
        if asset.zipped is not None and "gzip" in request.headers.get("accept-encoding", ""):
            body = asset.zipped
            headers["content-encoding"] = "gzip"
        return Response(body, status, headers=headers, media_type=asset.media_type)

    def _load(self, path: str, base: str) -> Asset:
        """Reads a file when it is first asked for: a start waits for nothing.

        The document is opened at addresses of any depth; so what it loads is written from the root on.
        """
        body = self._paths[path].read_bytes()
        if path.endswith(".html"):
            body = body.replace(b'"./', f'"{base}'.encode())
        guessed = MANIFEST if path.endswith(".webmanifest") else mimetypes.guess_type(path)[0]
        media_type = guessed or "application/octet-stream"
        zips = len(body) >= GZIP_BYTES_MIN and not media_type.startswith(("image/p", "font/"))
        asset = Asset(
            body=body,
            zipped=gzip.compress(body, 6, mtime=0) if zips else None,
            media_type=media_type,
            etag=f'"{hashlib.sha256(body).hexdigest()[:32]}"',
            cache=FOREVER if path.startswith("/assets/") else ASK_AGAIN,
        )
        self._assets[base + path] = asset
        return asset
