"""The embedding door: Palaver inside a Python program, without a server.

    async with palaver.open("sqlite:///chat.db") as chat:
        room = await chat.room("support")
        ada = await chat.person("ada", name="Ada")
        helper = await chat.agent("helper", name="Helper")
        await room.say(ada, "Where is my parcel?", cid="order-77-question-1")
        async with room.answer(helper) as answer:
            answer.write("It is ")
            answer.write("on its way.")

The program is trusted: it says who speaks, and owns the rooms that it makes. What comes back are the frozen values of
`palaver.model`; what goes wrong is a `palaver.PalaverError`: `Refused` (change something) or `Unavailable` (the same
call may be repeated; with a `cid` that is safe for ever). Async only; one program at a time per SQLite file.
"""

from palaver.facade.agents import Agents
from palaver.facade.answer import Answer
from palaver.facade.chat import Chat, open  # noqa: A004  `palaver.open` is how it reads
from palaver.facade.following import Happening
from palaver.facade.people import People
from palaver.facade.profiles import Profiles
from palaver.facade.room import Room
from palaver.facade.speakers import Speakers
from palaver.facade.webhooks import Webhooks

__all__ = [
    "Agents",
    "Answer",
    "Chat",
    "Happening",
    "People",
    "Profiles",
    "Room",
    "Speakers",
    "Webhooks",
    "open",
]
