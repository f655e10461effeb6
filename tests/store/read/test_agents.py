"""Agents as they are read."""

from tests.store.world import World

from palaver.model import ActorId
from palaver.store.read import agents


async def test_only_an_agent_has_a_card(world: World) -> None:
    ada, bot = await world.person(), await world.agent()
    assert await world.store.read(agents.get, ada.id) is None
    assert await world.store.read(agents.get, ActorId(f"a_{ada.id[2:]}")) is None
    assert await world.store.read(agents.get, ActorId(f"u_{bot.id[2:]}")) is None
    card = await world.store.read(agents.get, bot.id)
    assert card is not None
    assert card.actor == bot
    assert await world.store.read(agents.by_subject, bot.id) == card
    assert await world.store.read(agents.by_name) == {bot.id: card}
