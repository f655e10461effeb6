"""REST about people and their accounts: to find somebody, and what admins and owners of the server do for others."""

from typing import Annotated

from fastapi import Request
from typing_extensions import TypedDict

import palaver.model as stored
from palaver.core.runtime import Core
from palaver.core.validation import page_size
from palaver.model import AccountStatus, ServerRole
from palaver.policy import ServerAct
from palaver.wire import shapes
from palaver.wire.api.body import Given, Limit, Whole, word_of
from palaver.wire.auth import Me
from palaver.wire.calls import call
from palaver.wire.edge.proxies import address_of
from palaver.wire.edge.rates import Use
from palaver.wire.shapes import explained

GivenServerRole = Annotated[ServerRole, word_of(ServerRole)]
GivenStatus = Annotated[AccountStatus | None, word_of(AccountStatus)]


class NewPerson(Given):
    """An account that is to be made."""

    handle: str
    """2 to 32 of `a-z`, `0-9`, `.`, `_` and `-`; none that looks like another."""
    name: str | None = None
    """What others see. Default: the handle."""
    role: GivenServerRole = ServerRole.PERSON


class Changes(Given):
    """What is to be of an account. Default: as it is."""

    status: GivenStatus = None
    role: Annotated[ServerRole | None, word_of(ServerRole)] = None


class PeopleList(TypedDict):
    """A page of accounts."""

    people: list[shapes.Account]
    next: str | None


class MadePerson(TypedDict):
    """An account, and a link by which its person chooses a password: once, within an hour, shown this once."""

    person: shapes.Account
    url: str


class ResetLink(TypedDict):
    """A link by which a password is chosen: once, within an hour, shown this once."""

    url: str


@explained
class Audited(TypedDict):
    """A page of the audit room, the newest event first."""

    events: list[shapes.RoomEvent]
    before: int | None
    """The seq to go on before."""


class Everyone:
    """The calls about people and their accounts."""

    def __init__(self, core: Core) -> None:
        self._core, self._register = core, core.register

    @call("GET", "/people", ServerAct.PEOPLE)
    async def people(
        self,
        me: Me,
        *,
        limit: Limit = 50,
        cursor: str | None = None,
        q: str = "",
        status: GivenStatus = None,
    ) -> PeopleList:
        """All accounts, or those of one status, by handle; `q`: a piece of the handle or name."""
        found, following = await self._register.people(
            me, limit=limit, search=q, cursor=cursor, status=status
        )
        return {"people": [shapes.account(one) for one in found], "next": following}

    @call("POST", "/people", ServerAct.MANAGE, use=Use.CONNECTIONS, status=201)
    async def new_person(self, me: Me, request: Request, body: NewPerson) -> MadePerson:
        """Makes an account, whose person chooses a password by the link."""
        made = await self._register.create(body.handle, body.name, role=body.role, by=me)
        return {"person": shapes.account(made), "url": await self._link(me, request, made.actor.id)}

    @call("PATCH", "/people/{person}", ServerAct.MANAGE)
    async def change_person(self, me: Me, person: str, body: Changes) -> shapes.Account:
        """Gives a server role, which only an owner may; disables an account, whose sessions end, or enables it."""
        account = await self._register.get(person, by=me)
        if body.role is not None:
            account = await self._register.set_role(person, body.role, by=me)
        if body.status is not None:
            account = await self._register.set_status(person, body.status, by=me)
        return shapes.account(account)

    @call("DELETE", "/people/{person}", ServerAct.MANAGE, status=204)
    async def delete_person(self, me: Me, person: str) -> None:
        """Takes somebody out for good, as they would themselves (`DELETE /api/me`)."""
        await self._register.delete(person, by=me)

    @call("POST", "/people/{person}/reset", ServerAct.MANAGE, use=Use.CONNECTIONS, status=201)
    async def reset(self, me: Me, request: Request, person: str) -> ResetLink:
        """Makes a link to another password, in the place of the one before it."""
        return {"url": await self._link(me, request, person)}

    @call("GET", "/audit", ServerAct.AUDIT)
    async def audit(self, me: Me, *, limit: Limit = 50, before: Whole | None = None) -> Audited:
        """What was audited last, or before a seq, the newest first."""
        most = page_size(limit, self._core.settings.page_max)
        found, following = await self._core.audited(me, before=before, limit=most)
        return {"events": [shapes.event(one) for one in found], "before": following}

    async def _link(self, me: stored.Actor, request: Request, person: str) -> str:
        token = await self._register.reset_link(person, by=me)
        return f"{address_of(request.scope, self._core.settings)}reset#{token}"
