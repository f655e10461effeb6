"""Rooms: made, found, named, deleted and restored, by those who may."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from tests.core.conftest import Running, processes

from palaver.core.rooms import LOBBY
from palaver.core.runtime import Core
from palaver.errors import Code, Refused
from palaver.model import AUDIT, Actor, MemberRole, RoomId, Visibility


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
    assert (await core.rooms.get(ada, child.id)).parent is None
    with pytest.raises(Refused):
        await core.rooms.create(ada, parent=parent.id)
    assert parent.id not in [room.id for room in (await core.rooms.listing(eve))[0]]
    await core.rooms.restore(ada, parent.id)
    assert (await core.rooms.get(ada, child.id)).parent == parent.id


async def refused_move(core: Core, by: Actor, room: RoomId, parent: RoomId) -> Code:
    seq = (await core.rooms.overseen(by, room)).seq
    with pytest.raises(Refused) as refused:
        await core.rooms.move(by, room, parent)
    assert (await core.rooms.overseen(by, room)).seq == seq
    return refused.value.code


async def test_a_room_is_moved_five_deep_and_never_under_itself(core: Core) -> None:
    (_, ada), (_, eve) = await core.identity.new_guest(), await core.identity.new_guest()
    line = [(await core.rooms.create(ada)).id for _ in range(6)]
    for below, above in zip(line[1:5], line, strict=False):
        assert (await core.rooms.move(ada, below, above)).parent == above
    moved = await core.rooms.get(ada, line[4])
    assert await core.rooms.move(ada, line[4], line[3]) == moved, "the same again is no event"
    for room, parent in ((line[5], line[4]), *[(line[0], below) for below in line[:5]]):
        assert await refused_move(core, ada, room, parent) is Code.ROOM_TREE
    assert await refused_move(core, ada, line[0], line[5]) is Code.ROOM_TREE, (
        "six with what is below"
    )
    assert (await core.rooms.move(ada, line[1], None)).parent is None
    assert (await core.rooms.move(ada, line[0], line[5])).parent == line[5]
    deleted = (await core.rooms.create(ada)).id
    await core.rooms.delete(ada, deleted)
    hers = (await core.rooms.create(eve)).id
    never = RoomId(f"r_{core.clock.new_id()}")
    for parent in (deleted, hers, never, AUDIT):
        assert await refused_move(core, ada, line[0], parent) is Code.ROOM_NOT_FOUND
    await core.members.add(ada, line[0], eve.id, MemberRole.MODERATOR)
    assert await refused_move(core, eve, line[0], hers) is Code.FORBIDDEN
    assert (await core.rooms.get(eve, line[0])).role is MemberRole.MODERATOR
    with pytest.raises(Refused):
        await core.rooms.get(eve, line[5])


async def test_a_room_stands_anywhere_though_programs_made_them_deeper(core: Core) -> None:
    _, ada = await core.identity.new_guest()
    room = await core.rooms.create(ada, door="openai")
    line = [room.id]
    for _ in range(7):
        line.append((await core.rooms.create(ada, parent=line[-1], door="openai")).id)
    for depth in (4, 7):
        assert await refused_move(core, ada, room.id, line[depth]) is Code.ROOM_TREE
    assert (await core.rooms.move(ada, line[7], line[0])).parent == line[0]
    assert (await core.rooms.move(ada, line[3], None)).parent is None


@pytest.mark.parametrize(
    "both", ["sqlite", pytest.param("two processes", marks=pytest.mark.postgres)], indirect=True
)
async def test_no_two_moves_at_once_make_a_circle(both: tuple[Core, Core]) -> None:
    """Also where each is right by itself, and they name no room in common."""
    here, there = both
    _, ada = await here.identity.new_guest()
    for _ in range(15):
        a, b, c, d = [(await here.rooms.create(ada, agent=False)).id for _ in range(4)]
        await here.rooms.move(ada, b, c)
        await here.rooms.move(ada, d, a)
        done = await asyncio.gather(
            here.rooms.move(ada, a, b), there.rooms.move(ada, c, d), return_exceptions=True
        )
        (refused,) = [one for one in done if isinstance(one, BaseException)]
        assert isinstance(refused, Refused)
        assert refused.code is Code.ROOM_TREE


@pytest.fixture
async def both(
    running: Running, request: pytest.FixtureRequest
) -> AsyncGenerator[tuple[Core, Core]]:
    async with processes(running, request) as opened:
        yield opened


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
