"""What answers used is added up with them: once, whatever is repeated."""

from typing import Any

import pytest
from sqlalchemy import Connection, select
from tests.store.world import World

from palaver.model import Actor, Entry, Role, Room, Status, Turn
from palaver.store.engine.statement import Statement
from palaver.store.schema import usage
from palaver.store.write.turns import FinishTurn, RetryTurn
from palaver.store.write.usage import COUNT_MAX

_ALL = Statement(select(*usage.c).order_by(usage.c.model))


def rows(conn: Connection) -> list[Any]:
    return [row._asdict() for row in _ALL.all(conn)]


async def asked(world: World, room: Room, by: Actor) -> Turn:
    added = await world.store.write(world.draft(room, by, answers=True))
    return added.turns[0]


def end(turn: Turn, *, fence: int | None = None, apart: bool = False, **used: Any) -> FinishTurn:
    meta = {"turn": turn.id, "model": "m-1", "provider": "here", "usage": used}
    entry = Entry(role=Role.ASSISTANT, text="yes", meta=meta)
    held = turn.fence if fence is None else fence
    return FinishTurn(turn=turn.id, fence=held, status=Status.DONE, entries=(entry,), apart=apart)


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
