"""The wall clock jumps under a server that talks and streams: nothing is lost, order and time limits do not move."""

import asyncio
from pathlib import Path

import pytest
from tests.faults.client import living
from tests.faults.talker import Talker
from tests.faults.test_disk import nothing_is_lost, talkers_of
from tests.faults.world import World, new_world
from tests.support.server import Serve
from tests.support.shim import Op, Shim

from palaver.core.rooms import LOBBY

pytestmark = [pytest.mark.fault, pytest.mark.slow]

HOUR, DAY = 3_600, 86_400
WORDS = 120
ANSWER_SECONDS_MAX = 90
FAST = {"PALAVER_DATABASE_SECONDS": "3", "PALAVER_PING_SECONDS": "0.5"}


async def seen(listener: Talker, characters: int) -> None:
    """Waits until so much of an answer streamed."""
    async with asyncio.timeout(ANSWER_SECONDS_MAX), listener.changed:
        await listener.changed.wait_for(
            lambda: any(len(text) >= characters for text in listener.texts.values())
        )


async def test_a_clock_that_jumps_changes_nothing_but_the_times_that_are_shown(
    serve: Serve, tmp_path: Path, shim_library: Path
) -> None:
    shim = Shim(shim_library, tmp_path)
    environment = {**FAST, **shim.environment}
    world = await new_world(serve, tmp_path, people=3, environment=environment)
    talkers = talkers_of(world)
    listener = Talker(world.network, name="listener", token=world.tokens[0], room=LOBBY)
    listener.quiet = True
    async with living(*talkers, listener):
        await listener.welcomed(1)
        async with world.http() as http:
            question = {"cid": "question", "text": f"@assistant /long {WORDS}"}
            await http.post(f"/api/rooms/{LOBBY}/messages", json=question)
            for characters, seconds in ((20, -HOUR), (100, DAY), (200, -DAY), (300, 0)):
                await seen(listener, characters)
                shim.jump(seconds)
                await asyncio.gather(*(talker.told(5) for talker in talkers))
                assert (await http.get("/api/me")).json()["name"] == "Guest 0", "sessions go on"
        await listener.settled(3)
        assert {one.connections for one in (*talkers, listener)} == {1}, "nobody is taken for dead"
        assert not any(talker.refusals for talker in talkers), "no limit is reached"
        await what_is_accepted_waits_through_a_jump(world, shim, talkers)
        shim.jump(DAY)
        await world.die()
        shim.jump(-HOUR)
        await asyncio.gather(*(talker.begin() for talker in talkers))
        await asyncio.gather(*(talker.told(5) for talker in talkers))
        await asyncio.gather(*(talker.end() for talker in talkers))
        log = await nothing_is_lost(world, talkers)
    times = [event["at"] for event in log]
    assert times != sorted(times), "the clock did jump"
    async with world.http() as http:
        page = (await http.get(f"/api/rooms/{LOBBY}/messages")).json()["messages"]
        assert (await http.get("/health")).json()["history"] == "whole"
    answer = page[-1]
    assert answer["text"] == " ".join(f"w{number:03d}" for number in range(WORDS))
    assert answer["status"] == "done"
    assert 0 < answer["meta"]["ms"]["total"] < HOUR * 1000, "no jump counts"


async def what_is_accepted_waits_through_a_jump(
    world: World, shim: Shim, talkers: list[Talker]
) -> None:
    shim.fail(Op.WRITE, "palaver.db")
    await asyncio.gather(*(talker.told(5) for talker in talkers))
    assert all(talker.accepted for talker in talkers)
    shim.jump(-HOUR)
    await asyncio.gather(*(talker.told(5) for talker in talkers))
    shim.heal()
    await asyncio.gather(*(talker.end() for talker in talkers))
    assert world.server.alive
