"""Servers and rooms for the fault runs, made before the first fault."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
from tests.faults.client import Client, Json, Network, applied, whole_log
from tests.support.server import Serve, ServerProcess

from palaver.core.runtime import started
from palaver.model import Speaks
from palaver.settings import settings_from

SECONDS_MAX = 90
ENVIRONMENT = {
    "PALAVER_FRAMES_PER_SECOND": "100000",
    "PALAVER_BYTES_PER_SECOND": "1e9",
    "PALAVER_STOP_SECONDS": "3",
    "PALAVER_LOG_LEVEL": "warning",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A server that is going to be killed, and one room of several people in it."""

    server: ServerProcess
    network: Network
    room: str
    tokens: tuple[str, ...]

    @asynccontextmanager
    async def http(self) -> AsyncGenerator[httpx2.AsyncClient]:
        async with httpx2.AsyncClient(
            base_url=self.server.url,
            headers={"authorization": f"Bearer {self.tokens[0]}"},
            trust_env=False,
            timeout=SECONDS_MAX,
        ) as client:
            yield client

    def clients(
        self, *, window: int, text: str = "hello", network: Network | None = None
    ) -> list[Client]:
        """One for each person; the first one sends its messages one after the other."""
        return [
            Client(
                network or self.network,
                name=f"client{number}",
                token=token,
                room=self.room,
                window=window if number else 1,
                text=text,
            )
            for number, token in enumerate(self.tokens)
        ]

    async def die(self) -> None:
        """A SIGKILL, and the same server again."""
        self.network.up.clear()
        await self.server.kill()
        await self.server.start()
        self.network.up.set()

    async def stop(self) -> None:
        """A SIGTERM, and the same server again."""
        self.network.up.clear()
        assert await self.server.term() == 0
        await self.server.start()
        self.network.up.set()

    async def log(self) -> list[Json]:
        async with self.http() as http:
            return await whole_log(http, self.room)


async def new_world(
    serve: Serve,
    folder: Path,
    *,
    people: int,
    agent: bool = False,
    in_turn: Sequence[str] = (),
    database_url: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> World:
    """A server with one room, in which so many people are members; with `agent`, it answers them.

    `in_turn`: agents that answer them, too, one after the other.
    """
    data = folder / "data"
    settings = settings_from(data_dir=data, database_url=database_url, detect=False)
    async with started(settings) as core:
        guests = [await core.identity.new_guest(f"Guest {number}") for number in range(people)]
        owner = guests[0][1]
        made = await core.rooms.create(owner, title="Storm", agent=agent, speaks=Speaks.ALWAYS)
        room = made.id
        for handle in in_turn:
            card = await core.agents.ensured(handle)
            await core.members.add(owner, room, card.id, speaks=Speaks.ALWAYS)
            await core.rooms.set_speaking(owner, room, {"turns": "in_turn"})
        for _, guest in guests[1:]:
            await core.rooms.join(owner, room, guest)
    server = await serve(
        database_url=database_url, environment={**ENVIRONMENT, **(environment or {})}
    )
    network = Network(port=int(server.url.rpartition(":")[2]))
    network.up.set()
    return World(
        server=server,
        network=network,
        room=room,
        tokens=tuple(token for token, _ in guests),
    )


async def acknowledged(clients: Sequence[Client], more: int) -> None:
    """Waits until the clients together were told `stored` so many more times."""
    wanted = more + sum(len(client.acks) for client in clients)
    enough = asyncio.Event()

    async def watch(client: Client) -> None:
        async with client.changed:
            await client.changed.wait_for(
                lambda: sum(len(each.acks) for each in clients) >= wanted or enough.is_set()
            )
        enough.set()
        for each in clients:
            async with each.changed:
                each.changed.notify_all()

    async with asyncio.timeout(SECONDS_MAX), asyncio.TaskGroup() as tasks:
        for client in clients:
            tasks.create_task(watch(client))


async def everyone_is_back(clients: Sequence[Client], lives: int) -> None:
    """Waits until each client follows the room in the server's life of that number."""
    await asyncio.gather(*(client.welcomed(lives) for client in clients))


async def everything_is_right(world: World, clients: Sequence[Client]) -> list[Json]:
    """Lets what is on its way arrive, then holds what the clients were told against what the server has."""
    for client in clients:
        client.quiet = True
    for client in clients:
        await client.settled()
    log = await world.log()
    for client in clients:
        await client.settled(log[-1]["seq"])
    assert [event["seq"] for event in log] == list(range(1, len(log) + 1)), "gapless"
    said = [event for event in log if event["k"] == "message.created"]
    assert len({event["d"]["id"] for event in said}) == len(said)
    by_cid: dict[str, int] = {}
    for event in said:
        if event["d"]["role"] == "user":
            assert event["d"]["cid"] not in by_cid, f"{event['d']['cid']} is stored twice"
            by_cid[event["d"]["cid"]] = event["seq"]
    for client in clients:
        assert client.complaints == []
        assert {cid: by_cid.get(cid) for cid in client.acks} == client.acks
        assert client.order == sorted(client.order, key=by_cid.__getitem__), "as they were sent"
        assert client.applied == [applied(event) for event in log]
    assert len(by_cid) == sum(len(client.acks) for client in clients), "nobody else spoke"
    return log
