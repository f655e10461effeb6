"""Rooms: made, found, named, deleted and restored, by those who may."""

import pytest

from palaver.core.rooms import LOBBY
from palaver.core.runtime import Core
from palaver.errors import Code, Refused
from palaver.model import MemberRole, RoomId, Visibility


async def test_a_room_of_ones_own_has_the_servers_agent(core: Core) -> None:
    _, ada = await core.identity.new_guest()
    room = await core.rooms.create(ada, title=" Plans ")
    assert (room.title, room.visibility, room.role) == (
        "Plans",
        Visibility.PRIVATE,
        MemberRole.OWNER,
    )
    assert [agent.id for agent in room.agents] == [core.assistant]
    assert await core.rooms.create(ada, room=room.id) == room, "the same id is the same room"


async def test_a_room_has_a_parent_that_its_maker_may_read(core: Core) -> None:
    _, ada = await core.identity.new_guest()
    _, eve = await core.identity.new_guest()
    parent = await core.rooms.create(ada)
    child = await core.rooms.create(ada, parent=parent.id)
    grandchild = await core.rooms.create(ada, parent=child.id)
    assert (parent.parent, child.parent, grandchild.parent) == (None, parent.id, child.id)
    assert await core.rooms.create(ada, room=parent.id, parent=child.id) == parent, "no circle"
    own, nobodys = (RoomId(f"r_{core.clock.new_id()}") for _ in range(2))
    for maker, room, above in ((eve, None, parent.id), (ada, own, own), (ada, None, nobodys)):
        with pytest.raises(Refused) as refused:
            await core.rooms.create(maker, room=room, parent=above)
        assert refused.value.code is Code.ROOM_NOT_FOUND
    await core.rooms.delete(ada, parent.id)
    assert (await core.rooms.get(ada, child.id)).parent == parent.id, "it may come back"
    with pytest.raises(Refused):
        await core.rooms.create(ada, parent=parent.id)
    assert parent.id not in [room.id for room in (await core.rooms.listing(eve))[0]]


async def test_everyone_sees_the_lobby_and_nobody_renames_or_deletes_it(core: Core) -> None:
    _, ada = await core.identity.new_guest()
    rooms, cursor = await core.rooms.listing(ada)
    assert [room.id for room in rooms] == [LOBBY]
    assert cursor is None
    for refused_call in (core.rooms.rename(ada, LOBBY, "Mine"), core.rooms.delete(ada, LOBBY)):
        with pytest.raises(Refused) as refused:
            await refused_call
        assert refused.value.code is Code.ROOM_PROTECTED


async def test_a_deletion_can_be_taken_back(core: Core) -> None:
    _, ada = await core.identity.new_guest()
    room = await core.rooms.create(ada, title="Gone?", agent=False)
    await core.chat.send(ada, room.id, text="still here", cid=None)
    await core.rooms.delete(ada, room.id)
    with pytest.raises(Refused) as refused:
        await core.rooms.get(ada, room.id)
    assert refused.value.code is Code.ROOM_NOT_FOUND
    assert (await core.rooms.restore(ada, room.id)).deleted_ms is None
    assert [one.text for one in (await core.chat.history(ada, room.id)).messages] == ["still here"]


async def test_the_list_goes_by_last_activity_and_is_searched_by_title(core: Core) -> None:
    _, ada = await core.identity.new_guest()
    made = [await core.rooms.create(ada, title=f"Room {n}", agent=False) for n in range(3)]
    await core.chat.send(ada, made[0].id, text="up", cid=None)
    rooms, cursor = await core.rooms.listing(ada, limit=2)
    assert rooms[0].id == made[0].id
    assert cursor is not None
    rest, end = await core.rooms.listing(ada, limit=2, cursor=cursor)
    assert end is None
    assert {room.id for room in (*rooms, *rest)} == {LOBBY, *(room.id for room in made)}
    found, _ = await core.rooms.listing(ada, search="ROOM 2")
    assert [room.id for room in found] == [made[2].id]


async def test_a_stranger_changes_nothing(core: Core) -> None:
    _, ada = await core.identity.new_guest()
    _, bo = await core.identity.new_guest()
    room = await core.rooms.create(ada)
    for call in (
        core.rooms.rename(bo, room.id, "x"),
        core.rooms.delete(bo, room.id),
        core.rooms.restore(bo, room.id),
        core.rooms.create(bo, room=room.id),
        core.rooms.get(bo, RoomId("r_" + "0" * 32)),
    ):
        with pytest.raises(Refused) as refused:
            await call
        assert refused.value.code is Code.ROOM_NOT_FOUND
    assert (await core.rooms.get(ada, room.id)).title == ""
