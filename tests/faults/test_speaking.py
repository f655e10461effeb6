"""A server is killed while agents wait for their turn: they speak in their order when it is back."""

import asyncio
from pathlib import Path

import pytest
from tests.faults.client import living
from tests.faults.world import new_world
from tests.support.server import Serve

pytestmark = [pytest.mark.fault]

AGENTS = ("one", "two", "three")
WORDS = 400
SECONDS_MAX = 60


async def test_who_waits_for_its_turn_speaks_in_its_order_after_a_kill(
    serve: Serve, tmp_path: Path
) -> None:
    world = await new_world(serve, tmp_path, people=1, in_turn=AGENTS)
    (client,) = world.clients(window=0)
    client.quiet = True
    async with living(client), asyncio.timeout(SECONDS_MAX):
        await client.welcomed(1)
        async with world.http() as http:
            said = {"cid": "question", "text": f"/long {WORDS}"}
            sent = await http.post(f"/api/rooms/{world.room}/messages", json=said)
            assert (sent.status_code, len(sent.json()["turns"])) == (201, len(AGENTS))
        async with client.changed:
            await client.changed.wait_for(lambda: any(client.texts.values()))
        assert len(client.texts) == 1, "the others wait"
        await world.die()
        async with client.changed:
            await client.changed.wait_for(
                lambda: sum(kind == "message.created" for _, kind, _ in client.applied) > 3
            )
        log = await world.log()
    answers = [one["d"] for one in log if one["d"].get("role") == "assistant"]
    assert [(one["name"], one["status"]) for one in answers] == [
        ("one", "interrupted"),
        ("two", "done"),
        ("three", "done"),
    ]
