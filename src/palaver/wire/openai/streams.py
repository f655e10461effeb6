"""An answer that streams to a client: one write for each event, signs of life, and no clean end for what broke.

Rules: what is written is one whole event or one whole comment, so no reader gets half of one. While nothing comes for
`PING_SECONDS`, a comment says that the connection lives; clients pass it over. A stream that breaks (`Broken`) closes
its connection without an end, because a clean one without `[DONE]` counts as success for the usual clients. When the
client goes, `left` is called; what becomes of the answer is the core's business.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from contextlib import aclosing
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

PING_SECONDS = 15.0
PING = b": ping\n\n"
MEDIA_TYPE = "text/event-stream; charset=utf-8"
HEADERS = (("cache-control", "no-cache"), ("x-accel-buffering", "no"))
"""No cache may keep a stream, and no proxy may collect it."""


class Broken(Exception):
    """The stream ends here, and is not whole. What the client should know of it has been written."""


class Streamed(Response):
    """A body that comes in `parts`: events, each the bytes of one. Where it is none of events, it has no `pings`."""

    def __init__(
        self,
        parts: AsyncGenerator[bytes, None],
        left: Callable[[], None],
        *,
        status: int = 200,
        headers: Iterable[tuple[str, str]] = (("content-type", MEDIA_TYPE),),
        pings: float | None = PING_SECONDS,
    ) -> None:
        super().__init__(status_code=status)
        named = (*HEADERS, *headers) if pings is not None else headers
        self.raw_headers = [
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in named
        ]
        self._parts = parts
        self._left = left
        self._pings = pings
        self._wrote = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  the signature is ASGI's
        """ASGI."""
        start = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **start})
        async with asyncio.TaskGroup() as tasks:
            told = tasks.create_task(self._tell(send))
            pings = tasks.create_task(self._ping(send))
            gone = tasks.create_task(until_gone(receive))
            await asyncio.wait({told, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not told.done():
                self._left()
            for task in (told, pings, gone):
                task.cancel()

    async def _tell(self, send: Send) -> None:
        try:
            async with aclosing(self._parts) as parts:
                async for part in parts:
                    self._wrote = True
                    await send({"type": "http.response.body", "body": part, "more_body": True})
        except Broken:
            return  # the server closes a connection whose answer was not ended
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _ping(self, send: Send) -> None:
        while self._pings is not None:
            self._wrote = False
            await asyncio.sleep(self._pings)
            if not self._wrote:
                await send({"type": "http.response.body", "body": PING, "more_body": True})


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, Response]) -> Response | None:
    """What comes of some work; None when the client goes first. What the work raises is raised."""
    failure: Exception | None = None

    async def tried() -> Response | None:
        nonlocal failure
        try:
            return await work
        except Exception as error:  # noqa: BLE001  raised again below, not as a group
            failure = error
            return None

    async with asyncio.TaskGroup() as tasks:
        done = tasks.create_task(tried())
        gone = tasks.create_task(until_gone(receive))
        await asyncio.wait({done, gone}, return_when=asyncio.FIRST_COMPLETED)
        answer = done.result() if done.done() else None
        done.cancel()
        gone.cancel()
    if failure is not None:
        raise failure
    return answer


async def until_gone(receive: Receive) -> None:
    """Waits until the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
