"""What a live connection replies to the frames of its client."""

from collections.abc import Mapping
from typing import Any

from palaver.errors import Code, PalaverError, Refused
from palaver.strict_json import Json, dump
from palaver.wire.edge import sockets
from palaver.wire.live import frames


class Socket(sockets.Socket, frozen=True):
    """One client's end of palaver.v1."""

    async def reply(self, reply: Mapping[str, Any], frame: Json, *, known: bool = False) -> None:
        """Sends the reply to a frame."""
        await self.put([encoded(reply, frame)], known=known)

    async def error(self, problem: PalaverError, frame: Json) -> None:
        """Replies that a frame was not carried out."""
        reply = frames.error(problem)
        for name in ("room", "turn"):
            if isinstance(frame.get(name), str):
                reply[name] = frame[name]
        await self.reply(reply, frame)


def encoded(reply: Mapping[str, Any], frame: Json) -> bytes:
    """The reply to a frame, with the frame's `id`, as bytes."""
    number = frame.get("id")
    if number is None:
        return dump(reply)
    if type(number) not in {int, float}:
        return dump(frames.error(Refused(Code.BAD_REQUEST, "The field 'id' must be a number.")))
    return dump({**reply, "id": number})
