"""PostgreSQL goes away in every way: what was said meanwhile is kept, shown, and stored once when it is back."""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.faults.client import living
from tests.faults.outage import Patient, Town, health, new_town
from tests.faults.world import acknowledged, everything_is_right
from tests.support.postgres import PostgresServer, running_postgres
from tests.support.proxy import AtCommit, way_to
from tests.support.server import Serve

pytestmark = [pytest.mark.fault, pytest.mark.slow, pytest.mark.postgres, pytest.mark.timeout(400)]

ACKS = 40


@asynccontextmanager
async def away(server: PostgresServer, end: Callable[[], None]) -> AsyncGenerator[None]:
    """The server is ended for as long as the block runs."""
    await asyncio.to_thread(end)
    try:
        yield
    finally:
        await asyncio.to_thread(server.start)


async def accepted_and_seen(patients: list[Patient]) -> None:
    """Waits until everything that is on its way is accepted, and each has seen it of the others."""
    for patient in patients:
        await patient.until(lambda one=patient: one.everything_is_accepted)
    told = {patient.accepted[cid] for patient in patients for cid in patient.waiting}
    for patient in patients:
        await patient.until(lambda one=patient: one.drafted >= told)


async def test_what_is_said_while_postgres_is_away_is_kept_shown_and_stored_once(
    serve: Serve, tmp_path: Path, postgres_server: PostgresServer, postgres_url: str
) -> None:
    town = await new_town(serve, tmp_path, [postgres_url], people=4)
    [world] = town.worlds
    patients = town.patients(window=4)
    async with living(*patients):
        for end in (postgres_server.kill, postgres_server.stop_at_once):
            await acknowledged(patients, ACKS)
            async with away(postgres_server, end):
                await accepted_and_seen(patients)
        await acknowledged(patients, ACKS)
        async with away(postgres_server, postgres_server.stop):
            await accepted_and_seen(patients)
            for patient in patients:
                await patient.until(lambda one=patient: one.db[-1:] == ["down"])
            found = await health(world)
            assert (found["db"], found["status"]) == ("down", "degraded")
        for patient in patients:
            await patient.until(lambda one=patient: one.db[-1:] == ["up"])
        assert (await health(world))["db"] == "up"
        await everything_is_right(world, patients)
    assert all(patient.connections == 1 for patient in patients), "nobody was sent away"


async def test_killed_backends_cost_nothing(
    serve: Serve, tmp_path: Path, postgres_server: PostgresServer, postgres_url: str
) -> None:
    town = await new_town(serve, tmp_path, [postgres_url], people=4)
    patients = town.patients(window=4)
    async with living(*patients):
        for _ in range(5):
            await acknowledged(patients, ACKS)
            postgres_server.throw_out(postgres_url)
        await acknowledged(patients, ACKS)
        postgres_server.kill_a_backend(postgres_url)  # after which PostgreSQL throws out everyone
        await acknowledged(patients, ACKS)
        await everything_is_right(town.worlds[0], patients)
    assert all(patient.connections == 1 for patient in patients), "nobody was sent away"
    assert all(set(patient.db) <= {"down", "up"} for patient in patients)


async def lived_through_commits(
    serve: Serve, tmp_path: Path, postgres_url: str, *, faults: int, seed: int
) -> Town:
    """COMMITs are lost on their way there, on their way back, or never answered."""
    chance = random.Random(seed)
    async with way_to(int(postgres_url.rpartition(":")[2].partition("/")[0])) as way:
        town = await new_town(serve, tmp_path, [way.url(postgres_url)], people=4)
        patients = town.patients(window=4)
        async with living(*patients):
            kinds = [*AtCommit] * faults
            chance.shuffle(kinds)
            for kind in kinds:
                await acknowledged(patients, chance.randint(1, ACKS))
                way.fail_next_commit(kind)
                async with asyncio.timeout(20):
                    await way.struck.wait()
            await acknowledged(patients, ACKS)
            await everything_is_right(town.worlds[0], patients)
        assert way.faults == len(kinds)
        assert all(patient.connections == 1 for patient in patients), "nobody was sent away"
        assert any(patient.accepted for patient in patients), "some did not know how it ended"
    return town


async def test_a_commit_whose_end_is_unknown_is_settled_once(
    serve: Serve, tmp_path: Path, postgres_url: str
) -> None:
    await lived_through_commits(serve, tmp_path, postgres_url, faults=2, seed=1)


async def test_a_synchronous_standby_takes_over_and_nothing_is_lost(
    serve: Serve, tmp_path: Path
) -> None:
    with running_postgres() as first, first.standby() as second:
        name = first.create_database()
        async with way_to(first.port) as way:
            town = await new_town(serve, tmp_path, [way.url(first.url(name))], people=4)
            [world] = town.worlds
            patients = town.patients(window=4)
            async with living(*patients):
                await acknowledged(patients, 200)
                await asyncio.to_thread(first.kill)
                await accepted_and_seen(patients)
                way.target = second.port  # which only reads as yet
                await accepted_and_seen(patients)
                await asyncio.to_thread(second.promote)
                await acknowledged(patients, ACKS)
                await everything_is_right(world, patients)
                assert (await health(world))["history"] == "whole"
        assert all(patient.connections == 1 for patient in patients), "nobody was sent away"
