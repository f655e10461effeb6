"""The demonstration: made, found by everyone, made again, taken away and brought back."""

from palaver.core.demo import AGENTS, SCENES
from palaver.core.runtime import Core
from palaver.model import Role, ServerRole, Visibility


async def test_its_rooms_are_found_and_hold_what_was_said(core: Core) -> None:
    assert await core.demo.make() == {"people": 3, "agents": 4, "rooms": 6}
    _, guest = await core.identity.new_guest()
    found, _ = await core.rooms.listing(guest, limit=50, opened=True)
    rooms = {room.title: room for room in found}
    assert {scene.title for scene in SCENES} <= rooms.keys()
    packing, trip = rooms["What to pack"], rooms["Weekend in Ghent"]
    assert packing.parent == trip.id
    page = await core.chat.history(guest, trip.id)
    names = ["Ada", "Maya", "Cy", "Ivo", "Ada"]
    assert [message.name for message in page.messages] == names
    assert [message.role for message in page.messages][:2] == [Role.USER, Role.ASSISTANT]
    sent = await core.chat.send(guest, trip.id, text="I come, too.", cid="1")
    assert sent.state == "stored"


async def test_made_again_it_adds_nothing_and_removed_it_comes_back_whole(core: Core) -> None:
    await core.demo.make()
    _, guest = await core.identity.new_guest()
    found, _ = await core.rooms.listing(guest, limit=50, opened=True)
    seqs = {room.id: room.seq for room in found}
    await core.demo.make()
    found, _ = await core.rooms.listing(guest, limit=50, opened=True)
    assert {room.id: room.seq for room in found} == seqs
    assert await core.demo.remove() == {"rooms": 6}
    assert await core.demo.remove() == {"rooms": 0}
    found, _ = await core.rooms.listing(guest, limit=50, opened=True)
    assert not {room.title for room in found} & {scene.title for scene in SCENES}
    assert not {card.name for card in await core.agents.listing(None)} & {
        name for name, *_ in AGENTS.values()
    }
    await core.demo.make()
    found, _ = await core.rooms.listing(guest, limit=50, opened=True)
    assert {room.id for room in found} == seqs.keys()
    assert len(await core.agents.listing(None)) == 1 + len(AGENTS)


async def test_its_handles_give_way_and_whoever_owns_the_server_is_a_member(core: Core) -> None:
    mine = await core.agents.create(None, {"name": "My Maya", "handle": "maya"})
    olga = (await core.register.create("olga", role=ServerRole.OWNER)).actor
    await core.demo.make()
    rooms, _ = await core.rooms.listing(olga, limit=50)
    assert {scene.title for scene in SCENES} <= {room.title for room in rooms}
    handles = {card.handle for card in await core.agents.listing(None)}
    assert {"maya", "max", "tess", "ivo"} <= handles
    assert (await core.agents.get(None, mine.id)).name == "My Maya"


async def test_made_again_it_leaves_alone_what_somebody_changed(core: Core) -> None:
    await core.demo.make()
    _, guest = await core.identity.new_guest()
    before, _ = await core.rooms.listing(guest, limit=50, opened=True)
    room = next(one for one in before if one.title == "Code review")
    cards = {card.name: card for card in await core.agents.listing(None)}
    max_, maya = cards["Max"], cards["Maya"]
    changed = await core.agents.change(None, max_.id, {"name": "Maxine", "persona": "Be kind."})
    kept = await core.agents.change(None, maya.id, {"handle": "planner", "description": "Mine."})
    there, _ = await core.members.page(guest, room.id, limit=50)
    people = {one.actor.name: one.actor for one in there}
    member = people["Ada"]
    await core.members.remove(member, room.id, max_.id)
    await core.members.remove(member, room.id, people["Bo"].id)
    await core.rooms.open_to(member, room.id, None)
    await core.rooms.set_archived(member, room.id, archived=True)
    seq = (await core.access.room(member, room.id)).seq
    await core.demo.make()
    assert await core.agents.get(None, max_.id) == changed
    assert await core.agents.get(None, maya.id) == kept
    found = await core.access.room(member, room.id)
    assert (found.seq, found.visibility) == (seq, Visibility.PRIVATE)
