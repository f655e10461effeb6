"""A real server in this process, and the clients that its tests need: HTTP, palaver.v1, and bare bytes.

Nothing of the server is replaced or reached into. The agent is the offline one, whose commands (`/long 50`, `/slow`)
make answers of a known kind.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid1

import httpx2
from pydantic import TypeAdapter
from tests.support.databases import copied
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from palaver.clock import Clock
from palaver.core.runtime import Core, started
from palaver.providers.base import Provider
from palaver.settings import Settings, settings_from
from palaver.wire.live import frames
from palaver.wire.server.control import controlled, placed
from palaver.wire.server.note import noted
from palaver.wire.server.server import Server, listening
from palaver.wire.webhooks import teller

ANSWER_SECONDS_MAX = 90.0
SETUP = "s" * 43
"""The token of the link by which a server gets its owner, where a test wants one."""

Json = dict[str, Any]


T = TypeVar("T")


def settings_for(folder: Path, **given: object) -> Settings:
    if given.get("database_url") is None:
        copied(folder)
    return settings_from(data_dir=folder, port=0, detect=False, **given)


def shaped(shape: type[T], value: object) -> T:
    """A value that was told, which must be of its shape."""
    return TypeAdapter(shape).validate_json(json.dumps(value), strict=True)


def new_cid() -> str:
    return str(uuid1())


class Live:
    """A client of palaver.v1. What is pushed waits in `pushed` until it is asked for."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.token = ""
        self.pushed: list[Json] = []
        self.welcome: Json = {}
        self._number = 0

    async def send(self, **frame: Any) -> None:
        await self.socket.send(json.dumps(frame, ensure_ascii=False))

    async def receive(self) -> Json:
        """The next frame, whatever it is. The server's pings are answered."""
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            while True:
                frame = json.loads(await self.socket.recv())
                if frame["t"] != "ping":
                    return frame
                await self.send(t="pong")

    async def ask(self, **frame: Any) -> Json:
        """The one reply to a request."""
        self._number += 1
        number = self._number
        await self.send(id=number, **frame)
        return await self.reply(number)

    async def reply(self, number: int) -> Json:
        while True:
            got = await self.receive()
            if got.get("id") == number:
                return got
            assert "id" not in got, f"nobody asked for {got}"
            self.pushed.append(got)

    async def reply_any(self, numbers: range) -> Json:
        """The next reply to one of many requests."""
        while True:
            got = await self.receive()
            if got.get("id") in numbers:
                return got
            self.pushed.append(got)

    async def push(self, kind: str, when: Callable[[Json], bool] = lambda _: True) -> Json:
        """The next push of a kind; others stay for later."""
        for place, frame in enumerate(self.pushed):
            if frame["t"] == kind and when(frame):
                return self.pushed.pop(place)
        while True:
            frame = await self.receive()
            if frame["t"] == kind and when(frame):
                return frame
            self.pushed.append(frame)

    async def event(self, kind: str, when: Callable[[Json], bool] = lambda _: True) -> Json:
        return await self.push("ev", lambda frame: frame["k"] == kind and when(frame))

    async def say(self, room: str, text: str, cid: str | None = None) -> Json:
        return await self.ask(t="send", room=room, text=text, cid=cid or new_cid())

    async def closed(self) -> int:
        """The code with which the server ends the connection; all that comes before it is kept."""
        while True:
            try:
                self.pushed.append(await self.receive())
            except ConnectionClosed as ended:
                close = ended.rcvd
                break
        if close is None:
            raise AssertionError("the connection broke without a close frame")
        return close.code


@dataclass
class Door:
    """A running server."""

    url: str
    settings: Settings
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    clients: list[httpx2.AsyncClient] = field(default_factory=list[httpx2.AsyncClient])

    @property
    def host(self) -> str:
        return self.url.removeprefix("http://")

    @property
    def ws_url(self) -> str:
        return f"ws://{self.host}/ws"

    def http(self, **options: Any) -> httpx2.AsyncClient:
        """A new visitor, with cookies of its own. Without TLS: reading all certificates takes 20 ms of each client."""
        options = {"trust_env": False, "verify": False, "timeout": ANSWER_SECONDS_MAX, **options}
        client = httpx2.AsyncClient(base_url=self.url, **options)
        self.clients.append(client)
        return client

    async def close(self) -> None:
        for client in self.clients:
            await client.aclose()

    async def guest(self) -> tuple[str, httpx2.AsyncClient]:
        """A new guest: its token, and a client that is it."""
        made = (await self.http().post("/api/guests", json={})).json()
        return made["token"], self.http(headers={"authorization": f"Bearer {made['token']}"})

    @asynccontextmanager
    async def socket(self, path: str = "/ws", **options: Any) -> AsyncGenerator[ClientConnection]:
        options.setdefault("max_size", None)
        async with connect(
            f"ws://{self.host}{path}",
            proxy=None,
            compression=None,
            ping_interval=None,
            open_timeout=ANSWER_SECONDS_MAX,
            close_timeout=1,
            **options,
        ) as socket:
            yield socket

    @asynccontextmanager
    async def live(
        self, token: str, last: Json | None = None, **options: Any
    ) -> AsyncGenerator[Live]:
        """A live connection that has been welcomed."""
        async with self.socket(subprotocols=["palaver.v1"], **options) as socket:
            client = Live(socket)
            client.token = token
            hello: Json = {"t": "hello", "v": 1, "token": token}
            if last is not None:
                hello["last"] = last
            client.welcome = await client.ask(**hello)
            assert client.welcome["t"] == "welcome", client.welcome
            yield client

    async def raw(self, data: bytes, *, seconds: float = ANSWER_SECONDS_MAX) -> bytes:
        """Everything that the server answers to these bytes until it ends the connection."""
        host, _, port = self.host.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            async with asyncio.timeout(seconds):
                writer.write(data)
                return await reader.read()
        except ConnectionResetError:
            return b""
        finally:
            writer.transport.abort()


@asynccontextmanager
async def serving(
    settings: Settings,
    stop: asyncio.Event,
    provider: Provider | None = None,
    *,
    setup: str | None = None,
    clock: Clock | None = None,
) -> AsyncGenerator[tuple[str, Core]]:
    """The server's parts as `serve` puts them together, until the block ends or `stop` is set."""
    ready = asyncio.Event()
    failure: BaseException | None = None
    with (
        listening(settings) as (listener, url),
        placed(settings) as control,
        noted(settings.data_dir, url, control) as write_note,
    ):
        async with (
            started(
                settings,
                encode=frames.encode,
                tell=teller(settings),
                provider=provider,
                clock=clock,
            ) as core,
            controlled(core, control),
            asyncio.TaskGroup() as tasks,
        ):
            if setup is not None:
                await core.setup.begin(setup)
            server = Server(core, settings)
            tasks.create_task(server.run(listener, ready.set))
            tasks.create_task(stop_when(stop, server))
            await ready.wait()
            write_note()
            try:
                yield url, core
            except BaseException as error:  # noqa: BLE001  goes on below, not wrapped by the group
                failure = error
            stop.set()
    if failure is not None:
        raise failure


async def stop_when(stop: asyncio.Event, server: Server) -> None:
    await stop.wait()
    server.stop()


@asynccontextmanager
async def open_door(
    folder: Path, *, setup: str | None = None, **given: object
) -> AsyncGenerator[Door]:
    """A server on a free port, with settings of the test's choice."""
    settings = settings_for(folder, **given)
    stop = asyncio.Event()
    async with serving(settings, stop, setup=setup) as (url, _):
        door = Door(url, settings, stop)
        try:
            yield door
        finally:
            await door.close()


async def new_owner(door: Door, http: httpx2.AsyncClient | None = None) -> httpx2.AsyncClient:
    """The server's owner, who used the link: this client, or another one."""
    http, given = http or door.http(), {"token": SETUP, "handle": "ada", "password": "x" * 20}
    made = await http.post("/api/setup", json=given)
    assert made.status_code == 201, made.text
    return http


async def new_room(client: httpx2.AsyncClient, title: str = "") -> str:
    made = await client.post("/api/rooms", json={"title": title})
    assert made.status_code == 201, made.text
    return made.json()["id"]


async def texts(
    client: httpx2.AsyncClient, room: str, *, role: str = "user", **place: int
) -> list[str]:
    """What was said in a room."""
    got = (await client.get(f"/api/rooms/{room}/messages", params={"limit": 200, **place})).json()
    return [message["text"] for message in got["messages"] if message["role"] == role]
