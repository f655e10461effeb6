"""Reactions on both engines: each once, bounded, in the log, and gone with nothing."""

from typing import Any

import pytest
from tests.store.world import World

from palaver.errors import Code, Refused
from palaver.model import Actor, EventType, MemberRole, MessageId, Room
from palaver.store.schema import reactions
from palaver.store.write.messages import MessageCommand, SetMessageDeleted
from palaver.store.write.reactions import KINDS_MAX, REACTIONS_MAX, SetReaction
from palaver.store.write.rooms import AddMember, RemoveMember, SetArchived
from palaver.store.write.transaction import Transaction


class Filled(MessageCommand[None], frozen=True, kw_only=True):
    """As many as a message may have, by those of whom nothing else is known."""

    def apply(self, tx: Transaction) -> None:
        room, _, said = self.writable(tx)
        for number in range(REACTIONS_MAX):
            where: dict[str, Any] = {"room_key": room.key, "seq": said.seq, "emoji": "👍"}
            tx.insert(reactions, **where, actor_key=1_000_000 + number, added_seq=1)


def adding(room: Room, owner: Actor, who: Actor) -> AddMember:
    return AddMember(room=room.id, by=owner.id, actor=who.id, role=MemberRole.MEMBER)


async def react(world: World, by: Actor, message: MessageId, emoji: str, **more: bool) -> bool:
    there = more.get("there", True)
    command = SetReaction(message=message, by=by.id, emoji=emoji, there=there)
    return await world.store.write(command)


async def refused(world: World, by: Actor, message: MessageId, emoji: str, **more: bool) -> Code:
    with pytest.raises(Refused) as told:
        await react(world, by, message, emoji, **more)
    return told.value.code


async def test_each_reaction_is_one_event_and_a_second_time_changes_nothing(world: World) -> None:
    ada = await world.person()
    room = await world.room(ada)
    said = (await world.say(room, ada)).message
    assert await react(world, ada, said.id, "👍")
    assert not await react(world, ada, said.id, "👍")
    assert not await react(world, ada, said.id, "🎉", there=False)
    assert await react(world, ada, said.id, "👍", there=False)
    assert not await react(world, ada, said.id, "👍", there=False)
    log = await world.log(room)
    kinds = (EventType.REACTION_ADDED, EventType.REACTION_REMOVED)
    assert [(event.type, event.actor) for event in log[-2:]] == [(one, ada.id) for one in kinds]
    assert all(event.data == {"msg": said.id, "seq": said.seq, "emoji": "👍"} for event in log[-2:])


async def test_a_message_has_at_most_twenty_kinds_and_any_number_of_each(world: World) -> None:
    ada, bo = await world.person(), await world.person("Bo")
    room = await world.room(ada)
    await world.store.write(adding(room, ada, bo))
    said = (await world.say(room, ada)).message
    kinds = [chr(0x1F600 + number) for number in range(KINDS_MAX)]
    assert all([await react(world, ada, said.id, one) for one in kinds])
    assert await refused(world, bo, said.id, "👍") is Code.TOO_MANY_REACTIONS
    assert await react(world, bo, said.id, kinds[3])
    assert await react(world, ada, said.id, kinds[0], there=False)
    assert await react(world, bo, said.id, "👍")


async def test_a_message_has_at_most_a_thousand_of_all_kinds(world: World) -> None:
    ada = await world.person()
    room = await world.room(ada)
    said = (await world.say(room, ada)).message
    await world.store.write(Filled(message=said.id, by=ada.id))
    assert await refused(world, ada, said.id, "👍") is Code.TOO_MANY_REACTIONS
    assert await refused(world, ada, said.id, "🎉") is Code.TOO_MANY_REACTIONS
    other = (await world.say(room, ada)).message
    assert await react(world, ada, other.id, "👍")


async def test_what_is_deleted_or_elsewhere_or_closed_takes_none(world: World) -> None:
    ada, bo = await world.person(), await world.person("Bo")
    room = await world.room(ada)
    said = (await world.say(room, ada)).message
    assert await refused(world, bo, said.id, "👍") is Code.ROOM_NOT_FOUND
    nowhere = MessageId(f"m_{world.clock.new_id()}")
    assert await refused(world, ada, nowhere, "👍") is Code.MESSAGE_NOT_FOUND
    await world.store.write(adding(room, ada, bo))
    assert await react(world, bo, said.id, "👍")
    await world.store.write(RemoveMember(room=room.id, by=ada.id, actor=bo.id))
    assert await refused(world, bo, said.id, "👍", there=False) is Code.ROOM_NOT_FOUND
    await world.store.write(SetMessageDeleted(message=said.id, by=ada.id, deleted=True))
    assert await refused(world, ada, said.id, "👍") is Code.MESSAGE_NOT_FOUND
    await world.store.write(SetMessageDeleted(message=said.id, by=ada.id, deleted=False))
    await world.store.write(SetArchived(room=room.id, by=ada.id, archived=True))
    assert await refused(world, ada, said.id, "👍") is Code.ROOM_ARCHIVED
