"""Invitations to the server: who makes them, for whom, what they bring, and what ends them; on both engines."""

import asyncio
from collections.abc import Awaitable
from itertools import product

import pytest
from tests.core.conftest import Running
from tests.core.identity.test_accounts import BROWSER, PASSWORD

from palaver.core.runtime import Core
from palaver.errors import Code, Refused
from palaver.model import AUDIT, AccountStatus, Actor, MemberRole, ServerRole
from palaver.store.read import events, rooms
from palaver.store.read.invitations import INVITATIONS_MAX

PERSON, ADMIN, OWNER = ServerRole.PERSON, ServerRole.ADMIN, ServerRole.OWNER


async def made(core: Core, role: ServerRole, handle: str | None = None) -> Actor:
    return (await core.register.create(handle or f"the-{role}", role=role)).actor


async def came(core: Core, token: str, handle: str, me: Actor | None = None) -> Actor:
    signing = core.accounts.sign_up(
        handle, PASSWORD, me=me, session="", by=BROWSER, invitation=token
    )
    session, actor = await signing
    assert session is not None, "nobody has to let them in"
    return actor


async def refused(asking: Awaitable[object]) -> tuple[Code, str]:
    with pytest.raises(Refused) as caught:
        await asking
    return caught.value.code, caught.value.detail


async def expect_ended(core: Core, token: str) -> None:
    """The same words wherever it is shown, and no account."""
    _, guest = await core.identity.new_guest()
    ways = (
        core.invitations.look(token, None),
        core.invitations.join(token, guest),
        came(core, token, "too-late"),
    )
    told = {await refused(asking) for asking in ways}
    ended = "This link was used or has ended. Ask for a new one."
    assert told == {(Code.INVITE_NOT_FOUND, ended)}
    assert (await refused(core.register.get("too-late")))[0] is Code.NOT_FOUND


async def left(core: Core, by: Actor) -> list[int | None]:
    found, _ = await core.invitations.to_server(by, limit=200)
    return [one.uses_left for one in found]


@pytest.mark.parametrize("sign_up", ["off", "approve"])
async def test_who_comes_by_an_admins_link_has_an_account_at_once_and_is_in_its_rooms(
    running: Running, database_url: str, sign_up: str
) -> None:
    async with running(database_url=database_url, sign_up=sign_up) as core:
        ada = await made(core, ADMIN)
        launch, other = [await core.rooms.create(ada, title=one) for one in ("Launch", "Other")]
        token, link = await core.invitations.make(
            ada, launch.id, other.id, server_role=PERSON, uses=2
        )
        assert (link.by.id, link.server_role, link.uses_left) == (ada.id, PERSON, 2)
        assert dict(link.rooms) == {launch.id: "Launch", other.id: "Other"}
        _, guest = await core.identity.new_guest()
        own = await core.rooms.create(guest)
        bo = await came(core, token, "bo-1", guest)
        assert (bo.id, bo.handle, bo.server_role) == (guest.id, "bo-1", PERSON)
        assert (await core.register.get("bo-1")).status is AccountStatus.ACTIVE
        for room in (launch, other):
            assert (await core.access.room(bo, room.id)).role is MemberRole.MEMBER
        assert (await core.access.room(bo, own.id)).role is MemberRole.OWNER, "a guest's rooms stay"
        assert await left(core, ada) == [1]
        log = await core.chat._store.read(events.since, launch.id, 0, 100)
        assert [one.data["via"] for one in log if "via" in one.data] == [link.id]
        told = [
            (one.type.value, one.actor, dict(one.data))
            for one in await core.chat._store.read(events.since, AUDIT, 1, 100)
            if one.type.value.startswith(("invite", "account"))
        ]
        assert told[1:] == [
            ("invite.created", ada.id, {"invite": link.id, "role": "person"}),
            ("account.created", bo.id, {"of": bo.id, "role": "person"}),
            ("invite.used", bo.id, {"invite": link.id}),
        ]


async def test_nobody_invites_above_themselves_and_people_only_where_the_setting_says_so(
    running: Running,
) -> None:
    may = {(OWNER, ADMIN), (OWNER, PERSON), (ADMIN, PERSON)}
    for number, (invites, sign_up) in enumerate(product(("admins", "people"), ("off", "invite"))):
        async with running(invites=invites, sign_up=sign_up) as core:
            people = invites == "people" and sign_up == "invite"
            for role in ServerRole:
                by = await made(core, role, f"{role}-{number}")
                for given in (PERSON, ADMIN):
                    allowed = (role, given) in may or (people and (role, given) == (PERSON,) * 2)
                    asking = core.invitations.make(by, server_role=given)
                    if allowed:
                        _, link = await asking
                        assert link.server_role is given
                    else:
                        assert (await refused(asking))[0] is Code.FORBIDDEN
                asking = core.invitations.make(by, server_role=OWNER)
                assert (await refused(asking))[0] is Code.BAD_REQUEST
            _, guest = await core.identity.new_guest()
            for asking in (
                core.invitations.make(guest, server_role=PERSON),
                core.invitations.to_server(guest, limit=10),
                core.invitations.revoke(guest, f"i_{'0' * 32}"),
            ):
                assert (await refused(asking))[0] is Code.FORBIDDEN


async def test_the_right_to_invite_is_asked_again_when_a_link_is_used(
    running: Running, database_url: str
) -> None:
    async with running(database_url=database_url) as core:
        ada, ed = await made(core, OWNER), await made(core, OWNER, "ed-2")
        to_admin, _ = await core.invitations.make(ed, server_role=ADMIN)
        to_person, _ = await core.invitations.make(ed, server_role=PERSON)
        assert (await came(core, to_admin, "an-admin")).server_role is ADMIN
        await core.register.set_role("ed-2", ADMIN)
        await expect_ended(core, to_admin)
        assert (await came(core, to_person, "a-person")).server_role is PERSON
        await core.register.set_status("ed-2", AccountStatus.DISABLED)
        await expect_ended(core, to_person)
        await core.register.set_status("ed-2", AccountStatus.ACTIVE)
        await core.register.set_role("ed-2", PERSON)
        await expect_ended(core, to_person)

        rooms_ = [await core.rooms.create(ada) for _ in range(3)]
        kept, lost, gone = [one.id for one in rooms_]
        token, _ = await core.invitations.make(ada, kept, lost, gone, server_role=PERSON)
        await core.members.add(ada, lost, ed.id)
        await core.members.transfer(ada, lost, ed.id)
        await core.members.set_role(ed, lost, ada.id, MemberRole.MEMBER)
        await core.rooms.delete(ada, gone)
        looked, _, _ = await core.invitations.look(token, None)
        assert list(looked.rooms) == [kept]
        bo = await came(core, token, "bo-1")
        found = [await core.chat._store.read(rooms.get, one, bo.id) for one in (kept, lost, gone)]
        assert [one and one.role for one in found] == [MemberRole.MEMBER, None, None]


async def test_into_which_rooms_one_may_not_invite_no_link_leads(core: Core) -> None:
    ada, (_, bo) = await made(core, ADMIN), await core.identity.new_guest()
    theirs, lobby = await core.rooms.create(bo), core.lobby
    codes = [
        (await refused(core.invitations.make(ada, one, server_role=PERSON)))[0]
        for one in (theirs.id, lobby)
    ]
    assert codes == [Code.ROOM_NOT_FOUND, Code.ROOM_PROTECTED]
    own = [(await core.rooms.create(ada)).id for _ in range(21)]
    many = core.invitations.make(ada, *own, server_role=PERSON)
    assert (await refused(many))[0] is Code.BAD_REQUEST
    await core.invitations.make(ada, *own[:20], server_role=PERSON)


async def test_of_two_who_use_it_for_the_last_time_at_once_one_gets_in(
    running: Running, database_url: str
) -> None:
    async with running(database_url=database_url) as core:
        ada = await made(core, ADMIN)
        token, _ = await core.invitations.make(ada, server_role=PERSON, uses=1)
        coming = [came(core, token, f"bo-{number}") for number in range(4)]
        found = await asyncio.gather(*coming, return_exceptions=True)
        assert len([one for one in found if isinstance(one, Actor)]) == 1
        codes = {one.code for one in found if isinstance(one, Refused)}
        assert codes == {Code.INVITE_NOT_FOUND}
        await expect_ended(core, token)


async def test_a_link_that_is_asked_for_again_by_its_id_is_one_link(
    running: Running, database_url: str
) -> None:
    async with running(database_url=database_url) as core:
        ada, ed = await made(core, ADMIN), await made(core, ADMIN, "ed-2")
        id_ = f"i_{core.clock.new_id()}"
        first, link = await core.invitations.make(ada, server_role=PERSON, uses=3, id_=id_)
        second, again = await core.invitations.make(ada, server_role=PERSON, uses=3, id_=id_)
        assert (again, len(await left(core, ada))) == (link, 1)
        await expect_ended(core, first)
        room = await core.rooms.create(ada)
        for other in (
            core.invitations.make(ed, server_role=PERSON, id_=id_),
            core.invitations.make(ada, room.id, id_=id_),
        ):
            assert (await refused(other))[0] is Code.INVITE_NOT_FOUND
        await came(core, second, "bo-1")
        await core.invitations.revoke(ada, id_)
        once_more = core.invitations.make(ada, server_role=PERSON, id_=id_)
        assert (await refused(once_more))[0] is Code.INVITE_NOT_FOUND
        await expect_ended(core, second)


async def test_admins_see_and_end_all_links_and_others_their_own(running: Running) -> None:
    async with running(invites="people", sign_up="invite") as core:
        makers = [await made(core, role) for role in ServerRole]
        owner, admin, person = makers
        other = await made(core, PERSON, "pe-4")
        links = [(await core.invitations.make(one, server_role=PERSON))[1] for one in makers]
        _, above = await core.invitations.make(owner, server_role=ADMIN)
        page, following = await core.invitations.to_server(admin, limit=3)
        rest, end = await core.invitations.to_server(admin, limit=3, cursor=following)
        assert [one.id for one in (*page, *rest)] == [above.id, *[one.id for one in links[::-1]]]
        assert end is None
        assert [one.id for one in (await core.invitations.to_server(person, limit=9))[0]] == [
            links[2].id
        ]
        assert await left(core, other) == []
        never = await refused(core.invitations.revoke(person, f"i_{'0' * 32}"))
        assert await refused(core.invitations.revoke(person, links[0].id)) == never
        assert never[0] is Code.INVITE_NOT_FOUND
        room = await core.rooms.create(admin)
        _, into = await core.invitations.make(admin, room.id)
        assert (await refused(core.invitations.revoke(owner, into.id))) == never
        assert (await refused(core.invitations.revoke(admin, links[0].id, room.id))) == never
        assert (await refused(core.invitations.revoke(admin, above.id)))[0] is Code.FORBIDDEN
        for by, link in ((person, links[2]), (admin, links[0]), (owner, above)):
            await core.invitations.revoke(by, link.id)
        assert len(await left(core, owner)) == 1
        with pytest.raises(Refused) as caught:
            await core.invitations.to_server(owner, limit=1, cursor="nonsense")
        assert caught.value.code is Code.CURSOR_INVALID


async def test_an_account_that_is_there_comes_into_the_rooms_and_stays_what_it_is(
    core: Core,
) -> None:
    ada, bo = await made(core, OWNER), await made(core, PERSON)
    room = await core.rooms.create(ada)
    token, _ = await core.invitations.make(ada, room.id, server_role=ADMIN, uses=2)
    _, guest = await core.identity.new_guest()
    assert (await refused(core.invitations.join(token, guest)))[0] is Code.FORBIDDEN
    for _ in range(2):
        assert await core.invitations.join(token, bo) == (room.id,)
    assert (await core.register.get("the-person")).actor.server_role is PERSON
    assert await left(core, ada) == [1]
    bare, _ = await core.invitations.make(ada, server_role=PERSON, uses=1)
    assert await core.invitations.join(bare, bo) == ()
    assert await left(core, ada) == [1, 1], "it was of no use to them"
    into, _ = await core.invitations.make(ada, room.id)
    assert (await refused(came(core, into, "cy-1")))[0] is Code.INVITE_NOT_FOUND


async def test_one_maker_has_a_hundred_open_links_at_the_most(core: Core) -> None:
    ada, ed = await made(core, ADMIN), await made(core, ADMIN, "ed-2")
    links = [
        (await core.invitations.make(ada, server_role=PERSON))[1] for _ in range(INVITATIONS_MAX)
    ]
    more = core.invitations.make(ada, server_role=PERSON)
    assert (await refused(more))[0] is Code.TOO_MANY_INVITATIONS
    await core.invitations.make(ed, server_role=PERSON)
    await core.invitations.revoke(ada, links[0].id)
    await core.invitations.make(ada, server_role=PERSON)


async def test_a_room_that_is_full_keeps_nobody_from_the_server(running: Running) -> None:
    async with running(room_members_max=2) as core:
        ada = await made(core, ADMIN)
        full, free = await core.rooms.create(ada), await core.rooms.create(ada, agent=False)
        token, _ = await core.invitations.make(ada, full.id, free.id, server_role=PERSON)
        bo = await came(core, token, "bo-1")
        rooms, _ = await core.rooms.listing(bo, own=True)
        assert [room.id for room in rooms] == [free.id]
