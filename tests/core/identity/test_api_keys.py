"""API keys as the doors ask for them."""

import asyncio
from typing import Any

import pytest
from tests.core.conftest import Running

from palaver.clock import SystemClock
from palaver.core.identity import api_keys as module
from palaver.core.live.standing import Standings
from palaver.core.runtime import Core
from palaver.errors import Code, Refused, Unavailable
from palaver.model import ActorKind, CredentialId, KeyId, Scope
from palaver.settings import DAY_MS
from palaver.store.store import Store
from palaver.store.write.audit import AUDIT


class SetClock(SystemClock):
    """A clock whose hand a test moves."""

    def __init__(self) -> None:
        self.seconds = 1_000.0
        self.began_ms, self.later_ms = super().now_ms(), 0

    def now_ms(self) -> int:
        return self.began_ms + self.later_ms

    def monotonic(self) -> float:
        return self.seconds


class Away:
    """A store that can be cut off."""

    def __init__(self, store: Store) -> None:
        self._store, self.away = store, False

    async def read(self, *asked: Any, **more: Any) -> Any:
        if self.away:
            raise Unavailable(Code.DATABASE_UNAVAILABLE, "away")
        return await self._store.read(*asked, **more)

    async def write(self, command: Any) -> Any:
        return await self._store.write(command)


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


async def test_a_key_that_has_expired_is_none(core: Core) -> None:
    clock = SetClock()
    keys = module.Keys(core.keys._store, core.settings, clock, core.standings)
    token, made = await keys.create(days=2)
    dated, _ = await keys.create(expires_ms=clock.now_ms() + 1_000)
    assert made.expires_ms == clock.now_ms() + 2 * DAY_MS
    ended: list[str] = []
    core.standings.begin(CredentialId(made.id), lambda: ended.append(made.id))
    assert (await keys.recognise(token)).expires_ms == made.expires_ms
    await keys.expire()
    assert not ended
    clock.later_ms = 1_000
    assert await refused_code(keys.recognise(dated)) is Code.UNAUTHENTICATED
    assert (await keys.recognise(token)).id == made.id
    clock.later_ms = 2 * DAY_MS
    assert await refused_code(keys.recognise(token)) is Code.UNAUTHENTICATED
    await keys.expire()
    assert ended == [made.id]
    assert (await core.keys.listing())[0].expires_ms == made.expires_ms, "the list still shows it"


async def test_a_key_that_expires_while_the_database_is_away_is_none(core: Core) -> None:
    clock, store = SetClock(), Away(core.keys._store)
    keys = module.Keys(store, core.settings, clock, Standings())  # type: ignore[arg-type]
    token, _ = await keys.create(expires_ms=clock.now_ms() + 600_000)
    await keys.recognise(token)
    store.away = True
    clock.seconds += 599
    clock.later_ms = 599_000
    await keys.recognise(token)
    clock.later_ms = 600_000
    assert await refused_code(keys.recognise(token)) is Code.UNAUTHENTICATED


async def test_a_key_is_limited_to_rooms_that_its_person_sees(core: Core) -> None:
    ada, eve = [(await core.identity.new_guest(name))[1] for name in ("Ada", "Eve")]
    mine, hers = [await core.rooms.create(who) for who in (ada, eve)]
    token, made = await core.keys.create(actor=ada, rooms=[mine.id, core.lobby, mine.id])
    assert made.rooms == {mine.id, core.lobby}
    assert (await core.keys.recognise(token)).rooms == made.rooms
    for rooms in ([hers.id], [mine.id, AUDIT], ["r_1"], ["", "é"], ["a b"]):
        refused = core.keys.create(actor=ada, rooms=rooms)
        assert await refused_code(refused) is Code.ROOM_NOT_FOUND
    await core.rooms.delete(ada, mine.id)
    assert await refused_code(core.keys.create(actor=ada, rooms=[mine.id])) is Code.ROOM_NOT_FOUND
    assert [one.id for one in await core.keys.own(ada)] == [made.id], "no other is stored"


@pytest.mark.parametrize(
    "given",
    [
        {"days": 0},
        {"days": -1},
        {"days": 10**12},
        {"expires_ms": 0},
        {"expires_ms": 2**70},
        {"rooms": []},
        {"rooms": [f"r_{number:032x}" for number in range(101)]},
    ],
)
async def test_a_key_with_limits_that_are_none_is_refused(
    core: Core, given: dict[str, Any]
) -> None:
    assert await refused_code(core.keys.create(**given)) is Code.BAD_REQUEST
    assert await core.keys.listing() == ()
