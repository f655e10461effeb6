"""Agents that wait for their turn, in real processes: they are asked and stopped, and killed while they answer."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.faults.client import Json, living
from tests.faults.test_processes import Client, client
from tests.faults.world import ENVIRONMENT, World, new_world
from tests.support.server import Serve, ServerProcess

pytestmark = [pytest.mark.fault]

AGENTS = ("one", "two", "three")
WORDS = 400
SECONDS_MAX = 60
LEASE_SECONDS_MAX = 90


def answers_of(log: Sequence[Json]) -> list[tuple[str, str]]:
    said = [one["d"] for one in log if one["d"].get("role") == "assistant"]
    return [(one["name"], one["status"]) for one in said]


async def test_who_waits_for_its_turn_speaks_in_its_order_after_a_kill(
    serve: Serve, tmp_path: Path
) -> None:
    world = await new_world(serve, tmp_path, people=1, in_turn=AGENTS)
    (watching,) = world.clients(window=0)
    watching.quiet = True
    async with living(watching), asyncio.timeout(SECONDS_MAX):
        await watching.welcomed(1)
        assert len(await said(world, f"/long {WORDS}")) == len(AGENTS)
        async with watching.changed:
            await watching.changed.wait_for(lambda: any(watching.texts.values()))
        assert len(watching.texts) == 1, "the others wait"
        await world.die()
        async with watching.changed:
            await watching.changed.wait_for(
                lambda: sum(kind == "message.created" for _, kind, _ in watching.applied) > 3
            )
        log = await world.log()
    assert answers_of(log) == [("one", "interrupted"), ("two", "done"), ("three", "done")]


@pytest.mark.postgres
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "fate",
    [
        "starts again",
        pytest.param("stays dead", marks=pytest.mark.torture),
        pytest.param("sleeps", marks=pytest.mark.torture),
    ],
)
async def test_of_three_processes_that_which_answers_is_lost_and_each_answer_comes_once_in_order(
    serve: Serve, tmp_path: Path, postgres_url: str, fate: str
) -> None:
    """What another has taken over by its lease, who slept cannot end: its fence is another one."""
    world = await new_world(serve, tmp_path, people=1, in_turn=AGENTS, database_url=postgres_url)
    two, three = [
        await serve(name=name, database_url=postgres_url, environment=ENVIRONMENT)
        for name in ("second", "third")
    ]
    async with client(two, world.tokens[0]) as ada, asyncio.timeout(2 * LEASE_SECONDS_MAX):
        await ada.ask({"t": "sub", "id": 3, "room": world.room})
        assert len(await said(world, f"/long {WORDS}")) == len(AGENTS)
        while len(ada.seen) < 20:
            await ada.next()
        if fate == "sleeps":
            world.server.pause()
        else:
            await world.server.kill()
        if fate == "starts again":
            await world.server.start()
        await count(ada, len(AGENTS))
        if fate == "sleeps":
            world.server.resume()
            async with client(world.server, world.tokens[0]) as awake:  # it is itself again
                await awake.ask({"t": "ping", "id": 4})
    logs = [await log_of(world, server) for server in (two, three)]
    assert logs[0] == logs[1]
    assert answers_of(logs[0]) == [("one", "interrupted"), ("two", "done"), ("three", "done")]


async def test_agents_are_asked_and_stopped_over_both_doors(serve: Serve, tmp_path: Path) -> None:
    world = await new_world(serve, tmp_path, people=1, in_turn=AGENTS)
    room = world.room
    async with client(world.server, world.tokens[0]) as ada, asyncio.timeout(SECONDS_MAX):
        joined = await ada.ask({"t": "sub", "id": 3, "room": room})
        async with world.http() as http:
            members = (await http.get(f"/api/rooms/{room}/members")).json()["members"]
            agents = {one["name"]: one["id"] for one in members}
            assert len(await said(world, "/long 5000")) == len(AGENTS)
            opened = await ada.until(lambda frame: frame["t"] == "s.open")
            assert (await http.post(f"/api/rooms/{room}/stop")).status_code == 204
            stopped = await ada.until(is_answer)
            assert (stopped["d"]["id"], stopped["d"]["status"]) == (opened["msg"], "stopped")
            question = next(one for one in ada.events if one["d"].get("role") == "user")["d"]["id"]
            asked = {"t": "ask", "id": 4, "room": room, "agent": agents["two"], "msg": question}
            (turn,) = (await ada.ask(asked))["turns"]
            assert (await ada.ask({**asked, "id": 5}))["turns"] == [turn], "it answers already"
            await ada.ask({"t": "stop", "id": 6, "turn": turn})
            await count(ada, 2)
            body = {"agents": [agents["three"]], "message": question}
            reply = await http.post(f"/api/rooms/{room}/ask", json=body)
            assert (reply.status_code, len(reply.json()["turns"])) == (202, 1)
            assert (await ada.ask({"t": "stop_room", "id": 7, "room": room}))["t"] == "ok"
            await count(ada, 3)
            refused = await ada.ask({"t": "ask", "id": 8, "room": room, "agent": "a_" + "0" * 32})
            assert refused["code"] == "not_found"
        log = (await world.log())[joined["seq"] :]
    assert answers_of(log) == [(name, "stopped") for name in AGENTS]
    told = [one["d"] for one in log if one["k"] == "turn.refused"]
    assert told == [{"agent": agents[name], "code": "stopped"} for name in AGENTS[1:]]


async def said(world: World, text: str) -> list[str]:
    """Says something at the world's own server; the turns of who answers."""
    async with world.http() as http:
        body = {"cid": "question", "text": text}
        sent = await http.post(f"/api/rooms/{world.room}/messages", json=body)
        assert sent.status_code == 201
        return sent.json()["turns"]


async def log_of(world: World, server: ServerProcess) -> list[Json]:
    elsewhere = World(server=server, network=world.network, room=world.room, tokens=world.tokens)
    return await elsewhere.log()


async def count(ada: Client, answers: int) -> None:
    """Waits until so many are stored."""
    while sum(is_answer(one) for one in ada.events) < answers:
        await ada.next()


def is_answer(frame: Json) -> bool:
    return frame["t"] == "ev" and frame["d"].get("role") == "assistant"
