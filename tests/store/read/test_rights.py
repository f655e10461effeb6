"""Which of many rooms an actor may read is found at once, and is what is found of each alone."""

import pytest
from tests.store.world import World

from palaver.model import Actor, MemberRole, Room, Visibility
from palaver.store.engine.statement import LIST_MAX
from palaver.store.read import feed, rights, rooms
from palaver.store.write.consumers import MoveFeed
from palaver.store.write.rooms import AddMember, RemoveMember, SetRoomDeleted


async def keys_of(world: World) -> set[int]:
    while await world.store.write(MoveFeed()) is not False:
        pass
    rows = await world.store.read(feed.after, 0, 10_000)
    return {key for row in rows for key, _, _ in row.spans}


async def test_it_is_what_is_found_of_each_room_alone(world: World) -> None:
    ada, bo, bot = await world.person(), await world.person("Bo"), await world.agent()
    stranger = await world.person("Cy")
    made: list[Room] = [
        *[await world.room(ada, bot) for _ in range(4)],
        await world.room(ada, visibility=Visibility.OPEN),
        await world.room(ada, visibility=Visibility.OPEN, door="openai"),
    ]
    for room, role in zip(made, [*MemberRole][1:], strict=False):
        await world.store.write(AddMember(room=room.id, by=ada.id, actor=bo.id, role=role))
    for room in (made[1], made[5]):
        role = MemberRole.MEMBER
        await world.store.write(AddMember(room=room.id, by=ada.id, actor=stranger.id, role=role))
        await world.store.write(RemoveMember(room=room.id, by=ada.id, actor=stranger.id))
    await world.store.write(SetRoomDeleted(room=made[3].id, by=ada.id, deleted=True))
    keys = await keys_of(world)
    nobody = Actor(id=world.draft(made[0], ada).author, kind=ada.kind, name="")
    for who in (ada, bo, bot, stranger, nobody):
        found = await world.store.read(rights.readable, keys, who.id)
        ids = {one.id for one in found.values()}
        for room in made:
            alone = await world.store.read(rooms.get, room.id, who.id)
            assert alone is not None
            assert (room.id in ids) == (alone.role is not None and room is not made[3])


@pytest.mark.parametrize("count", [0, 1, LIST_MAX + 1])
async def test_however_many_are_asked_about(world: World, count: int) -> None:
    ada = await world.person()
    room = await world.room(ada)
    (key,) = await world.store.read(rights.readable, await keys_of(world), ada.id)
    asked = list(range(key, key + count))
    found = await world.store.read(rights.readable, asked, ada.id)
    assert {key: one.id for key, one in found.items()} == ({key: room.id} if count else {})
