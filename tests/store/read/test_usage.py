"""What was used, added up by day, person, agent and model, for one person or for all."""

from tests.store.world import World
from tests.store.write.test_usage import asked, end

from palaver.model.usage import UsedBy
from palaver.store.read import usage


async def test_usage_is_parted_by_what_one_asks_for(world: World) -> None:
    today = world.clock.now_ms() // usage.DAY_MS
    ada, bo, bot = await world.person("Ada"), await world.person("Bo"), await world.agent("Bot")
    for person, tokens in ((ada, 1), (bo, 10), (bo, 100)):
        turn = await asked(world, await world.room(person, bot), person)
        await world.store.write(end(turn, input=tokens, output=tokens))
    told = await world.store.read(usage.report, today, today, UsedBy.PERSON)
    assert [(one.name, one.id, one.input) for one in told.rows] == [
        ("Bo", bo.id, 110),
        ("Ada", ada.id, 1),
    ]
    assert (told.total.answers, told.total.unpriced, told.since) == (
        3,
        3,
        usage.date_of(world.clock.now_ms()),
    )
    own = await world.store.read(usage.report, today, today, UsedBy.AGENT, ada.id)
    assert [(one.name, one.id, one.output) for one in own.rows] == [("Bot", bot.id, 1)]
    for by, name in ((UsedBy.MODEL, "here/m-1"), (UsedBy.DAY, told.since)):
        (row,) = (await world.store.read(usage.report, today - 3, today + 3, by)).rows
        assert (row.name, row.input) == (name, 111)
    before = await world.store.read(usage.report, today - 9, today - 1, UsedBy.MODEL)
    assert (before.rows, before.total.answers) == ((), 0)
