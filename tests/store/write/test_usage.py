"""What answers used is added up with them: once, whatever is repeated."""

from typing import Any

import pytest
from sqlalchemy import Connection, select
from tests.store.world import World

from palaver.model import Actor, Entry, Role, Room, Status, Turn
from palaver.store.engine.statement import Statement
from palaver.store.schema import usage, waits
from palaver.store.write.turns import FinishTurn, RetryTurn
from palaver.store.write.usage import COUNT_MAX

_ALL = Statement(select(*usage.c).order_by(usage.c.model))
_WAITS = Statement(select(*waits.c["model", "within_ms", "answers"]).order_by(waits.c.within_ms))


def rows(conn: Connection) -> list[Any]:
    return [row._asdict() for row in _ALL.all(conn)]


def waited(conn: Connection) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in _WAITS.all(conn)]


async def asked(world: World, room: Room, by: Actor) -> Turn:
    added = await world.store.write(world.draft(room, by, answers=True))
    return added.turns[0]


def end(
    turn: Turn,
    *,
    fence: int | None = None,
    apart: bool = False,
    first: int | None = None,
    failed: bool = False,
    **used: Any,
) -> FinishTurn:
    meta: dict[str, Any] = {"turn": turn.id, "model": "m-1", "provider": "here", "usage": used}
    meta |= {} if first is None else {"ms": {"first": first, "total": first + 1}}
    entry = Entry(role=Role.ASSISTANT, text="yes", meta=meta)
    held = turn.fence if fence is None else fence
    status = Status.FAILED if failed else Status.DONE
    return FinishTurn(turn=turn.id, fence=held, status=status, entries=(entry,), apart=apart)


async def test_an_answer_is_counted_once_for_who_asked(world: World) -> None:
    ada, bot = await world.person("Ada"), await world.agent()
    room = await world.room(ada, bot)
    first, second = [await asked(world, room, ada) for _ in range(2)]
    await world.store.write(end(first, fence=7, input=1_000, output=1_000))  # of who lost it
    counted = end(first, input=10, output=4, cached=3, cost_micros=25)
    for _ in range(3):
        assert await world.store.write(counted) is not None
    await world.store.write(end(second, apart=True, output=2, estimated=True))
    await world.store.write(end(second, apart=True, output=2, estimated=True))
    await world.store.write(end(second, input=1, output=1, reasoning=1))
    (told,) = await world.store.read(rows)
    assert told.pop("day") == world.clock.now_ms() // 86_400_000
    assert told.pop("asker_key") != told.pop("agent_key")
    assert told == {
        "profile": "here",
        "model": "m-1",
        "answers": 3,
        "input": 11,
        "output": 7,
        "cached": 3,
        "reasoning": 1,
        "cost_micros": 25,
        "unpriced": 2,
        "estimated": 1,
        "failed": 0,
    }


async def test_who_lets_an_answer_go_on_pays_as_who_asked_for_it(world: World) -> None:
    ada, bot = await world.person("Ada"), await world.agent()
    room = await world.room(ada, bot)
    turn = await asked(world, room, ada)
    await world.store.write(end(turn, output=1))
    more = await world.store.write(RetryTurn(message=turn.message, by=ada.id, goes_on=True))
    await world.store.write(end(more, output=1))
    (told,) = await world.store.read(rows)
    assert (told["answers"], told["output"]) == (2, 2)


@pytest.mark.parametrize(
    "used", [{"input": -5}, {"input": "many"}, {"input": 2**53, "output": True}]
)
async def test_numbers_that_are_none_spoil_no_sum(world: World, used: dict[str, Any]) -> None:
    ada, bot = await world.person("Ada"), await world.agent()
    turn = await asked(world, await world.room(ada, bot), ada)
    assert await world.store.write(end(turn, **used)) is not None
    (told,) = await world.store.read(rows)
    assert (told["answers"], told["output"]) == (1, 0)
    assert told["input"] in {0, COUNT_MAX}


async def test_how_soon_answers_begin_is_counted_in_steps_that_are_an_eighth_apart(
    world: World,
) -> None:
    ada, bot = await world.person("Ada"), await world.agent()
    room = await world.room(ada, bot)
    for first in (0, 1, 15, 16, 17, 1_000, 1_001, 599_999):
        ending = end(await asked(world, room, ada), first=first, output=1)
        for _ in range(2):
            await world.store.write(ending)
    told = await world.store.read(waited)
    assert told == [
        ("m-1", within, count)
        for within, count in ((1, 2), (15, 1), (16, 1), (18, 1), (1_024, 2), (655_360, 1))
    ], "each is counted once"


async def test_an_answer_that_failed_is_counted_as_that_whether_it_used_something_or_not(
    world: World,
) -> None:
    ada, bot = await world.person("Ada"), await world.agent()
    room = await world.room(ada, bot)
    for output in (3, None):
        used: dict[str, Any] = {} if output is None else {"output": output}
        ending = end(await asked(world, room, ada), failed=True, first=5, **used)
        for _ in range(2):
            await world.store.write(ending)
    (told,) = await world.store.read(rows)
    assert (told["failed"], told["answers"], told["output"]) == (2, 1, 3)
    assert (told["profile"], told["model"]) == ("here", "m-1")
    assert await world.store.read(waited) == [("m-1", 5, 1)]


async def test_many_answers_of_one_commit_are_one_write_of_usage(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, bot = await world.person("Ada"), await world.agent()
    turns = [await asked(world, await world.room(ada, bot), ada) for _ in range(8)]
    ran: list[str] = []
    run = Statement.run

    def noted(self: Statement, conn: Connection, *values: Any) -> int:
        text = str(self._construct)
        ran.extend(["usage"] if "INTO usage" in text else [])
        return run(self, conn, *values)

    monkeypatch.setattr(Statement, "run", noted)
    futures = [world.store._writers[0].put(end(turn, output=1)) for turn in turns]
    for future in futures:
        await future
    assert len(ran) < len(turns)
    (told,) = await world.store.read(rows)
    assert told["answers"] == len(turns)
