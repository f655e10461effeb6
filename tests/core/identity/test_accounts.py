"""Accounts in the core: what a sign-in costs, what a flood of them costs others, and who is shut out."""

import asyncio
from collections.abc import Sequence

import pytest
from tests.core.conftest import Running

from palaver.core import runtime
from palaver.core.identity.actors import Client
from palaver.core.identity.passwords import WAITING_MAX
from palaver.core.runtime import Core
from palaver.errors import Code, PalaverError, Refused
from palaver.model import AccountStatus, Actor, Event, EventType

PASSWORD = "correct horse battery"
BROWSER = Client(agent="Firefox on Linux", address="192.0.2.1")


async def sign_in(
    core: Core, handle: str, password: str = PASSWORD, *, counted: str = "192.0.2.1"
) -> tuple[str, Actor]:
    return await core.accounts.sign_in(
        handle, password, me=None, session="", replace=False, by=BROWSER, counted=counted
    )


async def sign_up(core: Core, handle: str) -> tuple[str, Actor]:
    token, made = await core.accounts.sign_up(handle, PASSWORD, me=None, session="", by=BROWSER)
    assert token is not None
    return token, made


async def code_of(core: Core, handle: str, password: str, counted: str) -> Code | None:
    try:
        await sign_in(core, handle, password, counted=counted)
    except PalaverError as problem:
        return problem.code
    return None


async def test_a_handle_that_nobody_has_costs_as_much_as_a_wrong_password(
    running: Running, database_url: str
) -> None:
    async with running(database_url=database_url, sign_up="open") as core:
        _, ada = await sign_up(core, "ada")
        await core.register.create("bo")  # who has chosen no password yet
        made = core.accounts._passwords.hashed
        for number, (handle, password) in enumerate(
            [("ada", "a wrong horse"), ("nobody", PASSWORD), ("bo", PASSWORD), ("ada", "short")], 1
        ):
            assert await code_of(core, handle, password, "a") is Code.CREDENTIALS_WRONG
            assert core.accounts._passwords.hashed == made + number
        assert (await sign_in(core, "ada"))[1] == ada
        composed, decomposed = "p\u00e4sswort f\u00fcr", "pa\u0308sswort fu\u0308r"
        token, _ = await sign_in(core, "ada")
        changing = core.accounts.change_password
        await changing(ada, PASSWORD, composed, session=token, by=BROWSER, counted="b")
        assert (await sign_in(core, "ada", decomposed))[1] == ada, "the same from every keyboard"


async def test_a_flood_of_sign_ins_is_bounded_and_no_message_waits_for_it(running: Running) -> None:
    async with running(sign_up="open") as core:
        _, ada = await sign_up(core, "ada")
        done = core.accounts._passwords.hashed
        flood = [
            asyncio.ensure_future(code_of(core, f"nobody-{number}", PASSWORD, f"{number}"))  # noqa: TID251  awaited below
            for number in range(1_000)
        ]
        while core.accounts._passwords._under_way < core.accounts._passwords.threads + WAITING_MAX:
            await core.agents.assistant()
        sent = await core.chat.send(ada, core.lobby, text="hi", cid=None, answers=False)
        assert sent.message is not None
        assert not all(one.done() for one in flood), "it did not wait for them"
        codes = await asyncio.gather(*flood)
        assert set(codes) == {Code.CREDENTIALS_WRONG, Code.TOO_BUSY}
        assert codes.count(Code.CREDENTIALS_WRONG) == core.accounts._passwords.hashed - done
        assert (await sign_in(core, "ada"))[1] == ada, "and it is over when it is over"


async def test_many_attempts_at_once_are_no_way_around_the_bound(running: Running) -> None:
    async with running(sign_up="open") as core:
        await sign_up(core, "ada")
        done = core.accounts._passwords.hashed
        attempts = [code_of(core, "ada", "a wrong horse", f"{number}") for number in range(25)]
        codes = await asyncio.gather(*attempts)
        assert codes.count(Code.RATE_LIMITED) == 15
        assert core.accounts._passwords.hashed == done + 10


async def test_who_is_disabled_is_refused_with_every_session_and_key_until_enabled(
    running: Running, database_url: str
) -> None:
    async with running(database_url=database_url, sign_up="open") as core:
        token, ada = await sign_up(core, "ada")
        key, _ = await core.keys.create(actor=ada)
        assert (await core.keys.recognise(key)).actor == ada
        disabled = await core.register.set_status("ada", AccountStatus.DISABLED)
        assert (disabled.actor, disabled.status) == (ada, AccountStatus.DISABLED)
        with pytest.raises(Refused):  # what it said last is believed for a second, but not that
            await core.keys.recognise(key)
        core.keys._known.clear()
        for refused in (
            core.identity.actor(token),
            core.keys.recognise(key),
            sign_in(core, "ada"),
        ):
            with pytest.raises(Refused) as caught:
                await refused
            assert caught.value.code is Code.ACCOUNT_DISABLED
        assert await code_of(core, "ada", "a wrong horse", "c") is Code.CREDENTIALS_WRONG
        await core.register.set_status("ada", AccountStatus.ACTIVE)
        with pytest.raises(Refused) as caught:
            await core.identity.actor(token)
        assert caught.value.code is Code.SESSION_ENDED
        assert (await core.keys.recognise(key)).actor == ada
        assert (await sign_in(core, "ada"))[1] == ada


async def test_a_link_lets_choose_a_password_once_and_ends_what_was(running: Running) -> None:
    async with running(sign_up="open") as core:
        before, ada = await sign_up(core, "ada")
        older, link = (await core.register.reset_link("ada"), await core.register.reset_link("ada"))
        for wrong, password, code in (
            (older, "another horse", Code.TICKET_ENDED),
            (link, "short", Code.PASSWORD_WEAK),
            ("x" * 43, "another horse", Code.TICKET_ENDED),
        ):
            with pytest.raises(Refused) as caught:
                await core.accounts.reset(wrong, password, by=BROWSER)
            assert caught.value.code is code
        with pytest.raises(Refused) as caught:
            await core.devices.redeem(link, "Phone", me=None, replace=True)
        assert caught.value.code is Code.TICKET_ENDED, "it is no link to a device"
        device, _ = await core.devices.invite(ada)
        with pytest.raises(Refused) as caught:
            await core.accounts.reset(device, "another horse", by=BROWSER)
        assert caught.value.code is Code.TICKET_ENDED, "nor is one of those a link to a password"
        token, actor = await core.accounts.reset(link, "another horse", by=BROWSER)
        assert actor == ada == await core.identity.actor(token)
        with pytest.raises(Refused) as caught:
            await core.identity.actor(before)
        assert caught.value.code is Code.SESSION_ENDED
        assert await code_of(core, "ada", PASSWORD, "a") is Code.CREDENTIALS_WRONG
        assert (await sign_in(core, "ada", "another horse"))[1] == ada


async def test_failures_are_audited_by_account_and_minute_and_not_one_by_one(
    running: Running, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "FAILURES_SECONDS", 0.2)
    async with running(sign_up="open", database_url=database_url) as core:
        _, ada = await sign_up(core, "ada")
        for handle in ("ada", "planted-1", "planted-2"):
            assert await code_of(core, handle, "planted words", "1") is Code.CREDENTIALS_WRONG
        assert await code_of(core, "ada", PASSWORD, "1") is None
        found: dict[str, int] = {}
        told: Sequence[Event] = ()
        async with asyncio.timeout(60):
            while sum(found.values()) < 3:
                told = await core.audit(0)
                failed = [one.data for one in told if one.type is EventType.SIGNIN_FAILED]
                found = {
                    of: sum(one["count"] for one in failed if one["of"] == of)
                    for of in {one["of"] for one in failed}
                }
        assert found == {ada.id: 1, "": 2}
        assert "planted" not in str(told)
        await core.accounts.tell_failures()
        assert len(await core.audit(0)) == len(told), "nothing failed since"
