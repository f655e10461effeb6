"""Agents as programs make them."""

from tests.core.identity.test_profiles import PNG

from palaver.core.runtime import Core
from palaver.model import ActorKind, ServerRole


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


async def test_who_makes_an_agent_without_a_handle_gets_one_like_its_name(core: Core) -> None:
    olga = (await core.register.create("olga", role=ServerRole.OWNER)).actor
    await core.register.create("maya")
    wanted = {
        "Der Rat": "der-rat",
        "Maya": "maya-2",  # a person has the other one
        "Éloïse": "eloise",
        "Owner": "owner-2",  # the server's own word
        "X": "x-2",  # too short
        "Мая": "agent-2",  # of letters that no handle has
    }
    made = {name: await core.agents.create(olga, {"name": name}) for name in wanted}
    assert {name: one.handle for name, one in made.items()} == wanted
    chosen = await core.agents.create(olga, {"name": "Maya", "handle": "mia"})
    assert (chosen.handle, (await core.agents.duplicate(olga, chosen.id)).handle) == (
        "mia",
        "mia-2",
    )
    many = [(await core.agents.create(None, {"name": "Rat", "handle": None})) for _ in range(10)]
    assert [one.handle for one in many[:3]] == ["rat", "rat-2", "rat-3"]
    assert many[9].handle == f"rat-{many[9].id[2:10]}"
    assert await core.agents.create(None, {"name": "Rat"}, agent=many[0].id) == many[0]


async def test_a_copy_of_an_agent_has_a_picture_of_its_own(core: Core) -> None:
    olga = (await core.register.create("olga", role=ServerRole.OWNER)).actor
    maya = await core.agents.create(olga, {"name": "Maya"})
    maya = await core.agents.set_picture(olga, maya.id, PNG)
    copy = await core.agents.duplicate(olga, maya.id)
    assert copy.avatar not in {None, maya.avatar}
    for one in (copy, maya):
        assert await core.profiles.avatar(one.avatar or "") == ("image/png", PNG)
