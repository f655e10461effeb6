"""An agent greets once, when it comes into a room, by the card and as the room wants it."""

from tests.store.world import World

from palaver.clock import SystemClock
from palaver.model import (
    Actor,
    ActorId,
    MemberRole,
    Message,
    Role,
    Room,
    RoomId,
    TitleSource,
    Visibility,
)
from palaver.store.read import rooms
from palaver.store.write.agents import SaveAgent, ShareAgent
from palaver.store.write.rooms import AddMember, ChangeSettings, CreateRoom, RemoveMember


async def greeter(world: World, **changes: object) -> Actor:
    """An agent with a card of another program."""
    maya = await world.agent("Maya", "maya")
    card = {"greeting": "I am {{char}}, {{user}}.", "source": "0" * 64, **changes}
    await world.store.write(SaveAgent(id=maya.id, subject="maya", changes=card))
    return maya


async def added(world: World, room: Room, by: Actor, who: ActorId) -> bool:
    adding = AddMember(room=room.id, by=by.id, actor=who, role=MemberRole.MEMBER)
    return await world.store.write(adding)


async def greetings(world: World, room: Room) -> list[Message]:
    found = await world.said(room)
    assert all(one.role is Role.ASSISTANT and one.meta.get("greeting") for one in found)
    return found


async def unread(world: World, room: Room, who: Actor) -> int:
    found = await world.store.read(rooms.get, room.id, who.id)
    assert found is not None
    return found.unread


async def test_a_room_begins_with_the_greetings_of_its_agents_once(world: World) -> None:
    ada, maya, mute = await world.person(), await greeter(world), await world.agent("Mute")
    making = CreateRoom(
        id=RoomId(f"r_{SystemClock().new_id()}"),
        title="",
        title_source=TitleSource.NONE,
        visibility=Visibility.PRIVATE,
        owner=ada.id,
        agents=(maya.id, mute.id),
    )
    room = await world.store.write(making)
    await world.store.write(making)
    (said,) = await greetings(world, room)
    assert (said.author, said.text) == (maya.id, "I am Maya, Ada.")
    assert said.meta == {"card": 2, "greeting": True}
    assert not await added(world, room, ada, maya.id)
    assert len(await greetings(world, room)) == 1


async def test_who_is_added_greets_once_and_not_when_it_comes_back(world: World) -> None:
    ada, maya = await world.person(), await greeter(world)
    room = await world.room(ada)
    assert await added(world, room, ada, maya.id)
    await world.store.write(RemoveMember(room=room.id, by=ada.id, actor=maya.id))
    assert await added(world, room, ada, maya.id)
    assert [one.text for one in await greetings(world, room)] == ["I am Maya, Ada."]


async def test_of_more_than_two_it_says_the_greeting_for_several(world: World) -> None:
    ada, bo = await world.person(), await world.person("Bo")
    maya = await greeter(world, group_greetings=("All, I am {{char}}.", "Another."))
    for others, text in (((), "I am Maya, Ada."), ((bo,), "All, I am Maya.")):
        room = await world.room(ada)
        for other in others:
            await added(world, room, ada, other.id)
        await added(world, room, ada, maya.id)
        assert [one.text for one in await greetings(world, room)] == [text]
    room = await world.room(ada, maya, visibility=Visibility.OPEN)
    assert [one.text for one in await greetings(world, room)] == ["All, I am Maya."]


async def test_where_there_are_none_for_several_it_says_its_own(world: World) -> None:
    ada, maya = await world.person(), await greeter(world)
    room = await world.room(ada, maya, await world.agent("Mute"))
    assert [one.text for one in await greetings(world, room)] == ["I am Maya, Ada."]


async def test_a_room_may_want_none_and_one_that_a_program_opened_has_none(world: World) -> None:
    ada, maya = await world.person(), await greeter(world)
    silent = await world.room(ada, maya, settings={"greets": False})
    programs = await world.room(ada, maya, door="openai")
    later = await world.room(ada)
    setting = ChangeSettings(room=later.id, by=ada.id, settings={"greets": False})
    await world.store.write(setting)
    await added(world, later, ada, maya.id)
    archived = await world.room(ada)
    await world.store.write(ShareAgent(id=maya.id, archived=True))
    await added(world, archived, ada, maya.id)
    for room in (silent, programs, later, archived):
        assert await greetings(world, room) == []


async def test_a_text_of_ours_is_said_as_it_is(world: World) -> None:
    ada, maya = await world.person(), await greeter(world, source=None)
    room = await world.room(ada, maya)
    (said,) = await greetings(world, room)
    assert said.text == "I am {{char}}, {{user}}."


async def test_a_greeting_is_nothing_new_to_who_brought_it_and_had_read_all_before(
    world: World,
) -> None:
    ada, bo, maya = await world.person(), await world.person("Bo"), await greeter(world)
    begun = await world.room(ada, maya)
    assert await unread(world, begun, ada) == 0
    room = await world.room(ada)
    await added(world, room, ada, bo.id)
    await added(world, room, ada, maya.id)
    assert [await unread(world, room, one) for one in (ada, bo)] == [0, 1]
    behind = await world.room(ada)
    await added(world, behind, ada, bo.id)
    await world.say(behind, bo)
    await added(world, behind, ada, maya.id)
    assert await unread(world, behind, ada) == 2
