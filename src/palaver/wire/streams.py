"""An answer that streams to a client: one write for each event, signs of life, and no clean end for what broke.

Rules: what is written is one whole event or one whole comment, so no reader gets half of one. While nothing comes for
`PING_SECONDS`, a comment says that the connection lives; clients pass it over. Where a stream was asked for, the first
comment takes the head with it, and what is an error after that is told as an event, behind which there is no end. A
stream that breaks (`Broken`) closes its connection without an end, because a clean one without `[DONE]` counts as
success for the usual clients. When the client goes, what is told to it ends and `left` is called; what becomes of the
answer is the core's business. The same when the key has ended by which it asked (`LIVES`), which it is told.

The telling runs in the request's own task, with one other that watches: each hand-over between tasks would make the
first word later by whatever else the server has to do just then.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import AbstractContextManager, aclosing, nullcontext
from functools import partial

from msgspec import Struct
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from palaver.errors import PalaverError
from palaver.policy import revoked

PING_SECONDS = 15.0
PING = b": ping\n\n"
MEDIA_TYPE = "text/event-stream; charset=utf-8"
STREAM_HEADERS = (("cache-control", "no-cache"), ("x-accel-buffering", "no"))
"""No cache may keep a stream, and no proxy may collect it."""

_EVENTS = MEDIA_TYPE.encode()

LIVES = "lives"
"""In the state of a scope: what ends the telling within a block when the key that it is told to has ended."""

Headers = Iterable[tuple[str, str]]
Lives = Callable[[Callable[[], None]], AbstractContextManager[None]]


class Broken(Exception):
    """The stream ends here, and is not whole. What the client should know of it has been written."""


def _nobody() -> None:
    """What `left` is where nobody else hears what is told."""


class _Watch(Struct):
    """Looks after a client while something is told to it by the task `told`."""

    receive: Receive
    send: Send
    told: asyncio.Task[object]
    early: Headers | None
    streams: bool = False
    wrote: bool = False
    gone: bool = False
    ended: bool = False
    """Whether the key has ended."""
    began: bool = False
    headed: bool = False
    """Whether the head went out with a comment, before anything was told."""

    async def noted(self, message: Message) -> None:
        """ASGI's send."""
        self.wrote = self.began = True
        if message["type"] == "http.response.start":
            streams = any(value == _EVENTS for _, value in message["headers"])
            self.streams = streams
            if self.headed:
                return
            self.early = None
        elif self.headed and not self.streams:  # no stream after all: one event, and no end
            lines = message["body"].splitlines()
            data = b"".join(b"data: %s\n" % line for line in lines)
            message = {**message, "body": data + b"\n" if data else b"", "more_body": True}
        await self.send(message)

    async def _ping(self) -> None:
        if self.early is not None:
            head = _head(200, self.early)
            self.early = None
            self.began = self.headed = self.streams = True
            await self.send(head)
        if self.streams:
            await self.send({"type": "http.response.body", "body": PING, "more_body": True})

    def end(self) -> None:
        """Ends the telling: the key has ended."""
        self.ended = True
        self.told.cancel()

    async def run(self, pings: float) -> None:
        """Ends the telling when the client goes."""
        while not self.gone:
            try:
                async with asyncio.timeout(pings):
                    self.gone = (await self.receive())["type"] == "http.disconnect"
            except TimeoutError:
                if not self.wrote:
                    await self._ping()
                self.wrote = False
        self.told.cancel()


async def attended(
    tell: Callable[[Send], Awaitable[None]],
    receive: Receive,
    send: Send,
    left: Callable[[], None] = _nobody,
    *,
    pings: float = PING_SECONDS,
    early: Headers | None = None,
    refused: Callable[[PalaverError], bytes] | None = None,
    lives: Lives | None = None,
) -> None:
    """Tells a client something for as long as it is there, and its key good. What `tell` raises is raised.

    `early` are the headers of a stream that the client waits for. Where they went out before it began, what `tell`
    raises is told as `refused` says; so is the end of the key in any stream.
    """
    me = asyncio.current_task()
    assert me is not None, "this is a coroutine"
    watch = _Watch(receive, send, me, early)
    failure: Exception | None = None
    try:
        with nullcontext() if lives is None else lives(watch.end):
            async with asyncio.TaskGroup() as tasks:
                watcher = tasks.create_task(watch.run(pings))
                try:
                    await tell(watch.noted)
                except Exception as error:  # noqa: BLE001  raised again below, not as a group
                    failure = error
                watcher.cancel()
    except asyncio.CancelledError:
        if not watch.gone and not watch.ended:
            raise
        me.uncancel()
        left()
        failure = revoked() if watch.ended else None
    within = watch.streams if watch.ended else watch.headed
    if isinstance(failure, PalaverError) and within and refused is not None:
        await send({"type": "http.response.body", "body": refused(failure), "more_body": True})
    elif failure is not None and not (watch.ended and watch.began):
        raise failure


async def stream(
    send: Send, parts: AsyncGenerator[bytes, None], headers: Headers, *, status: int = 200
) -> None:
    """Writes a body that comes in parts: events, each the bytes of one, or anything else."""
    await send(_head(status, headers))
    try:
        async with aclosing(parts):
            async for part in parts:
                await send({"type": "http.response.body", "body": part, "more_body": True})
    except Broken:
        return  # the server closes a connection whose answer was not ended
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _head(status: int, headers: Headers) -> Message:
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    return {"type": "http.response.start", "status": status, "headers": raw}


class Attended(Response):
    """An answer that is told for as long as its client is there. What `tell` gives back, if anything, is told then."""

    def __init__(
        self,
        tell: Callable[[Send], Awaitable[Response | None]],
        left: Callable[[], None] = _nobody,
        *,
        early: Headers | None = None,
        refused: Callable[[PalaverError], bytes] | None = None,
    ) -> None:
        """`early` and `refused`: see `attended`."""
        super().__init__()
        self._tell = tell
        self._attended = partial(attended, left=left, early=early, refused=refused)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""

        async def tell(noted: Send) -> None:
            told = await self._tell(noted)
            if told is not None:
                await told(scope, receive, noted)

        lives: Lives | None = scope.get("state", {}).get(LIVES)
        await self._attended(tell, receive, send, pings=PING_SECONDS, lives=lives)


def event_headers(headers: Headers = ()) -> list[tuple[str, str]]:
    """The headers of a stream of events: those given, and our own."""
    given = [one for one in headers if one[0] not in {"content-type", "cache-control"}]
    return [*STREAM_HEADERS, ("content-type", MEDIA_TYPE), *given]
