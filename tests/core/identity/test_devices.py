"""Links to further devices, as the core knows them; the doors are in tests/wire/test_devices.py."""

import asyncio

import pytest
from tests.core.conftest import Running

from palaver.core.identity.actors import session_of
from palaver.core.live.items import SignedOut
from palaver.core.runtime import Core
from palaver.errors import Code, Refused


async def test_a_link_is_of_one_use_and_asks_before_it_replaces_somebody(core: Core) -> None:
    _, ada = await core.identity.new_guest("Ada")
    token, _ = await core.devices.invite(ada)
    assert (await core.devices.look(token)).actor == ada
    _, bo = await core.identity.new_guest("Bo")
    for me, replace in ((bo, False), (ada, False), (ada, True)):
        with pytest.raises(Refused) as caught:
            await core.devices.redeem(token, "Phone", me=me, replace=replace)
        assert caught.value.code is Code.IDENTITY_IN_USE
    session, actor = await core.devices.redeem(token, "Phone", me=bo, replace=True)
    assert actor == ada == await core.identity.actor(session)
    with pytest.raises(Refused) as caught:
        await core.devices.redeem(token, "Phone", me=None, replace=True)
    assert caught.value.code is Code.TICKET_ENDED


async def test_what_is_live_on_an_ended_device_ends_in_every_process(
    running: Running, postgres_url: str
) -> None:
    shared = {"database_url": postgres_url}
    async with running(**shared) as here, running(**shared) as there:
        first, ada = await here.identity.new_guest("Ada")
        token, _ = await here.devices.invite(ada)
        phone, _ = await there.devices.redeem(token, "Phone", me=None, replace=False)
        with (
            there.chat.reader(ada, session_of(phone)) as reader,
            there.chat.reader(ada, session_of(first)) as other_reader,
        ):
            listed = await here.devices.listing(ada, first)
            [current, other] = listed.devices
            assert (listed.current, other.name) == (current.id, "Phone")
            with pytest.raises(Refused):
                await here.devices.end(ada, current.id, first)
            await here.devices.end(ada, other.id, first)
            async with asyncio.timeout(60):
                [last] = await reader.next()
            assert isinstance(last, SignedOut)
            assert reader.over
            assert not other_reader.over, "another device of the same person stays"
        for core in (here, there):
            with pytest.raises(Refused) as caught:
                await core.identity.actor(phone)
            assert caught.value.code is Code.SESSION_ENDED
