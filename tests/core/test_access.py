"""Who is there, and what they may see."""

from uuid import UUID

import pytest
from tests.core.conftest import Running

from palaver.core.runtime import Core
from palaver.errors import Code, Refused
from palaver.model import ActorKind, MessageId, RoomId

CHOSEN = UUID("0192f0c1-7d2b-4000-8000-000000000001")


async def test_a_guest_is_known_by_its_token_and_by_nothing_else(core: Core) -> None:
    token, ada = await core.access.new_guest("Ada")
    assert await core.access.actor(token) == ada
    for wrong in (token[:-1] + "x", "", "short", "é" * 43, "x" * 300):
        assert await core.access.actor(wrong) is None


async def test_an_id_that_a_client_chose_gives_the_same_guest_again_and_is_no_token(
    running: Running,
) -> None:
    async with running() as core:
        first = await core.access.claimed(CHOSEN)
    async with running() as core:
        assert await core.access.claimed(CHOSEN) == first
        assert await core.access.claimed(UUID(int=CHOSEN.int + 1)) != first
        for form in (str(CHOSEN), CHOSEN.hex, CHOSEN.urn, str(CHOSEN).upper()):
            assert await core.access.actor(form) is None, form


async def test_a_new_name_is_on_what_is_said_from_then_on(core: Core) -> None:
    token, ada = await core.access.new_guest()
    renamed = await core.access.rename(ada, " Ada  L. ")
    assert renamed.name == "Ada L."
    assert await core.access.actor(token) == renamed
    sent = await core.chat.send(renamed, core.lobby, text="x", cid=None, answers=False)
    assert sent.message is not None
    assert sent.message.name == "Ada L."


async def test_a_program_names_its_people_and_agents_by_handle(core: Core) -> None:
    ada = await core.access.person("ada", "Ada")
    assert await core.access.person("ada") == ada
    assert (await core.access.person("ada", "Ada L.")).id == ada.id
    card = await core.access.agent("helper", "Helper", model="m-1")
    assert card.actor.kind is ActorKind.AGENT
    again = await core.access.agent("helper", "Helper", model="m-2")
    assert (again.actor.id, again.model) == (card.actor.id, "m-2")


async def test_what_one_may_not_see_is_not_there(core: Core) -> None:
    _, ada = await core.access.new_guest()
    _, bo = await core.access.new_guest()
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
