"""Several servers, as on several machines, on one PostgreSQL: any of them may sleep, die, or lose the way to it."""

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from tests.faults.client import Json, living
from tests.faults.outage import Patient, Town, new_town
from tests.faults.world import World, acknowledged, everything_is_right
from tests.support.postgres import PostgresServer
from tests.support.proxy import Way, way_to
from tests.support.server import Serve

pytestmark = [pytest.mark.fault, pytest.mark.slow, pytest.mark.postgres, pytest.mark.timeout(400)]

SERVERS = 3
ACKS = 20
EXPIRE = "UPDATE turns SET lease_until_ms = 0 WHERE state = 'open'"
"""What half a minute of sleep does: the leases are over, on the database's clock."""


class Disaster:
    """A town whose servers each have a way of their own to the database."""

    def __init__(
        self, town: Town, ways: Sequence[Way], postgres: PostgresServer, database: str
    ) -> None:
        self.town = town
        self.ways = ways
        self.postgres = postgres
        self.database = database
        self.patients: list[Patient] = []

    def at(self, number: int) -> list[Patient]:
        """Who is on that server."""
        return self.patients[number::SERVERS]

    def elsewhere(self, number: int) -> list[Patient]:
        here = self.at(number)
        return [patient for patient in self.patients if patient not in here]

    async def expire(self) -> None:
        await asyncio.to_thread(self.postgres.execute, EXPIRE, self.database)

    async def strike(self, kind: str, number: int) -> None:
        """One misfortune of one server, from its beginning to its end."""
        world, way = self.town.worlds[number], self.ways[number]
        match kind:
            case "hold" | "close":
                (way.hold if kind == "hold" else way.close)()
                await acknowledged(self.elsewhere(number), ACKS)
                for patient in self.at(number):
                    await patient.until(lambda one=patient: one.everything_is_accepted)
                async with world.http() as http:
                    told = await http.get(f"/api/rooms/{world.room}/messages")
                assert told.json()["code"] == "database_unavailable"
                way.open()
            case "sleep":
                world.server.pause()
                await acknowledged(self.elsewhere(number), ACKS)
                await self.expire()
                await acknowledged(self.elsewhere(number), ACKS)
                world.server.resume()
            case "die":
                await world.die()
            case "rob":
                await self.expire()
            case _:
                await asyncio.to_thread(self.postgres.kill)
                await asyncio.to_thread(self.postgres.start)


@asynccontextmanager
async def disaster(
    serve: Serve, folder: Path, postgres: PostgresServer, url: str, *, people: int, agent: bool
) -> AsyncGenerator[Disaster]:
    async with AsyncExitStack() as stack:
        ways = [await stack.enter_async_context(way_to(postgres.port)) for _ in range(SERVERS)]
        urls = [way.url(url) for way in ways]
        town = await new_town(serve, folder, urls, people=people, agent=agent)
        yield Disaster(town, ways, postgres, url.rpartition("/")[2])


async def lived_through(
    found: Disaster, kinds: Sequence[str], *, seed: int, text: str, window: int
) -> list[Json]:
    chance = random.Random(seed)
    found.patients = found.town.patients(window=window, text=text)
    first = found.town.worlds[0]
    async with living(*found.patients):
        for kind in kinds:
            await acknowledged(found.patients, chance.randint(1, ACKS))
            await found.strike(kind, chance.randrange(SERVERS))
        await acknowledged(found.patients, ACKS)
        for patient in found.patients:
            assert patient.complaints == [], patient.state
        log = await everything_is_right(first, found.patients)
        assert await found.town.worlds[-1].log() == log
        return log


async def test_servers_that_are_cut_off_sleep_or_die_lose_and_double_nothing(
    serve: Serve, tmp_path: Path, postgres_server: PostgresServer, postgres_url: str
) -> None:
    kinds = ["hold", "sleep", "close", "die"]
    async with disaster(
        serve, tmp_path, postgres_server, postgres_url, people=6, agent=False
    ) as found:
        await lived_through(found, kinds, seed=1, text="hello", window=3)


@pytest.mark.torture
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("seed", range(2, 5))
async def test_servers_that_suffer_for_long(  # noqa: PLR0917  pytest gives them by name
    serve: Serve,
    tmp_path: Path,
    postgres_server: PostgresServer,
    postgres_url: str,
    effort: float,
    seed: int,
) -> None:
    kinds = ["hold", "close", "sleep", "die", "rob", "database"] * max(1, round(effort / 2))
    random.Random(seed).shuffle(kinds)
    async with disaster(
        serve, tmp_path, postgres_server, postgres_url, people=6, agent=True
    ) as found:
        log = await lived_through(found, kinds, seed=seed, text="/long 3", window=2)
    answers = [event["d"] for event in log if event["d"].get("role") == "assistant"]
    assert len({answer["meta"]["turn"] for answer in answers}) == len(answers)
    assert all("w000 w001 w002".startswith(answer["text"]) for answer in answers)
    # a failed one could not read what it should answer, and says so
    ends = {(one["status"], one["meta"].get("error", {}).get("code")) for one in answers}
    away = ("failed", "database_unavailable")
    assert ends <= {("done", None), ("interrupted", "interrupted"), away}


async def ask(world: World, text: str) -> None:
    async with world.http() as http:
        body = {"cid": f"question {text}".replace(" ", "-"), "text": text}
        sent = await http.post(f"/api/rooms/{world.room}/messages", json=body)
        assert sent.status_code == 201


async def seen(patients: Sequence[Patient], characters: int) -> str:
    """Waits until each has seen so much of the one answer that runs; the message's id."""
    for patient in patients:
        await patient.until(
            lambda one=patient: any(len(text) >= characters for text in one.streaming.values())
        )
    [message] = patients[0].streaming
    return message


async def told_of(patients: Sequence[Patient], message: str) -> None:
    """Waits until each has the answer as a message."""
    for patient in patients:
        await patient.until(lambda one=patient: message in {id_ for _, _, id_ in one.applied})


@pytest.mark.parametrize(
    "trouble",
    [
        "asleep",
        *[pytest.param(one, marks=pytest.mark.torture) for one in ("cut off", "long asleep")],
    ],
)
async def test_an_answer_is_taken_over_once_and_its_first_owner_ends_it_as_the_others_did(
    serve: Serve,
    tmp_path: Path,
    postgres_server: PostgresServer,
    postgres_url: str,
    trouble: str,
) -> None:
    async with disaster(
        serve, tmp_path, postgres_server, postgres_url, people=6, agent=True
    ) as found:
        owner, way = found.town.worlds[0], found.ways[0]
        found.patients = found.town.patients(window=0)
        there, others = found.at(0), found.elsewhere(0)
        async with living(*found.patients):
            await asyncio.gather(*(patient.welcomed(1) for patient in found.patients))
            await ask(owner, "/long 5000")
            message = await seen(found.patients, 100)
            before = {patient.name: patient.texts[message] for patient in others}
            way.close() if trouble == "cut off" else owner.server.pause()
            if trouble != "long asleep":
                await found.expire()
            await told_of(others, message)
            way.open() if trouble == "cut off" else owner.server.resume()
            await told_of(there, message)
            await ask(found.town.worlds[1], "/long 2")
            log = await owner.log()
            while log[-1]["d"].get("role") != "assistant":
                log = await owner.log()
            for patient in found.patients:
                await patient.settled(log[-1]["seq"])
            late = found.town.patients(window=0)
            async with living(*late):
                for patient in late:
                    await patient.settled(log[-1]["seq"])
                    assert patient.streaming == {}, "a bubble that is over came back"
    said = [event["d"] for event in log if event["k"] == "message.created"]
    assert sorted(one["role"] for one in said) == ["assistant", "assistant", "user", "user"]
    answers = {one["id"]: one for one in said}
    assert answers[message]["status"] == "interrupted"
    for patient in others:
        assert answers[message]["text"].startswith(before[patient.name])
    for patient in found.patients:
        assert patient.complaints == []
        assert len(patient.applied) == len({seq for seq, _, _ in patient.applied}) == patient.seq
