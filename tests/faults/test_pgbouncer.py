"""Behind PgBouncer in transaction mode, where no connection is anybody's own, everything is as it is without."""

import asyncio
from collections.abc import Generator
from pathlib import Path

import pytest
from tests.faults.client import living
from tests.faults.outage import new_town
from tests.faults.world import acknowledged, everything_is_right
from tests.support.command import palaver
from tests.support.pooler import Pooler, find_pgbouncer, running_pooler
from tests.support.postgres import PostgresServer
from tests.support.server import Serve

pytestmark = [pytest.mark.fault, pytest.mark.slow, pytest.mark.postgres, pytest.mark.timeout(400)]

ACKS = 40


@pytest.fixture
def pooler(postgres_server: PostgresServer) -> Generator[Pooler]:
    program = find_pgbouncer()
    if isinstance(program, str):
        pytest.skip(program)
    with running_pooler(program, postgres_server) as running:
        yield running


async def test_two_servers_behind_a_pooler_share_a_room(
    serve: Serve, tmp_path: Path, pooler: Pooler, postgres_url: str
) -> None:
    # one listens beside the pooler, the other one only asks
    town = await new_town(
        serve,
        tmp_path,
        [pooler.url(postgres_url)] * 2,
        people=4,
        agent=True,
        environments=[{"PALAVER_LISTEN_URL": postgres_url}, {"PALAVER_LISTEN_URL": ""}],
    )
    patients = town.patients(window=4, text="/long 20")
    async with living(*patients):
        await acknowledged(patients, ACKS)
        pooler.kill()
        for patient in patients:
            await patient.until(lambda one=patient: one.everything_is_accepted)
        await asyncio.to_thread(pooler.start)
        await acknowledged(patients, ACKS)
        for patient in patients:
            patient.quiet = True
        for patient in patients:
            await patient.settled()
        questions = sum(len(patient.acks) for patient in patients)
        await patients[0].until(lambda: patients[0].messages >= 2 * questions)
        await everything_is_right(town.worlds[0], patients)
    assert all(patient.connections == 1 for patient in patients), "nobody was sent away"


@pytest.mark.torture
def test_commands_work_behind_a_pooler_too(
    tmp_path: Path, pooler: Pooler, postgres_url: str
) -> None:
    url, direct = pooler.url(postgres_url), {"PALAVER_LISTEN_URL": postgres_url}
    assert palaver(tmp_path, "db", "upgrade", environment={"DATABASE_URL": url}).code == 0
    for address, more, pooler_is in (
        (url, direct, "ok"),
        (url, {}, "warn"),
        (url.partition("?")[0], direct, "warn"),
        (postgres_url, {}, None),
    ):
        environment = {"DATABASE_URL": address, **more}
        told = palaver(tmp_path, "doctor", "--json", environment=environment).json
        states = {check["name"]: check["state"] for check in told["checks"]}
        assert states["postgresql"] == "ok"
        assert states.get("pooler") == pooler_is
