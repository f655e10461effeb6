"""REST about what happens in all rooms that one may read: CloudEvents, as a list, a long poll or a feed.

A list is a batch of CloudEvents, whose header `X-Palaver-Cursor` says from where to go on. In a feed each event has
that place as its id, from which `Last-Event-ID` resumes; `id` alone moves it. An event named `reset` says that the
place is not known any more, and the feed goes on with all that is; one named `err` that the session has ended.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from fastapi import Request
from starlette.responses import Response
from starlette.types import Send

from palaver.core.events import EARLIEST, Batch, Place
from palaver.core.live.items import Closing
from palaver.core.runtime import Core
from palaver.errors import Code, Refused
from palaver.model import Actor
from palaver.policy import ServerAct
from palaver.strict_json import dump
from palaver.wire.api.body import Limit, Whole
from palaver.wire.api.feed import HEADERS, lines_of, wants_feed
from palaver.wire.api.messages import WAIT_SECONDS_MAX
from palaver.wire.auth import NOBODY, Me, identity, standing_of
from palaver.wire.calls import call
from palaver.wire.cloudevents import BATCH, CloudEvent, cloud_event
from palaver.wire.edge.rates import Use, hold, take
from palaver.wire.live import frames
from palaver.wire.streams import Attended, stream

CURSOR_HEADER = "x-palaver-cursor"


class Happenings:
    """The call about what happens."""

    def __init__(self, core: Core) -> None:
        self._core = core

    @call("GET", "/events", ServerAct.ROOMS, media=BATCH)
    async def events(
        self,
        request: Request,
        me: Me,
        *,
        after: str | None = None,
        limit: Limit = 200,
        wait: Whole = 0,
    ) -> list[CloudEvent] | Response:
        """What happened in all rooms that one may read, behind a cursor; without one, what happens from now on.

        `after`: what the header `X-Palaver-Cursor` of the answer before said, or `earliest`. `wait` (up to 30 seconds)
        for something. With `Accept: text/event-stream` a feed that goes on, resumed by `Last-Event-ID`.
        """
        if wants_feed(request):
            after = request.headers.get("last-event-id") or after
            if after is not None and after != EARLIEST:
                Place.of(after)
            take(request.scope, Use.CONNECTIONS)
            hold(request.scope)

            async def tell(send: Send) -> None:
                await stream(send, _told(self._core, me, after, request), HEADERS)

            return Attended(tell)
        if wait:
            hold(request.scope)
        wait_seconds, by = min(wait, WAIT_SECONDS_MAX), standing_of(request, me)
        batch = await self._core.events.since(
            me, after, limit=limit, wait_seconds=wait_seconds, by=by
        )
        if wait:
            await identity(request)  # the session may have ended meanwhile
        told = dump([cloud_event(event) for _, event in batch.told])
        headers = {CURSOR_HEADER: str(batch.place), "cache-control": "no-store"}
        return Response(told, headers=headers, media_type=BATCH)


async def _told(
    core: Core, me: Actor, after: str | None, request: Request
) -> AsyncGenerator[bytes, None]:
    by = standing_of(request, me)
    while True:
        try:
            async with aclosing(core.events.follow(me, after, by=by)) as following:
                async for found in following:
                    yield _lines(found)
        except Refused as refused:
            if refused.code in NOBODY:
                yield lines_of(dump(frames.error(refused)), name="err")
                return
            if refused.code is not Code.CURSOR_EXPIRED:
                raise
            yield lines_of(dump({"code": refused.code, "after": EARLIEST}), name="reset")
            after = EARLIEST
        else:
            return


def _lines(found: Batch | Closing) -> bytes:
    if isinstance(found, Closing):
        return b"retry: %d\n\n" % found.retry_ms
    told = [lines_of(dump(cloud_event(event)), at=str(place)) for place, event in found.told]
    return b"".join(told) or b"id: %s\n\n" % str(found.place).encode()
