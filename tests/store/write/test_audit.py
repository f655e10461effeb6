"""The audit room: made once, and told of what happens in the transaction in which it happens."""

import asyncio

import pytest
from tests.store.read.test_api_keys import add, new_key
from tests.store.world import World, opened

from palaver.errors import Refused
from palaver.model import ActorId, EventType, KeyId, RoomId
from palaver.store.read import events, rooms
from palaver.store.write.audit import AUDIT, OpenAudit
from palaver.store.write.people.credentials import RevokeKey


async def test_it_is_made_once_and_begins_with_that(world: World) -> None:
    made = await asyncio.gather(*[world.store.write(OpenAudit()) for _ in range(5)])
    assert made == [1] * 5
    [event] = await world.store.read(events.since, AUDIT, 0, 10)
    assert (event.type, event.actor) == (EventType.ROOM_CREATED, None)


async def test_what_happens_to_keys_is_told_once_with_who_did_it(world: World) -> None:
    key = await add(world, new_key(world), "ada", b"1" * 32)
    owner = key.actor.id
    for by in (owner, None, owner):
        await world.store.write(RevokeKey(key=key.id, by=by))
    _, created, revoked = await world.store.read(events.since, AUDIT, 0, 10)
    assert (created.type, created.actor) == (EventType.KEY_CREATED, None)
    assert (revoked.type, revoked.actor) == (EventType.KEY_REVOKED, owner)
    assert created.data == revoked.data == {"key": key.id, "of": owner}


async def test_what_is_refused_is_not_told(world: World) -> None:
    key = await add(world, new_key(world), "ada", b"1" * 32)
    for id_, by in ((KeyId("k_" + "0" * 32), None), (key.id, ActorId("u_" + "0" * 32))):
        with pytest.raises(Refused):
            await world.store.write(RevokeKey(key=id_, by=by))
    assert [one.type for one in await world.store.read(events.since, AUDIT, 1, 10)] == [
        EventType.KEY_CREATED
    ]


async def test_two_processes_that_begin_at_once_make_one(postgres_url: str) -> None:
    async with opened(postgres_url) as one, opened(postgres_url) as other:
        keys = [
            add(world, new_key(world), f"h{number}", bytes([number]) * 32)
            for number, world in enumerate([one, other] * 5)
        ]
        await asyncio.gather(*keys)
        found = await one.store.read(events.since, AUDIT, 0, 100)
        assert [event.seq for event in found] == list(range(1, 12))
        seqs = await one.store.read(rooms.seqs, (AUDIT, RoomId("r_" + "0" * 32)))
        assert seqs == {AUDIT: 11}
