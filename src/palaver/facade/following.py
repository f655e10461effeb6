"""Follows what happens, for a program: in one room with its running answers, or in all rooms that it sees."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from msgspec import structs

from palaver.core.live.items import (
    Closing,
    Delta,
    Ended,
    Happened,
    Item,
    Joined,
    Opened,
    Unsubscribed,
)
from palaver.core.live.reader import Reader
from palaver.core.runtime import Core
from palaver.errors import Refused
from palaver.model import Actor, Event, RoomId

Happening = Event | Opened | Delta | Ended
"""What `of_room` yields: stored events, and the pieces of running answers."""


async def of_room(
    core: Core, program: Actor, room: RoomId, since: int | None
) -> AsyncGenerator[Happening, None]:
    """See `Room.follow`."""
    seq = since
    with core.chat.reader(program) as reader:
        joined: Joined | None = None
        while joined is None:
            if seq is not None:
                async for event in _missed(core, program, room, seq):
                    seq = event.seq
                    yield event
            joined = await reader.subscribe(room, seq)
            if seq is not None and joined.mode == "reset":
                joined = None  # thousands more were said meanwhile: fetch them first
        for event in joined.events:
            yield event
        for stream in joined.streams:
            yield Opened(structs.replace(stream, n=0, text="", reasoning=""))
            if stream.n:
                yield Delta(room, stream.message, stream.n, stream.text, stream.reasoning)
        async for happening in _lived(reader, room):
            yield happening


async def of_all(
    core: Core, program: Actor, after: str | None
) -> AsyncGenerator[tuple[str, Event], None]:
    """See `Chat.events`."""
    async with aclosing(core.events.follow(program, after)) as following:
        async for batch in following:
            if isinstance(batch, Closing):
                return
            for place, event in batch.told:
                yield str(place), event


async def _missed(core: Core, program: Actor, room: RoomId, seq: int) -> AsyncIterator[Event]:
    tail = seq + 1
    while seq < tail:
        events, tail = await core.chat.events(program, room, after=seq)
        for event in events:
            seq = event.seq
            yield event


async def _lived(reader: Reader, room: RoomId) -> AsyncIterator[Happening]:
    reader.start(room)
    while True:
        items: list[Item] = await reader.next()
        for item in items:
            match item:
                case Happened(event):
                    yield event
                case Opened() | Delta() | Ended():
                    yield item
                case Unsubscribed():
                    raise Refused(item.code, item.detail)
                case Closing():
                    return
                case _:
                    pass  # for doors with people behind them
