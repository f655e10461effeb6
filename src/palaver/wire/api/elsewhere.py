"""REST about other ways in: signing in and out by an OpenID provider, and who one is elsewhere.

An attempt is bound to the session that asks. It begins by a POST, as signing out there does, which no page of another
site may make, also where browsers send no `Sec-Fetch-Site`. The provider sends the browser back by a link: it ends with
a GET, which goes on to a path of this server only. A person who sees a refusal gets the page.
"""

import re
from collections.abc import Awaitable
from urllib.parse import parse_qs

from fastapi import Request
from starlette.responses import RedirectResponse, Response
from typing_extensions import TypedDict

from palaver.core.identity.elsewhere import Elsewhere
from palaver.core.runtime import Core
from palaver.errors import Code, PalaverError, Refused
from palaver.model.identities import Linked
from palaver.policy import ServerAct
from palaver.wire.api.body import Given
from palaver.wire.auth import Me, Present, begin, client, session_of
from palaver.wire.calls import call
from palaver.wire.edge.proxies import address_of
from palaver.wire.edge.rates import Use
from palaver.wire.shapes import explained, moment

SEE_OTHER = 303
_LOCAL = re.compile(r"/(?!/)[!-\[\]-~]{0,2000}")
"""A path of this server: no other host, no sign that a browser takes for another."""


class Beginning(Given):
    """What an attempt to sign in elsewhere is for, and where the browser goes on then."""

    next: str = "/"
    """A path of this server."""
    link: bool = False
    """Whether it is another way in of who asks, who has an account."""
    replace: bool = False
    """Whether the guest that this browser is may be left behind."""
    bring: bool = False
    """Whether what is the guest's comes along."""


class Away(TypedDict):
    """Where the browser goes now."""

    url: str


class Provider(TypedDict):
    """A provider that signs people in, by what people call it."""

    name: str


class Ways(TypedDict):
    """How one may sign in here."""

    password: bool
    oidc: Provider | None
    sign_up: str


@explained
class Identity(TypedDict):
    """Who one is elsewhere."""

    id: str
    issuer: str
    """The provider's address; `proxy` for the proxy before this server."""
    subject: str
    """What it calls one, for good."""
    seen_at: str


class Identities(TypedDict):
    """All of those."""

    identities: list[Identity]


class OtherWays:
    """The calls about other ways in."""

    def __init__(self, core: Core) -> None:
        self._core = core

    @call("GET", "/sign-in", ServerAct.PUBLIC)
    async def ways(self, me: Present) -> Ways:
        """How one may sign in here. `sign_up` is as it holds for who asks."""
        settings = self._core.settings
        oidc: Provider | None = None
        if self._core.elsewhere is not None:
            oidc = {"name": settings.oidc_name}
        sign_up = await self._core.accounts.sign_up_for(me)
        return {"password": True, "oidc": oidc, "sign_up": sign_up}

    @call("POST", "/oidc/start", ServerAct.ENTER, use=Use.CONNECTIONS)
    async def start(self, me: Present, request: Request, body: Beginning) -> Away:
        """Begins an attempt: where the provider asks its person who they are."""
        elsewhere, base = self._elsewhere(), self._base(request)
        if not _LOCAL.fullmatch(body.next):
            raise Refused(Code.BAD_REQUEST, "The field 'next' must be a path of this server.")
        if body.link and (me is None or me.handle is None):
            raise Refused(Code.FORBIDDEN, "Sign in first.")
        session = session_of(request)
        if not session:
            session, _ = self._core.identity.visitor(None)
            begin(request, session)
        url = await elsewhere.begin(
            f"{base}api/oidc/callback",
            body.next,
            session=session,
            link=body.link,
            replace=body.replace,
            bring=body.bring,
        )
        return {"url": url}

    @call("GET", "/oidc/callback", ServerAct.ENTER, use=Use.CONNECTIONS, status=SEE_OTHER)
    async def callback(self, me: Present, request: Request) -> Response:
        """Signs in whom the provider has signed in, and goes on to where the attempt was to go."""
        elsewhere = self._elsewhere()

        async def ended() -> str:
            pairs = request.query_params.multi_items()
            answer = dict(pairs)
            if len(answer) != len(pairs):
                raise Refused(Code.BAD_REQUEST, "An answer says each thing once.")
            by, session = client(request.scope), session_of(request)
            next_, token = await elsewhere.end(answer, session=session, me=me, by=by)
            if token is not None:
                begin(request, token)
            return f"{self._base(request)}{next_[1:]}"

        return await self._gone(request, ended())

    @call("POST", "/oidc/end", ServerAct.ENTER, use=Use.CONNECTIONS)
    async def end(self, request: Request) -> Away:
        """Where a browser signs out at the provider, too, which sends it back. Here one has signed out before."""
        return {"url": await self._elsewhere().leaving(self._base(request))}

    @call("POST", "/oidc/logout", ServerAct.ENTER, use=Use.CONNECTIONS)
    async def logout(self, request: Request) -> Response:
        """Ends the sessions of whom the provider has signed out; it says so itself (back-channel logout)."""
        form = parse_qs((await request.body()).decode("latin-1"))
        [token] = form.get("logout_token", [""])[:1]
        await self._elsewhere().signed_out(token)
        return Response(status_code=200)

    @call("GET", "/me/identities", ServerAct.OWN)
    async def identities(self, me: Me) -> Identities:
        """Who one is elsewhere."""
        return {"identities": [_identity(one) for one in await self._core.identities.listing(me)]}

    @call("DELETE", "/me/identities/{identity}", ServerAct.OWN, status=204)
    async def unlink(self, me: Me, identity: str) -> None:
        """Takes one of these ways in away, unless it is the last one."""
        await self._core.identities.unlink(me, identity)

    def _elsewhere(self) -> Elsewhere:
        if self._core.elsewhere is None:
            raise Refused(Code.NOT_FOUND, "No provider signs people in here.")
        return self._core.elsewhere

    def _base(self, request: Request) -> str:
        return address_of(request.scope, self._core.settings)

    async def _gone(self, request: Request, where: Awaitable[str]) -> Response:
        """Sends a browser on; where that is refused, to the page, which says why."""
        try:
            return RedirectResponse(await where, SEE_OTHER)
        except PalaverError as refused:
            if request.headers.get("sec-fetch-mode") != "navigate":
                raise
            url = f"{self._base(request)}sign-in#refused={refused.code}"
            return RedirectResponse(url, SEE_OTHER)


def _identity(value: Linked) -> Identity:
    its_id, seen = value.id, moment(value.seen_ms)
    return {"id": its_id, "issuer": value.issuer, "subject": value.subject, "seen_at": seen}
