"""People and agents, their handles, names and sessions."""

import pytest
from tests.store.world import World

from palaver.errors import Code, Refused
from palaver.model import Actor, ActorId, ActorKind, AgentCard
from palaver.store import actors
from palaver.store.commands import AddActor, RenameActor, SaveAgent


def newcomer(world: World, name: str, kind: ActorKind = ActorKind.PERSON) -> Actor:
    prefix = actors.PREFIX[kind]
    return Actor(id=ActorId(prefix + world.clock.new_id()), kind=kind, name=name, guest=True)


async def test_a_person_is_found_by_id_handle_and_token(world: World) -> None:
    ada = newcomer(world, "Ada \0")
    added = await world.store.write(AddActor(actor=ada, handle="ada", token_sha256=b"1" * 32))
    assert added == ada
    assert await world.store.read(actors.get, ada.id) == ada
    assert await world.store.read(actors.by_handle, "ada") == ada
    assert await world.store.read(actors.by_token, b"1" * 32) == ada
    assert await world.store.read(actors.by_token, b"2" * 32) is None
    assert await world.store.read(actors.by_handle, "ADA") is None
    assert await world.store.read(actors.agent, ada.id) is None
    as_agent = ActorId("a_" + ada.id[2:])
    assert await world.store.read(actors.get, as_agent) is None


async def test_a_handle_stays_with_the_first_and_takes_no_further_token(world: World) -> None:
    ada, eve = newcomer(world, "Ada"), newcomer(world, "Eve")
    await world.store.write(AddActor(actor=ada, handle="ada", token_sha256=b"1" * 32))
    there = await world.store.write(AddActor(actor=eve, handle="ada", token_sha256=b"2" * 32))
    assert there == ada
    assert await world.store.read(actors.by_token, b"2" * 32) is None


async def test_renaming(world: World) -> None:
    ada = await world.person("Ada")
    renamed = await world.store.write(RenameActor(actor=ada.id, name="Ada L."))
    assert renamed.name == "Ada L."
    assert await world.store.read(actors.get, ada.id) == renamed
    with pytest.raises(Refused) as caught:
        await world.store.write(RenameActor(actor=ActorId("u_" + "0" * 32), name="x"))
    assert caught.value.code is Code.NOT_FOUND


async def test_an_agent_is_saved_by_its_handle(world: World) -> None:
    bot = newcomer(world, "Bot", ActorKind.AGENT)
    card = AgentCard(actor=bot, model="m-1", system_prompt="Be\0kind", settings={"heat": 0.5})
    saved = await world.store.write(SaveAgent(card=card, handle="bot"))
    assert saved == card == await world.store.read(actors.agent, bot.id)
    other = newcomer(world, "Bot two", ActorKind.AGENT)
    changed = await world.store.write(SaveAgent(card=AgentCard(actor=other), handle="bot"))
    assert (changed.actor.id, changed.actor.name) == (bot.id, "Bot two")
    assert (changed.model, changed.system_prompt, changed.settings) == (None, "", {})
    assert await world.store.read(actors.agent, bot.id) == changed
    await world.store.write(AddActor(actor=newcomer(world, "Ada"), handle="ada"))
    with pytest.raises(Refused) as caught:
        await world.store.write(SaveAgent(card=card, handle="ada"))
    assert caught.value.code is Code.NAME_RESERVED
