"""REST about accounts: to sign up, in and out, and another password.

Whoever gets a session gets its cookie; a program says `"program": true`, or comes with a token, and gets the new token
in the answer instead. Nothing here is logged but the address of the call and its status.
"""

from fastapi import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from palaver.core.runtime import Core
from palaver.model import Actor
from palaver.policy import ServerAct
from palaver.wire import shapes
from palaver.wire.api.body import Given, answer
from palaver.wire.auth import Me, Present, begin, client, session_of
from palaver.wire.calls import call
from palaver.wire.edge.proxies import client_of
from palaver.wire.edge.rates import Use


class Entering(Given):
    """Somebody who proves who they are."""

    password: str
    """10 to 256 characters."""
    program: bool = False
    """Whether to answer with the token instead of a cookie."""


class NewAccount(Entering):
    """A new account."""

    handle: str
    """2 to 32 of `a-z`, `0-9`, `.`, `_` and `-`; none that looks like another."""
    name: str | None = None
    """Another name."""


class SigningUp(NewAccount):
    """A new account of who was invited, or where anybody may make one."""

    invitation: str | None = None
    """What stands behind the `#` of an invitation to the server: its maker lets one in."""


class Credentials(Entering):
    """Who signs in."""

    handle: str
    replace: bool = False
    """Whether the guest that this browser is may be left behind."""
    bring: bool = False
    """Whether the guest's rooms and keys come along. Neither for a guest: 409 `identity_in_use`."""


class NewPassword(Given):
    """Another password."""

    old: str
    new: str
    """10 to 256 characters."""


class SetupLink(Given):
    """The link that a server without an owner prints."""

    token: str
    """What stands behind its `#`."""


class FirstOwner(NewAccount, SetupLink):
    """The account of the server's first owner."""


class GivenReset(Entering):
    """A link by which a password is chosen."""

    token: str
    """What stands behind its `#`."""


class Entered(TypedDict):
    """Who one is from now on, and the session's token for a program."""

    me: shapes.Me
    token: str | None


class Asking(TypedDict):
    """Who this browser is; None for who is nobody yet."""

    me: shapes.Person | None


class Accounts:
    """The calls about accounts."""

    def __init__(self, core: Core) -> None:
        self._core = core

    @call("POST", "/sign-up", ServerAct.ENTER, use=Use.GUESTS, status=201, others=(202,))
    async def sign_up(self, me: Present, request: Request, body: SigningUp) -> Entered | Response:
        """Makes an account: a guest keeps who they are, under a new session. 202: an admin must approve it first."""
        token, actor = await self._signed_up(me, request, body, invitation=body.invitation)
        if token is None:
            return answer({"me": shapes.me(actor), "token": None}, 202)
        return _entered(request, token, actor, program=body.program)

    @call("POST", "/setup/look", ServerAct.ENTER, use=Use.CONNECTIONS)
    async def look(self, me: Present, body: SetupLink) -> Asking:
        """Whether the link that makes the server's owner is good, without using it."""
        await self._core.setup.look(body.token)
        return {"me": me and shapes.person(me)}

    @call("POST", "/setup", ServerAct.ENTER, use=Use.CONNECTIONS, status=201)
    async def set_up(self, me: Present, request: Request, body: FirstOwner) -> Entered:
        """Makes the account of the server's first owner, by the link that the server printed, once."""
        token, actor = await self._signed_up(me, request, body, setup=body.token)
        return _entered(request, token, actor, program=body.program)

    @call("POST", "/sign-in", ServerAct.ENTER, use=Use.CONNECTIONS)
    async def sign_in(self, me: Present, request: Request, body: Credentials) -> Entered:
        """Begins a session of who has an account."""
        by = client(request.scope)
        token, actor = await self._core.accounts.sign_in(
            body.handle,
            body.password,
            me=me,
            session=session_of(request),
            replace=body.replace,
            bring=body.bring,
            by=by,
            counted=client_of(by.address),
        )
        return _entered(request, token, actor, program=body.program)

    @call("POST", "/sign-out", ServerAct.OWN, status=204)
    async def sign_out(self, me: Me, request: Request) -> None:
        """Ends the session that asks."""
        await self._core.accounts.sign_out(me, session_of(request))
        if "authorization" not in request.headers:
            begin(request, self._core.identity.visitor(None)[0])

    @call("POST", "/me/password", ServerAct.OWN)
    async def change_password(self, me: Me, request: Request, body: NewPassword) -> Entered:
        """Changes the password, and ends all other sessions; this one goes on under a new token."""
        by = client(request.scope)
        token, actor = await self._core.accounts.change_password(
            me,
            body.old,
            body.new,
            session=session_of(request),
            by=by,
            counted=client_of(by.address),
        )
        return _entered(request, token, actor)

    @call("POST", "/reset", ServerAct.ENTER, use=Use.CONNECTIONS)
    async def reset(self, request: Request, body: GivenReset) -> Entered:
        """Chooses a password by a link, once, and ends all sessions but the one that this begins."""
        token, actor = await self._core.accounts.reset(
            body.token, body.password, by=client(request.scope)
        )
        return _entered(request, token, actor, program=body.program)

    async def _signed_up(
        self, me: Actor | None, request: Request, body: NewAccount, **link: str | None
    ) -> tuple[str | None, Actor]:
        return await self._core.accounts.sign_up(
            body.handle,
            body.password,
            body.name,
            me=me,
            session=session_of(request),
            by=client(request.scope),
            **link,
        )


def _entered(
    request: Request, token: str | None, actor: Actor, *, program: bool = False
) -> Entered:
    assert token is not None, "who proves who they are has a session"
    if program or "authorization" in request.headers:
        return {"me": shapes.me(actor), "token": token}
    begin(request, token)
    return {"me": shapes.me(actor), "token": None}
