"""A loaded server is killed again and again; what it said is stored stays, once, in order."""

import asyncio
import random
from pathlib import Path

import pytest
from tests.faults.client import SECONDS_MAX, Applied, Client, living
from tests.faults.world import (
    World,
    acknowledged,
    everyone_is_back,
    everything_is_right,
    new_world,
)
from tests.support.server import Serve

# Each death costs a start, which takes seconds on a loaded machine.
pytestmark = [pytest.mark.fault, pytest.mark.slow, pytest.mark.timeout(400)]

KILLS = 10
KILLS_ON_POSTGRES = 3
STOPS = 3
ROUNDS_OF_TORTURE = 10
ACKS_MAX = 60


async def killed(world: World, clients: list[Client], *, times: int, seed: int) -> None:
    """Kills the server so many times, each after a random number of acknowledgements."""
    chance = random.Random(seed)
    for life in range(1, times + 1):
        await everyone_is_back(clients, life)
        await acknowledged(clients, chance.randint(1, ACKS_MAX))
        await world.die()
    await everyone_is_back(clients, times + 1)
    await acknowledged(clients, ACKS_MAX)


def survived(clients: list[Client], kills: int) -> None:
    """The test did what it says: everyone came back each time, and repeated what was stored."""
    assert all(client.connections > kills for client in clients)
    assert sum(client.repeats for client in clients) > kills


async def test_a_killed_server_keeps_every_stored_message_once_and_in_order(
    serve: Serve, tmp_path: Path
) -> None:
    world = await new_world(serve, tmp_path, people=4)
    clients = world.clients(window=8)
    async with living(*clients):
        await killed(world, clients, times=KILLS, seed=1)
        log = await everything_is_right(world, clients)
    survived(clients, KILLS)
    assert len(log) > KILLS


@pytest.mark.postgres
async def test_a_killed_server_on_postgres_keeps_every_stored_message_too(
    serve: Serve, tmp_path: Path, postgres_url: str
) -> None:
    world = await new_world(serve, tmp_path, people=4, database_url=postgres_url)
    clients = world.clients(window=8)
    async with living(*clients):
        await killed(world, clients, times=KILLS_ON_POSTGRES, seed=2)
        await everything_is_right(world, clients)
    survived(clients, KILLS_ON_POSTGRES)


async def test_a_stopped_server_loses_nothing_and_answers_every_question_once(
    serve: Serve, tmp_path: Path
) -> None:
    world = await new_world(serve, tmp_path, people=3, agent=True)
    clients = world.clients(window=2, text="/long 3")
    async with living(*clients):
        for life in range(1, STOPS + 1):
            await everyone_is_back(clients, life)
            await acknowledged(clients, 20)
            await world.stop()
        await everyone_is_back(clients, STOPS + 1)
        await acknowledged(clients, 5)
        await everything_is_right_with_answers(world, clients, words=3)
    survived(clients, STOPS)


async def test_a_killed_server_answers_every_question_once(serve: Serve, tmp_path: Path) -> None:
    world = await new_world(serve, tmp_path, people=3, agent=True)
    clients = world.clients(window=2, text="/long 6")
    async with living(*clients):
        await killed(world, clients, times=3, seed=3)
        await everything_is_right_with_answers(world, clients, words=6)
    survived(clients, 3)


@pytest.mark.torture
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("seed", range(3))
async def test_a_server_that_is_killed_for_long(
    serve: Serve, tmp_path: Path, effort: float, seed: int
) -> None:
    kills = max(1, round(ROUNDS_OF_TORTURE * effort / 3))
    world = await new_world(serve, tmp_path, people=6)
    clients = world.clients(window=16)
    async with living(*clients):
        await killed(world, clients, times=kills, seed=seed)
        await everything_is_right(world, clients)
    survived(clients, kills)


async def everything_is_right_with_answers(
    world: World, clients: list[Client], *, words: int
) -> None:
    """As without answers; and every question has one, which says what was seen of it and maybe more."""
    for client in clients:
        client.quiet = True
    for client in clients:
        await client.settled()
    questions = sum(len(client.acks) for client in clients)
    first = clients[0]
    async with asyncio.timeout(SECONDS_MAX), first.changed:
        await first.changed.wait_for(lambda: len(messages(first.applied)) >= 2 * questions)
    log = await everything_is_right(world, clients)
    answers = [event["d"] for event in log if event["d"].get("role") == "assistant"]
    assert len(answers) == len({answer["meta"]["turn"] for answer in answers}) == questions
    whole = " ".join(f"w{number:03d}" for number in range(words))
    for answer in answers:
        assert answer["status"] in {"done", "interrupted"}
        assert whole.startswith(answer["text"])
        assert answer["text"], "what had said nothing yet is asked again"
        assert answer["status"] == "interrupted" or answer["text"] == whole
        for client in clients:
            assert answer["text"].startswith(client.texts.get(answer["id"], ""))


def messages(log: list[Applied]) -> list[Applied]:
    return [event for event in log if event[1] == "message.created"]
