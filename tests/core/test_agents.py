"""Agents as programs make them."""

from palaver.core.runtime import Core
from palaver.model import ActorKind


async def test_a_program_names_its_agents_by_what_it_knows_them_as(core: Core) -> None:
    card = await core.agents.ensured("helper", "Helper", model="m-1")
    assert (card.actor.kind, card.handle, card.version) == (ActorKind.AGENT, "helper", 1)
    again = await core.agents.ensured("helper", "Helper", model="m-2")
    assert (again.id, again.model, again.version) == (card.id, "m-2", 2)
    assert await core.agents.ensured("helper") == again


async def test_an_agent_gets_a_handle_where_it_is_one_that_nobody_has(core: Core) -> None:
    await core.register.create("clerk")
    handles = [(await core.agents.ensured(name)).handle for name in ("c1erk", "Der Rat", "agents")]
    assert handles == [None, None, None]
    known = await core.agents.by_name()
    assert list(known) == ["Der Rat", "agents", "assistant", "c1erk"]
    assert known["assistant"].handle == "assistant"
