"""What programs say as agents, in one process and in two of one database. Over sockets: `tests/wire/test_bots.py`."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

import pytest
from tests.core.conftest import Running, Script, processes

from palaver.core.answers.bots import Asked, Over
from palaver.core.runtime import Core
from palaver.errors import Code, Refused, Unavailable
from palaver.model import Actor, CredentialId, Message, RoomId, Status, TurnId
from palaver.store.read.turns import copied

SECONDS_MAX = 60
ITS = CredentialId("k_1")


@dataclass(frozen=True, slots=True)
class Town:
    """Ada asks in the process `here`; the program of Maya is at `there`."""

    here: Core
    there: Core
    ada: Actor
    maya: Actor
    room: RoomId
    told: bool
    """Whether the processes hear of each other."""

    async def ask(self) -> TurnId:
        sent = await self.here.chat.send(self.ada, self.room, text="hi", cid=None)
        return sent.turns[0].id

    async def asked(self) -> Asked:
        """What its program hears next."""
        async with (
            asyncio.timeout(SECONDS_MAX),
            aclosing(self.there.bots.heard(self.maya, ITS)) as telling,
        ):
            async for told in telling:
                assert isinstance(told, Asked)
                return told
        raise AssertionError

    async def answers(self) -> list[Message]:
        async with asyncio.timeout(SECONDS_MAX):
            await self.there.turns.idle()
        page = await self.there.chat.history(self.ada, self.room)
        return [one for one in page.messages if one.author == self.maya.id]


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("two processes", marks=pytest.mark.postgres),
        pytest.param("two processes without notices", marks=pytest.mark.postgres),
    ]
)
async def town(running: Running, request: pytest.FixtureRequest) -> AsyncGenerator[Town, None]:
    async with processes(running, request, settled_seconds=0.1) as (here, there):
        _, ada = await here.identity.new_guest("Ada")
        maya = (await here.agents.ensured("maya", bot=True)).actor
        room = (await here.rooms.create(ada, agents=[maya.id])).id
        told = not request.param.endswith("notices")
        yield Town(here, there, ada, maya, room, told)


async def test_its_process_takes_over_what_it_answers_and_stores_it_once(town: Town) -> None:
    async with asyncio.TaskGroup() as tasks:
        hearing = tasks.create_task(town.asked())
        turn = await town.ask()
    asked = hearing.result()
    assert (asked.turn.id, asked.n) == (turn, 0)
    assert asked.trigger is not None
    assert asked.trigger.text == "hi"
    bots = town.there.bots
    await bots.write(town.maya, ITS, turn, 1, "Good ")
    assert town.there.turns.writes(turn)
    if not town.told:
        with pytest.raises(Unavailable) as elsewhere:
            await town.here.bots.write(town.maya, ITS, turn, 2, "from behind")
        assert elsewhere.value.code is Code.TURN_TAKEN
    (stored, dup), (again, said) = [
        await bots.end(town.maya, ITS, turn, "Good day.") for _ in range(2)
    ]
    assert (stored.id, again.id) == (asked.turn.message, asked.turn.message)
    assert (dup, said) == (False, True)
    [answer] = await town.answers()
    assert (answer.text, answer.status) == ("Good day.", Status.DONE)
    with pytest.raises(Refused) as refused:
        await town.here.bots.write(town.maya, ITS, turn, 2, "more")
    assert refused.value.code is Code.TURN_ENDED


async def test_what_was_begun_elsewhere_goes_on_there_or_ends_with_its_whole_text(
    town: Town,
) -> None:
    turn = await town.ask()
    await town.here.bots.write(town.maya, ITS, turn, 1, "Begun ")
    if town.here is not town.there:
        async with asyncio.timeout(SECONDS_MAX):
            while not any(await town.there.turns._store.read(copied, turn)):
                await town.here.turns.copy()
        with pytest.raises(Unavailable) as elsewhere:
            await town.there.bots.write(town.maya, ITS, turn, 2, "here")
        assert elsewhere.value.code is Code.TURN_TAKEN
        assert elsewhere.value.retry_ms
    stored, _ = await town.there.bots.end(town.maya, ITS, turn, "Begun, and ended.")
    assert stored.text == "Begun, and ended."
    [answer] = await town.answers()
    assert (answer.text, answer.status) == ("Begun, and ended.", Status.DONE)


async def test_who_lost_the_room_hears_nothing_of_it_and_says_nothing(town: Town) -> None:
    turn = await town.ask()
    await town.here.members.remove(town.ada, town.room, town.maya.id)
    for says in (
        town.there.bots.write(town.maya, ITS, turn, 1, "still here"),
        town.there.bots.end(town.maya, ITS, turn, "still here"),
    ):
        with pytest.raises(Refused) as refused:
            await says
        assert refused.value.code is Code.TURN_NOT_FOUND
    assert await town.there.bots.asked(town.maya, ITS) == []


async def test_its_program_hears_that_it_was_stopped(town: Town) -> None:
    turn = await town.ask()
    async with (
        asyncio.timeout(SECONDS_MAX),
        aclosing(town.there.bots.heard(town.maya, ITS)) as telling,
    ):
        assert isinstance(await anext(telling), Asked)
        await town.there.bots.write(town.maya, ITS, turn, 1, "Once")
        await town.here.turns.stop(town.ada, turn)
        await town.there.turns.stop(town.ada, turn)  # where notices are lost
        assert await anext(telling) == Over(town.room, turn)
    [answer] = await town.answers()
    assert (answer.text, answer.status) == ("Once", Status.STOPPED)


async def test_the_piece_that_is_too_much_is_refused_and_ends_it_as_it_ends_a_models_answer(
    running: Running, script: Script
) -> None:
    async with running(answer_chars_max=10) as core:
        _, ada = await core.identity.new_guest("Ada")
        maya = (await core.agents.ensured("maya", bot=True)).actor
        talk = (await core.rooms.create(ada)).id
        await core.chat.send(ada, talk, text="hi", cid=None)
        script.say("123456", "789012")
        room = (await core.rooms.create(ada, agents=[maya.id])).id
        turn = (await core.chat.send(ada, room, text="hi", cid=None)).turns[0].id
        await core.bots.write(maya, ITS, turn, 1, "123456")
        with pytest.raises(Refused) as refused:
            await core.bots.write(maya, ITS, turn, 2, "78901")
        assert refused.value.code is Code.ANSWER_TOO_LONG
        assert "10 characters" in refused.value.detail
        await core.turns.idle()
        models, its = [(await core.chat.history(ada, one)).messages[-1] for one in (talk, room)]
        assert its.text == "123456"
        assert (its.status, its.meta["error"]) == (models.status, models.meta["error"])
        assert its.meta["error"]["code"] == Code.ANSWER_TOO_LONG
        for again in (
            core.bots.write(maya, ITS, turn, 2, "7"),
            core.bots.end(maya, ITS, turn, "123"),
        ):
            with pytest.raises(Refused) as over:
                await again
            assert over.value.code is Code.TURN_ENDED
