"""Links to further devices, as the core knows them; the doors are in tests/wire/test_devices.py."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.core.conftest import Running

from palaver.core import runtime
from palaver.core.identity.actors import Client, session_of
from palaver.core.live.items import SignedOut
from palaver.core.runtime import Core
from palaver.errors import Code, Refused
from palaver.model import AccountStatus

BROWSER, PASSWORD = Client(agent="Firefox on Linux", address="192.0.2.1"), "correct horse battery"


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


async def test_a_link_ends_with_the_sessions_that_it_would_come_back_to(running: Running) -> None:
    async with running(sign_up="open") as core:
        session, ada = await core.accounts.sign_up("ada", PASSWORD, me=None, session="", by=BROWSER)
        assert session is not None
        tokens: list[str] = []

        async def link() -> None:
            tokens.append((await core.devices.invite(ada))[0])

        await link()
        await core.devices.end_others(ada, session)
        await link()
        reset = await core.register.reset_link("ada")
        session, _ = await core.accounts.change_password(
            ada, PASSWORD, "another horse", session=session, by=BROWSER, counted=""
        )
        with pytest.raises(Refused) as caught:
            await core.accounts.reset(reset, PASSWORD, by=BROWSER)
        assert caught.value.code is Code.TICKET_ENDED, "it was for the password before"
        await link()
        await core.accounts.reset(await core.register.reset_link("ada"), PASSWORD, by=BROWSER)
        await link()
        for status in (AccountStatus.DISABLED, AccountStatus.ACTIVE):
            await core.register.set_status("ada", status)
        for token in tokens:
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


@pytest.mark.parametrize("over", ["expires_ms = 1", "used_ms = 1"])
async def test_what_is_live_ends_when_its_session_runs_out(
    running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, over: str
) -> None:
    monkeypatch.setattr(runtime, "RUN_OUT_SECONDS", 0.02)
    async with running() as core:
        (first, ada), (other, bo) = [await core.identity.new_guest(name) for name in ("Ada", "Bo")]
        with (
            core.chat.reader(ada, session_of(first)) as reader,
            core.chat.reader(bo, session_of(other)) as other_reader,
        ):
            await reader.subscribe(core.lobby)
            with closing(sqlite3.connect(tmp_path / "palaver.db")) as elsewhere:
                elsewhere.execute(
                    f"UPDATE sessions SET {over} WHERE actor_key ="
                    " (SELECT key FROM actors WHERE name = 'Ada')"
                )
                elsewhere.execute("UPDATE actors SET guest = 0")  # whose sessions last the year
                elsewhere.commit()
            async with asyncio.timeout(60):
                assert [type(item) for item in await reader.next()] == [SignedOut]
            assert not other_reader.over
