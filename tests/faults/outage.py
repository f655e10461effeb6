"""What the fault runs on PostgreSQL share: clients that can wait for a database, and servers that share one.

A `Patient` is a client that is told `accepted` while the database is away: it counts nothing as stored before the
server says so, and keeps what it was shown meanwhile. A `Town` is a room with several servers, each of which may have
a way of its own to the database.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx2
from tests.faults.client import Client, Json, Network
from tests.faults.world import ENVIRONMENT, World
from tests.support.server import Serve
from websockets.asyncio.client import ClientConnection

from palaver.core.runtime import started
from palaver.model import Speaks
from palaver.settings import settings_from

DATABASE_SECONDS = 1
SECONDS_MAX = 120


class Patient(Client):
    """A client that knows that a database may be away."""

    def __init__(
        self,
        network: Network,
        *,
        name: str,
        token: str,
        room: str,
        window: int = 1,
        text: str = "hello",
    ) -> None:
        super().__init__(network, name=name, token=token, room=room, window=window, text=text)
        self.accepted: dict[str, str] = {}  # cids, with the message's id
        self.drafted: set[str] = set()  # ids of messages that were shown before they were stored
        self.db: list[str] = []  # what was said of the database
        self.said: set[str] = set()  # ids of messages that are there

    @property
    def everything_is_accepted(self) -> bool:
        return 0 < len(self.waiting) == len(self.waiting.keys() & self.accepted)

    @property
    def messages(self) -> int:
        return sum(kind == "message.created" for _, kind, _ in self.applied)

    @property
    def streaming(self) -> dict[str, str]:
        """What a page would show as being written."""
        return {msg: text for msg, text in self.texts.items() if msg not in self.said}

    async def until(self, happened: Callable[[], bool]) -> None:
        """Waits for it; says how it stands when it does not come."""
        try:
            async with asyncio.timeout(SECONDS_MAX), self.changed:
                await self.changed.wait_for(happened)
        except TimeoutError:
            raise AssertionError(self.state) from None

    @property
    def state(self) -> str:
        """For people: what this client knows."""
        return (
            f"{self.name}: connections {self.connections}, connected {self.connected}, seq {self.seq},"
            f" waiting {list(self.waiting)}, accepted {len(self.accepted)}, stored {len(self.acks)},"
            f" db {self.db}, complaints {self.complaints}"
        )

    async def _take(self, socket: ClientConnection, frame: Json) -> None:
        match frame["t"]:
            case "db":
                self.db.append(frame["state"])
            case "draft":
                self.drafted.add(frame["msg"])
            case "s.open" | "s.d" if frame["msg"] in self.said:
                self.complaints.append(f"{frame['msg']} was over, and came back")
            case "s.open":
                self.texts[frame["msg"]] = ""  # anew, where an earlier attempt was seen
            case "s.end":
                self.texts.pop(frame["msg"], None)  # the bubble is dropped, so nothing is shown
            case _:
                await super()._take(socket, frame)

    def _happened(self, event: Json) -> None:
        super()._happened(event)
        self.said.add(event["d"].get("id", ""))

    def _acknowledged(self, frame: Json) -> None:
        if frame["state"] == "accepted":
            # a repeated one has another id, when nobody can be asked whether it is stored
            self.accepted[frame["cid"]] = frame["msg"]
        else:
            super()._acknowledged(frame)

    async def _refused(self, socket: ClientConnection, frame: Json) -> None:
        if frame["temporary"] and not self._requests.get(frame.get("id", 0)):
            raise EOFError(
                "hello or sub could not be answered: connect again"
            )  # a sub of hello has no id
        await super()._refused(socket, frame)


@dataclass(frozen=True, slots=True)
class Town:
    """One room and its people, on the servers of `worlds`."""

    worlds: tuple[World, ...]

    def patients(self, *, window: int, text: str = "hello") -> list[Patient]:
        """One for each person, at one server after the other."""
        first = self.worlds[0]
        return [
            Patient(
                self.worlds[number % len(self.worlds)].network,
                name=f"client{number}",
                token=token,
                room=first.room,
                window=window if number else min(window, 1),
                text=text,
            )
            for number, token in enumerate(first.tokens)
        ]


async def new_town(
    serve: Serve,
    folder: Path,
    urls: Sequence[str],
    *,
    people: int,
    agent: bool = False,
    arguments: Sequence[str] = (),
    environments: Sequence[Mapping[str, str]] | None = None,
) -> Town:
    """One server for each of the database's addresses, each with a data directory of its own."""
    settings = settings_from(data_dir=folder / "before", database_url=urls[0], detect=False)
    async with started(settings) as core:
        guests = [await core.identity.new_guest(f"Guest {number}") for number in range(people)]
        owner = guests[0][1]
        room = (await core.rooms.create(owner, title="Storm", agent=agent, speaks=Speaks.ALWAYS)).id
        for _, guest in guests[1:]:
            await core.rooms.join(owner, room, guest)
    quick = {**ENVIRONMENT, "PALAVER_DATABASE_SECONDS": str(DATABASE_SECONDS)}
    worlds: list[World] = []
    for number, url in enumerate(urls):
        server = await serve(
            name=f"server{number}",
            database_url=url,
            environment={**quick, **(environments[number] if environments else {})},
            arguments=arguments,
        )
        network = Network(port=int(server.url.rpartition(":")[2]))
        network.up.set()
        tokens = tuple(token for token, _ in guests)
        worlds.append(World(server=server, network=network, room=room, tokens=tokens))
    return Town(tuple(worlds))


async def health(world: World) -> Json:
    async with httpx2.AsyncClient(
        base_url=world.server.url, trust_env=False, timeout=SECONDS_MAX
    ) as http:
        found: Json = (await http.get("/health")).json()
        return found
