"""A scripted model server: raw HTTP/1.1 on a free port of this machine, which does to each request what a test wrote.

A script is a tuple of steps. A `Head` starts the response; `bytes` are sent as they are (a chunk of the body each), an
`asyncio.Event` is waited for, `CUT` drops the connection, `STALL` says nothing until the client has gone, `Endless`
repeats bytes until then. `reply`, `stream`, `whole` and `refuse` make the usual scripts. Requests to
`/chat/completions` take the script given to `to` for what they ask, or that `by_model`, else those given to `will` in
order, and the `default` one when there are none left; where `template` says why it refuses their messages, they are
refused. `/models` lists `models`, or runs `models_script`. Every request is kept in `requests`; `hangups` counts
clients that left before their answer's end, `connections` all that were made. Nothing is pipelined: a client sends its
next request after the end of an answer.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any


class End(Enum):
    """Ways in which a response does not end well."""

    CUT = auto()
    STALL = auto()


CUT = End.CUT
STALL = End.STALL


@dataclass(frozen=True, slots=True)
class Endless:
    """The same bytes again and again, until the client has gone."""

    piece: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Status and headers. `chunked` bodies end with the script; others with the connection, or at `content-length`."""

    status: int = 200
    headers: Mapping[str, str] = field(
        default_factory=lambda: {"content-type": "text/event-stream"}
    )
    chunked: bool = True


Step = bytes | asyncio.Event | End | Endless | Head
Script = tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A request as it came. Header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def chunk(text: str | None = None, *, finish: str | None = None, **fields: Any) -> bytes:
    """One event of a streamed answer. `fields` go into the chunk itself."""
    delta = {} if text is None else {"content": text}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return event({"id": "c", "object": "chat.completion.chunk", "choices": [choice]} | fields)


def event(data: object) -> bytes:
    """One Server-Sent Event with this JSON."""
    return b"data: " + json.dumps(data).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


def stream(*steps: Step | str) -> Script:
    """A response that streams; a text stands for a chunk with it."""
    return (Head(), *(chunk(step) if isinstance(step, str) else step for step in steps))


def reply(*words: str) -> Script:
    """A whole, well-behaved answer."""
    usage = {"prompt_tokens": 7, "completion_tokens": len(words), "total_tokens": 7 + len(words)}
    return stream(*words, chunk(finish="stop"), event({"choices": [], "usage": usage}), DONE)


def refuse(status: int, body: str | object, **headers: str) -> Script:
    """A response with an error status. A text is sent as plain text, anything else as JSON."""
    plain = isinstance(body, str)
    kind = "text/plain" if plain else "application/json"
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return (Head(status=status, headers={"content-type": kind} | names), data)


def whole(body: object) -> Script:
    """A success that is one JSON body."""
    return refuse(200, body)


class ScriptedUpstream:
    """The server. Change `default`, `models` or `models_script` at any time."""

    def __init__(self) -> None:
        self.port = 0
        self.default: Script = reply(*(f"w{index:03d} " for index in range(10)))
        self.models: list[dict[str, Any]] = [
            {"id": "scripted", "object": "model", "owned_by": "us"}
        ]
        self.models_script: Script | None = None
        self.by_model: dict[str, Script] = {}
        self.template: Callable[[Any], str | None] | None = None
        self.requests: list[Received] = []
        self.hangups = 0
        self.connections = 0
        self.hung_up = asyncio.Event()
        self.everywhere = False
        self._scripts: deque[Script] = deque()
        self._answers: dict[str, Script] = {}
        self._arrived = asyncio.Condition()

    @property
    def base_url(self) -> str:
        """What OPENAI_BASE_URL would be."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def asked(self) -> list[Received]:
        """The requests for an answer."""
        return [one for one in self.requests if one.path.endswith("/chat/completions")]

    def will(self, *scripts: Script) -> None:
        """Adds scripts for the next requests for an answer, one each."""
        self._scripts.extend(scripts)

    def to(self, question: str, script: Script) -> None:
        """The script for every request whose last message ends so, whatever else is asked between."""
        self._answers[question] = script

    async def arrived(self, count: int) -> None:
        """Waits until so many requests for an answer came."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.asked) >= count)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while (request := await _received(reader)) is not None:
                async with self._arrived:
                    self.requests.append(request)
                    self._arrived.notify_all()
                if not await self._play(self.script_for(request), reader, writer):
                    break
        writer.close()

    def script_for(self, request: Received) -> Script:
        """What is done to a request."""
        if request.path.endswith("/models"):
            return self.models_script or whole({"object": "list", "data": self.models})
        if not self.everywhere and not request.path.endswith("/chat/completions"):
            return refuse(404, "404 page not found")
        if self.template is not None and (why := self.template(request.json["messages"])):
            return refuse(400, {"error": {"message": why}})
        for question, script in self._answers.items():
            if str(request.json["messages"][-1]["content"]).endswith(question):
                return script
        if self.by_model and request.json["model"] in self.by_model:
            return self.by_model[request.json["model"]]
        return self.next_script()

    def next_script(self) -> Script:
        """The script of a request that has none of its own."""
        return self._scripts.popleft() if self._scripts else self.default

    async def _play(
        self, script: Script, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Runs a script. False when the connection is of no more use."""
        gone = asyncio.ensure_future(reader.read(1))  # noqa: TID251  ended below, in every case
        chunked = False
        try:
            for step in script:
                if isinstance(step, Head):
                    chunked = step.chunked
                    writer.write(_head(step))
                elif not await self._step(step, chunked, gone, writer):
                    return False
            writer.write(b"0\r\n\r\n" if chunked else b"")
            await writer.drain()
        except ConnectionError:
            self._hang_up()
            return False
        else:
            return chunked
        finally:
            gone.cancel()
            with suppress(asyncio.CancelledError, ConnectionError):
                await gone

    async def _step(
        self,
        step: Step,
        chunked: bool,  # noqa: FBT001  a helper of one caller
        gone: asyncio.Future[bytes],
        writer: asyncio.StreamWriter,
    ) -> bool:
        match step:
            case bytes():
                writer.write(_framed(step) if chunked else step)
                await writer.drain()
            case asyncio.Event():
                async with asyncio.TaskGroup() as group:
                    released = group.create_task(step.wait())
                    await asyncio.wait((released, gone), return_when=asyncio.FIRST_COMPLETED)
                    released.cancel()
            case Endless(piece):
                while not gone.done():
                    writer.write(_framed(piece) if chunked else piece)
                    await writer.drain()
                    await asyncio.sleep(0)
            case End.STALL:
                await asyncio.wait((gone,))
            case _:
                await writer.drain()
                writer.transport.abort()
                return False
        if gone.done():
            self._hang_up()
        return not gone.done()

    def _hang_up(self) -> None:
        self.hangups += 1
        self.hung_up.set()


@asynccontextmanager
async def scripted_upstream(*, everywhere: bool = False) -> AsyncGenerator[ScriptedUpstream]:
    """A scripted model server, for as long as the block runs. `everywhere`: scripts are for any address."""
    upstream = ScriptedUpstream()
    upstream.everywhere = everywhere
    async with listening(upstream):
        yield upstream


@asynccontextmanager
async def listening(upstream: ScriptedUpstream) -> AsyncGenerator[None]:
    """Serves at a free port until the block ends."""
    connections: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            await upstream.serve(reader, writer)
        finally:
            connections.discard(task)
            writer.transport.abort()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    upstream.port = server.sockets[0].getsockname()[1]
    try:
        yield
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def _received(reader: asyncio.StreamReader) -> Received | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.strip().split("\r\n")
    method, path, _ = first.split(" ")
    pairs = (line.split(": ", 1) for line in lines)
    headers = {name.lower(): value for name, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(method=method, path=path, headers=headers, body=body)


def _head(head: Head) -> bytes:
    lines = [f"HTTP/1.1 {head.status} Scripted"]
    lines += [f"{name}: {value}" for name, value in head.headers.items()]
    if head.chunked:
        lines.append("transfer-encoding: chunked")
    return "\r\n".join((*lines, "", "")).encode("latin-1")


def _framed(data: bytes) -> bytes:
    """A chunk. An empty one would end the body."""
    return b"%x\r\n%s\r\n" % (len(data), data) if data else b""
