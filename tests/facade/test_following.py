"""A program follows all its rooms, and goes on where it was. Of one room: test_room.py."""

from contextlib import aclosing

import pytest

import palaver


async def test_a_program_hears_of_its_rooms_and_of_no_others(database_url: str) -> None:
    async with palaver.open(database_url) as chat:
        ada = await chat.person("ada")
        one, other = await chat.room("one"), await chat.room("other")
        kept = await chat._core.rooms.create(ada, agent=False)
        await chat._core.chat.send(ada, kept.id, text="private", cid=None)
        for number, room in enumerate([one, other, one]):
            await room.say(ada, f"{number}")
        places: dict[str, str] = {}
        async with aclosing(chat.events(after="earliest")) as events:
            async for cursor, event in events:
                assert event.room in {one.id, other.id}
                if event.message is not None:
                    places[event.message.text] = cursor
                if len(places) == 3:
                    break
        assert [text for text in places if text != "1"] == ["0", "2"], "in the order of the room"
        async with aclosing(chat.events(after=places["0"])) as events:
            _, event = await anext(events)
    assert event.room in {one.id, other.id}


async def test_it_ends_with_the_chat_and_refuses_what_is_no_cursor() -> None:
    async with palaver.open("sqlite://") as chat:
        with pytest.raises(palaver.Refused) as refused:
            await anext(chat.events(after="x"))
        assert refused.value.code == "cursor_invalid"
        events = chat.events(after="earliest")
        room = await chat.new_room("A room")
        assert (await anext(events))[1].room == room.id
        await chat._core.drain(0)
        assert [event async for event in events] == []
