"""Connections in several processes, with roles that change, without their secret, and while it is changed."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs
from tests.core.conftest import Running, Script, processes
from tests.support.upstream import ScriptedUpstream, scripted_upstream

from palaver.core.profiles import rotated
from palaver.core.runtime import Core
from palaver.errors import Code, Refused
from palaver.model import Actor, ServerRole
from palaver.model.profiles import Given
from palaver.store.read import profiles
from palaver.store.sealing import SECRET_BYTES, Secret
from palaver.store.write import profiles as writing

KEY = "sk-mine-0123456789"
SECONDS_MAX = 60


@pytest.fixture
async def upstream() -> AsyncGenerator[ScriptedUpstream]:
    async with scripted_upstream() as server:
        yield server


@dataclass(frozen=True, slots=True)
class Town:
    """Two processes, or one as both; in each a model server is asked as an owner."""

    here: Core
    there: Core
    owner: Actor


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("two processes", marks=pytest.mark.postgres),
        pytest.param("two processes without notices", marks=pytest.mark.postgres),
    ]
)
async def town(running: Running, request: pytest.FixtureRequest) -> AsyncGenerator[Town]:
    async with processes(running, request, settled_seconds=1.5) as (here, there):
        yield Town(here, there, await owner_of(here))


async def owner_of(core: Core, role: ServerRole = ServerRole.OWNER, handle: str = "ow") -> Actor:
    await core.register.create(handle, role=role)
    return (await core.register.get(handle)).actor


def given(upstream: ScriptedUpstream, key: str = KEY, name: str = "house") -> Given:
    return Given(name=name, base_url=upstream.base_url, key=SecretStr(key))


async def names(core: Core, who: Actor | None = None) -> list[str]:
    """What a caller is listed."""
    models = core.models if who is None else core.models.of(who)
    return [one.id for one in (await models.listed()).models]


async def soon(core: Core, wanted: list[str]) -> None:
    """Waits until a process lists just these."""
    async with asyncio.timeout(SECONDS_MAX):
        while await names(core) != wanted:  # noqa: ASYNC110  a notice, or the next look, changes it
            await asyncio.sleep(0.01)


async def test_a_change_takes_effect_in_every_process(
    town: Town, upstream: ScriptedUpstream
) -> None:
    upstream.models = [{"id": "m-1"}]
    before = ["script-1"]
    await soon(town.there, before)
    kept = town.here.model_profiles
    made = await kept.keep(town.owner, given(upstream), own=False)
    assert await names(town.here) == ["m-1"], "the offline one answers where there is no other"
    await soon(town.there, ["m-1"])
    await kept.change(town.owner, made.id, Given(model="m-2"))
    assert await names(town.here) == ["m-2", "m-1"]
    await soon(town.there, ["m-2", "m-1"])
    await kept.delete(town.owner, made.id)
    assert await names(town.here) == before
    await soon(town.there, before)


async def test_what_the_environment_says_comes_first_and_cannot_be_changed(
    running: Running, upstream: ScriptedUpstream, script: Script
) -> None:
    script.real = True
    upstream.models = [{"id": "m-1"}, {"id": "script-1"}]
    async with running() as core:
        owner, kept = await owner_of(core), core.model_profiles
        made = await kept.keep(owner, given(upstream), own=False)
        shown = await kept.listing(owner, core.environment())
        told = [(one.id, one.name, one.fixed) for one in shown]
        assert told == [("environment", "script", True), (made.id, "house", False)]
        assert await names(core) == ["script-1", "m-1", "house/script-1"]
        for call in (kept.delete(owner, "environment"), kept.change(owner, "environment", Given())):
            with pytest.raises(Refused) as refused:
                await call
            assert refused.value.code is Code.PROFILE_NOT_FOUND


async def test_who_may_have_none_of_their_own_any_more_asks_it_no_more(
    running: Running, upstream: ScriptedUpstream
) -> None:
    upstream.models = [{"id": "m-1"}]
    async with running(profile_networks="127.0.0.1") as core:
        admin, kept = await owner_of(core, ServerRole.ADMIN), core.model_profiles
        await kept.keep(admin, given(upstream), own=True)
        assert await names(core, admin) == ["m-1"]
        await core.register.set_role("ow", ServerRole.PERSON)
        person = (await core.register.get("ow")).actor
        assert await names(core, person) == ["script-1"]
        with pytest.raises(Refused) as refused:
            await kept.listing(person, ())
        assert refused.value.code is Code.FORBIDDEN
    async with running(profile_networks="127.0.0.1", profiles="people") as core:
        assert await names(core, person) == ["m-1"]
        await core.register.delete("ow")
        assert await core.chat._store.read(profiles.everybodys) == ()


async def test_without_its_secret_a_database_opens_and_says_whose_keys_are_needed(
    running: Running, upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    upstream.models = [{"id": "m-1"}]
    async with running() as core:
        owner = await owner_of(core)
        made = await core.model_profiles.keep(owner, given(upstream), own=False)
        open_ = Given(name="open", base_url=upstream.base_url)
        await core.model_profiles.keep(owner, open_, own=False)
    (tmp_path / "secret.key").unlink()
    with capture_logs() as logs:
        async with running() as core:
            told = [one for one in logs if one["event"] == "profile.key_missing"]
            assert [(one["profile"], one["name"]) for one in told] == [(made.id, "house")]
            shown = await core.model_profiles.listing(owner, ())
            assert [(one.name, one.readable) for one in shown] == [("house", False), ("open", True)]
            assert "m-1" in await names(core)
            assert all("authorization" not in one.headers for one in upstream.requests[-2:])
            again = Given(key=SecretStr("sk-again"))
            assert (await core.model_profiles.change(owner, made.id, again)).readable
            await names(core)
            assert "Bearer sk-again" in [
                one.headers.get("authorization") for one in upstream.requests[-2:]
            ]


async def test_a_change_of_the_secret_leaves_all_readable_at_every_step(
    running: Running, upstream: ScriptedUpstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a start finds, had the process ended there: a file is put whole, and a transaction is."""
    monkeypatch.setattr(writing, "SEALED_AT_ONCE", 2)
    async with running() as core:
        owner, store = await owner_of(core), core.chat._store
        for number in range(5):
            await core.model_profiles.keep(
                owner, given(upstream, f"k-{number}", f"n-{number}"), own=False
            )

        async def read() -> list[str]:
            found = Secret(core.settings)
            rows = await store.read(profiles.everybodys)
            opened = [found.opened(one.sealed or b"", f"{one.id} key") for one in rows]
            return [one.get_secret_value() for one in opened if one is not None]

        keys, file = [f"k-{number}" for number in range(5)], tmp_path / "secret.key"
        first, secret = file.read_bytes(), Secret(core.settings)
        secret.renew()
        assert file.read_bytes()[SECRET_BYTES:] == first
        assert await read() == keys
        counts: list[int] = []
        while count := await store.write(writing.SealAnew(secret=secret)):
            counts.append(count)
            assert await read() == keys
        assert counts == [2, 2, 1]
        secret.forget_others()
        assert file.stat().st_size == SECRET_BYTES
        assert first not in file.read_bytes()
        assert await read() == keys
        (tmp_path / "secret.key.part").write_bytes(b"of one that was killed")
        assert await rotated(store, core.settings) == 5
        assert await read() == keys
        assert not (tmp_path / "secret.key.part").exists()
        await names(core)
        assert {one.headers["authorization"] for one in upstream.requests} == {
            f"Bearer {key}" for key in keys
        }
