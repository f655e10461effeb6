"""Members of rooms, as the doors ask for them: who is added, who comes by a link, and what they bring along."""

import pytest
from tests.core.conftest import Running, Script

from palaver.core.runtime import Core
from palaver.errors import Code, Refused
from palaver.model import AccountStatus, MemberRole, OpenTo, Role, Speaks
from palaver.providers.base import BEGIN
from palaver.store.read.invitations import INVITATIONS_MAX


async def test_an_agent_that_is_added_answers(core: Core, script: Script) -> None:
    _, ada = await core.identity.new_guest()
    room = await core.rooms.create(ada, agent=False)
    member, new = await core.members.add(ada, room.id, core.assistant)
    assert (member.speaks, new) == (Speaks.AUTO, True)
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
    token, made = await core.invitations.make(mo, room.id, role=MemberRole.READER)
    assert await core.invitations.of_room(ada, room.id) == (made,)
    await core.members.remove(mo, room.id, mo.id)
    assert await core.invitations.of_room(ada, room.id) == ()
    for asking in (core.invitations.look(token, bo), core.invitations.join(token, bo)):
        with pytest.raises(Refused) as refused:
            await asking
        assert refused.value.code is Code.INVITE_NOT_FOUND
    await core.members.add(ada, room.id, mo.id, MemberRole.MODERATOR)
    assert await core.invitations.join(token, bo) == (room.id,)
    assert (await core.access.room(bo, room.id)).role is MemberRole.READER


async def test_members_and_invitations_of_a_room_are_its_members_to_see(core: Core) -> None:
    (_, ada), (_, bo) = [await core.identity.new_guest() for _ in range(2)]
    room = await core.rooms.create(ada)
    for asking in (
        core.members.page(bo, room.id, limit=10),
        core.invitations.of_room(bo, room.id),
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


async def test_links_of_who_may_not_invite_any_more_stand_in_nobodys_way(core: Core) -> None:
    (_, ada), (_, mo), (_, bo) = [await core.identity.new_guest() for _ in range(3)]
    await core.register.create("mo-2", person=mo)
    room = await core.rooms.create(ada)
    await core.members.add(ada, room.id, mo.id, MemberRole.MODERATOR)
    made = [await core.invitations.make(mo, room.id) for _ in range(INVITATIONS_MAX)]
    with pytest.raises(Refused) as refused:
        await core.invitations.make(ada, room.id)
    assert refused.value.code is Code.TOO_MANY_INVITATIONS
    await core.register.set_status("mo-2", AccountStatus.DISABLED)
    for asking in (core.invitations.look(made[0][0], bo), core.invitations.join(made[0][0], bo)):
        with pytest.raises(Refused) as refused:
            await asking
        assert refused.value.code is Code.INVITE_NOT_FOUND
    _, there = await core.invitations.make(ada, room.id)
    assert await core.invitations.of_room(ada, room.id) == (there,)
    await core.register.set_status("mo-2", AccountStatus.ACTIVE)
    await core.members.set_role(ada, room.id, mo.id, MemberRole.MEMBER)
    assert await core.invitations.of_room(ada, room.id) == (there,)
    await core.invitations.make(ada, room.id)


async def test_no_way_makes_an_agent_the_owner_of_a_room(core: Core) -> None:
    _, ada = await core.identity.new_guest()
    room = await core.rooms.create(ada, agent=False)
    with pytest.raises(Refused) as refused:
        await core.members.add(ada, room.id, core.assistant, MemberRole.OWNER)
    assert refused.value.code is Code.BAD_REQUEST
    await core.members.add(ada, room.id, core.assistant)
    for asking in (
        core.members.set_role(ada, room.id, core.assistant, MemberRole.OWNER),
        core.members.transfer(ada, room.id, core.assistant),
    ):
        with pytest.raises(Refused) as refused:
            await asking
        assert refused.value.code is Code.BAD_REQUEST
    with pytest.raises(Refused) as refused:
        await core.members.remove(ada, room.id, ada.id)
    assert refused.value.code is Code.LAST_OWNER


async def test_who_comes_with_a_greeting_says_it_once_and_to_its_model_it_is_its_own(
    core: Core, script: Script
) -> None:
    _, ada = await core.identity.new_guest()
    greeting = "@assistant and all: I am Maya."
    maya = await core.agents.create(None, {"name": "Maya", "greeting": greeting, "handle": "maya"})
    room = await core.rooms.create(ada, agents=[maya.id])
    assert [one.text for one in (await core.chat.history(ada, room.id)).messages] == [greeting]
    await core.chat.send(ada, room.id, text="hello", cid=None)
    script.say("hi", None)
    await core.turns.idle()
    asked = await script.requests.get()
    told = [(one.role, one.text) for one in asked.history]
    assert told == [(Role.USER, BEGIN), (Role.ASSISTANT, greeting), (Role.USER, "hello")]
    other = await core.rooms.create(ada, speaks=Speaks.MENTIONED)
    await core.members.add(ada, other.id, maya.id)
    assert [one.text for one in (await core.chat.history(ada, other.id)).messages] == [greeting]
    assert script.requests.empty(), "it sets nobody off"
    await core.chat.send(ada, other.id, text="@maya hello", cid=None)
    script.say("hi", None)
    await core.turns.idle()
    told = [
        (one.role, one.text.partition("\n")[0]) for one in (await script.requests.get()).history
    ]
    assert told[:2] == [(Role.USER, "@palaver (system):"), (Role.ASSISTANT, greeting)]


async def test_a_room_takes_no_more_than_its_bounds_and_a_larger_one_keeps_all(
    running: Running,
) -> None:
    async with running() as core:
        (_, ada), (_, bo), (_, cy) = [await core.identity.new_guest() for _ in range(3)]
        maya = await core.agents.create(None, {"name": "Maya"})
        room = await core.rooms.create(ada, agents=[core.assistant, maya.id])
        await core.members.add(ada, room.id, bo.id)
    async with running(room_members_max=3, room_agents_max=1) as core:
        max_ = await core.agents.create(None, {"name": "Max"})
        for who, what in ((cy.id, "3 members"), (max_.id, "1 agents")):
            with pytest.raises(Refused, match=what) as full:
                await core.members.add(ada, room.id, who)
            assert full.value.code is Code.ROOM_FULL
        assert not (await core.members.add(ada, room.id, bo.id))[1]
        with pytest.raises(Refused) as full:
            await core.rooms.create(ada, agents=[maya.id, max_.id])
        assert full.value.code is Code.ROOM_FULL
        await core.chat.send(bo, room.id, text="I am here", cid=None)
        await core.rooms.open_to(ada, room.id, OpenTo.EVERYONE)
        with pytest.raises(Refused) as full:
            await core.members.come_in(cy, room.id)
        assert full.value.code is Code.ROOM_FULL
        token, _ = await core.invitations.make(ada, room.id)
        with pytest.raises(Refused) as full:
            await core.invitations.join(token, cy)
        assert full.value.code is Code.ROOM_FULL
        for gone in (maya.id, bo.id):
            await core.members.remove(ada, room.id, gone)
        assert await core.invitations.join(token, cy) == (room.id,)
        with pytest.raises(Refused, match="agents"):
            await core.members.add(ada, room.id, max_.id)
        await core.members.remove(ada, room.id, core.assistant)
        assert (await core.members.add(ada, room.id, max_.id))[1]
