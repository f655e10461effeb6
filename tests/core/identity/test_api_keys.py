"""API keys as the doors ask for them."""

import asyncio

import pytest
from tests.core.conftest import Running

from palaver.clock import SystemClock
from palaver.core.identity import api_keys as module
from palaver.core.live.standing import Standings
from palaver.core.runtime import Core
from palaver.errors import Code, Refused
from palaver.model import ActorKind, KeyId, Scope


class SetClock(SystemClock):
    """A clock whose hand a test moves."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def monotonic(self) -> float:
        return self.seconds


async def refused_code(call: object) -> Code:
    with pytest.raises(Refused) as refused:
        await call  # type: ignore[misc]
    return refused.value.code


async def test_a_key_is_known_until_it_is_revoked(core: Core) -> None:
    token, key = await core.keys.create(name="Laptop", scopes=["chat", "read"])
    assert token.startswith("plv_")
    assert len(token) == module.TOKEN_CHARS
    assert (key.actor.name, key.actor.kind) == ("Laptop", ActorKind.PERSON)
    assert key.scopes == {Scope.CHAT, Scope.READ}
    assert (await core.keys.recognise(token)).id == key.id
    await core.keys.revoke(key.id)
    assert await refused_code(core.keys.recognise(token)) is Code.UNAUTHENTICATED


async def test_a_key_speaks_for_the_person_of_an_id_or_a_handle(core: Core) -> None:
    _, ada = await core.identity.new_guest("Ada")
    _, key = await core.keys.create(handle=ada.id)
    assert key.actor == ada
    assert await core.keys.own(ada) == (key,)
    program = await core.identity.person("program")
    assert (await core.keys.create(handle="program"))[1].actor == program
    assert await refused_code(core.keys.create(handle="u_" + "0" * 32)) is Code.NOT_FOUND


@pytest.mark.parametrize(
    "token", ["", "plv_", "plv_" + "x" * 43, "plv_" + "é" * 43, "sk-1", "\ud800"]
)
async def test_what_is_no_key_is_refused(core: Core, token: str) -> None:
    assert await refused_code(core.keys.recognise(token)) is Code.UNAUTHENTICATED


async def test_a_key_of_another_process_is_dead_within_a_second(core: Core) -> None:
    token, key = await core.keys.create()
    clock = SetClock()
    other = module.Keys(core.keys._store, core.settings, clock, Standings())
    assert (await other.recognise(token)).id == key.id
    await core.keys.revoke(key.id)
    clock.seconds += 1
    assert await refused_code(other.recognise(token)) is Code.UNAUTHENTICATED


async def test_a_request_costs_no_read_of_its_own(core: Core) -> None:
    token, _ = await core.keys.create()
    keys = module.Keys(core.keys._store, core.settings, SetClock(), Standings())
    first = await keys.recognise(token)
    assert all([await keys.recognise(token) is first for _ in range(100)])


async def test_what_is_believed_is_bounded(core: Core) -> None:
    for number in range(module.KNOWN_MAX + 10):
        with pytest.raises(Refused):
            await core.keys.recognise(f"plv_{number:043}")
        assert len(core.keys._known) <= module.KNOWN_MAX


async def test_two_keys_of_one_handle_speak_for_one_person(core: Core) -> None:
    _, one = await core.keys.create(name="Laptop", handle="ada")
    _, two = await core.keys.create(name="Phone", handle="ada")
    assert one.actor == two.actor
    assert (one.actor.name, two.name) == ("ada", "Phone")
    assert await refused_code(core.keys.create(handle="assistant")) is Code.NAME_RESERVED


async def test_scopes_and_handles_are_checked(core: Core) -> None:
    assert await refused_code(core.keys.create(scopes=["chat", "fly"])) is Code.BAD_REQUEST
    assert await refused_code(core.keys.create(handle="a b")) is Code.BAD_REQUEST
    assert await refused_code(core.keys.create(name="\0")) is Code.INVALID_CHARACTER
    assert await refused_code(core.keys.revoke(KeyId("k_1"))) is Code.NOT_FOUND


async def test_the_last_use_is_noted(core: Core) -> None:
    token, key = await core.keys.create()
    await core.keys.recognise(token)
    async with asyncio.timeout(90):
        while True:
            (found,) = await core.keys.listing()
            if found.last_used_ms is not None:
                break
            await asyncio.sleep(0.01)  # it is written behind, by a task of the server
    assert found.id == key.id
    assert found.last_used_ms >= key.created_ms


async def test_every_foreign_key_is_a_guest_of_its_own(running: Running) -> None:
    async with running() as core:
        asked: list[str] = []
        seen = await core.keys.guest("sk-one", None)
        one = await core.keys.guest("sk-one", lambda: asked.append("one"))
        again = await core.keys.guest("sk-one", lambda: asked.append("again"))
        other = await core.keys.guest("", lambda: asked.append("other"))
        assert asked == ["one", "other"]
        assert seen == one, "who only reads is who they will be"
        assert one == again
        assert one.id != other.id
        assert (one.name, one.guest) == ("API", True)
    async with running() as core:
        assert await core.keys.guest("sk-one", None) == one
