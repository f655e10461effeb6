"""What was used, added up by day, person, agent and model, for one person or for all."""

from msgspec.structs import replace
from tests.store.world import World
from tests.store.write.test_usage import asked, end

from palaver.model import MessageId
from palaver.model.usage import UsedBy
from palaver.store.read import usage

DAY_MS = usage.DAY_MS


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


async def test_half_and_nearly_all_answers_began_within_these_times(world: World) -> None:
    today = world.clock.now_ms() // DAY_MS
    ada, bot = await world.person("Ada"), await world.agent("Bot")
    room = await world.room(ada, bot)
    for first in (*[8] * 9, *[14] * 10, 1_024):
        await world.store.write(end(await asked(world, room, ada), first=first, output=1))
    told = await world.store.read(usage.report, today, today, UsedBy.MODEL)
    for one in (told.total, *told.rows):
        assert (one.answers, one.first_p50_ms, one.first_p95_ms) == (20, 14, 14)
    await world.store.write(end(await asked(world, room, ada), first=1_024, output=1))
    told = await world.store.read(usage.report, today, today, UsedBy.DAY)
    assert (told.total.first_p50_ms, told.total.first_p95_ms) == (14, 1_024)
    assert [one.first_p50_ms for one in told.rows] == [None]
    own = await world.store.read(usage.report, today, today, UsedBy.MODEL, ada.id)
    assert (own.total.answers, own.total.first_p50_ms) == (21, None)
    none = await world.store.read(usage.report, today - 2, today - 1, UsedBy.MODEL)
    assert none.total.first_p95_ms is None


async def test_messages_are_counted_by_the_day_that_their_ids_tell(world: World) -> None:
    today = world.clock.now_ms() // DAY_MS
    ada = await world.person("Ada")
    room = await world.room(ada)
    before = await world.store.read(usage.size)
    for day, count in ((today - 40, 3), (today, 2)):
        for number in range(count):
            digits = f"{day * DAY_MS + number:012x}7{number:03x}8".ljust(32, "0")
            draft = replace(world.draft(room, ada), id=MessageId(f"m_{digits}"))
            await world.store.write(draft)
    days = range(today - 600, today + 1)
    told = await world.store.read(usage.said, days)
    assert {day: count for day, count in told.items() if count} == {today - 40: 3, today: 2}
    assert list(told) == list(days)
    assert await world.store.read(usage.said, []) == {}
    # a server that tidies up meanwhile may take less
    assert min(before, await world.store.read(usage.size)) > 0
