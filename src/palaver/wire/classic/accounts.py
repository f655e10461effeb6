"""The classic wire's `/api/auth`: the accounts of this server, to what that contract says of them.

What its clients call an e-mail address names the account by the part before the `@`, which is the handle; the whole of
it is kept as the new account's address. The two tokens of the contract are the one of a session of ours, which each
refresh replaces: in the list of sessions, ended, counted and audited like every other. Nobody is an admin here, nothing
is to be verified, and no provider signs anybody in.
"""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Request, Response
from pydantic import BaseModel, Field

from palaver.core.runtime import Core
from palaver.errors import Code, Refused
from palaver.model import Actor
from palaver.policy import ServerAct
from palaver.strict_json import Json
from palaver.wire.auth import client
from palaver.wire.calls import call
from palaver.wire.classic.sessions import ACCESS, COOKIE, chosen, signed_in, time_of
from palaver.wire.edge.proxies import base_of, client_of, is_secure
from palaver.wire.edge.rates import Use

REFRESH = "refresh_token"
ACCESS_SECONDS, REFRESH_SECONDS = 1_800, 604_800

Text = Annotated[str, Field(max_length=320)]


class Credentials(BaseModel):
    """The body that signs somebody in."""

    email: Text
    password: str


class NewAccount(Credentials):
    """The body that makes an account."""

    display_name: str | None = None


class Accounts:
    """The calls about accounts."""

    def __init__(self, core: Core) -> None:
        self._core = core

    @call("GET", "/api/auth/methods", ServerAct.PUBLIC)
    async def methods(self) -> Json:
        """How to sign in."""
        return {"oauth_providers": [], "email_password_enabled": True}

    @call("GET", "/api/auth/providers", ServerAct.PUBLIC)
    async def providers(self) -> Json:
        """No provider to sign in with."""
        return {"providers": []}

    @call("GET", "/api/auth/me", ServerAct.OWN)
    async def me(self, request: Request) -> Json:
        """Who is signed in, if anybody."""
        found = await signed_in(self._core, request)
        user = None if found is None else await self._user(found[1])
        return {"user": user, "authenticated": user is not None}

    @call("POST", "/api/auth/register", ServerAct.ENTER, use=Use.GUESTS, others=(400,))
    async def register(self, body: NewAccount, request: Request, response: Response) -> Json:
        """Makes an account; a guest who does so stays who they are, and their cookie ends."""
        user, guest = await chosen(self._core, request)
        token, actor = await self._core.accounts.sign_up(
            _handle(body.email),
            body.password,
            body.display_name or None,
            me=guest,
            session="" if guest is None else str(user),
            by=client(request.scope),
        )
        if "@" in body.email:
            await self._keep_address(actor, body.email)
        if guest is not None:
            response.delete_cookie(COOKIE, path=base_of(request.scope))
        if token is None:
            raise Refused(
                Code.ACCOUNT_PENDING, "An admin of this server has yet to approve this account."
            )
        return await self._entered(request, response, token, actor)

    @call("POST", "/api/auth/login", ServerAct.ENTER, use=Use.CONNECTIONS, others=(401,))
    async def login(self, body: Credentials, request: Request, response: Response) -> Json:
        """Begins a session. The guest that this browser was is there again when it has ended."""
        by = client(request.scope)
        token, actor = await self._core.accounts.sign_in(
            _handle(body.email),
            body.password,
            me=None,
            session="",
            replace=False,
            by=by,
            counted=client_of(by.address),
        )
        return await self._entered(request, response, token, actor)

    @call("POST", "/api/auth/refresh", ServerAct.ENTER, use=Use.CONNECTIONS, others=(401,))
    async def refresh(self, request: Request, response: Response) -> Json:
        """Puts another session in the place of the one that asks."""
        found = await signed_in(self._core, request, REFRESH)
        if found is None:
            raise Refused(Code.UNAUTHENTICATED, "No refresh token provided")
        token = await self._core.accounts.renew(found[1], found[0], by=client(request.scope))
        return await self._entered(request, response, token, found[1])

    @call("POST", "/api/auth/logout", ServerAct.ENTER)
    async def logout(self, request: Request, response: Response) -> Json:
        """Ends the session that asks, if there is one."""
        found = await signed_in(self._core, request) or await signed_in(
            self._core, request, REFRESH
        )
        if found is not None:
            await self._core.accounts.sign_out(found[1], found[0])
        for name, path in _cookies(request):
            response.delete_cookie(name, path=path)
        return {"message": "Logged out successfully"}

    async def _keep_address(self, actor: Actor, email: str) -> None:
        try:
            await self._core.profiles.change(actor, email=email, preferences={})
        except Refused:  # it is no address: then it was a handle
            return

    async def _entered(
        self, request: Request, response: Response, token: str, actor: Actor
    ) -> Json:
        seconds = (ACCESS_SECONDS, REFRESH_SECONDS)
        for (name, path), lasts in zip(_cookies(request), seconds, strict=True):
            response.set_cookie(
                name,
                token,
                max_age=lasts,
                path=path,
                secure=is_secure(request.scope),
                httponly=True,
                samesite="lax",
            )
        user = await self._user(actor)
        return {
            "access_token": token,
            "token_type": "bearer",
            "expires_in": ACCESS_SECONDS,
            "user": user,
        }

    async def _user(self, actor: Actor) -> dict[str, Any]:
        account = await self._core.register.get(actor.id)
        since = time_of(account.created_ms)
        return {
            "id": str(UUID(actor.id.removeprefix("u_"))),
            "display_name": actor.name,
            "avatar_url": None,
            "role": "user",
            "is_admin": False,
            "context_window_size": self._core.settings.context_messages_max,
            "is_blocked": False,
            "created_at": since,
            "updated_at": since,
            "email": account.email,
            "provider": "email",
            "is_email_verified": True,
            "message_limit": None,
            "receive_reports": False,
        }


def _cookies(request: Request) -> tuple[tuple[str, str], tuple[str, str]]:
    """The cookies of a session, and for which path each is."""
    base = base_of(request.scope)
    return (ACCESS, base), (REFRESH, f"{base}api/auth")


def _handle(email: str) -> str:
    return email.strip().partition("@")[0]
