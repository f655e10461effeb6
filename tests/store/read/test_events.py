"""What happened in a room, from any seq on."""

from tests.store.world import World

from palaver.model import Event, EventType, RoomId, TitleSource
from palaver.store.read import events
from palaver.store.write.actors import RenameActor
from palaver.store.write.rooms import RenameRoom


async def test_events_come_from_a_seq_on_in_pieces(world: World) -> None:
    ada = await world.person()
    room = await world.room(ada)
    for number in range(10):
        await world.say(room, ada, str(number))
    whole = await world.log(room)
    assert len(whole) == 11
    piece = await world.store.read(events.since, room.id, 3, 4)
    assert piece == whole[3:7]
    assert await world.store.read(events.since, room.id, 11, 4) == ()
    assert await world.store.read(events.since, RoomId("r_" + "0" * 32), 0, 4) == ()


async def test_a_created_message_comes_as_it_is_now(world: World) -> None:
    ada = await world.person("Ada")
    room = await world.room(ada)
    added = await world.say(room, ada, "hello", meta={"a": [1, None]})
    await world.store.write(RenameActor(actor=ada.id, name="Ada L."))
    event = (await world.log(room))[1]
    assert event.message is not None
    assert event.message.name == "Ada L."
    assert event.message.text == "hello"
    assert event.message.meta == {"a": [1, None]}
    assert (event.at_ms, event.actor) == (added.message.created_ms, ada.id)


async def test_what_the_server_does_has_no_actor(world: World) -> None:
    ada = await world.person()
    room = await world.room(ada)
    await world.store.write(
        RenameRoom(room=room.id, by=None, title="By itself", source=TitleSource.MODEL)
    )
    event = (await world.log(room))[-1]
    assert event == Event(
        room=room.id,
        seq=2,
        type=EventType.ROOM_RENAMED,
        actor=None,
        at_ms=event.at_ms,
        data={"title": "By itself", "source": "model"},
    )
    assert world.told[-1] == [event]
