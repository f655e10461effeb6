"""A program finds what was said in one room."""

import palaver


async def test_only_this_room_is_searched() -> None:
    async with palaver.open("sqlite://") as chat:
        ada = await chat.person("ada")
        for title in ("One", "Two"):
            room = await chat.room(title)
            await room.say(ada, f"word in {title}")
        found = await (await chat.room("One")).search("word", relevance=True)
        assert [hit.message.text for hit in found.hits] == ["word in One"]
