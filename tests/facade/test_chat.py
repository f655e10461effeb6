"""A program finds what was said, as itself or as one of its people."""

import pytest
from tests.core.search.test_query import WORST

import palaver
from palaver.core.search.query import QUERY_CHARS_MAX
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


async def test_any_text_is_looked_for_or_refused() -> None:
    async with palaver.open("sqlite://") as chat:
        ada, room = await chat.person("ada"), await chat.room("Trip")
        await room.add(ada)
        for text in WORST:
            if len(text) > QUERY_CHARS_MAX:
                with pytest.raises(Refused, match="at most"):
                    await chat.search(text, by=ada)
            else:
                assert (await chat.search(text, by=ada)).hits == ()
                assert (await room.search(text)).hits == ()
