"""Who answers a message, and whom it mentions, is decided where it is stored."""

from structlog.testing import capture_logs
from tests.store.world import World, opened

from palaver.model import Actor, MemberRole, Room, Speaks, Visibility
from palaver.store.read import messages
from palaver.store.write.messages import SetMessageDeleted
from palaver.store.write.rooms import AddMember


def add(room: Room, by: Actor, actor: Actor, **more: object) -> AddMember:
    return AddMember(
        room=room.id,
        by=by.id,
        actor=actor.id,
        **{"role": MemberRole.MEMBER, **more},  # type: ignore[arg-type]
    )


async def answering(world: World, room: Room, author: Actor, text: str) -> list[str]:
    """The names of who answers that."""
    added = await world.say(room, author, text, answers=True)
    return [turn.agent_name for turn in added.turns]


async def test_an_agent_speaks_by_itself_while_one_person_may(world: World) -> None:
    ada, bo, eve, bot = [await world.person(name) for name in ("Ada", "Bo", "Eve")] + [
        await world.agent()
    ]
    room = await world.room(ada, bot)
    await world.store.write(add(room, ada, eve, role=MemberRole.READER))
    assert await answering(world, room, ada, "hi") == ["Bot"]
    await world.store.write(add(room, ada, bo))
    assert await answering(world, room, ada, "hi") == []
    said = (await world.say(room, ada, "so?", answers=True)).message
    answer = await world.say(room, bot, "well")
    assert (await world.say(room, bo, "hm", reply_to=said.id, answers=True)).turns == ()
    replying = await world.say(room, bo, "hm", reply_to=answer.message.id, answers=True)
    assert len(replying.turns) == 1
    lobby = await world.room(None, bot, visibility=Visibility.OPEN)
    assert await answering(world, lobby, ada, "hi") == []
    assert len((await world.say(lobby, ada, "hi", answers=True, asks=True)).turns) == 1


async def test_a_mention_is_kept_with_the_message_which_stays_the_same_one(world: World) -> None:
    ada, eve = await world.person(), await world.person("Eve")
    helper, quiet = await world.agent("helper", "helper"), await world.agent("quiet", "quiet")
    room = await world.room(ada)
    for actor, speaks in ((helper, Speaks.MENTIONED), (quiet, Speaks.NEVER)):
        await world.store.write(add(room, ada, actor, speaks=speaks))
    draft = world.draft(room, ada, "@Helper, @quiet, @nobody: who?", answers=True)
    added = await world.store.write(draft)
    assert [turn.agent for turn in added.turns] == [helper.id]
    assert added.message.meta == {"mentions": [helper.id, quiet.id]}
    assert await world.store.read(messages.get, added.message.id) == added.message
    again = await world.store.write(draft)
    assert (again.dup, again.message, again.turns) == (True, added.message, added.turns)
    await world.store.write(SetMessageDeleted(message=added.message.id, by=ada.id, deleted=True))
    assert (await world.store.write(draft)).dup
    everyone = await world.say(room, ada, "@agents", answers=True)
    assert everyone.message.meta == {"mentions": [helper.id, quiet.id]}
    elsewhere = await world.say(await world.room(eve), eve, "@helper", answers=True)
    assert elsewhere.message.meta == {}


async def test_turns_know_who_asked_and_since_when(world: World) -> None:
    ada, bot = await world.person(), await world.agent()
    (turn,) = (await world.say(await world.room(ada, bot), ada, answers=True)).turns
    assert (turn.depth, turn.root_seq, turn.context_seq) == (1, turn.trigger_seq, turn.trigger_seq)


async def test_a_room_pays_one_statement_to_know_who_answers(database_url: str) -> None:
    async with opened(database_url, slow_query_ms=0.000_001) as world:
        ada, bot = await world.person(), await world.agent("bot", "bot")
        alone, together = await world.room(ada), await world.room(ada, bot)
        costs: list[int] = []
        for room, answers in ((alone, False), (alone, True), (together, True)):
            with capture_logs() as logs:
                await world.say(room, ada, answers=answers)
            costs.append(len([entry for entry in logs if entry["event"] == "slow query"]))
    plain, empty, answered = costs
    assert empty == plain + 1
    assert answered == plain + 2, "the other one inserts the turn"
