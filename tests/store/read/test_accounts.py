"""Accounts as they are stored, on both engines."""

import pytest
from msgspec.structs import replace
from tests.store.world import World

from palaver.errors import Code, Refused
from palaver.model import AccountStatus, Actor, EventType
from palaver.store.read import accounts, actors, devices, events
from palaver.store.write.audit import AUDIT
from palaver.store.write.people.accounts import (
    AddAccount,
    Beginning,
    NameAccount,
    SetStatus,
    SignIn,
)

YEAR_MS = 365 * 24 * 3_600_000
PROOF = b"$argon2id$v=19$m=19456,t=2,p=1$AAAA$BBBB"


def session(number: int) -> Beginning:
    return Beginning(token_sha256=b"%032d" % number, lasts_ms=YEAR_MS, idle_ms=YEAR_MS)


async def account(world: World, handle: str, skeleton: str, password: bytes | None = None) -> Actor:
    actor = await world.person(handle.title())
    adding = AddAccount(actor=actor, handle=handle, skeleton=skeleton, password=password)
    return await world.store.write(adding)


async def test_an_account_is_found_by_exactly_its_handle_and_one_person_has_one(
    world: World,
) -> None:
    ada = await account(world, "bil", "bll", password=PROOF)
    assert (ada.name, ada.handle, ada.guest) == ("Bil", "bil", False)
    stored = await world.store.read(actors.get, ada.id)
    assert stored == replace(ada, server_role=None), "which only accounts and who asks have"
    found = await world.store.read(accounts.by_handle, "bil", "bll")
    assert found is not None
    assert (found[0].actor, found[0].status, found[0].used_ms) == (ada, AccountStatus.ACTIVE, None)
    assert found[1] == PROOF.decode()
    assert await world.store.read(accounts.by_handle, "b1l", "bll") is None
    assert await world.store.read(actors.of_skeleton, "bll") == stored
    with pytest.raises(Refused) as caught:
        await world.store.write(AddAccount(actor=ada, handle="cy", skeleton="cy"))
    assert caught.value.code is Code.IDENTITY_IN_USE
    with pytest.raises(Refused) as caught:
        await account(world, "b1l", "bll")
    assert caught.value.code is Code.HANDLE_TAKEN


async def test_accounts_are_listed_in_pages_and_named_anew(world: World) -> None:
    for handle in ("cy", "ada", "bo"):
        await account(world, handle, handle)
    first = await world.store.read(accounts.listing, after="", count=2)
    assert [one.actor.handle for one in first] == ["ada", "bo"]
    [last] = await world.store.read(accounts.listing, after="bo", count=2)
    named = await world.store.write(NameAccount(actor=last.actor.id, handle="cyd", skeleton="cyd"))
    assert named.actor.handle == "cyd"
    with pytest.raises(Refused) as caught:
        await world.store.write(NameAccount(actor=last.actor.id, handle="bo", skeleton="bo"))
    assert caught.value.code is Code.HANDLE_TAKEN
    assert await world.store.read(accounts.by_handle, "cy", "cy") is None


async def test_the_session_that_was_not_used_for_longest_gives_way_to_one_too_many(
    world: World,
) -> None:
    ada = await account(world, "ada", "ada", password=PROOF)
    for number in range(devices.DEVICES_MAX + 2):
        signing = SignIn(actor=ada.id, password=PROOF, session=session(number))
        assert await world.store.write(signing) == ada
    now_ms = world.clock.now_ms()
    there = await world.store.read(devices.of_actor, ada.id, now_ms, YEAR_MS)
    assert len(there) == devices.DEVICES_MAX
    assert session(devices.DEVICES_MAX + 1).token_sha256 in dict(there)
    with pytest.raises(Refused) as caught:
        await world.store.write(SignIn(actor=ada.id, password=b"other", session=session(99)))
    assert caught.value.code is Code.CREDENTIALS_WRONG, "it has changed since it was checked"


async def test_a_disabled_account_begins_no_session_and_has_none(world: World) -> None:
    ada = await account(world, "ada", "ada", password=PROOF)
    signing = SignIn(actor=ada.id, password=PROOF, session=session(1))
    await world.store.write(signing)
    disabling = SetStatus(actor=ada.id, status=AccountStatus.DISABLED)
    for _ in range(2):
        assert (await world.store.write(disabling)).status is AccountStatus.DISABLED
    told = (await world.store.read(events.since, AUDIT, 0, 9))[1:]  # the first one made the room
    sessions = [event.data["session"] for event in told if "session" in event.data]
    assert [event.type for event in told] == [
        EventType.ACCOUNT_CREATED,
        EventType.SESSION_BEGAN,
        EventType.SESSION_ENDED,
        EventType.ACCOUNT_STATUS,
    ], "a repeat ends nothing"
    assert sessions == [devices.id_of(session(1).token_sha256)] * 2
    with pytest.raises(Refused) as caught:
        await world.store.write(SignIn(actor=ada.id, password=PROOF, session=session(2)))
    assert caught.value.code is Code.ACCOUNT_DISABLED
    now_ms = world.clock.now_ms()
    with pytest.raises(Refused) as caught:
        await world.store.read(actors.by_token, session(1).token_sha256, now_ms, YEAR_MS)
    assert caught.value.code is Code.ACCOUNT_DISABLED
