"""The socket of a live connection: messages of the server to frames, and replies back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from palaver.errors import Code, PalaverError, Refused
from palaver.strict_json import Json, dump, load
from palaver.wire.edge.protocols import FRAMES, KNOWN
from palaver.wire.live import frames

NOT_THIS_PROTOCOL = 4500


class Over(Exception):
    """The connection ends: by us with a close code, or None because the client has left."""

    def __init__(self, code: int | None, reason: str = "") -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Socket:
    """One client's end of ASGI."""

    scope: Scope
    receive: Receive
    send: Send

    async def accept(self, subprotocol: str) -> None:
        """Accepts the client, under this sub-protocol where it was offered. `Over`: the client has left."""
        if (await self.receive())["type"] != "websocket.connect":
            raise Over(None)
        chosen = subprotocol if subprotocol in self.scope.get("subprotocols", ()) else None
        await self._sent({"type": "websocket.accept", "subprotocol": chosen})

    async def next(self) -> Message:
        """Waits for a message with text. `Over`: the client has left, or it sends something else."""
        message = await self.receive()
        if message["type"] == "websocket.disconnect":
            raise Over(None)
        if "text" not in message:
            raise Over(NOT_THIS_PROTOCOL, "frames are text")
        return message

    async def reply(self, reply: Mapping[str, Any], frame: Json, *, known: bool = False) -> None:
        """Sends the reply to a frame."""
        await self.put([encoded(reply, frame)], known=known)

    async def error(self, problem: PalaverError, frame: Json) -> None:
        """Replies that a frame was not carried out."""
        reply = frames.error(problem)
        if isinstance(frame.get("room"), str):
            reply["room"] = frame["room"]
        await self.reply(reply, frame)

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


def encoded(reply: Mapping[str, Any], frame: Json) -> bytes:
    """The reply to a frame, with the frame's `id`, as bytes."""
    number = frame.get("id")
    if number is None:
        return dump(reply)
    if type(number) not in {int, float}:
        return dump(frames.error(Refused(Code.BAD_REQUEST, "The field 'id' must be a number.")))
    return dump({**reply, "id": number})


def frame_of(message: Message) -> Json:
    """The frame in a message. Refused: what `load` refuses."""
    return load(message["text"].encode())
