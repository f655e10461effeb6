"""A room as a feed of server-sent events, for programs that speak plain HTTP and want more than polling.

Each event of the room is a `message` with `id: <epoch>:<seq>`, whose data is the frame `ev` of palaver.v1; after a
reconnect `Last-Event-ID` resumes behind it. What passes comes under the name of its frame (`s.open`, `s.d`, `s.end`,
`typing`) and without an id, so that it does not move that place. Where there is no way to resume, an event named
`reset` holds what `sub` would have answered. An event named `unsub` says why the room is the reader's no more, and ends
the feed. While nothing comes, comments keep proxies from closing it.
"""

import asyncio
import re

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from palaver.core.live import items as live
from palaver.core.runtime import Core
from palaver.errors import Unavailable
from palaver.model import Actor, RoomId
from palaver.strict_json import dump
from palaver.wire.live import frames
from palaver.wire.streams import attended

RETRY_SECONDS = 1.0
MEDIA_TYPE = "text/event-stream"
_NAMES: dict[type, str] = {
    live.Opened: "s.open",
    live.Delta: "s.d",
    live.Ended: "s.end",
    live.Typing: "typing",
    live.Unsubscribed: "unsub",
}
_PLACE = re.compile(r"(e_\w{1,64}):([0-9]{1,15})")


def wants_feed(request: Request) -> bool:
    """Whether a client asks for a feed."""
    return MEDIA_TYPE in request.headers.get("accept", "")


class EventFeed(Response):
    """A feed of one room, until the client leaves or the server stops."""

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
        await attended(self._tell, receive, send)

    async def _tell(self, send: Send) -> None:
        async def write(body: bytes) -> None:
            await send({"type": "http.response.body", "body": body, "more_body": True})

        with self._core.chat.reader(self._actor) as reader:
            joined = await reader.subscribe(self._room, self._since, epoch=self._epoch)
            start = {"status": self.status_code, "headers": self.raw_headers}
            await send({"type": "http.response.start", **start})
            reader.start(self._room)
            await write(self._first(joined))
            ends = False
            while not ends:
                try:
                    items = await reader.next()
                except Unavailable:
                    await asyncio.sleep(RETRY_SECONDS)
                    continue
                if body := b"".join(map(self._event, items)):
                    await write(body)
                ends = any(isinstance(item, live.Closing | live.Unsubscribed) for item in items)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _first(self, joined: live.Joined) -> bytes:
        if joined.mode == "reset":
            lines = [_lines(dump(frames.joined(joined)), name="reset", at=self._at(joined.seq))]
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
        if isinstance(item, live.Closing):
            return b"retry: %d\n\n" % item.retry_ms
        frame = item.frame or frames.encode(item)
        if isinstance(item, live.Happened):
            return _lines(frame, at=self._at(item.event.seq))
        name = _NAMES.get(type(item))
        return b"" if name is None else _lines(frame, name=name)

    def _at(self, seq: int) -> str:
        return f"{self._core.epoch}:{seq}"


def _lines(frame: bytes, *, name: str = "", at: str = "") -> bytes:
    """One event of the feed. JSON has no line breaks, so its data is one line."""
    head = f"event: {name}\n" if name else ""
    head += f"id: {at}\n" if at else ""
    return b"%sdata: %s\n\n" % (head.encode(), frame)
