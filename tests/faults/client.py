"""A client of palaver.v1 that never gives up, and writes down everything that it was told.

It keeps some messages on their way, sends again what is not acknowledged after each reconnect, and now and then sends
again what is. It applies events exactly as a page does: each `seq` must be the last one plus one, or it complains.
What it was told stands in `acks`, `applied` and `texts`, to be held against what the server has in the end.
"""

import asyncio
import json
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, WebSocketException

SECONDS_MAX = 90.0
REPEATS_MAX = 3

Json = dict[str, Any]
Applied = tuple[int, str, str]  # seq, kind, id of the message


@dataclass(slots=True)
class Network:
    """The way to the server: where it is, and whether it can be reached at all."""

    port: int
    up: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"


class Client:
    """One connection after the other, of one person in one room."""

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
        self.name = name
        self.room = room
        self.window = window
        self.text = text
        self.quiet = False  # says nothing new from now on
        self.seq = 0  # the last event that was applied
        self.acks: dict[str, int] = {}  # what is stored for sure, and where
        self.waiting: dict[str, str] = {}  # what was sent and is not acknowledged
        self.order: list[str] = []  # cids as they were first sent
        self.applied: list[Applied] = []
        self.texts: dict[str, str] = {}  # what was seen of each streamed answer
        self.complaints: list[str] = []
        self.connections = 0
        self.connected = False
        self.repeats = 0
        self.changed = asyncio.Condition()
        self._network = network
        self._token = token
        self._epoch: str | None = None
        self._chance = random.Random(name)
        self._requests: dict[int, str] = {}
        self._number = 0

    async def live(self) -> None:
        """Connects again and again, until it is cancelled."""
        while True:
            await self._tell(connected=False)
            await self._network.up.wait()
            try:
                async with connect(
                    self._network.url,
                    proxy=None,
                    compression=None,
                    ping_interval=None,
                    open_timeout=SECONDS_MAX,
                    close_timeout=1,
                    max_size=None,
                ) as socket:
                    self.connections += 1
                    await self._talk(socket)
            except (OSError, InvalidHandshake, WebSocketException, EOFError):
                # A port that refuses at once would make this loop a busy one.
                await asyncio.sleep(0.01 + 0.04 * self._chance.random())

    async def settled(self, seq: int | None = None) -> None:
        """Waits until nothing is on its way, and everything up to `seq` was applied."""
        async with asyncio.timeout(SECONDS_MAX), self.changed:
            await self.changed.wait_for(
                lambda: not self.waiting and (seq is None or self.seq >= seq)
            )

    async def welcomed(self, connections: int) -> None:
        """Waits until that connection follows the room."""
        async with asyncio.timeout(SECONDS_MAX), self.changed:
            await self.changed.wait_for(lambda: self.connected and self.connections >= connections)

    async def lost(self) -> None:
        """Waits until everything that came before the end of the connection was read."""
        async with asyncio.timeout(SECONDS_MAX), self.changed:
            await self.changed.wait_for(lambda: not self.connected)

    async def _tell(self, *, connected: bool) -> None:
        async with self.changed:
            self.connected = connected
            self.changed.notify_all()

    async def _talk(self, socket: ClientConnection) -> None:
        """One connection, to its end."""
        self._requests.clear()
        hello: Json = {"t": "hello", "v": 1, "token": self._token}
        if self._epoch is not None:
            hello["last"] = {"epoch": self._epoch, "rooms": {self.room: self.seq}}
        await self._ask(socket, hello)
        async for data in socket:
            frame: Json = json.loads(data)
            await self._take(socket, frame)
            await self._tell(connected=self.connected or frame["t"] == "sub")

    async def _take(self, socket: ClientConnection, frame: Json) -> None:
        match frame["t"]:
            case "welcome":
                await self._welcomed(socket, frame)
            case "sub":
                self._resumed(frame)
            case "ev":
                self._happened(frame)
            case "s.open":
                self.texts.setdefault(frame["msg"], "")
            case "s.d":
                self.texts[frame["msg"]] = self.texts.get(frame["msg"], "") + frame.get("x", "")
            case "ack":
                self._acknowledged(frame)
                await self._send_more(socket)
            case "err":
                await self._refused(socket, frame)
            case "ping":
                await socket.send('{"t":"pong"}')
            case _:
                pass

    async def _welcomed(self, socket: ClientConnection, welcome: Json) -> None:
        if self._epoch is None:
            await self._ask(socket, {"t": "sub", "room": self.room, "since": self.seq})
        elif self._epoch != welcome["epoch"]:
            self.complaints.append("the epoch changed")
        self._epoch = welcome["epoch"]
        again = self._chance.sample(self.order, min(REPEATS_MAX, len(self.order)))
        for cid in again:
            if cid in self.acks:
                self.repeats += 1
                await self._send(socket, cid)
        for cid in list(self.waiting):
            await self._send(socket, cid)
        await self._send_more(socket)

    def _resumed(self, frame: Json) -> None:
        if frame["mode"] != "resume":
            self.complaints.append(f"reset: {frame['reason']}")
            return
        for event in frame["events"]:
            self._happened(event)
        self.texts.update({stream["msg"]: stream["text"] for stream in frame["streams"]})

    def _happened(self, event: Json) -> None:
        if event["seq"] != self.seq + 1:
            self.complaints.append(f"{event['seq']} came after {self.seq}")
        self.seq = event["seq"]
        self.applied.append(applied(event))

    def _acknowledged(self, frame: Json) -> None:
        cid = frame["cid"]
        if frame["state"] != "stored":
            self.complaints.append(f"{cid} is {frame['state']}")
            return
        if self.acks.setdefault(cid, frame["seq"]) != frame["seq"]:
            self.complaints.append(f"{cid} is at {self.acks[cid]} and at {frame['seq']}")
        self.waiting.pop(cid, None)

    async def _refused(self, socket: ClientConnection, frame: Json) -> None:
        cid = self._requests.get(frame["id"])
        if not frame["temporary"] or cid is None:
            self.complaints.append(f"refused: {frame}")
        else:
            await self._send(socket, cid)

    async def _send_more(self, socket: ClientConnection) -> None:
        while not self.quiet and len(self.waiting) < self.window:
            cid = f"{self.name}-{len(self.order):06d}"
            self.order.append(cid)
            self.waiting[cid] = self.text
            await self._send(socket, cid)

    async def _send(self, socket: ClientConnection, cid: str) -> None:
        frame = {"t": "send", "room": self.room, "cid": cid, "text": self.text}
        await self._ask(socket, frame, cid)

    async def _ask(self, socket: ClientConnection, frame: Json, cid: str = "") -> None:
        self._number += 1
        self._requests[self._number] = cid
        await socket.send(json.dumps({**frame, "id": self._number}))


@asynccontextmanager
async def living(*clients: Client) -> AsyncGenerator[None]:
    """The clients, at work for as long as the block runs."""
    async with asyncio.TaskGroup() as tasks:
        lives = [tasks.create_task(client.live(), name=client.name) for client in clients]
        yield
        for life in lives:
            life.cancel()


def applied(event: Json) -> Applied:
    return event["seq"], event["k"], event["d"].get("id", "")


async def whole_log(http: httpx2.AsyncClient, room: str) -> list[Json]:
    """Every event of a room, as REST gives them."""
    events: list[Json] = []
    while True:
        after = events[-1]["seq"] if events else 0
        path = f"/api/rooms/{room}/events"
        answer = await http.get(path, params={"after": after, "limit": 200})
        page: Json = answer.json()
        if answer.is_error:
            assert page["temporary"], page
            continue
        events += page["events"]
        if not page["events"]:
            return events
