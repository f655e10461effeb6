"""A network that ends connections in the middle of frames: everyone still has everything, once and in order."""

from pathlib import Path

import pytest
from tests.faults.client import Network, living
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


@pytest.mark.torture
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("seed", range(2, 6))
async def test_connections_that_are_cut_for_long(
    serve: Serve, tmp_path: Path, effort: float, seed: int
) -> None:
    world = await new_world(serve, tmp_path, people=6)
    await lived_through_cuts(world, seed=seed, rounds=max(1, round(ROUNDS * effort)))
