"""Stored prompts as they are read: by their owner, in their newest version unless another is asked for."""

from tests.store.world import World

from palaver.model import PromptId
from palaver.store.read import prompts
from palaver.store.write.prompts import SavePrompt


async def test_the_newest_version_is_read_unless_another_is_asked_for(world: World) -> None:
    ada, bo = await world.person("Ada"), await world.person("Bo")
    id_ = PromptId(f"p_{world.clock.new_id()}")
    await world.store.write(SavePrompt(id=id_, by=ada.id, name="hat", text="one \U0001f3a9"))
    second = SavePrompt(id=id_, by=ada.id, name=None, text="two", again=True)
    await world.store.write(second)
    other = SavePrompt(id=PromptId(f"p_{world.clock.new_id()}"), by=ada.id, name="cap", text="c")
    await world.store.write(other)
    read = world.store.read
    newest = await read(prompts.get, ada.id, id_)
    assert newest is not None
    assert (newest.version, newest.name, newest.text) == (2, "hat", "two")
    first = await read(prompts.get, ada.id, id_, 1)
    assert first is not None
    assert (first.version, first.text) == (1, "one \U0001f3a9")
    for version in (0, 3, 2**80):
        assert await read(prompts.get, ada.id, id_, version) is None
    assert await read(prompts.get, bo.id, id_) is None
    assert await read(prompts.get, ada.id, PromptId("p_1")) is None
    assert [one.text for one in await read(prompts.of_actor, ada.id, 10)] == ["two", "c"]
    assert [one.text for one in await read(prompts.of_actor, ada.id, 1)] == ["two"]
    assert await read(prompts.of_actor, bo.id, 10) == ()
