"""What is reserved is a bound: whatever is asked at once, a budget is overrun by nothing."""

import asyncio
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, func, select
from tests.store.archives import untold
from tests.store.world import World, opened
from tests.store.write.test_usage import asked, end

from palaver.errors import Code, Refused
from palaver.model import AUDIT, Actor, ActorId, Entry, EventType, Role, Turn, TurnId
from palaver.model.usage import BudgetKind, BudgetPeriod, Unkept
from palaver.store.admin.verify import verify
from palaver.store.read import events, usage
from palaver.store.schema import reserves
from palaver.store.write.budgets import Reserve, SetBudget
from palaver.store.write.turns import ClaimTurns, LeaveTurns, RenewLeases
from palaver.store.write.unkept import CountUnkept


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


async def reserved(world: World, answer: Turn | Unkept, **more: float) -> int | None:
    """What is granted; 0 where it is refused, with the time when it is no more."""
    of = answer if isinstance(answer, Unkept) else answer.id
    given: dict[str, Any] = {"answer": of, "input": 10, "output": 90, **more}
    with suppress(Refused):
        return await world.store.write(Reserve(**given))
    with pytest.raises(Refused) as refused:
        await world.store.write(Reserve(**given))
    assert refused.value.code is Code.BUDGET_REACHED
    assert refused.value.retry_ms is not None
    assert 0 < refused.value.retry_ms <= 31 * usage.DAY_MS
    return 0


async def turns_of(world: World, count: int) -> tuple[Actor, Actor, list[Turn]]:
    ada, bot = await world.person("Ada"), await world.agent()
    room = await world.room(ada, bot)
    return ada, bot, [await asked(world, room, ada) for _ in range(count)]


async def test_who_bounds_what_is_audited_and_once(world: World) -> None:
    ada = await world.person("Ada")
    for tokens in (5, 5, None, None):
        await bound(world, BudgetKind.PERSON, ada.id, tokens=tokens)
    told = await world.store.read(events.since, AUDIT, 0, 100)
    place = {"budget": "person", "of": ada.id, "period": "day", "cost_micros": None}
    assert [dict(one.data) for one in told if one.type is EventType.BUDGET_SET] == [
        {**place, "tokens": 5},
        {**place, "tokens": None},
    ]


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
        ada, _, turns = await turns_of(here, 40)
        await bound(here, BudgetKind.PERSON, ada.id, tokens=1_000)
        both = [one for turn in turns for one in (turn, unkept(here, ada))]
        worlds = zip(cycle((here, here, there, there)), both, strict=False)
        granted = await asyncio.gather(*[reserved(world, turn) for world, turn in worlds])
        assert sum(tokens + 10 for tokens in granted if tokens) == 1_000
        (budget,) = await there.store.read(usage.all_budgets, there.clock.now_ms())
    assert budget.used == 1_000


def unkept(world: World, by: Actor, bot: Actor | None = None) -> Unkept:
    return Unkept(id=TurnId(f"t_{world.clock.new_id()}"), by=by.id, agent=bot and bot.id)


def counted(answer: Unkept, tokens: int) -> CountUnkept:
    usage = {"input": 10, "output": tokens}
    entry = Entry(role=Role.ASSISTANT, meta={"provider": "p", "model": "m", "usage": usage})
    return CountUnkept(answer=answer, entry=entry if tokens else None)


@pytest.mark.parametrize("kind", list(BudgetKind))
async def test_fifty_answers_that_nobody_keeps_overrun_a_budget_by_nothing_beside_those_that_are(
    world: World, kind: BudgetKind
) -> None:
    ada, bot, turns = await turns_of(world, 25)
    of = {BudgetKind.PERSON: ada.id, BudgetKind.AGENT: bot.id}.get(kind)
    await bound(world, kind, of, tokens=1_000)
    answers = [unkept(world, ada, bot) for _ in range(25)]
    both = [one for two in zip(answers, turns, strict=True) for one in two]
    granted = await asyncio.gather(*[reserved(world, one) for one in both])
    assert sum(tokens + 10 for tokens in granted if tokens) == 1_000
    given = dict(zip([one.id for one in both], granted, strict=True))
    assert any(given[one.id] for one in answers)
    (budget,) = await world.store.read(usage.all_budgets, world.clock.now_ms())
    assert budget.used == 1_000
    await asyncio.gather(
        *[world.store.write(counted(one, given[one.id] or 0)) for one in answers],
        *[
            world.store.write(end(one, input=10, output=given[one.id]))
            for one in turns
            if given[one.id]
        ],
    )
    (budget,) = await world.store.read(usage.all_budgets, world.clock.now_ms())
    assert budget.used == 1_000
    assert await world.store.read(held) == 0


def held(conn: Connection) -> int:
    """How many reserves there are of answers that nobody keeps."""
    return conn.execute(select(func.count()).select_from(reserves)).scalar_one()


async def test_what_an_answer_that_nobody_keeps_reserves_is_reserved_anew(world: World) -> None:
    ada, other = await world.person("Ada"), await world.person("Bo")
    await bound(world, BudgetKind.PERSON, ada.id, tokens=100)
    answer, theirs = unkept(world, ada), unkept(world, other)
    assert await reserved(world, theirs) is None, "no budget is of them"
    assert await reserved(world, answer, output=40) == 40
    assert await reserved(world, answer, output=80, needed=41) == 80
    assert await reserved(world, unkept(world, ada)) == 0
    assert await world.store.read(held) == 1
    await world.store.write(counted(answer, 0))
    assert await reserved(world, unkept(world, ada)) == 90


async def test_what_a_dead_process_had_reserved_is_free(database_url: str) -> None:
    async with opened(database_url) as dead:
        ada = await dead.person("Ada")
        await bound(dead, BudgetKind.PERSON, ada.id, tokens=100)
        assert await reserved(dead, unkept(dead, ada)) == 90
        owner = dead.store.owner
    async with opened(database_url) as world:
        assert await reserved(world, unkept(world, ada)) == 0
        await world.store.write(ClaimTurns(dead=(owner,)))
        assert await reserved(world, unkept(world, ada)) == 90


@pytest.mark.postgres
async def test_what_a_living_process_has_reserved_stays_until_its_lease_ends(
    postgres_url: str,
) -> None:
    async with opened(postgres_url) as here, opened(postgres_url) as there:
        ada = await here.person("Ada")
        await bound(here, BudgetKind.PERSON, ada.id, tokens=100)
        assert await reserved(here, unkept(here, ada)) == 90
        await there.store.write(ClaimTurns())
        assert await reserved(there, unkept(there, ada)) == 0
        await here.store.write(LeaveTurns())
        await here.store.write(RenewLeases())
        await there.store.write(ClaimTurns())
        assert await reserved(there, unkept(there, ada)) == 0, "it has been renewed"
        await here.store.write(LeaveTurns())
        await there.store.write(ClaimTurns())
        assert await reserved(there, unkept(there, ada)) == 90


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
