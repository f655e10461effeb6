"""A room as a feed of server-sent events, for programs that speak plain HTTP and want more than polling.

Each event of the room is a `message` with `id: <epoch>:<seq>`, whose data is the frame `ev` of palaver.v1; after a
reconnect `Last-Event-ID` resumes behind it. What passes comes under the name of its frame (`s.open`, `s.d`, `s.end`,
`typing`) and without an id, so that it does not move that place. Where there is no way to resume, an event named
`reset` holds what `sub` would have answered. A comment every `COMMENT_SECONDS` keeps proxies from closing it.
"""

import asyncio
import re
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from palaver.core import live
from palaver.core.reader import Reader
from palaver.core.start import Core
from palaver.errors import Unavailable
from palaver.model import Actor, RoomId
from palaver.wire import frames

COMMENT_SECONDS = 15.0
RETRY_SECONDS = 1.0
MEDIA_TYPE = "text/event-stream"
_NAMES = {live.Opened: "s.open", live.Delta: "s.d", live.Ended: "s.end", live.Typing: "typing"}
_PLACE = re.compile(r"(e_\w{1,64}):([0-9]{1,15})")


def wants_feed(request: Request) -> bool:
    """Whether a client asks for a feed."""
    return MEDIA_TYPE in request.headers.get("accept", "")


class EventFeed(Response):
    """A feed of one room, until the client leaves, reads too slowly, or the server stops."""

    media_type = MEDIA_TYPE

    def __init__(
        self, core: Core, actor: Actor, room: RoomId, after: int | None, request: Request
    ) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._core = core
        self._actor = actor
        self._room = room
        self._since = after
        self._epoch: str | None = None
        place = _PLACE.fullmatch(request.headers.get("last-event-id", ""))
        if place is not None:
            self._epoch, self._since = place[1], int(place[2])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  the signature is ASGI's
        """ASGI."""
        with self._core.chat.reader(self._actor) as reader:
            joined = await reader.subscribe(self._room, self._since, epoch=self._epoch)
            start = {"status": self.status_code, "headers": self.raw_headers}
            await send({"type": "http.response.start", **start})
            reader.start(self._room)
            async with asyncio.TaskGroup() as tasks:
                gone = tasks.create_task(_gone(receive))
                feed = tasks.create_task(self._feed(reader, joined, send))
                await asyncio.wait({gone, feed}, return_when=asyncio.FIRST_COMPLETED)
                gone.cancel()
                feed.cancel()

    async def _feed(self, reader: Reader, joined: live.Joined, send: Send) -> None:
        out = _Out(send, self._core.settings.slow_reader_seconds)
        try:
            await out.write(self._first(joined))
            while True:
                items = await _next(reader)
                await out.write(b"".join(map(self._event, items)) if items else b":\n\n")
                if any(isinstance(item, live.Closing) for item in items):
                    break
        except TimeoutError:
            return  # it takes no byte; uvicorn closes what was not ended
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _first(self, joined: live.Joined) -> bytes:
        if joined.mode == "reset":
            lines = [
                _lines(frames.dump(frames.joined(joined)), name="reset", at=self._at(joined.seq))
            ]
        else:
            lines = [
                _lines(frames.encode(live.Happened(event)), at=self._at(event.seq))
                for event in joined.events
            ]
        for view in joined.streams:
            so_far = live.Delta(view.room, view.message, view.n, view.text, view.reasoning)
            lines.append(_lines(frames.encode(live.Opened(view)), name="s.open"))
            lines.append(_lines(frames.encode(so_far), name="s.d"))
        return b"".join(lines) or b":\n\n"

    def _event(self, item: live.Item) -> bytes:
        frame = item.frame or frames.encode(item)
        match item:
            case live.Happened(event=event):
                return _lines(frame, at=self._at(event.seq))
            case live.Closing(retry_ms=retry_ms):
                return b"retry: %d\n\n" % retry_ms
            case live.Opened() | live.Delta() | live.Ended() | live.Typing():
                return _lines(frame, name=_NAMES[type(item)])
            case (
                live.RoomChanged()
                | live.ReadMark()
                | live.Drafted()
                | live.Settled()
                | live.DatabaseState()
            ):
                return b""

    def _at(self, seq: int) -> str:
        return f"{self._core.epoch}:{seq}"


class _Out:
    def __init__(self, send: Send, seconds: float) -> None:
        self._send = send
        self._seconds = seconds

    async def write(self, body: bytes) -> None:
        async with asyncio.timeout(self._seconds):
            await self._send({"type": "http.response.body", "body": body, "more_body": True})


async def _next(reader: Reader) -> Sequence[live.Item]:
    """What comes next; nothing when nothing came for a while."""
    try:
        async with asyncio.timeout(COMMENT_SECONDS):
            return await reader.next()
    except TimeoutError:
        return ()
    except Unavailable:
        await asyncio.sleep(RETRY_SECONDS)
        return ()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _lines(frame: bytes, *, name: str = "", at: str = "") -> bytes:
    """One event of the feed. JSON has no line breaks, so its data is one line."""
    head = f"event: {name}\n" if name else ""
    head += f"id: {at}\n" if at else ""
    return b"%sdata: %s\n\n" % (head.encode(), frame)
