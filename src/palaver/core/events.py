"""What happens in all rooms that somebody may read, in the order of the feed, and from any place that it still has.

A place is behind a row of the feed, and maybe behind the first events of the next one: a page may end within a row.
What is told is read first, and whether it may be is asked after that: so nothing is told that happened after the right
to it was taken, and nothing of a room once that is lost. Whoever comes into a room later is told what happens from the
place on where they are. On PostgreSQL nothing is told before it is in the feed, which has one order for every process.

Who follows waits on a live reader, which ends with the session or key. All of them are woken by one consumer.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, suppress
from functools import partial

from msgspec import Struct

from palaver.core.answers.source import patiently
from palaver.core.ground import Ground
from palaver.core.live.items import Closing
from palaver.core.live.reader import Reader
from palaver.core.validation import page_size
from palaver.errors import Code, Refused
from palaver.model import Actor, CredentialId, Event, RoomId
from palaver.policy import signed_out
from palaver.store.read import events, feed
from palaver.store.read.rooms import bad_cursor

EARLIEST = "earliest"
"""The cursor of the first place that the feed has."""
ROWS_MAX = 500
"""So many rows of the feed are looked at for a page."""
ROWS_UNTOLD = 1_000
"""After so many rows of which nothing was told, who follows is given their place."""
PAUSE_SECONDS = 0.05
"""Who follows looks no more often than that."""
_PLACE = re.compile(r"(e_\w{1,64}):([0-9]{1,15})(?:\.([0-9]{1,15}))?", re.ASCII)


class Place(Struct, frozen=True):
    """Behind the row at a `position` of the feed, and the first `done` events of the next row. As text, a cursor."""

    epoch: str
    position: int
    done: int = 0

    def __str__(self) -> str:
        return f"{self.epoch}:{self.position}" + (f".{self.done}" if self.done else "")

    @classmethod
    def of(cls, cursor: str) -> "Place":
        """Reads a cursor. Refused: `cursor_invalid`."""
        if (found := _PLACE.fullmatch(cursor)) is None:
            raise bad_cursor()
        return cls(found[1], int(found[2]), int(found[3] or 0))


class Batch(Struct, frozen=True):
    """Events, each with the place behind it, and the place behind all that was looked at."""

    told: tuple[tuple[Place, Event], ...]
    place: Place


class Events:
    """Tells programs what happens. It is a consumer of the feed that keeps nothing: it wakes those who follow."""

    name = "events"

    def __init__(
        self, ground: Ground, reader: Callable[[Actor, CredentialId | None], Reader]
    ) -> None:
        self._ground, self._store, self._reader = ground, ground.store, reader
        self._last = 0
        self._following: dict[Reader, None] = {}

    async def work(self) -> bool:
        """Wakes those who follow where there is something new. As `Consumer.work`."""
        _, last = await self._store.read(feed.ends)
        if last != self._last:
            self._last = last
            for reader in self._following:
                reader.wake()
            await asyncio.sleep(PAUSE_SECONDS)
        return False

    async def since(
        self,
        actor: Actor,
        after: str | None = None,
        *,
        limit: int = 200,
        wait_seconds: float = 0,
        by: CredentialId | None = None,
    ) -> Batch:
        """Reads what happened behind a cursor (`EARLIEST`; None: from now on), and waits for something if need be.

        A batch may be empty and end at another place than it began: then there may be more. Refused: `limit_invalid`,
        `cursor_invalid`, `cursor_expired` (of another epoch, or older than the feed), `session_ended`.
        """
        limit = page_size(limit, self._ground.settings.page_max)
        batch = await self._batch(actor, after, limit)
        if wait_seconds > 0 and not batch.told:
            following = self.follow(actor, str(batch.place), by=by, limit=limit)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_seconds), aclosing(following):
                    async for found in following:
                        if isinstance(found, Closing) or found.told:
                            return batch if isinstance(found, Closing) else found
        return batch

    async def follow(
        self,
        actor: Actor,
        after: str | None = None,
        *,
        by: CredentialId | None = None,
        limit: int = 200,
    ) -> AsyncGenerator[Batch | Closing, None]:
        """Yields what happens behind a cursor, as `since`, at first also nothing, until the server stops.

        An empty batch tells the place that was reached without anything to tell.
        """
        with self._reader(actor, by) as reader:
            self._following[reader] = None
            told = -ROWS_UNTOLD
            try:
                while True:
                    ask = partial(self._batch, actor, after, limit)
                    batch = await patiently(self._ground.clock, ask)
                    if reader.over:
                        raise signed_out(by)
                    if batch.told or batch.place.position - told >= ROWS_UNTOLD:
                        told = batch.place.position
                        yield batch
                    moved, after = after != str(batch.place), str(batch.place)
                    for item in () if moved else await reader.next():
                        if isinstance(item, Closing):
                            yield item
                            return
            finally:
                del self._following[reader]

    async def _batch(self, actor: Actor, after: str | None, limit: int) -> Batch:
        place, rows = await self._found(after)
        keys = {key for row in rows for key, _, _ in row.spans}
        allowed = await self._ground.access.readable(actor, keys)
        chosen: list[tuple[Place, int, int]] = []
        for behind, key, seq in _steps(place, rows, allowed):
            chosen.append((behind, key, seq))
            if len(chosen) == limit:
                place = behind
                break
        else:
            place = Place(place.epoch, rows[-1].position) if rows else place
        if not chosen:
            return Batch((), place)
        spans: dict[RoomId, tuple[int, int]] = {}
        for _, key, seq in chosen:
            spans[allowed[key]] = (spans.get(allowed[key], (seq,))[0], seq)
        found = await self._store.read(events.of, spans)
        still = await self._ground.access.readable(actor, {key for _, key, _ in chosen})
        told = [
            (behind, found[still[key], seq])
            for behind, key, seq in chosen
            if key in still and (still[key], seq) in found
        ]
        return Batch(tuple(told), place)

    async def _found(self, after: str | None) -> tuple[Place, Sequence[feed.Fed]]:
        """The place of a cursor, and the rows that may follow it. Refused: as `since`."""
        epoch = self._ground.history.served
        if after in {None, EARLIEST}:
            first, last = await self._store.read(feed.ends)
            place = Place(epoch, last if after is None else max(first - 1, 0))
        else:
            place = Place.of(after or "")
        rows = await self._store.read(feed.after, place.position, ROWS_MAX)
        if rows:
            good = rows[0].position == place.position + 1 and place.done < rows[0].count
        else:
            _, last = await self._store.read(feed.ends)
            good = place.position <= last and not place.done
        if not good or place.epoch != epoch:
            raise Refused(
                Code.CURSOR_EXPIRED,
                "What followed this cursor is not known any more. Read anew what you keep of the rooms, and go on with "
                f"after={EARLIEST} for all that is still known, or without it for what happens from now on.",
            )
        return place, rows


def _steps(
    place: Place, rows: Sequence[feed.Fed], keys: dict[int, RoomId]
) -> Iterator[tuple[Place, int, int]]:
    """The place behind each event of some rooms that follows a place, with the key of its room and its seq."""
    done = place.done
    for row in rows:
        count, before = row.count, 0
        for key, first, last in row.spans:
            for seq in range(first + max(done - before, 0), last + 1) if key in keys else ():
                here = before + seq - first + 1
                behind = (row.position, 0) if here == count else (row.position - 1, here)
                yield Place(place.epoch, *behind), key, seq
            before += last - first + 1
        done = 0
