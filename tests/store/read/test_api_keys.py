"""API keys as the store keeps them."""

import pytest
from tests.store.world import World

from palaver.errors import Code, Refused
from palaver.model import Actor, ActorId, ActorKind, ApiKey, KeyId, Scope
from palaver.store.read import actors, api_keys
from palaver.store.write.people.credentials import AddKey, KeysUsed, RevokeKey


def new_key(world: World, name: str = "Laptop", *scopes: Scope) -> ApiKey:
    person = Actor(id=ActorId(f"u_{world.clock.new_id()}"), kind=ActorKind.PERSON, name=name)
    return ApiKey(
        id=KeyId(f"k_{world.clock.new_id()}"),
        name=name,
        actor=person,
        scopes=frozenset(scopes or {Scope.ALL}),
        created_ms=0,
    )


async def add(world: World, key: ApiKey, handle: str, token: bytes) -> ApiKey:
    return await world.store.write(AddKey(key=key, handle=handle, token_sha256=token))


async def test_a_key_is_found_by_its_tokens_digest(world: World) -> None:
    key = new_key(world, "Laptop \0", Scope.CHAT, Scope.READ)
    made = await add(world, key, "ada", b"1" * 32)
    assert (made.id, made.name, made.scopes, made.actor) == (
        key.id,
        "Laptop \0",
        {Scope.CHAT, Scope.READ},
        key.actor,
    )
    assert made.created_ms > 0
    assert (made.last_used_ms, made.revoked_ms) == (None, None)
    assert await world.store.read(api_keys.by_token, b"1" * 32) == made
    assert await world.store.read(api_keys.by_token, b"2" * 32) is None
    assert await world.store.read(api_keys.get, made.id) == made
    assert await world.store.read(api_keys.get, KeyId("k_nonsense")) is None


async def test_two_keys_of_a_handle_speak_for_one_person(world: World) -> None:
    one = await add(world, new_key(world, "One"), "ada", b"1" * 32)
    two = await add(world, new_key(world, "Two"), "ada", b"2" * 32)
    assert one.actor == two.actor
    assert await world.store.read(actors.by_handle, "ada") == one.actor


async def test_no_key_speaks_for_an_agent(world: World) -> None:
    bot = await world.agent()
    with pytest.raises(Refused) as refused:
        await add(world, new_key(world), bot.id, b"1" * 32)
    assert refused.value.code is Code.NAME_RESERVED
    assert await world.store.read(api_keys.by_token, b"1" * 32) is None


async def test_keys_are_listed_in_pages_the_oldest_first(world: World) -> None:
    made = [
        await add(world, new_key(world, f"Key {number}"), f"h{number}", bytes([number]) * 32)
        for number in range(5)
    ]
    first = await world.store.read(api_keys.listing, after=None, count=3)
    rest = await world.store.read(api_keys.listing, after=first[-1].id, count=3)
    assert [*first, *rest] == made


async def test_a_key_is_revoked_once(world: World) -> None:
    made = await add(world, new_key(world), "ada", b"1" * 32)
    revoked = await world.store.write(RevokeKey(key=made.id))
    assert revoked.revoked_ms is not None
    assert await world.store.write(RevokeKey(key=made.id)) == revoked
    assert await world.store.read(api_keys.by_token, b"1" * 32) == revoked
    for unknown in (KeyId("k_" + "0" * 32), KeyId("nonsense")):
        with pytest.raises(Refused) as refused:
            await world.store.write(RevokeKey(key=unknown))
        assert refused.value.code is Code.NOT_FOUND


async def test_the_last_use_never_falls(world: World) -> None:
    made = await add(world, new_key(world), "ada", b"1" * 32)
    for at_ms, expected in ((5_000, 5_000), (4_000, 5_000), (6_000, 6_000)):
        await world.store.write(KeysUsed(last_used_ms={made.id: at_ms}))
        found = await world.store.read(api_keys.get, made.id)
        assert found is not None
        assert found.last_used_ms == expected
