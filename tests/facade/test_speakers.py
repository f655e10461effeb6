"""A program rules who speaks in its room."""

import pytest

import palaver


async def happened(room: palaver.Room) -> list[palaver.Event]:
    events, _ = await room._core.chat.events(room._program, room.id, after=0)
    return list(events)


async def test_a_program_says_who_speaks_asks_and_stops() -> None:
    async with palaver.open("sqlite://") as chat:
        room = await chat.room("editors")
        ada, critic = await chat.person("ada"), await chat.agent("critic")
        await room.add(critic, speaks=palaver.Speaks.MENTIONED)
        await room.say(ada, "hello")
        member = await room.speakers.set(critic, palaver.Speaks.NEVER)
        assert (member.actor, member.speaks) == (critic, palaver.Speaks.NEVER)
        await room.speakers.bound(in_turn=True, chain_max=3, agent_answers_per_hour=0)
        told = [one.type for one in await happened(room)][-2:]
        assert told == [palaver.EventType.MEMBER_SPEAKS, palaver.EventType.ROOM_SETTINGS]
        await room.speakers.bound(greets=False)
        assert [one.data for one in await happened(room)][-1] == {"greets": False}
        await room.speakers.bound(greets=False)
        assert [one.type for one in await happened(room)][-2:] == [told[-1]] * 2
        (turn,) = await room.speakers.ask(ada)
        assert turn.agent == critic.id
        await room.speakers.stop()
        for wrong in (-1, 51):
            with pytest.raises(palaver.Refused) as caught:
                await room.speakers.bound(chain_max=wrong)
            assert caught.value.code is palaver.Code.BAD_REQUEST
