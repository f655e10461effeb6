"""The socket of a connection: messages of the server to frames, frames back, and how a connection ends.

What is said on it is its door's business.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog
from msgspec import Struct
from starlette.types import Message, Receive, Scope, Send

from palaver.errors import Code, PalaverError, Refused, Unavailable
from palaver.model import NO_DATA
from palaver.strict_json import Json, load
from palaver.wire.edge.protocols import FRAMES, KNOWN, LATE_MS, REFUSED, TOO_MANY

NOT_THIS_PROTOCOL = 4500
UNEXPECTED = 1011

log = structlog.stdlib.get_logger()


class Over(Exception):
    """The connection ends: by us with a close code, or None because the client has left."""

    def __init__(self, code: int | None, reason: str = "") -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Heard(Struct, frozen=True):
    """A frame of so many characters; `problem` is why it cannot be carried out, where it cannot."""

    frame: Json
    size: int
    problem: PalaverError | None = None


class Socket(Struct, frozen=True):
    """One client's end of ASGI."""

    scope: Scope
    receive: Receive
    send: Send

    async def accept(
        self, subprotocol: str | None = None, more: Mapping[str, object] = NO_DATA
    ) -> None:
        """Accepts the client, under this sub-protocol where it was offered. `Over`: the client has left.

        `more` is what the edge is told of the connection.
        """
        if (await self.receive())["type"] != "websocket.connect":
            raise Over(None)
        chosen = subprotocol if subprotocol in self.scope.get("subprotocols", ()) else None
        await self._sent({"type": "websocket.accept", "subprotocol": chosen, **more})

    async def next(self) -> Message:
        """Waits for a message with text. `Over`: the client has left, or it sends something else."""
        message = await self.receive()
        if message["type"] == "websocket.disconnect":
            raise Over(None)
        if "text" not in message:
            raise Over(NOT_THIS_PROTOCOL, "frames are text")
        return message

    async def heard(self, frames_per_second: float) -> Heard:
        """Waits for a frame. `Over`: as `next`, and who sends too many without minding that it is told so."""
        await asyncio.sleep(0)  # many frames may lie ready, and others want their turn too
        message = await self.next()
        if message[REFUSED] > frames_per_second:
            raise Over(TOO_MANY, "too many frames")
        size = len(message["text"])
        try:
            frame = frame_of(message)
        except Refused as problem:
            return Heard({}, size, problem)
        late: PalaverError | None = None
        if message[LATE_MS]:
            too_many = "That is too many frames a second."
            late = Unavailable(Code.RATE_LIMITED, too_many, retry_ms=message[LATE_MS])
        return Heard(frame, size, late)

    async def put(self, payloads: Sequence[bytes], *, known: bool = False) -> None:
        """Sends frames, all in one piece. Waits for a slow reader, until the edge cuts it off."""
        told = {KNOWN: True} if known else {}
        await self._sent({"type": FRAMES, "frames": payloads, **told})

    async def close(self, code: int, reason: str) -> None:
        """Closes the connection."""
        await self._sent({"type": "websocket.close", "code": code, "reason": reason})

    async def _sent(self, message: Message) -> None:
        try:
            await self.send(message)
        except OSError:  # the server's word for a client that has left
            raise Over(None) from None


async def talked(run: Callable[[asyncio.TaskGroup], Awaitable[None]]) -> Over:
    """Runs a connection's tasks until one of them ends it, and says how."""
    over = Over(None)
    try:
        async with asyncio.TaskGroup() as tasks:
            await run(tasks)
    except* Over as ends:
        found = [end for end in ends.exceptions if isinstance(end, Over)]
        over = next((end for end in found if end.code is not None), over)
    except* Exception:
        log.exception("connection.failed")
        over = Over(UNEXPECTED)
    return over


def frame_of(message: Message) -> Json:
    """The frame in a message. Refused: what `load` refuses."""
    return load(message["text"].encode())
