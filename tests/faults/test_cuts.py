"""A network that ends connections in the middle of frames: everyone still has everything, once and in order."""

from pathlib import Path

import pytest
from tests.faults.client import Network, applied, living
from tests.faults.world import World, acknowledged, everything_is_right, new_world
from tests.support.proxy import proxying
from tests.support.server import Serve

pytestmark = [pytest.mark.fault, pytest.mark.slow]

ROUNDS = 12
ACKS = 40


async def lived_through_cuts(world: World, *, seed: int, rounds: int) -> None:
    """Clients behind the bad network, and one that only listens, behind none."""
    async with proxying(world.network.port, seed, bytes_min=300, bytes_max=60_000) as proxy:
        bad = Network(port=proxy.port)
        bad.up.set()
        clients = [*world.clients(window=3, network=bad)[:-1], world.clients(window=0)[-1]]
        async with living(*clients):
            for _ in range(rounds):
                await acknowledged(clients[:-1], ACKS)
            proxy.calm = True
            await everything_is_right(world, clients)
        assert proxy.cuts >= rounds
        assert sum(client.repeats for client in clients) >= rounds


async def test_cut_connections_lose_and_repeat_nothing(serve: Serve, tmp_path: Path) -> None:
    world = await new_world(serve, tmp_path, people=4)
    await lived_through_cuts(world, seed=1, rounds=ROUNDS)


async def test_two_tabs_that_send_the_same_messages_store_them_once(
    serve: Serve, tmp_path: Path
) -> None:
    world = await new_world(serve, tmp_path, people=1)
    async with proxying(world.network.port, 11, bytes_min=300, bytes_max=40_000) as proxy:
        bad = Network(port=proxy.port)
        bad.up.set()
        tabs = [*world.clients(window=4, network=bad), *world.clients(window=4, network=bad)]
        async with living(*tabs):
            for _ in range(ROUNDS):
                await acknowledged(tabs, ACKS)
            proxy.calm = True
            for tab in tabs:
                tab.quiet = True
            for tab in tabs:
                await tab.settled()
            log = await world.log()
            for tab in tabs:
                await tab.settled(log[-1]["seq"])
        assert proxy.cuts > 0
    stored = {event["d"]["cid"]: event["seq"] for event in log if "cid" in event["d"]}
    assert stored == tabs[0].acks | tabs[1].acks
    assert [event["seq"] for event in log] == list(range(1, len(log) + 1))
    assert len(stored) == sum(event["k"] == "message.created" for event in log)
    for tab in tabs:
        assert tab.complaints == []
        assert tab.acks.items() <= stored.items()
        assert tab.applied == [applied(event) for event in log]


@pytest.mark.torture
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("seed", range(2, 6))
async def test_connections_that_are_cut_for_long(
    serve: Serve, tmp_path: Path, effort: float, seed: int
) -> None:
    world = await new_world(serve, tmp_path, people=6)
    await lived_through_cuts(world, seed=seed, rounds=max(1, round(ROUNDS * effort)))
