"""Commands of one transaction: in their order, whatever they are."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from msgspec.structs import replace
from tests.store.world import World, opened

from palaver.errors import Refused
from palaver.model import EventType, RoomId, TitleSource, Visibility
from palaver.store.engine.executors import InlineLanes
from palaver.store.write.command import Command
from palaver.store.write.rooms import MarkRead, RenameRoom, SetRoomDeleted


async def test_mixed_commands_of_one_batch_keep_their_order(world: World) -> None:
    ada = await world.person()
    room = await world.room(ada)
    before = world.store.counters
    commands: list[Command[Any]] = [
        world.draft(room, ada, "one"),
        RenameRoom(room=room.id, by=None, title="t", source=TitleSource.MODEL),
        world.draft(room, ada, "two"),
        SetRoomDeleted(room=room.id, by=ada.id, deleted=True),
        world.draft(room, ada, "refused: the room is deleted by now"),
        SetRoomDeleted(room=room.id, by=ada.id, deleted=False),
        world.draft(room, ada, "three"),
        MarkRead(room=room.id, actor=ada.id, seq=100),
    ]
    results = await asyncio.gather(
        *(world.store.write(command) for command in commands), return_exceptions=True
    )
    assert isinstance(results[4], Refused)
    assert results[7] == 7
    assert await world.happened(room) == [
        EventType.ROOM_CREATED,
        EventType.MESSAGE_CREATED,
        EventType.ROOM_RENAMED,
        EventType.MESSAGE_CREATED,
        EventType.ROOM_DELETED,
        EventType.ROOM_RESTORED,
        EventType.MESSAGE_CREATED,
    ]
    assert world.store.counters.commits - before.commits <= 2


@pytest.mark.parametrize("count", [1, 3, 64, 65, 1_200])
async def test_a_run_of_any_length_is_one_run(world: World, count: int) -> None:
    ada = await world.person()
    rooms = [
        await world.room(None, title="x", visibility=Visibility.OPEN) for _ in range(min(count, 7))
    ]
    first = (await world.say(rooms[0], ada, "first")).message
    added = await asyncio.gather(
        *(
            world.say(
                rooms[number % len(rooms)],
                ada,
                str(number),
                reply_to=first.id if number % len(rooms) == 0 else None,
                answers=number % 2 == 0,
            )
            for number in range(count)
        )
    )
    for place, room in enumerate(rooms):
        said = [message.text for message in await world.said(room) if message.id != first.id]
        assert said == [str(number) for number in range(place, count, len(rooms))]
        await world.log(room)
    assert len({one.message.id for one in added}) == count


STEPS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, 5), st.booleans()),
    max_size=30,
)


@settings(max_examples=60)
@given(st.lists(STEPS, max_size=4))
def test_any_batches_agree_with_a_model(batches: list[list[tuple[int, int, int, bool]]]) -> None:
    """Each step sends to a room (0 and 1 are there) as a person, with one of six cids and one of two texts."""

    async def life() -> None:
        async with opened("sqlite://", lanes=InlineLanes()) as world:
            people = [await world.person("Ada"), await world.person("Bob")]
            places = [
                await world.room(None, title="x", visibility=Visibility.OPEN) for _ in range(2)
            ]
            ids = [*(room.id for room in places), RoomId(f"r_{world.clock.new_id()}")]
            stored: dict[tuple[int, int], tuple[int, str]] = {}
            logs: dict[int, list[str]] = {0: [], 1: []}
            for batch in batches:
                wanted: list[str] = []
                commands: list[Command[Any]] = []
                for room, person, cid, is_other in batch:
                    text = "other" if is_other else "text"
                    draft = world.draft(places[0], people[person], text, cid=f"c{cid}")
                    commands.append(_elsewhere(draft, ids[room]))
                    known = stored.get((person, cid))
                    if room == 2:
                        wanted.append("refused")
                    elif known is None:
                        stored[person, cid] = (room, text)
                        logs[room].append(text)
                        wanted.append("new")
                    else:
                        wanted.append("dup" if known == (room, text) else "refused")
                results = await asyncio.gather(
                    *(world.store.write(command) for command in commands), return_exceptions=True
                )
                assert [_word(result) for result in results] == wanted
            for number, room in enumerate(places):
                assert [message.text for message in await world.said(room)] == logs[number]
                assert [event.message for event in await world.log(room)][1:] == await world.said(
                    room
                )

    asyncio.run(life())


def _elsewhere(command: Any, room: RoomId) -> Command[Any]:
    return replace(command, room=room)


def _word(result: Any) -> str:
    if isinstance(result, Refused):
        return "refused"
    assert not isinstance(result, BaseException), result
    return "dup" if result.dup else "new"
