"""A server is killed while it streams twenty answers: what anybody saw of them is there when it is back."""

import asyncio
import random
from pathlib import Path

import pytest
from tests.faults.client import Client, Json, living
from tests.faults.world import World, new_world
from tests.support.server import Serve

pytestmark = [pytest.mark.fault, pytest.mark.slow]

ANSWERS = 20
WORDS = 5_000
BACK_SECONDS_MAX = 60


async def asked(world: World, *, words: int) -> None:
    """As many questions as there shall be answers."""
    async with world.http() as http:
        for number in range(ANSWERS):
            sent = await http.post(
                f"/api/rooms/{world.room}/messages",
                json={"cid": f"question-{number}", "text": f"/long {words}"},
            )
            assert sent.status_code == 201


async def streaming(client: Client, characters: int) -> None:
    """Waits until the client has seen so much of each answer."""
    async with asyncio.timeout(60), client.changed:
        await client.changed.wait_for(
            lambda: (
                len(client.texts) == ANSWERS
                and min(len(text) for text in client.texts.values()) >= characters
            )
        )


async def ended(client: Client) -> None:
    """Waits until the client has each answer as a message."""
    async with client.changed:
        await client.changed.wait_for(
            lambda: {message for _, _, message in client.applied} >= client.texts.keys()
        )


async def test_what_was_seen_of_twenty_answers_is_there_after_a_kill(
    serve: Serve, tmp_path: Path
) -> None:
    world = await new_world(serve, tmp_path, people=3, agent=True)
    clients = world.clients(window=0)
    for client in clients:
        client.quiet = True
    chance = random.Random(7)
    async with living(*clients):
        await asyncio.gather(*(client.welcomed(1) for client in clients))
        await asked(world, words=WORDS)
        await streaming(clients[0], chance.randint(20, 200))
        world.network.up.clear()
        await world.server.kill()
        await asyncio.gather(*(client.lost() for client in clients))
        seen = [dict(client.texts) for client in clients]
        await world.server.start()
        world.network.up.set()
        async with asyncio.timeout(BACK_SECONDS_MAX):
            await asyncio.gather(*(ended(client) for client in clients))
        log = await world.log()
    answers: dict[str, Json] = {
        event["d"]["id"]: event["d"] for event in log if event["d"].get("role") == "assistant"
    }
    assert len(answers) == ANSWERS
    assert {answer["status"] for answer in answers.values()} <= {"done", "interrupted"}
    assert any(answer["status"] == "interrupted" for answer in answers.values())
    for texts in seen:
        for message, text in texts.items():
            assert answers[message]["text"].startswith(text)
    whole = " ".join(f"w{number:03d}" for number in range(WORDS))
    assert all(whole.startswith(answer["text"]) for answer in answers.values())
    assert all(client.complaints == [] for client in clients)
