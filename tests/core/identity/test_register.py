"""The register of accounts, as an operator looks after it. Its commands are tried in tests/cli/test_users.py."""

import pytest
from tests.core.conftest import Running
from tests.core.identity.test_accounts import sign_up

from palaver.core.identity.register import adding
from palaver.errors import Code, Refused
from palaver.model import AccountStatus, MemberRole, ServerRole
from palaver.store.read import accounts


async def test_a_person_of_a_key_gets_an_account_and_nobody_takes_their_inner_name(
    running: Running,
) -> None:
    async with running(sign_up="open") as core:
        ada = await core.identity.person("ada", "Ada")
        with pytest.raises(Refused) as caught:
            await sign_up(core, "ada")
        assert caught.value.code is Code.HANDLE_TAKEN
        made = await core.register.create("ada", person=ada)
        assert (made.actor.id, made.actor.name, made.actor.handle) == (ada.id, "Ada", "ada")
        renamed = await core.register.rename("ada", "ada.l")
        assert (await core.register.get("ADA.L")).actor == renamed.actor
        assert [one.actor.handle for one in await core.register.listing()] == ["ada.l"]
        with pytest.raises(Refused) as caught:
            await core.register.get("ada")
        assert caught.value.code is Code.NOT_FOUND


async def test_a_handle_of_before_goes_on_although_none_like_it_is_given_any_more(
    running: Running,
) -> None:
    async with running() as core:
        ada = (await core.register.create("ada", role=ServerRole.OWNER)).actor
        made = await core.register._store.write(adding(core.clock, "bo-", None, None))
        assert (await core.register.get("BO-")).actor == made
        found, cursor = await core.register.people(ada, limit=2)
        assert [one.actor.handle for one in found] == ["ada", "bo-"]
        assert cursor is None
        assert not (await core.register.people(ada, limit=2, cursor="bo-"))[0]


async def test_whom_only_keys_know_goes_into_an_account_with_their_keys(
    running: Running, database_url: str
) -> None:
    async with running(database_url=database_url) as core:
        ada = (await core.register.create("ada")).actor
        token, _ = await core.keys.create(handle="script")
        script = (await core.keys.recognise(token)).actor
        admins, _ = await core.keys.create(handle="script", scopes=["admin"])
        foreign = await core.keys.guest("sk-of-another-server", lambda: None)
        room = await core.rooms.create(script, title="Mine")
        for person in (script, foreign):
            for _ in range(2):  # once more changes nothing
                assert (await core.register.claim("ada", person)).actor == ada
        assert (await core.rooms.get(ada, room.id)).role is MemberRole.OWNER
        known = await core.identity.person("script")
        assert known.id == ada.id, "a program's word for them"
        core.keys._known.clear()  # what it said last is believed for a second
        assert (await core.keys.recognise(token)).actor.id == ada.id
        with pytest.raises(Refused):
            await core.keys.recognise(admins)
        assert (await core.keys.guest("sk-of-another-server", None)).id == ada.id
        bo = (await core.register.create("bob")).actor
        for person in (script, bo):
            with pytest.raises(Refused) as caught:
                await core.register.claim("bob" if person is script else "ada", person)
            assert caught.value.code is Code.IDENTITY_IN_USE


async def test_a_key_that_is_none_of_ours_speaks_for_nobody_who_is_shut_out_or_has_left(
    running: Running,
) -> None:
    async with running() as core:
        await core.register.create("ada")
        foreign = await core.keys.guest("sk-of-another-server", lambda: None)
        await core.register.claim("ada", foreign)
        for code in (Code.ACCOUNT_DISABLED, Code.SESSION_ENDED):
            if code is Code.ACCOUNT_DISABLED:
                await core.register.set_status("ada", AccountStatus.DISABLED)
            else:
                await core.register.delete("ada")
            core.keys._known.clear()  # what it said last is believed for a second
            with pytest.raises(Refused) as caught:
                await core.keys.guest("sk-of-another-server", lambda: None)
            assert caught.value.code is code


async def test_however_many_leave_the_file_is_made_anew_once_and_the_next_time_for_the_rest(
    running: Running,
) -> None:
    async with running() as core:
        guests = [(await core.identity.new_guest(f"Guest of {number}"))[1] for number in range(3)]
        for guest in guests:
            await core.accounts.leave(guest, "", counted="")
        left = await core.register._store.read(accounts.unfinished)
        assert left == [guest.id for guest in guests[1:]]
    async with running() as core:
        assert await core.register._store.read(accounts.unfinished) == []
