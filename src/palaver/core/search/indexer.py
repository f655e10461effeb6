"""The indexer: keeps the search index behind the feed, and makes it anew where it does not fit the database.

An index that is new begins at the end of the feed, and reads what was there before in pieces, in the order of rooms and
seqs, between two looks at the feed. Each message is indexed once: what the feed tells since then by the feed, and what
is older by the scan; and again after an edit, in its own place. One process works on it at a time, and gives way while
much is written.
"""

import asyncio
from collections.abc import Sequence

import structlog
from msgspec.structs import replace

from palaver.clock import Clock
from palaver.core.search.traits import lasting
from palaver.store.engine.executors import Lane
from palaver.store.read import feed, search
from palaver.store.search.index import (
    AUTHOR,
    FACT,
    ROOM,
    VERSION,
    Indexed,
    Progress,
    SearchIndex,
    token_of,
)
from palaver.store.store import Store
from palaver.store.tokens import tokens
from palaver.store.write.consumers import NoteConsumer

MESSAGES_AT_ONCE = 500
ROWS_AT_ONCE = 32
"""So many rows of the feed are read at once."""
BUSY_ROWS = 3_000
"""So many events a second, or fewer, are indexed as they come."""
WAITING_MAX = 1_000_000
"""More spans than that never wait for the feed."""
GIVE_WAY_TIMES = 12
"""Where there are more, it rests so many times as long as it worked."""
GIVE_WAY_SECONDS_MAX = 1.0
NOTE_SECONDS = 60.0
"""So often the position is noted beside the feed, which is kept up to there."""

log = structlog.stdlib.get_logger()


class Indexer:
    """The consumer that indexes."""

    name = "search"

    def __init__(self, store: Store, index: SearchIndex, clock: Clock, lane: Lane[None]) -> None:
        """`lane`: the thread that makes tokens."""
        self._store, self._index, self._clock, self._lane = store, index, clock, lane
        self._noted_s, self._started = -NOTE_SECONDS, False
        self._counted_s, self._rows = clock.monotonic(), 0
        self._behind_ms: int | None = None
        self._new: dict[int, int] = {}
        self._new_since, self._new_upto = -1, -1

    @property
    def lag_s(self) -> float:
        """For how long what happened first of what is not indexed yet has waited; 0: it has caught up."""
        return 0.0 if self._behind_ms is None else (self._clock.now_ms() - self._behind_ms) / 1000

    async def work(self) -> bool:
        """As `Consumer.work`."""
        if not self._started:
            await self._index.start()
            self._started = True
        progress = await self._index.progress()
        first, last = await self._store.read(feed.ends)
        if progress is None or not self._fits(progress, first, last):
            return await self._begin(progress, last)
        if progress.position == last:
            self._behind_ms = None
            if progress.scanned is None:
                return False
        elif self._behind_ms is None:
            self._behind_ms = self._clock.now_ms()
        if not await self._index.claim():
            return False
        began_s = self._clock.monotonic()
        if progress.position < last:
            await self._follow(progress)
        else:
            await self._scan(progress)
        await self._give_way(began_s)
        await self._note(progress.position)
        return True

    async def renew(self) -> None:
        """Makes the index anew, from now on, whoever works on it. Unavailable: `database_unavailable`."""
        await self._index.start()
        _, last = await self._store.read(feed.ends)
        await self._begin(await self._index.progress(), last)

    async def go_on(self, seconds: float) -> None:
        """Works for so long, or until there is nothing left, where no consumer does."""
        end_s = self._clock.monotonic() + seconds
        while await self.work() and self._clock.monotonic() < end_s:
            pass

    async def done(self) -> float:
        """How much of what was there before has been read, from 0 to 1. Unavailable: `database_unavailable`."""
        progress = await self._index.progress()
        if progress is None:
            return 0.0
        if progress.scanned is None:
            return 1.0
        return progress.scanned[0] / (await self._store.read(search.rooms_max) + 1)

    def _fits(self, progress: Progress, first: int, last: int) -> bool:
        """Whether the index is one of this database, and the feed reaches back to its end."""
        same = (progress.epoch, progress.version) == (self._store.epoch, VERSION)
        return same and first - 1 <= progress.position <= last

    async def _begin(self, known: Progress | None, last: int) -> bool:
        log.info("search.begun", anew=known is not None)
        anew = Progress(
            epoch=self._store.epoch,
            version=VERSION,
            build=self._clock.new_id(),
            position=last,
            begun=last,
            scanned=(0, 0),
        )
        await self._index.begin(anew, known)
        return True

    async def _follow(self, progress: Progress) -> None:
        """Indexes what the next rows of the feed tell of."""
        rows = await self._store.read(feed.after, progress.position, ROWS_AT_ONCE)
        taken: list[feed.Fed] = []
        for row in rows:
            if taken and sum(one.count for one in (*taken, row)) > MESSAGES_AT_ONCE:
                break
            taken.append(row)
        if taken:
            self._behind_ms = taken[0].at_ms
            spans = [span for row in taken for span in row.spans]
            found = await self._store.read(search.in_spans, spans)
            await self._add(found, replace(progress, position=taken[-1].position), progress)

    async def _scan(self, progress: Progress) -> None:
        """Indexes the next of what was there before."""
        assert progress.scanned is not None
        found = await self._store.read(search.after, *progress.scanned, MESSAGES_AT_ONCE)
        scanned = (found[-1].room_key, found[-1].seq) if found else None
        new = await self._told_since(progress)
        before = [one for one in found if one.seq < new.get(one.room_key, one.seq + 1)]
        await self._add(before, replace(progress, scanned=scanned), progress)
        if scanned is None:
            log.info("search.whole")

    async def _told_since(self, progress: Progress) -> dict[int, int]:
        """From which seq on the feed tells of each room since the index was begun; read behind the scan, all of it."""
        if self._new_since != progress.begun:
            self._new, self._new_since, self._new_upto = {}, progress.begun, progress.begun
        spans = list(await self._store.read(feed.waiting, WAITING_MAX))
        while rows := await self._store.read(feed.after, self._new_upto, ROWS_AT_ONCE):
            spans += [span for row in rows for span in row.spans]
            self._new_upto = rows[-1].position
        for key, first, _ in spans:
            self._new[key] = min(first, self._new.get(key, first))
        return self._new

    async def _add(
        self, found: Sequence[search.Source], progress: Progress, known: Progress
    ) -> None:
        entries = await self._lane.run(lambda _: [indexed(one) for one in found])
        await self._index.add(entries, progress, known)

    async def _give_way(self, began_s: float) -> None:
        """Leaves the processor to those who write, while they write much: for most of the time since it began."""
        now_s, rows = self._clock.monotonic(), self._store.counters.rows
        since_s, written = now_s - self._counted_s, rows - self._rows
        self._counted_s, self._rows = now_s, rows
        if written > BUSY_ROWS * since_s:
            await asyncio.sleep(min(GIVE_WAY_SECONDS_MAX, GIVE_WAY_TIMES * (now_s - began_s)))

    async def _note(self, position: int) -> None:
        now_s = self._clock.monotonic()
        if now_s - self._noted_s >= NOTE_SECONDS:
            self._noted_s = now_s
            await self._store.write(NoteConsumer(name=self.name, position=position))


def indexed(source: search.Source) -> Indexed:
    """A message with its tokens: those of its text, of its room, of its author, and of what it has."""
    facts = [FACT + trait for trait in sorted(lasting(source.kind, source.text, source.meta))]
    its = [token_of(ROOM, source.room_key), token_of(AUTHOR, source.author_key), *facts]
    words, again = [*its, *tokens(source.text)], source.edited_ms is not None
    return Indexed(source.created_ms, source.room_key, source.seq, words, again)
