"""The walk of one search through what may be hits, newest first, until there are enough of them or time is up."""

from collections.abc import Collection, Iterable, Sequence
from operator import attrgetter
from typing import NamedTuple

from msgspec import Struct, field
from msgspec.structs import replace

from palaver.clock import Clock
from palaver.core.search.match import Facts, Match, match
from palaver.core.search.query import Query, Trait
from palaver.core.search.scope import ROOMS_FEW, Scope, few_rooms
from palaver.core.search.traits import traits_of
from palaver.errors import Unavailable
from palaver.model import Message
from palaver.store.engine.executors import Lane
from palaver.store.read import feed, rights, search
from palaver.store.search.index import (
    AUTHOR,
    DOCID_MAX,
    FACT,
    ROOM,
    SECOND_BITS,
    Progress,
    Proposal,
    SearchIndex,
    Wanted,
    docid_of,
    token_of,
)
from palaver.store.store import Store

PROPOSED_AT_ONCE = 500
READ_FIRST = 50
"""So many messages are read first, then twice as many: where few of those proposed are hits, there are few reads."""
WALKED_MAX = 20_000
"""So many messages are looked at where the index knows none of the words."""
BEYOND_MAX = 20_000
"""So many events beyond the index are looked at, the newest ones."""
SCATTERED = 2_000
"""After so many proposals in vain, somebody with few rooms has them looked at alone."""
SECONDS_MAX = 0.25
_LASTING = frozenset(set(Trait) - {Trait.EDITED, Trait.FAILED})

Place = tuple[int, int, int]
"""The docid of a message, the key of its room and its seq: by these hits are in order."""
TOP: Place = (DOCID_MAX, 0, 0)


class Seen(NamedTuple):
    """A message that a query finds."""

    place: Place
    message: Message
    match: Match


class Beyond(Struct, frozen=True):
    """What a search looks at beside the index, the same for each of its pages: the feed from a position on.

    These messages get docids behind `top` where their time is not before that of `base`, as the indexer will give them.
    """

    position: int = 0
    top: int = 0
    base: int = 0


class Walk(Struct, kw_only=True):
    """`below`: where it begins. `late`: time was up, or too much looked at, before its end, which is at `high` then."""

    store: Store
    index: SearchIndex
    clock: Clock
    lane: Lane[None]
    query: Query
    scope: Scope
    progress: Progress | None
    below: Place = TOP
    late: bool = False
    high: int = 0
    _rooms: dict[int, rights.Readable | None] = field(
        default_factory=dict[int, rights.Readable | None]
    )

    def title(self, seen: Seen) -> str:
        """The title of the room of a hit."""
        room = self._rooms[seen.place[1]]
        assert room is not None, "only what may be read is seen"
        return room.title

    async def beyond(self, begun: Beyond) -> tuple[list[Seen], bool]:
        """Hits in what the feed has beyond a position, and what waits for it; whether all of that was looked at."""
        kept, whole = await self.store.read(feed.beyond, begun.position, BEYOND_MAX)
        if not kept:
            return [], whole
        allowed = await self._allowed({key for key, _, _ in kept})
        here = [span for span in kept if span[0] in allowed]
        sources = await self.store.read(search.in_spans, here)
        words = Query(wanted=self.query.wanted, literals=self.query.literals)
        likely = await self.lane.run(
            lambda _: [one for one in sources if match(words, one.text) is not None]
        )
        places: list[Place] = []
        top = begun.top
        for one in sorted(likely, key=attrgetter("created_ms", "room_key", "seq")):
            docid = docid_of(one.created_ms)
            if docid >= begun.base:
                docid = top = max(docid, top + 1)
            places.append((docid, one.room_key, one.seq))
        return await self._matched(places), whole

    async def run(self, beyond: Sequence[Seen], count: int) -> list[Seen]:
        """Hits in their order, together with those `beyond` the index, until there are so many."""
        known = {one.place[1:] for one in beyond}
        found = [one for one in beyond if one.place < self.below]
        late_s = self.clock.monotonic() + SECONDS_MAX
        low, self.high = self._bounds()
        wanted, looked = await self._wanted(), 0
        narrow, step = self.scope.rooms is None, min(READ_FIRST, count)

        def enough() -> bool:
            return sum(one.place[0] >= self.high for one in found) >= count

        while wanted is not None and self.high > low and not enough():
            proposed, down = await self._propose(replace(wanted, low=low, high=self.high))
            at = 0
            while at < len(proposed):
                some = proposed[at : at + step]
                at += step
                step = min(2 * step, PROPOSED_AT_ONCE)
                new = {one[1:]: one for one in some if one < self.below and one[1:] not in known}
                known.update(new)
                found += await self._matched(new.values())
                looked += len(some)
                self.high = some[-1].docid if at < len(proposed) else down
                if enough():
                    return self._first(found, count)
                blind = not wanted.words and not wanted.among and looked >= WALKED_MAX
                if blind or self.clock.monotonic() > late_s:
                    self.late = self.high > low
                    return self._first(found, count)
            self.high = down
            if narrow and looked >= SCATTERED:
                narrow = False
                wanted = await self._narrowed(wanted)
        if not enough():
            self.high = low
        return self._first(found, count)

    def _first(self, found: Iterable[Seen], count: int) -> list[Seen]:
        """The first of the hits, as far as everything before them was looked at."""
        return sorted((one for one in found if one.place[0] >= self.high), reverse=True)[:count]

    def _bounds(self) -> tuple[int, int]:
        """The docids between which the messages lie that are looked for."""
        query, high = self.query, self.below[0] + 1
        if query.until_ms is not None:
            spill = 0 if self.progress is None else self.progress.spill
            high = min(high, docid_of(query.until_ms) + (1 << SECOND_BITS) + spill)
        return (0 if query.since_ms is None else docid_of(query.since_ms)), high

    async def _wanted(self) -> Wanted | None:
        """What the index can know of the query; None: that there is no hit."""
        scope = self.scope
        words = [(term.text, term.prefix) for term in self.query.terms]
        words += [(FACT + trait, False) for trait in sorted(self.query.traits & _LASTING)]
        among: list[Sequence[str]] = []
        if scope.rooms is not None and len(scope.rooms) <= ROOMS_FEW:
            among.append([token_of(ROOM, key) for key in sorted(scope.rooms)])
        if scope.authors and not scope.called:
            keys = await self.store.read(search.author_keys, sorted(scope.authors))
            among.append([token_of(AUTHOR, key) for key in keys])
        return Wanted(words=words, among=among) if all(among) else None

    async def _narrowed(self, wanted: Wanted) -> Wanted | None:
        """The same in the rooms of somebody who has few."""
        keys = await few_rooms(self.store, self.scope.actor)
        if keys is None:
            return wanted
        tokens = [token_of(ROOM, key) for key in sorted(keys)]
        return replace(wanted, among=[*wanted.among, tokens]) if tokens else None

    async def _propose(self, wanted: Wanted) -> tuple[list[Proposal], int]:
        """What the index proposes; nothing while it cannot be asked."""
        if self.progress is None:
            return [], wanted.low
        try:
            return await self.index.propose(wanted, PROPOSED_AT_ONCE)
        except Unavailable:
            self.progress = None
            return [], wanted.low

    async def _matched(self, places: Iterable[Place | Proposal]) -> list[Seen]:
        """Those of the messages that the actor may read and the query finds, as they are now."""
        asked = [(docid, key, seq) for docid, key, seq in places]
        if not asked:
            return []
        only = self.scope.rooms
        here = [(key, seq) for _, key, seq in asked if only is None or key in only]
        rooms, known = await self.store.read(search.seen, here, self.scope.actor, self._rooms)
        self._rooms = rooms

        def look(_: None) -> list[Seen]:
            seen: list[Seen] = []
            for place in asked:
                message = known.get(place[1:])
                if message is not None and message.deleted_ms is None and self.scope.names(message):
                    facts = Facts(at_ms=message.created_ms, traits=traits_of(message))
                    if (hit := match(self.query, message.text, facts)) is not None:
                        seen.append(Seen(place, message, hit))
            return seen

        return await self.lane.run(look)

    async def _allowed(self, keys: Collection[int]) -> dict[int, rights.Readable]:
        """Those of the rooms that the actor may read and the query looks into."""
        only = self.scope.rooms
        here = [key for key in keys if only is None or key in only]
        new = [key for key in here if key not in self._rooms]
        found = await self.store.read(rights.readable, new, self.scope.actor)
        self._rooms |= {key: found.get(key) for key in new}
        return {key: room for key in here if (room := self._rooms[key]) is not None}
