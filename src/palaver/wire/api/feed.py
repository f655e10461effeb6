"""A room as a feed of server-sent events, for programs that speak plain HTTP and want more than polling.

Each event of the room is a `message` with `id: <epoch>:<seq>`, whose data is the frame `ev` of palaver.v1; after a
reconnect `Last-Event-ID` resumes behind it. What passes comes under the name of its frame (`s.open`, `s.d`, `s.end`,
`typing`, `here`) and without an id, so that it does not move that place. Where there is no way to resume, an event
named `reset` holds what `sub` would have answered. An event named `unsub` says why the room is the reader's no more,
one named `err` that its session has ended; both end the feed. While nothing comes, comments keep it open.
"""

import re
from collections.abc import AsyncGenerator

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Send

from palaver.core.live import items as live
from palaver.core.live.reader import Reader
from palaver.core.runtime import Core
from palaver.model import Actor, RoomId
from palaver.strict_json import dump
from palaver.wire.auth import standing_of
from palaver.wire.live import frames
from palaver.wire.streams import MEDIA_TYPE as EVENTS, Attended, stream

MEDIA_TYPE = "text/event-stream"
HEADERS = (("cache-control", "no-store"), ("x-accel-buffering", "no"), ("content-type", EVENTS))
_NAMES: dict[type, str] = {
    live.Opened: "s.open",
    live.Delta: "s.d",
    live.Ended: "s.end",
    live.Typing: "typing",
    live.Here: "here",
    live.Unsubscribed: "unsub",
    live.SignedOut: "err",
}
_LAST = live.Closing | live.Unsubscribed | live.SignedOut
_PLACE = re.compile(r"(e_\w{1,64}):([0-9]{1,15})")


def wants_feed(request: Request) -> bool:
    """Whether a client asks for a feed."""
    return MEDIA_TYPE in request.headers.get("accept", "")


def feed(core: Core, actor: Actor, room: RoomId, after: int | None, request: Request) -> Response:
    """The feed of one room, until the client leaves or the server stops."""
    place = _PLACE.fullmatch(request.headers.get("last-event-id", ""))
    epoch, since = (None, after) if place is None else (place[1], int(place[2]))

    async def tell(send: Send) -> None:
        with core.chat.reader(actor, standing_of(request, actor)) as reader:
            joined = await reader.subscribe(room, since, epoch=epoch)
            await stream(send, _told(core, room, reader, joined), HEADERS)

    return Attended(tell)


async def _told(
    core: Core, room: RoomId, reader: Reader, joined: live.Joined
) -> AsyncGenerator[bytes, None]:
    reader.start(room)
    yield _first(core, joined)
    ends = False
    while not ends:
        items = await reader.next_patiently()
        if body := b"".join(_event(core, item) for item in items):
            yield body
        ends = any(isinstance(item, _LAST) for item in items)


def _first(core: Core, joined: live.Joined) -> bytes:
    if joined.mode == "reset":
        reset = dump(frames.joined(joined))
        lines = [lines_of(reset, name="reset", at=_at(core, joined.seq))]
    else:
        lines = [_event(core, live.Happened(event)) for event in joined.events]
    for view in joined.streams:
        lines.append(_event(core, live.Opened(view)))
        if view.n:
            so_far = live.Delta(view.room, view.message, view.n, view.text, view.reasoning)
            lines.append(_event(core, so_far))
    return b"".join(lines) or b":\n\n"


def _event(core: Core, item: live.Item) -> bytes:
    if isinstance(item, live.Closing):
        return b"retry: %d\n\n" % item.retry_ms
    frame = item.frame or frames.encode(item)
    if isinstance(item, live.Happened):
        return lines_of(frame, at=_at(core, item.event.seq))
    name = _NAMES.get(type(item))
    return b"" if name is None else lines_of(frame, name=name)


def _at(core: Core, seq: int) -> str:
    return f"{core.epoch}:{seq}"


def lines_of(frame: bytes, *, name: str = "", at: str = "") -> bytes:
    """One event of a feed. JSON has no line breaks, so its data is one line."""
    head = f"event: {name}\n" if name else ""
    head += f"id: {at}\n" if at else ""
    return b"%sdata: %s\n\n" % (head.encode(), frame)
