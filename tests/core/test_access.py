"""What one may see."""

import pytest

from palaver.core.runtime import Core
from palaver.errors import Code, Refused
from palaver.model import MessageId, RoomId


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
