"""Stored prompts as they are written, and their bounds."""

import asyncio

import pytest
from tests.store.world import World

from palaver.errors import Code, Refused
from palaver.model import Actor, PromptId
from palaver.store.read import prompts
from palaver.store.write.prompts import PROMPTS_MAX, VERSIONS_MAX, DeletePrompt, SavePrompt


def saving(world: World, actor: Actor, of: PromptId | None = None) -> SavePrompt:
    id_ = of or PromptId(f"p_{world.clock.new_id()}")
    return SavePrompt(id=id_, by=actor.id, name="hat", text="words", again=of is not None)


async def test_a_prompt_and_its_versions_are_bounded(world: World) -> None:
    ada = await world.person()
    made = await world.store.write(saving(world, ada))
    versions = [saving(world, ada, made.id) for _ in range(VERSIONS_MAX - 1)]
    told = await asyncio.gather(*map(world.store.write, versions))
    assert {one.version for one in told} == set(range(2, VERSIONS_MAX + 1))
    more = [saving(world, ada) for _ in range(PROMPTS_MAX - 1)]
    await asyncio.gather(*map(world.store.write, more))
    for beyond in (saving(world, ada, made.id), saving(world, ada)):
        with pytest.raises(Refused) as refused:
            await world.store.write(beyond)
        assert refused.value.code is Code.TOO_MANY_PROMPTS
    await world.store.write(DeletePrompt(id=made.id, by=ada.id))
    assert (await world.store.write(saving(world, ada))).version == 1


async def test_a_prompt_that_is_gone_or_anothers_is_not_there(world: World) -> None:
    ada, bo = await world.person("Ada"), await world.person("Bo")
    made = await world.store.write(saving(world, ada))
    for refused_one in (saving(world, bo, made.id), DeletePrompt(id=made.id, by=bo.id)):
        with pytest.raises(Refused) as refused:
            await world.store.write(refused_one)
        assert refused.value.code is Code.NOT_FOUND
    await world.store.write(DeletePrompt(id=made.id, by=ada.id))
    assert await world.store.read(prompts.get, ada.id, made.id, 1) is None
    for again in (DeletePrompt(id=made.id, by=ada.id), saving(world, ada, made.id)):
        with pytest.raises(Refused):
            await world.store.write(again)
