"""What one may see."""

import asyncio

import pytest

from palaver.core.runtime import Core
from palaver.errors import Code, Refused
from palaver.model import MessageId, RoomId
from palaver.store.write.rooms import RemoveMember


async def test_what_one_may_not_see_is_not_there(core: Core) -> None:
    _, ada = await core.identity.new_guest()
    _, bo = await core.identity.new_guest()
    room = await core.rooms.create(ada, agent=False)
    sent = await core.chat.send(ada, room.id, text="mine", cid=None)
    with pytest.raises(Refused) as refused:
        await core.access.room(bo, room.id)
    assert refused.value.code is Code.ROOM_NOT_FOUND
    for message in (sent.id, MessageId("m_" + "0" * 32)):
        with pytest.raises(Refused) as refused:
            await core.access.message(bo, message)
        assert refused.value.code is Code.MESSAGE_NOT_FOUND
    with pytest.raises(Refused) as refused:
        await core.access.room(ada, RoomId("nonsense"))
    assert refused.value.code is Code.ROOM_NOT_FOUND


async def test_who_was_removed_right_behind_their_own_message_is_not_known_to_write(
    core: Core,
) -> None:
    _, ada = await core.identity.new_guest()
    _, bo = await core.identity.new_guest()
    room = await core.rooms.create(ada, agent=False)
    await core.rooms.join(ada, room.id, bo)
    removing = RemoveMember(room=room.id, by=ada.id, actor=bo.id)
    sent, removed = await asyncio.gather(
        core.chat.send(bo, room.id, text="my last", cid=None), core.chat._store.write(removing)
    )
    assert sent.state == "stored"
    assert removed
    assert not core.access.may_write_as_known(bo, room.id)


async def test_what_was_read_before_access_was_taken_is_not_known_after_it(core: Core) -> None:
    _, ada = await core.identity.new_guest()
    room = await core.rooms.create(ada, agent=False)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(core.access.room(ada, room.id))
        await asyncio.sleep(0)
        core.access.taken(room.id, ada.id)
    assert not core.access.may_write_as_known(ada, room.id)
    await core.access.room(ada, room.id)
    assert core.access.may_write_as_known(ada, room.id)
