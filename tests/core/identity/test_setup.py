"""The link that makes a server's first owner, on both engines. Over real sockets: tests/wire/test_setup.py."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.core.conftest import Running
from tests.core.identity.test_accounts import BROWSER, PASSWORD, sign_in

from palaver.core.runtime import Core
from palaver.errors import Code, PalaverError
from palaver.model import Actor, ServerRole

FIRST, SECOND = "first" * 8 + "abc", "second" * 7 + "a"


async def set_up(core: Core, token: str, handle: str, me: Actor | None = None) -> Actor:
    """The owner that the link makes."""
    made = await core.accounts.sign_up(handle, PASSWORD, me=me, session="", by=BROWSER, setup=token)
    return made[1]


async def code_of(core: Core, token: str, handle: str) -> Code | None:
    try:
        await set_up(core, token, handle)
    except PalaverError as problem:
        return problem.code
    return None


async def roles(core: Core) -> dict[str | None, ServerRole | None]:
    return {one.actor.handle: one.actor.server_role for one in await core.register.listing()}


async def test_a_link_makes_one_owner_once_and_each_start_another_link(
    running: Running, database_url: str
) -> None:
    async with running(database_url=database_url) as core:
        assert await core.setup.begin(FIRST)
        assert await core.setup.begin(SECOND)
        for cut in ("", SECOND[:-1], f"{SECOND}a", FIRST):
            assert await code_of(core, cut, "ada") is Code.TICKET_ENDED
            with pytest.raises(PalaverError):
                await core.setup.look(cut)
        await core.setup.look(SECOND)
        assert await core.setup.is_needed()
        ada = await set_up(core, SECOND, "ada")
        assert ada.server_role is ServerRole.OWNER
        assert (await sign_in(core, "ada"))[1] == ada
        assert not await core.setup.is_needed()
        assert await code_of(core, SECOND, "mallory") is Code.TICKET_ENDED
        with pytest.raises(PalaverError):
            await core.setup.look(SECOND)
        assert await roles(core) == {"ada": ServerRole.OWNER}
    async with running(database_url=database_url) as core:
        assert not await core.setup.begin(FIRST), "an owner needs no link"
        assert await code_of(core, FIRST, "mallory") is Code.TICKET_ENDED


async def test_of_many_who_use_a_link_at_once_one_becomes_owner(
    running: Running, database_url: str
) -> None:
    async with AsyncExitStack() as cores:
        one = await cores.enter_async_context(running(database_url=database_url))
        both = [one]
        if not database_url.startswith("sqlite"):
            both.append(await cores.enter_async_context(running(database_url=database_url)))
        await one.setup.begin(FIRST)
        handles = [f"ada{number}" for number in range(4)] + ["ada"] * 4
        asked = [code_of(core, FIRST, handle) for core in both for handle in handles]
        codes = await asyncio.gather(*asked)
        assert codes.count(None) == 1
        assert set(codes) == {None, Code.TICKET_ENDED}
        assert list((await roles(one)).values()) == [ServerRole.OWNER]


async def test_a_guest_becomes_the_owner_and_stays_who_they_are(
    running: Running, database_url: str
) -> None:
    async with running(database_url=database_url) as core:
        await core.setup.begin(FIRST)
        token, guest = await core.identity.new_guest("Ada")
        link, _ = await core.devices.invite(guest)
        phone, _ = await core.devices.redeem(link, "Phone", me=None, replace=False)
        key, _ = await core.keys.create(name="kept", actor=guest)
        owner = await core.accounts.sign_up(
            "ada", PASSWORD, me=guest, session=token, by=BROWSER, setup=FIRST
        )
        assert (owner[1].id, owner[1].name) == (guest.id, "Ada")
        assert await code_of(core, FIRST, "ada") is Code.TICKET_ENDED
        with pytest.raises(PalaverError) as ended:
            await core.identity.actor(phone)
        assert ended.value.code is Code.SESSION_ENDED, "whoever else was that guest owns nothing"
        assert await core.keys.own(owner[1]) == ()
        with pytest.raises(PalaverError):
            await core.keys.recognise(key)


@pytest.mark.parametrize("handle", ["a", "\u0430da", "admin"])
async def test_what_is_refused_leaves_the_link_good(running: Running, handle: str) -> None:
    async with running() as core:
        await core.setup.begin(FIRST)
        assert await code_of(core, FIRST, handle) in {Code.HANDLE_INVALID, Code.NAME_RESERVED}
        assert await code_of(core, FIRST, "ada") is None


async def begun(core: Core) -> Code | None:
    """With what a start is refused; none makes a link here."""
    try:
        assert not await core.setup.begin(FIRST)
    except PalaverError as problem:
        return problem.code
    return None


async def test_settings_make_the_owner_once_and_only_where_there_is_none(
    running: Running, database_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    given = {"database_url": database_url, "owner": "Ada", "owner_password_file": file}
    for wrong in (None, b"", b"short\n", b"\xff" * 20, b"x" * 2_000):
        if wrong is not None:
            file.write_bytes(wrong)
        async with running(**given) as core:
            assert await begun(core) is Code.SETTINGS_INVALID
            assert await roles(core) == {}
    file.write_text(PASSWORD + "\n", encoding="utf-8")
    for not_all in ({"owner": "a"}, {"owner_password_file": None}):
        async with running(**given | not_all) as core:
            assert await begun(core) is Code.SETTINGS_INVALID
    async with running(**given) as core:
        assert set(await asyncio.gather(*(begun(core) for _ in range(4)))) == {None}
        assert (await sign_in(core, "ada"))[1].server_role is ServerRole.OWNER
    file.unlink()
    async with running(**given | {"owner": "bo"}) as core:
        assert await begun(core) is None, "with an owner it is ignored"
        assert await roles(core) == {"ada": ServerRole.OWNER}
