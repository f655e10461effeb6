"""Who answers a message, and whom it mentions, is decided where it is stored."""

from structlog.testing import capture_logs
from tests.store.world import World, opened

from palaver.model import (
    Actor,
    ActorId,
    EventType,
    MemberRole,
    MessageId,
    Room,
    Speaks,
    TurnId,
    Visibility,
)
from palaver.model.agents import Audience
from palaver.model.usage import BudgetKind, BudgetPeriod
from palaver.store.read import members, messages, turns
from palaver.store.write.agents import SaveAgent, ShareAgent
from palaver.store.write.budgets import SetBudget
from palaver.store.write.messages import SetMessageDeleted
from palaver.store.write.rooms import AddMember
from palaver.store.write.turns import OpenTurn


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


async def owned(world: World, by: Actor, name: str) -> Actor:
    """An agent of somebody's, for them alone."""
    changes = {"name": name, "handle": name, "bot": True}
    id_ = ActorId(f"a_{world.clock.new_id()}")
    made = SaveAgent(id=id_, subject=id_, by=by.id, changes=changes, skeleton=name)
    return (await world.store.write(made)).actor


async def test_whom_an_agent_answers_is_told_to_them_by_the_rule_that_refuses(world: World) -> None:
    ada, bo, cy = [await world.person(name) for name in ("Ada", "Bo", "Cy")]
    room = await world.room(ada)
    agents = {name: await owned(world, ada, name) for name in ("mine", "some", "all", "gone")}
    agents["bot"], agents["servers"] = [await world.agent(one, one) for one in ("bot", "servers")]
    for one in (bo, cy):
        await world.store.write(add(room, ada, one))
    for one in agents.values():
        await world.store.write(add(room, ada, one, speaks=Speaks.MENTIONED))
    seq = (await world.log(room))[-1].seq
    for name, changes in (
        ("some", {"audience": Audience.SOME, "people": (bo.id,)}),
        ("all", {"audience": Audience.EVERYONE}),
        ("gone", {"archived": True}),
    ):
        sharing = ShareAgent(id=agents[name].id, **changes)  # pyright: ignore[reportArgumentType]
        await world.store.write(sharing)
    told = [(one.type, one.data) for one in (await world.log(room)) if one.seq > seq]
    changed = [{"actor": agents[name].id} for name in ("some", "all", "gone")]
    assert told == [(EventType.MEMBER_RENAMED, data) for data in changed], (
        "whoever reads looks anew"
    )
    expected = {
        ada: {"mine", "some", "all", "bot", "servers"},
        bo: {"some", "all", "bot", "servers"},
        cy: {"all", "bot", "servers"},
        agents["bot"]: {"all", "servers", "bot"},
        agents["mine"]: {"mine", "some", "all", "bot", "servers"},
    }
    for asker, names in expected.items():
        page, _ = await world.store.read(members.page, room.id, limit=100, asker=asker.id)
        mine = {one.actor.name for one in page if one.for_me}
        assert mine == names, asker.name
        assert {one.for_me for one in page if one.speaks is None} == {None}
        for name, agent in agents.items():
            one = await world.store.read(members.get, room.id, agent.id, asker.id)
            assert one is not None
            assert one.for_me is (name in names)
        answered = await answering(world, room, asker, " ".join(f"@{one}" for one in agents))
        assert {*answered} | {asker.name} == names | {asker.name}, "it never answers itself"


async def test_what_a_bot_says_by_itself_is_set_off_by_its_owner(world: World) -> None:
    ada, mal = await world.person(), await world.person("Mal")
    private, bot, own = [
        await owned(world, by, name) for by, name in ((ada, "hers"), (mal, "bot"), (mal, "own"))
    ]
    servers, helper = await world.agent("servers", "servers"), await world.agent("help", "help")
    room, elsewhere = await world.room(ada), await world.room(ada, bot, helper)
    for actor in (private, own, bot, servers, helper):
        await world.store.write(add(room, ada, actor, speaks=Speaks.MENTIONED))
    for anybody_spoke in (False, True):
        if anybody_spoke:
            await world.say(room, ada)
        everyone = "@hers @own @help"
        assert await answering(world, room, bot, everyone) == ["own", "help"]
        assert await answering(world, room, servers, everyone) == ["help"]
    (turn,) = (await world.say(elsewhere, bot, "@help", answers=True)).turns
    assert await world.store.read(turns.asker_id, turn.id) == mal.id
    assert not await world.store.read(turns.unwanted, [turn.id]), "its owner need not be there"
    ids = (TurnId(f"t_{world.clock.new_id()}"), MessageId(f"m_{world.clock.new_id()}"))
    answer = OpenTurn(
        turn=ids[0], message=ids[1], room=(await world.room(ada, bot)).id, agent=bot.id
    )
    await world.store.write(answer)
    assert await world.store.read(turns.asker_id, answer.turn) == mal.id
    budget = {"kind": BudgetKind.PERSON, "period": BudgetPeriod.DAY, "cost_micros": None}
    await world.store.write(SetBudget(**budget, of=mal.id, tokens=0))  # pyright: ignore[reportArgumentType]
    assert await answering(world, room, bot, "@help") == []
    assert await answering(world, room, servers, "@help") == ["help"]
