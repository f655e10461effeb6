"""What a program does with the cards of its agents."""

import json

import pytest
from tests.cards.test_characters import V1
from tests.facade.test_people import refused
from tests.support.scripted import Scripted
from tests.test_facade import answered, chat

import palaver
from palaver import Audience, Code
from palaver.errors import ProviderError
from palaver.model.usage import BudgetPeriod

__all__ = ["chat"]


async def test_a_program_knows_whom_an_agent_of_a_room_answers(chat: palaver.Chat) -> None:
    room, ada = await chat.new_room("Launch"), await chat.person("ada")
    poet, bo = await chat.agent("poet"), await chat.person("bo")
    for one in (ada, bo, poet):
        await room.add(one)
    await chat.agents.share(poet, audience=Audience.SOME, people=[ada])
    for asker, for_me in ((ada, True), (bo, False), (None, False)):
        told = {one.actor: one.for_me async for one in room.members(asker)}
        assert told[poet] is for_me
        assert told[ada] is None


async def test_a_program_changes_shares_and_restores_its_agents(chat: palaver.Chat) -> None:
    poet, agents = await chat.agent("poet", system_prompt="Rhyme."), chat.agents
    changed = await agents.change(poet, persona="Haiku.", parameters={"top_p": 0.5})
    assert (changed.version, changed.handle, changed.audience) == (2, "poet", Audience.EVERYONE)
    assert await agents.get(poet) == changed
    assert [one.version async for one in agents.versions(poet)] == [2, 1]
    assert (await agents.restore(poet, 1)).persona == "Rhyme."
    copy = await agents.take(await agents.give(poet), handle="bard")
    assert (copy.persona, copy.handle, copy.audience) == ("Rhyme.", "bard", Audience.EVERYONE)
    assert await refused(agents.give(poet, "png")) is Code.CARD_INVALID
    assert await refused(agents.give(poet, "pdf")) is Code.CARD_INVALID
    assert await refused(agents.take(b"<svg/>")) is Code.CARD_INVALID
    ada = await chat.person("ada")
    shared = await agents.share(poet, Audience.SOME, people=[ada])
    assert (shared.people, shared.version) == ({ada.id}, 3)
    await agents.share(poet, archived=True)
    archived = [one.handle for one in await agents.all() if one.archived_ms is not None]
    assert archived == ["poet"]
    assert await refused(agents.change(poet, unknown=1)) is Code.CARD_INVALID
    assert await refused(agents.change(poet, persona="\ud800")) is Code.CARD_INVALID
    assert await refused(agents.change(ada, persona="")) is Code.AGENT_NOT_FOUND
    assert await refused(agents.restore(poet, 7)) is Code.AGENT_NOT_FOUND


async def test_a_program_tries_an_agent_and_keeps_nothing_of_it(sqlite_url: str) -> None:
    mind = Scripted()
    mind.will("A", " haiku.")
    async with palaver.open(sqlite_url, provider=mind) as chat:
        poet = await chat.agent("poet", system_prompt="Rhyme.")
        said = ("Hello", "Yes?", "A line?")
        assert await chat.agents.try_out(poet, *said, persona="Haiku.") == "A haiku."
        (asked,) = mind.asked
        assert asked.system_prompt == "Haiku."
        assert [one.text for one in asked.history] == [*said]
        assert (await chat.agents.get(poet)).persona == "Rhyme."
        assert [room.title async for room in chat.rooms()] == []
        mind.will(ProviderError(Code.PROVIDER_AUTH, "no"))
        with pytest.raises(ProviderError):
            await chat.agents.try_out(None, "Hello")
        assert await refused(chat.agents.try_out(poet)) is Code.BAD_REQUEST
        await chat.set_budget(BudgetPeriod.DAY, of=poet, tokens=1)
        with pytest.raises(ProviderError) as failed:
            await chat.agents.try_out(poet, "Hello")
        assert failed.value.code is Code.BUDGET_REACHED


async def test_an_agent_of_another_programs_card_is_told_the_names(sqlite_url: str) -> None:
    mind = Scripted()
    mind.will("Ahoy.")
    async with palaver.open(sqlite_url, provider=mind) as chat:
        maya = await chat.agents.take(json.dumps(V1).encode())
        room, ada = await chat.new_room(), await chat.person("ada")
        await chat._core.members.add(chat._program, room.id, maya.id)
        said = await room.say(ada, "@maya Hello, {{char}}.")
        assert (await answered(room, said.seq)).text == "Ahoy."
        (asked,) = mind.asked
        assert "You are Maya.\n\nMaya sails." in asked.system_prompt
        assert "{{char}}" not in asked.system_prompt
        assert "Hello, {{char}}." in str(asked.history), "what somebody says is left as it is"


async def test_a_program_elsewhere_is_an_agent_by_a_key_as_long_as_it_is_a_bot(
    chat: palaver.Chat,
) -> None:
    clerk, agents = await chat.agent("clerk"), chat.agents
    assert await refused(agents.create_key(clerk)) is Code.BAD_REQUEST
    await agents.change(clerk, bot=True)
    token, key = await agents.create_key(clerk, name="Desk", days=1)
    assert token.startswith("plv_")
    assert (key.actor.id, key.name, list(key.scopes)) == (clerk.id, "Desk", ["rooms"])
    assert [one.id for one in await agents.keys(clerk)] == [key.id]
    await agents.change(clerk, bot=False)
    assert not await agents.keys(clerk), "which end with that"
