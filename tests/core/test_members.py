"""Members of rooms, as the doors ask for them: who is added, who comes by a link, and what they bring along."""

import pytest
from tests.core.conftest import Script

from palaver.core.runtime import Core
from palaver.errors import Code, Refused
from palaver.model import MemberRole


async def test_an_agent_that_is_added_answers(core: Core, script: Script) -> None:
    _, ada = await core.identity.new_guest()
    room = await core.rooms.create(ada, agent=False)
    member, new = await core.members.add(ada, room.id, core.assistant)
    assert (member.auto_respond, new) == (True, True)
    assert await core.members.add(ada, room.id, core.assistant) == (member, False)
    sent = await core.chat.send(ada, room.id, text="hello", cid=None)
    assert len(sent.turns) == 1
    script.say("hi", None)
    await core.turns.idle()


async def test_a_link_ends_with_its_makers_right_to_invite_and_comes_back_with_it(
    core: Core,
) -> None:
    (_, ada), (_, mo), (_, bo) = [await core.identity.new_guest() for _ in range(3)]
    room = await core.rooms.create(ada)
    await core.members.add(ada, room.id, mo.id, MemberRole.MODERATOR)
    token, made = await core.members.invite(mo, room.id, role=MemberRole.READER)
    assert await core.members.invitations(ada, room.id) == (made,)
    await core.members.remove(mo, room.id, mo.id)
    assert await core.members.invitations(ada, room.id) == ()
    for asking in (core.members.look(token, bo), core.members.join(token, bo)):
        with pytest.raises(Refused) as refused:
            await asking
        assert refused.value.code is Code.INVITE_NOT_FOUND
    await core.members.add(ada, room.id, mo.id, MemberRole.MODERATOR)
    assert (await core.members.join(token, bo)).role is MemberRole.READER


async def test_members_and_invitations_of_a_room_are_its_members_to_see(core: Core) -> None:
    (_, ada), (_, bo) = [await core.identity.new_guest() for _ in range(2)]
    room = await core.rooms.create(ada)
    for asking in (
        core.members.page(bo, room.id, limit=10),
        core.members.invitations(bo, room.id),
        core.members.add(bo, room.id, bo.id),
        core.members.set_role(bo, room.id, ada.id, MemberRole.READER),
        core.members.remove(bo, room.id, ada.id),
        core.members.remove(bo, room.id, bo.id),
    ):
        with pytest.raises(Refused) as refused:
            await asking
        assert refused.value.code is Code.ROOM_NOT_FOUND
    found, following = await core.members.page(ada, room.id, limit=1)
    assert ([one.actor.id for one in found], following is not None) == ([ada.id], True)
