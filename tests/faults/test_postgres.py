"""PostgreSQL goes away in every way: what was said meanwhile is kept, shown, and stored once when it is back."""

import asyncio
import json
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.faults.client import living
from tests.faults.outage import Patient, health, new_town
from tests.faults.world import World, acknowledged, everything_is_right
from tests.support.command import palaver
from tests.support.postgres import PostgresServer, running_postgres
from tests.support.proxy import AtCommit, way_to
from tests.support.server import Serve

pytestmark = [pytest.mark.fault, pytest.mark.slow, pytest.mark.postgres, pytest.mark.timeout(400)]

ACKS = 40
ENDS = ["kill", "stop", "stop_at_once"]


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


@pytest.mark.parametrize(
    "end", ["kill", *[pytest.param(end, marks=pytest.mark.torture) for end in ENDS[1:]]]
)
async def test_what_is_said_while_postgres_is_away_is_kept_shown_and_stored_once(
    serve: Serve, tmp_path: Path, postgres_server: PostgresServer, postgres_url: str, end: str
) -> None:
    town = await new_town(serve, tmp_path, [postgres_url], people=4)
    [world] = town.worlds
    patients = town.patients(window=4)
    async with living(*patients):
        await acknowledged(patients, ACKS)
        for patient in patients:
            patient.db.clear()  # a machine that is slow enough may have been told of before
        async with away(postgres_server, getattr(postgres_server, end)):
            await accepted_and_seen(patients)
            for patient in patients:
                await patient.until(lambda one=patient: one.db == ["down"])
            found = await health(world)
            assert (found["db"], found["status"]) == ("down", "degraded")
        for patient in patients:
            patient.quiet = True  # it is `up` once it has caught up
        for patient in patients:
            await patient.until(lambda one=patient: one.db == ["down", "up"])
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
) -> None:
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
                async with asyncio.timeout(60):
                    await way.struck.wait()
            await acknowledged(patients, ACKS)
            await everything_is_right(town.worlds[0], patients)
        assert way.faults == len(kinds)
        assert all(patient.connections == 1 for patient in patients), "nobody was sent away"
        assert any(patient.accepted for patient in patients), "some did not know how it ended"


async def test_a_commit_whose_end_is_unknown_is_settled_once(
    serve: Serve, tmp_path: Path, postgres_url: str
) -> None:
    await lived_through_commits(serve, tmp_path, postgres_url, faults=1, seed=1)


@pytest.mark.torture
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("seed", range(2, 5))
async def test_commits_whose_ends_are_unknown_for_long(
    serve: Serve, tmp_path: Path, postgres_url: str, effort: float, seed: int
) -> None:
    faults = max(1, round(effort * 2))
    await lived_through_commits(serve, tmp_path, postgres_url, faults=faults, seed=seed)


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
                assert failover(tmp_path, first.url(name)) == "ok"
                await asyncio.to_thread(first.kill)
                await accepted_and_seen(patients)
                way.target = second.port  # which only reads as yet
                await accepted_and_seen(patients)
                await asyncio.to_thread(second.promote)
                await acknowledged(patients, ACKS)
                await everything_is_right(world, patients)
                assert (await health(world))["history"] == "whole"
        assert all(patient.connections == 1 for patient in patients), "nobody was sent away"


@pytest.mark.torture
async def test_an_asynchronous_standby_may_lose_and_everyone_is_told(
    serve: Serve, tmp_path: Path
) -> None:
    with running_postgres() as first, first.standby(synchronous=False) as second:
        name = first.create_database()
        assert failover(tmp_path, first.url(name)) == "warn"
        async with way_to(first.port) as way:
            town = await new_town(serve, tmp_path, [way.url(first.url(name))], people=4)
            [world] = town.worlds
            patients = town.patients(window=4)
            async with living(*patients):
                await acknowledged(patients, 200)
                await asyncio.to_thread(second.unfollow)
                before = patients[0].seq
                while marked(world, world.room) <= before:  # it is written once a second
                    await acknowledged(patients, ACKS)
                await asyncio.to_thread(first.kill)
                way.target = second.port
                await asyncio.to_thread(second.promote)
                for patient in patients:
                    await patient.until(lambda one=patient: "reset: epoch" in one.complaints)
                assert (await health(world))["history"] == "behind"


def failover(folder: Path, url: str) -> str:
    """What `palaver doctor` says of it."""
    told = palaver(folder, "doctor", "--json", "--database-url", url).json
    return next(check["state"] for check in told["checks"] if check["name"] == "failover")


def marked(world: World, room: str) -> int:
    """How far the server has noted down that the room is."""
    noted = json.loads((world.server.data / "mark.json").read_bytes())["places"]
    return max((seq for place, seq, _ in noted if place == room), default=0)
