"""Palaver inside a program: a room, a person, an agent that this program itself speaks for.

Run it twice: the second time the history of the first is there.

    python examples/embed.py
"""

import asyncio
from contextlib import aclosing

import palaver

STOCK = {"tea": 12, "coffee": 0}


async def main() -> None:
    """Asks the shop a question, lets it answer, and shows all that was ever said."""
    async with palaver.open("sqlite:///shop.db") as chat:
        room = await chat.room("shop")
        ada = await chat.person("ada", name="Ada")
        clerk = await chat.agent("clerk", name="Clerk")

        async with asyncio.TaskGroup() as tasks:
            shown = tasks.create_task(show_one_answer(room))
            await room.say(ada, "Is there any tea?")
            async with room.answer(clerk) as answer:  # one row is written, when the block ends
                answer.write("Let me look … ")
                answer.write(f"yes, {STOCK['tea']} boxes.")
            await shown

        page = await room.history()
        print(f"{len(page.messages)} messages so far:")
        for message in page.messages:
            print(f"  {message.seq}. {message.name}: {message.text}")


async def show_one_answer(room: palaver.Room) -> None:
    """Prints an answer while it is being written, as any reader of the room sees it."""
    since = (await room.fresh()).value.seq
    async with aclosing(room.follow(since=since)) as following:
        async for happening in following:
            match happening:
                case palaver.Delta():
                    print(f"… {happening.text}")
                case palaver.Event(message=palaver.Message(role=palaver.Role.ASSISTANT)):
                    return
                case _:
                    pass


if __name__ == "__main__":
    asyncio.run(main())
