"""A server and clients of the classic wire, written as its own front end behaves."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from tests.support.scripted import Scripted
from websockets.asyncio.client import ClientConnection, connect

from palaver.core.runtime import Core, started
from palaver.settings import Settings
from palaver.wire.live import frames
from palaver.wire.server.server import Server, listening

SECONDS_MAX = 90
GUEST = "3f2b9a64-6a0c-4b7e-9d7e-0c1f6d0b8a11"


@dataclass(slots=True, kw_only=True)
class Place:
    """A running server, the core inside it and the mind that answers."""

    url: str
    core: Core
    mind: Scripted


@asynccontextmanager
async def open_place(tmp_path: Path, **given: Any) -> AsyncGenerator[Place]:
    """A server in this folder, with a mind that answers as it is told."""
    settings = Settings(
        data_dir=tmp_path,
        port=0,
        detect=False,
        stop_seconds=1,
        allowed_origins=("http://localhost:5173",),
        **given,
    )
    mind = Scripted()
    with listening(settings) as (listener, url):
        async with started(settings, encode=frames.encode, provider=mind) as core:
            server = Server(core, settings)
            ready = asyncio.Event()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(server.run(listener, ready.set))
                await ready.wait()
                yield Place(url=url, core=core, mind=mind)
                server.stop()


@dataclass(slots=True, eq=False)
class Front:
    """What the old front end does: asks for its sessions, connects, and makes bubbles of what comes."""

    place: Place
    http: httpx2.AsyncClient
    socket: ClientConnection
    frames: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    bubbles: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    streaming: int | None = None
    typing: bool = False

    async def say(self, content: str, **more: object) -> None:
        await self.socket.send(json.dumps({"content": content, "sender": "user", **more}))

    async def until(self, kind: str, count: int = 1) -> dict[str, Any]:
        """Reads on until that many frames of a kind have come since the connection began."""
        async with asyncio.timeout(SECONDS_MAX):
            while self.kinds().count(kind) < count:
                self.take(json.loads(await self.socket.recv()))
        return [frame for frame in self.frames if frame["type"] == kind][-1]

    def kinds(self) -> list[str]:
        return [frame["type"] for frame in self.frames]

    def take(self, frame: dict[str, Any]) -> None:
        self.frames.append(frame)
        match frame["type"]:
            case "history":
                self.bubbles = [(one["sender"], one["content"]) for one in frame["messages"]]
            case "typing":
                self.typing = frame["is_typing"]
            case "ai_stream" if self.streaming is not None:
                sender, content = self.bubbles[self.streaming]
                self.bubbles[self.streaming] = (sender, content + frame["content"])
            case "ai_stream":
                self.streaming = len(self.bubbles)
                self.bubbles.append(("assistant", frame["content"]))
            case "ai_stream_end":
                self.streaming, self.typing = None, False
            case "message" | "error":
                self.bubbles.append((frame.get("sender", frame["type"]), frame["content"]))
            case _:
                pass


@asynccontextmanager
async def front(
    place: Place, guest: str | None = None, session: str | None = None
) -> AsyncGenerator[Front]:
    cookies = {} if guest is None else {"stupidbot_user_id": guest}
    async with httpx2.AsyncClient(base_url=place.url, cookies=cookies, timeout=SECONDS_MAX) as http:
        listed = (await http.get("/api/sessions")).json()["sessions"]
        if session is None and listed:
            default = [one for one in listed if one["metadata"].get("is_default")]
            session = (default or listed)[0]["id"]
        async with talking(place, http, session) as socket:
            yield Front(place, http, socket)


@asynccontextmanager
async def talking(
    place: Place, http: httpx2.AsyncClient, session: str | None, *, in_path: bool = False
) -> AsyncGenerator[ClientConnection]:
    url = f"{place.url.replace('http', 'ws', 1)}/ws/chat"
    if session is not None:
        url += f"/{session}" if in_path else f"?session_id={session}"
    cookie = "; ".join(f"{name}={value}" for name, value in http.cookies.items())
    headers = {"cookie": cookie, "origin": place.url} if cookie else {}
    async with connect(url, additional_headers=headers, open_timeout=SECONDS_MAX) as socket:
        yield socket


@asynccontextmanager
async def asking(place: Place, guest: str | None = GUEST) -> AsyncGenerator[httpx2.AsyncClient]:
    cookies = {} if guest is None else {"stupidbot_user_id": guest}
    async with httpx2.AsyncClient(base_url=place.url, cookies=cookies, timeout=SECONDS_MAX) as http:
        yield http


@asynccontextmanager
async def old_page(place: Place, path: str = "/ws/chat") -> AsyncGenerator[Front]:
    """The page of the design notes: it opens the connection and makes no HTTP call before."""
    async with (
        asking(place, None) as http,
        connect(f"{place.url.replace('http', 'ws', 1)}{path}") as socket,
    ):
        yield Front(place, http, socket)
