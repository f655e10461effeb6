"""What is reserved is a bound: whatever is asked at once, a budget is overrun by nothing."""

import asyncio
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from tests.store.archives import untold
from tests.store.world import World, opened
from tests.store.write.test_usage import asked, end

from palaver.errors import Code, Refused
from palaver.model import Actor, ActorId, EventType, Turn
from palaver.model.usage import BudgetKind, BudgetPeriod
from palaver.store.admin.verify import verify
from palaver.store.read import usage
from palaver.store.write.budgets import Reserve, SetBudget


async def bound(
    world: World,
    kind: BudgetKind,
    of: ActorId | None = None,
    *,
    tokens: int | None = None,
    micros: int | None = None,
    period: BudgetPeriod = BudgetPeriod.DAY,
) -> None:
    await world.store.write(
        SetBudget(kind=kind, of=of, period=period, tokens=tokens, cost_micros=micros)
    )


async def reserved(world: World, turn: Turn, **more: float) -> int | None:
    """What is granted; 0 where it is refused, with the time when it is no more."""
    given: dict[str, Any] = {"input": 10, "output": 90, **more}
    with suppress(Refused):
        return await world.store.write(Reserve(turn=turn.id, **given))
    with pytest.raises(Refused) as refused:
        await world.store.write(Reserve(turn=turn.id, **given))
    assert refused.value.code is Code.BUDGET_REACHED
    assert refused.value.retry_ms is not None
    assert 0 < refused.value.retry_ms <= 31 * usage.DAY_MS
    return 0


async def turns_of(world: World, count: int) -> tuple[Actor, Actor, list[Turn]]:
    ada, bot = await world.person("Ada"), await world.agent()
    room = await world.room(ada, bot)
    return ada, bot, [await asked(world, room, ada) for _ in range(count)]


@pytest.mark.parametrize("kind", list(BudgetKind))
async def test_fifty_answers_at_once_overrun_a_budget_by_nothing(
    world: World, kind: BudgetKind
) -> None:
    ada, bot, turns = await turns_of(world, 50)
    of = {BudgetKind.PERSON: ada.id, BudgetKind.AGENT: bot.id}.get(kind)
    await world.store.write(end(turns.pop(), input=300, output=30))
    await bound(world, kind, of, tokens=1_000)
    granted = await asyncio.gather(*[reserved(world, turn) for turn in turns])
    assert sorted([one or 0 for one in granted], reverse=True)[:8] == [
        90,
        90,
        90,
        90,
        90,
        90,
        60,
        0,
    ]
    (budget,) = await world.store.read(usage.all_budgets, world.clock.now_ms())
    assert budget.used == 1_000
    ends = [
        end(turn, input=10, output=tokens)
        for turn, tokens in zip(turns, granted, strict=True)
        if tokens
    ]
    await asyncio.gather(*map(world.store.write, ends))
    (budget,) = await world.store.read(usage.all_budgets, world.clock.now_ms())
    assert budget.used == 1_000


def test_a_room_is_told_of_each_answer_that_a_budget_refuses_behind_all_that_is_said(
    database_url: str, tmp_path: Path
) -> None:
    async def said() -> list[Any]:
        async with opened(database_url, data_dir=tmp_path) as world:
            ada, bot = await world.person("Ada"), await world.agent()
            room = await world.room(ada, bot)
            await bound(world, BudgetKind.AGENT, bot.id, tokens=0)
            drafts = [world.draft(room, ada, str(number), answers=True) for number in range(30)]
            await asyncio.gather(*map(world.store.write, drafts))
            return [one.data for one in await world.log(room) if one.type is EventType.TURN_REFUSED]

    told = asyncio.run(said())
    assert len(told) == 30
    assert verify(database_url, untold).faults == []


@pytest.mark.postgres
async def test_two_processes_overrun_a_budget_by_nothing_together(postgres_url: str) -> None:
    async with opened(postgres_url) as here, opened(postgres_url) as there:
        ada, _, turns = await turns_of(here, 60)
        await bound(here, BudgetKind.PERSON, ada.id, tokens=1_000)
        worlds = zip(cycle((here, there)), turns, strict=False)
        granted = await asyncio.gather(*[reserved(world, turn) for world, turn in worlds])
        assert sum(tokens + 10 for tokens in granted if tokens) == 1_000
        (budget,) = await there.store.read(usage.all_budgets, there.clock.now_ms())
    assert budget.used == 1_000


async def test_what_an_answer_did_not_use_of_its_reserve_is_there_again(world: World) -> None:
    ada, _, (first, second, third) = await turns_of(world, 3)
    await bound(world, BudgetKind.PERSON, ada.id, tokens=100)
    assert await reserved(world, first) == 90
    assert await reserved(world, first) == 90  # taken over after a crash: the same once more
    assert await reserved(world, second) == 0
    await world.store.write(end(first, input=10, output=5))
    assert await reserved(world, second) == 75
    await world.store.write(end(second, input=1, output=0))
    await bound(world, BudgetKind.PERSON, ada.id)  # no more
    assert await reserved(world, third) is None


async def test_a_budget_is_of_whom_it_is_for_and_of_its_period(world: World) -> None:
    ada, bot, (turn,) = await turns_of(world, 1)
    bo, _, (other,) = await turns_of(world, 1)
    await bound(world, BudgetKind.PERSON, ada.id, tokens=0)
    await bound(world, BudgetKind.PERSON, ada.id, tokens=10_000, period=BudgetPeriod.MONTH)
    await bound(world, BudgetKind.AGENT, bot.id, tokens=10_000)
    assert await reserved(world, turn) == 0
    assert await reserved(world, other) is None
    await bound(world, BudgetKind.SERVER, tokens=50)
    assert await reserved(world, other) == 40
    standing = await world.store.read(usage.standing, bo.id, world.clock.now_ms())
    assert [(one.kind, one.used) for one in standing] == [(BudgetKind.SERVER, 50)]


async def test_money_bounds_as_far_as_prices_are_known(world: World) -> None:
    ada, _, (priced, unpriced, free) = await turns_of(world, 3)
    await bound(world, BudgetKind.PERSON, ada.id, micros=100)
    assert await reserved(world, priced, input_micros=20, output_micros=1.5) == 53
    assert await reserved(world, unpriced) == 90
    assert await reserved(world, free, input_micros=1, output_micros=0.1) == 0
    await world.store.write(end(priced, output=10, cost_micros=35))
    assert await reserved(world, free, input_micros=1, output_micros=1) == 64


async def test_a_budget_is_of_somebody_who_is_there(world: World) -> None:
    ada, bot, _ = await turns_of(world, 0)
    for kind, of in (
        (BudgetKind.PERSON, bot.id),
        (BudgetKind.AGENT, ada.id),
        (BudgetKind.PERSON, ActorId("u_" + "0" * 32)),
    ):
        with pytest.raises(Refused) as refused:
            await bound(world, kind, of, tokens=1)
        assert refused.value.code is Code.NOT_FOUND
    assert await world.store.read(usage.all_budgets, world.clock.now_ms()) == ()
