"""Pins and stars on both engines: each once, bounded, the ones in the log, the others nobody else's."""

from typing import Any

import pytest
from tests.store.world import World

from palaver.errors import Code, Refused
from palaver.model import Actor, EventType, MemberRole, MessageId, Page, Room
from palaver.store.read import marks, rooms
from palaver.store.schema import stars
from palaver.store.write.command import RoomCommand
from palaver.store.write.marks import PINS_MAX, STARS_MAX, SetPin, SetStar
from palaver.store.write.members import PINNED_MAX, SetMembership
from palaver.store.write.messages import SetMessageDeleted
from palaver.store.write.rooms import AddMember, RemoveMember, SetArchived
from palaver.store.write.transaction import Transaction


class Starred(RoomCommand[None], frozen=True, kw_only=True):
    """As many stars as somebody may have, on what is not there."""

    by: Actor

    def apply(self, tx: Transaction) -> None:
        room, by = tx.room(self.room), tx.actor(self.by.id)
        assert by is not None
        for number in range(STARS_MAX):
            tx.insert(stars, actor_key=by.key, room_key=room.key, seq=1_000_000 + number)


async def pin(world: World, by: Actor, message: MessageId, *, there: bool = True) -> bool:
    return await world.store.write(SetPin(message=message, by=by.id, there=there))


async def star(world: World, by: Actor, message: MessageId, *, there: bool = True) -> int:
    return await world.store.write(SetStar(message=message, by=by.id, there=there))


async def refused(command: Any) -> Code:
    with pytest.raises(Refused) as told:
        await command
    return told.value.code


async def joined(world: World, room: Room, owner: Actor, who: Actor, role: MemberRole) -> None:
    await world.store.write(AddMember(room=room.id, by=owner.id, actor=who.id, role=role))


async def page(world: World, room: Room, by: Actor, **place: int) -> Page:
    return await world.store.read(marks.page, room.id, by.id, limit=50, **place)


def marked(page: Page) -> dict[int, tuple[bool, bool]]:
    return {one.seq: (one.pinned, one.starred) for one in page.messages}


async def test_each_pin_is_one_event_and_is_told_to_all_and_a_second_time_changes_nothing(
    world: World,
) -> None:
    ada, bo = await world.person(), await world.person("Bo")
    room = await world.room(ada)
    await joined(world, room, ada, bo, MemberRole.READER)
    first, second = [(await world.say(room, ada, text)).message for text in ("one", "two")]
    assert await pin(world, ada, second.id)
    assert not await pin(world, ada, second.id)
    assert await pin(world, ada, first.id)
    assert not await pin(world, ada, (await world.say(room, ada)).message.id, there=False)
    told = await world.store.read(marks.pinned, room.id)
    assert [(one.id, one.pinned, one.text) for one in told] == [
        (first.id, True, "one"),
        (second.id, True, "two"),
    ]
    for who in (ada, bo):
        found = marked(await page(world, room, who))
        assert (found[first.seq], found[second.seq]) == ((True, False), (True, False))
    assert await pin(world, ada, second.id, there=False)
    assert await world.store.read(marks.pinned, room.id) == told[:1]
    kinds = [one.type for one in await world.log(room) if one.data.get("msg") == second.id]
    assert kinds == [EventType.MESSAGE_PINNED, EventType.MESSAGE_UNPINNED]
    assert await refused(pin(world, bo, second.id)) is Code.FORBIDDEN


async def test_a_room_has_at_most_a_hundred_pins_of_which_deleted_ones_make_room(
    world: World,
) -> None:
    ada = await world.person()
    room = await world.room(ada)
    said = [(await world.say(room, ada)).message for _ in range(PINS_MAX + 1)]
    for one in said[:-1]:
        assert await pin(world, ada, one.id)
    assert await refused(pin(world, ada, said[-1].id)) is Code.TOO_MANY_MARKS
    await world.store.write(SetMessageDeleted(message=said[0].id, by=ada.id, deleted=True))
    assert await pin(world, ada, said[-1].id)
    told = await world.store.read(marks.pinned, room.id)
    assert [one.id for one in told] == [one.id for one in [said[-1], *said[-2:0:-1]]]
    assert await pin(world, ada, said[0].id, there=False), "also of what is deleted"


async def test_stars_are_ones_own_in_ones_own_order_and_write_no_event(world: World) -> None:
    ada, bo = await world.person(), await world.person("Bo")
    room, other = await world.room(ada, title="Test"), await world.room(ada, title="Other")
    await joined(world, room, ada, bo, MemberRole.READER)
    first, second = [(await world.say(room, ada, text)).message for text in ("one", "two")]
    third = (await world.say(other, ada, "three")).message
    before = await world.happened(room)
    for one in (second, third, first, second):
        assert await star(world, ada, one.id) == one.seq
    await star(world, bo, first.id)
    assert await world.happened(room) == before
    assert marked(await page(world, room, ada))[second.seq] == (False, True)
    assert marked(await page(world, room, bo))[second.seq] == (False, False)
    assert await starred(world, ada) == [("one", "Test"), ("three", "Other"), ("two", "Test")]
    assert await starred(world, bo) == [("one", "Test")]
    await star(world, ada, third.id, there=False)
    await star(world, ada, third.id, there=False)
    found, cursor = await world.store.read(marks.starred, ada.id, limit=1)
    assert [one.text for one, _ in found] == ["one"]
    rest, end = await world.store.read(marks.starred, ada.id, limit=1, cursor=cursor)
    assert ([one.text for one, _ in rest], end) == (["two"], None)
    for wrong in ("x", "0x1", "-1", "g", "f" * 20):
        asked = world.store.read(marks.starred, ada.id, limit=1, cursor=wrong)
        assert await refused(asked) is Code.CURSOR_INVALID


async def test_what_is_lost_deleted_or_elsewhere_is_not_told_as_starred(world: World) -> None:
    ada, bo = await world.person(), await world.person("Bo")
    room = await world.room(ada, title="Test")
    said = (await world.say(room, ada)).message
    assert await refused(star(world, bo, said.id)) is Code.ROOM_NOT_FOUND
    nowhere = MessageId(f"m_{world.clock.new_id()}")
    assert await refused(star(world, bo, nowhere)) is Code.MESSAGE_NOT_FOUND
    await joined(world, room, ada, bo, MemberRole.READER)
    await star(world, bo, said.id)
    await world.store.write(SetMessageDeleted(message=said.id, by=ada.id, deleted=True))
    assert await starred(world, bo) == []
    assert marked(await page(world, room, bo)) == {said.seq: (False, False)}
    assert await refused(star(world, ada, said.id)) is Code.MESSAGE_NOT_FOUND
    await world.store.write(SetMessageDeleted(message=said.id, by=ada.id, deleted=False))
    await world.store.write(SetArchived(room=room.id, by=ada.id, archived=True))
    await star(world, ada, said.id)
    assert await starred(world, bo) == [("hi", "Test")]
    among = await world.store.read(marks.starred, bo.id, limit=9, among=[])
    assert among == ((), None)
    await world.store.write(RemoveMember(room=room.id, by=ada.id, actor=bo.id))
    assert await starred(world, bo) == []
    assert await refused(pin(world, ada, said.id)) is Code.ROOM_ARCHIVED


async def test_somebody_has_at_most_ten_thousand_stars(world: World) -> None:
    ada = await world.person()
    room = await world.room(ada)
    said = (await world.say(room, ada)).message
    await world.store.write(Starred(room=room.id, by=ada))
    assert await refused(star(world, ada, said.id)) is Code.TOO_MANY_MARKS


async def test_a_chat_stands_on_top_of_ones_own_list_where_there_are_at_most_fifty(
    world: World,
) -> None:
    ada, bo = await world.person(), await world.person("Bo")
    made = [await world.room(ada, title=f"{number}") for number in range(PINNED_MAX + 1)]
    await joined(world, made[0], ada, bo, MemberRole.MEMBER)
    for one in made[:-1]:
        await on_top(world, ada, one)
    assert await refused(on_top(world, ada, made[-1])) is Code.TOO_MANY_MARKS
    await on_top(world, ada, made[0])
    await on_top(world, ada, made[3], there=False)
    await on_top(world, ada, made[-1])
    found, _ = await world.store.read(rooms.listing, ada.id, limit=200, pinned=True)
    assert {one.title for one in found} == {one.title for one in made} - {"3"}
    assert all(one.pinned for one in found)
    assert (await world.store.read(rooms.listing, bo.id, limit=9, pinned=True))[0] == ()
    every, _ = await world.store.read(rooms.listing, ada.id, limit=200)
    assert sum(one.pinned for one in every) == PINNED_MAX


async def on_top(world: World, who: Actor, room: Room, *, there: bool = True) -> None:
    await world.store.write(SetMembership(room=room.id, by=who.id, pinned=there))


async def starred(world: World, by: Actor) -> list[tuple[str, str]]:
    found, cursor = await world.store.read(marks.starred, by.id, limit=50)
    assert cursor is None
    return [(one.text, title) for one, title in found]
