"""A program finds what was said, as itself or as one of its people."""

import pytest

import palaver
from palaver.errors import Code, Refused


async def test_what_was_said_is_found_by_who_may_read_it() -> None:
    async with palaver.open("sqlite://") as chat:
        ada, bo = await chat.person("ada", name="Ada"), await chat.person("bo", name="Bo")
        room = await chat.new_room("Trip")
        await room.add(ada)
        for number in range(3):
            await room.say(ada, f"night train {number}")
        found = await chat.search("train", limit=2)
        assert [hit.message.text for hit in found.hits] == ["night train 2", "night train 1"]
        assert found.hits[0].title == "Trip"
        rest = await chat.search("train", limit=2, cursor=found.cursor, by=ada)
        assert [hit.message.text for hit in rest.hits] == ["night train 0"]
        assert (await chat.search("train", by=bo)).hits == ()
        with pytest.raises(Refused) as refused:
            await chat.search("train", by=bo, room=room.id)
        assert refused.value.code is Code.ROOM_NOT_FOUND
