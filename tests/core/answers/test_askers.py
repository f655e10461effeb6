"""What somebody asked for stops when they may ask no more, wherever it runs; what others asked for goes on."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import pytest
from tests.core.conftest import Running, Script, processes
from tests.core.test_exchanges import Answer, chat, user

from palaver.core.answers.askers import Askers
from palaver.core.answers.tape import LiveAnswer
from palaver.core.runtime import Core
from palaver.model import Actor, MemberRole, Message, OpenTo, RoomId, Status
from palaver.providers.base import TextPiece
from palaver.providers.call import Chunk

SECONDS_MAX = 60


@dataclass(frozen=True, slots=True)
class Town:
    """Ada's room, of which Bo is a member. Rights are taken in the process `here`; answers come to `there`."""

    here: Core
    there: Core
    ada: Actor
    bo: Actor
    room: RoomId
    script: Script

    async def ask(self, who: Actor) -> None:
        """Asks, and waits for the first word of the answer."""
        with self.there.chat.reader(self.ada) as reader:
            await reader.subscribe(self.room)
            reader.start(self.room)
            await self.there.chat.send(who, self.room, text="hi", cid=None, asks=True)
            self.script.say("word")
            async with asyncio.timeout(SECONDS_MAX):
                while not any(
                    stream.pieces for stream in self.there.hub.streams(self.room).values()
                ):
                    await reader.next()

    async def lose(self, way: str) -> None:
        """Bo loses the room, or what he may do in it."""
        members, room, bo = self.here.members, self.room, self.bo.id
        match way:
            case "removed":
                await members.remove(self.ada, room, bo)
            case "left":
                await members.remove(self.bo, room, bo)
            case "closed":  # to him, who was there because it was open
                await self.here.rooms.open_to(self.ada, room, None)
            case _:
                await members.set_role(self.ada, room, bo, MemberRole(way))

    async def answers(self) -> list[Message]:
        async with asyncio.timeout(SECONDS_MAX):
            await self.there.turns.idle()
        page = await self.here.chat.history(self.ada, self.room)
        return [one for one in page.messages if one.author == self.here.assistant]


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("two processes", marks=pytest.mark.postgres),
        pytest.param("two processes without notices", marks=pytest.mark.postgres),
    ]
)
async def town(
    running: Running, script: Script, request: pytest.FixtureRequest
) -> AsyncGenerator[Town, None]:
    both = processes(running, request)
    async with both as (here, there):
        _, ada = await here.identity.new_guest("Ada")
        _, bo = await here.identity.new_guest("Bo")
        room = (await here.rooms.create(ada)).id
        await here.members.add(ada, room, bo.id)
        yield Town(here, there, ada, bo, room, script)


LOST = ["removed", "left", "reader", "closed"]


@pytest.mark.parametrize("way", LOST)
async def test_the_answer_of_who_lost_the_room_stops_and_what_came_is_kept(
    town: Town, way: str
) -> None:
    if way == "closed":
        await town.lose("left")
        role = MemberRole.MEMBER
        await town.here.rooms.open_to(town.ada, town.room, OpenTo.EVERYONE, role=role)
    await town.ask(town.bo)
    await town.lose(way)
    [answer] = await town.answers()
    assert (answer.text, answer.status) == ("word", Status.STOPPED)
    assert town.script.closed == 1, "the model is asked no more"


async def test_the_answer_of_somebody_else_goes_on(town: Town) -> None:
    await town.ask(town.ada)
    await town.lose("removed")
    await town.there.askers._see()
    town.script.say("s", None)
    [answer] = await town.answers()
    assert (answer.text, answer.status) == ("words", Status.DONE)


async def test_an_answer_that_went_on_is_of_who_asked_at_first(town: Town) -> None:
    await town.ask(town.bo)
    town.script.say(None)
    [answer] = await town.answers()
    await town.there.turns.retry(town.bo, answer.id, goes_on=True)
    town.script.say("more")
    await town.lose("removed")
    *_, last = await town.answers()
    assert last.status is Status.STOPPED


async def asked_by(town: Town, who: Actor, answer: Answer) -> LiveAnswer:
    """An answer that a client of theirs asked for in the room, once it has begun."""

    async def ask() -> Answer:
        return answer

    live = await town.there.exchanges.begin(who, chat(user("hi"), room=town.room), ask)
    async with asyncio.timeout(SECONDS_MAX):
        await anext(live.follow())
    return live


@pytest.mark.parametrize("way", ["removed", "reader", "moderator"])
async def test_the_answer_of_a_client_stops_too_unless_its_right_was_not_taken(
    town: Town, way: str
) -> None:
    answer = Answer(TextPiece("word"), waits=True)
    live = await asked_by(town, town.bo, answer)
    await town.lose(way)
    if way not in LOST:
        await town.there.askers._see()
        answer.go_on.set()
    async with asyncio.timeout(SECONDS_MAX):
        told = [chunk async for chunk in live.follow()]
        await town.there.turns.idle()
    assert (live.stopped, told[-1].last) == (
        (Status.STOPPED, False) if way in LOST else (None, True)
    )
    assert answer.closed


async def test_what_is_in_doubt_is_told_no_further_until_the_store_was_asked(town: Town) -> None:
    live = await asked_by(town, town.bo, Answer(TextPiece("word"), waits=True))
    askers = Askers(town.there.chat._store, lambda: [live])
    askers.taken(town.room, town.ada.id)
    askers.taken(town.there.lobby, town.bo.id)
    assert live.doubts == 0, "it is not hers, nor of the Lobby"
    for who in (town.bo.id, None):
        askers.taken(town.room, who)
    live.waiting.append(Chunk(b"more"))
    assert (live.tell(), [one.raw for one in live._tape][1:]) == (False, [])
    await askers._see()
    assert (live.doubts, len(live._tape)) == (0, 1), "the last is told when it is stored"
    assert not live.tell()
    assert [one.raw for one in live._tape][1:] == [b"more"], "it was nothing"
    askers.taken(town.room, town.bo.id)
    live.waiting.append(Chunk(b"secret"))
    live.settle(wanted=False)
    await live.certain()
    await town.there.turns.idle()
    assert b"secret" not in [one.raw for one in live._tape]
