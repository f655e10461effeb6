"""Agents as they are kept: each change of a card is a version, and a handle is one agent's or person's alone."""

import pytest
from tests.store.read.test_actors import newcomer
from tests.store.world import World

from palaver.errors import Code, Refused
from palaver.model import ActorKind
from palaver.model.agents import Audience
from palaver.store.read import actors, agents
from palaver.store.write import agents as saving
from palaver.store.write.actors import AddActor
from palaver.store.write.agents import SaveAgent, blob_of


def save(world: World, subject: str = "bot", **changes: object) -> SaveAgent:
    bot = newcomer(world, subject, ActorKind.AGENT)
    skeleton = str(changes["handle"]) if "handle" in changes else None
    return SaveAgent(id=bot.id, subject=subject, changes=changes, skeleton=skeleton)


async def test_a_change_is_a_version_and_the_same_card_again_is_none(world: World) -> None:
    first = await world.store.write(
        save(world, name="Bot", persona="Be\0kind", parameters={"heat": 0.5}, tags=("a", "b"))
    )
    assert (first.version, first.owner, first.audience) == (1, None, Audience.EVERYONE)
    assert await world.store.write(save(world, name="Bot", persona="Be\0kind")) == first
    second = await world.store.write(save(world, name="Bot two", model="m-1"))
    assert (second.id, second.version, second.persona) == (first.id, 2, "Be\0kind")
    assert await world.store.read(agents.get, first.id) == second
    told = await world.store.read(agents.versions, first.id, before=10, count=10)
    assert [one.card for one in told] == [second.card, first.card]
    assert [one.version for one in told] == [2, 1]


async def test_only_the_newest_versions_are_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "VERSIONS_MAX", 2)
    cards = [await world.store.write(save(world, persona=f"{number}")) for number in range(4)]
    told = await world.store.read(agents.versions, cards[0].id, before=10, count=10)
    assert [one.version for one in told] == [4, 3]


async def test_a_handle_is_one_agents_or_persons_alone(world: World) -> None:
    bot = await world.store.write(save(world, handle="bot"))
    assert (bot.handle, bot.actor.handle) == ("bot", "bot")
    await world.store.write(AddActor(actor=newcomer(world, "Ada"), handle="ada"))
    for taken in ("bot", "ada"):
        with pytest.raises(Refused) as caught:
            await world.store.write(save(world, "other", handle=taken))
        assert caught.value.code is Code.HANDLE_TAKEN
    with pytest.raises(Refused) as caught:
        await world.store.write(save(world, "ada", name="Bot"))
    assert caught.value.code is Code.NAME_RESERVED
    assert list(await world.store.read(agents.by_name)) == ["bot"]


async def test_what_only_a_forgotten_version_refers_to_goes_with_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "VERSIONS_MAX", 2)
    bot = newcomer(world, "bot", ActorKind.AGENT)
    pictures = [blob_of(bot.id, "image/png", bytes([number])) for number in range(3)]
    card = blob_of(bot.id, "application/json", b"{}")

    async def there() -> list[bool]:
        read = world.store.read
        return [await read(actors.blob, one.digest) is not None for one in (*pictures, card)]

    async def saved(picture: int, **changes: object) -> list[bool]:
        avatar = pictures[picture]
        changes = {"avatar": avatar.digest.hex(), **changes}
        saving = SaveAgent(id=bot.id, subject="bot", changes=changes, blobs=(avatar, card))
        await world.store.write(saving)
        return await there()

    assert await saved(0, source=card.digest.hex()) == [True, False, False, True]
    assert await saved(1) == [True, True, False, True]
    assert await saved(0) == [True, True, False, True], "the first is forgotten, its picture not"
    assert await saved(2) == [True, False, True, True]
    assert await saved(2, name="Bot two") == [False, False, True, True]
