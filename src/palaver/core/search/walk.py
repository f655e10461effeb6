"""The walk of one search through what may be hits, newest first, until there are enough of them or time is up."""

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

from msgspec import Struct, field
from msgspec.structs import replace

from palaver.clock import Clock
from palaver.core.search.match import Facts, Match, match
from palaver.core.search.query import MARKS, Query, Trait
from palaver.core.search.scope import ROOMS_FEW, Scope
from palaver.core.search.traits import traits_of
from palaver.errors import Code, Refused, Unavailable
from palaver.model import Message
from palaver.store.engine.executors import Lane
from palaver.store.read import rights, search
from palaver.store.search.index import (
    AUTHOR,
    DOCID_MAX,
    FACT,
    PLACES,
    ROOM,
    VERSION,
    Progress,
    Proposal,
    SearchIndex,
    Wanted,
    docid_of,
    token_of,
)
from palaver.store.store import Store
from palaver.store.tokens import ready

PROPOSED_AT_ONCE = 500
READ_FIRST = 50
"""So many are proposed first, and so many read, then twice as many: where few are hits, there are few reads.

Where those are not enough, somebody with few rooms has them looked at alone.
"""
WALKED_MAX = 20_000
"""So many messages are looked at where the index knows none of the words."""
BEYOND_MAX = 20_000
"""So many events beyond the index are looked at, the newest ones."""
SECONDS_MAX = 0.25
LOOK_SECONDS = 0.1
"""So long a look at texts may take, also where the database was slow before."""
_AGE = attrgetter("created_ms", "room_key", "seq")
_LASTING = frozenset(set(Trait) - {Trait.EDITED, Trait.FAILED} - MARKS)

Place = tuple[int, int, int]
"""The docid of a message, the key of its room and its seq: by these hits are in order."""
TOP: Place = (DOCID_MAX, 0, 0)


class Seen(NamedTuple):
    """A message that a query finds."""

    place: Place
    message: Message
    match: Match


class Beyond(Struct, frozen=True):
    """What a search looks at beside the index (a `build` of it), on each page the same: the feed from a position on.

    These messages get docids behind `top` where their time is not before that of `base`, as the indexer will give them.
    """

    position: int = 0
    top: int = 0
    base: int = 0
    build: str = ""


class Walk(Struct, kw_only=True):
    """`begun` and `below`: where it begins; the former is found where it is None.

    `late`: time was up (at `late_s`), or too much looked at, before its end, which is at `high` then. `whole`: all that
    the index, which was as far as `progress` says, does not have yet was looked at.
    """

    store: Store
    index: SearchIndex
    clock: Clock
    lane: Lane[None]
    query: Query
    scope: Scope
    begun: Beyond | None = None
    below: Place = TOP
    progress: Progress | None = None
    whole: bool = False
    late: bool = False
    late_s: float = 0
    high: int = 0
    _rooms: dict[int, rights.Readable | None] = field(
        default_factory=dict[int, rights.Readable | None]
    )

    def title(self, seen: Seen) -> str:
        """The title of the room of a hit."""
        room = self._rooms[seen.place[1]]
        assert room is not None, "only what may be read is seen"
        return room.title

    async def run(self, wanted: Wanted, count: int) -> list[Seen]:
        """Hits in their order, also those beyond the index, until there are so many."""
        self.late_s = self.clock.monotonic() + SECONDS_MAX
        low, self.high, looked = wanted.low, self.below[0] + 1, 0
        found: list[Seen] = []
        known: set[tuple[int, int]] = set()
        proposed, down, most = list[Proposal](), low, READ_FIRST
        step = first = min(READ_FIRST, count)
        begins, narrow = True, self.scope.rooms is None

        def missing() -> int:
            return count - sum(one.place[0] >= self.high for one in found)

        while self.high > low and missing() > 0:
            if not proposed:
                if narrow and not begins:
                    narrow, narrowed = False, await self._narrowed(wanted)
                    wanted, step = narrowed, step if narrowed == wanted else first
                asked = replace(wanted, low=low, high=self.high)
                proposed, down = await self._propose(asked, most)
                most = min(4 * most, PROPOSED_AT_ONCE)
            new = [one for one in proposed if one < self.below and one[1:] not in known]
            new = [one for one in new if self.scope.has(one.room_key)]
            seen, upto = await (self._begin if begins else self._matched)(new, step, missing())
            begins = False
            known.update(one[1:] for one in new[:upto])
            known.update(one.place[1:] for one in seen)
            found += [one for one in seen if one.place < self.below]
            looked += upto
            proposed = new[upto:]
            self.high, step = (new[upto - 1].docid, 2 * step) if proposed else (down, step)
            blind = not wanted.words and not wanted.among and looked >= WALKED_MAX
            if (blind or self.clock.monotonic() > self.late_s) and missing() > 0:
                self.late = self.high > low
                break
        return self._first(found, count)

    def _first(self, found: Iterable[Seen], count: int) -> list[Seen]:
        """The first of the hits, as far as everything before them was looked at."""
        return sorted((one for one in found if one.place[0] >= self.high), reverse=True)[:count]

    async def wanted(self) -> Wanted:
        """What the index can know of the query."""
        scope, query = self.scope, self.query
        words = [(term.text, term.prefix) for term in query.terms]
        words += [(FACT + trait, False) for trait in sorted(query.traits & _LASTING)]
        among: list[Sequence[str]] = []
        if scope.rooms is not None and len(scope.rooms) <= ROOMS_FEW:
            among.append(_tokens(ROOM, scope.rooms))
        if scope.authors and not scope.called:
            keys = await self.store.read(search.author_keys, sorted(scope.authors))
            among.append(_tokens(AUTHOR, keys))
        low = 0 if query.since_ms is None else docid_of(query.since_ms)
        until = DOCID_MAX
        if query.until_ms is not None:
            until = docid_of(query.until_ms) + PLACES
        return Wanted(words=words, among=among, low=low, until=until)

    async def _narrowed(self, wanted: Wanted) -> Wanted:
        """The same in the rooms of somebody who has few."""
        keys = await self.store.read(search.rooms_of, self.scope.actor, ROOMS_FEW + 1)
        if len(keys) > ROOMS_FEW:
            return wanted
        return replace(wanted, among=[*wanted.among, _tokens(ROOM, keys)])

    async def _propose(self, wanted: Wanted, limit: int) -> tuple[list[Proposal], int]:
        """What the index proposes; nothing while it cannot be asked, or once it is another one than at the beginning.

        Refused: `cursor_expired`, for a search that goes on.
        """
        try:
            progress, proposed, down = await self.index.propose(wanted, limit)
        except Unavailable:
            progress, proposed, down = None, [], wanted.low
        if progress is not None and not self._fits(progress):
            if self.below != TOP:
                raise Refused(Code.CURSOR_EXPIRED, "The index was made anew. Search again.")
            progress = None
        if progress is None:
            self.progress = None
            return [], wanted.low
        if self.progress is None or progress.scanned is not None:  # else it is where it began
            self.progress = progress
        return proposed, down

    def _fits(self, progress: Progress) -> bool:
        """Whether this is an index of this database, and still the one with which the search began."""
        same = (progress.epoch, progress.version) == (self.store.epoch, VERSION)
        return same and (self.begun is None or progress.build == self.begun.build)

    async def _begin(
        self, proposed: Sequence[Proposal], step: int, count: int
    ) -> tuple[list[Seen], int]:
        """Hits in what the feed has beyond a position, and what waits for it, and those of the first proposals.

        And how many of these were looked at, as of `_hits`. For the former it takes half of the time.
        """
        begun, progress = self.begun, self.progress
        if begun is None:
            begun = Beyond()
            if progress is not None:
                begun = Beyond(progress.position, progress.top, progress.top_base, progress.build)
        self.begun = begun
        looked = await self.store.read(
            search.seen_and_beyond,
            [one[1:] for one in proposed],
            self.scope.actor,
            count=step,
            only=self.scope.rooms,
            position=begun.position,
            events_max=BEYOND_MAX,
            marks=self.query.traits & MARKS,
        )
        self._rooms, self.whole = looked.known, looked.whole
        beyond = await self._beyond(looked.beyond, begun) if looked.beyond else []
        its = {one.place[1:] for one in beyond}
        seen, upto = await self._hits(proposed[: looked.upto], looked.messages, count)
        return [*beyond, *[one for one in seen if one.place[1:] not in its]], upto

    async def _beyond(self, sources: Sequence[search.Source], begun: Beyond) -> list[Seen]:
        """Hits among what is beyond the index, the newest of them where time is up."""
        words = Query(wanted=self.query.wanted, literals=self.query.literals)
        newest = sorted(sources, key=_AGE, reverse=True)

        def look(_: None) -> list[search.Source]:
            late_s = self._end_s(self.late_s - SECONDS_MAX / 2)
            likely: list[search.Source] = []
            for one in newest:
                if self.clock.monotonic() > late_s:
                    self.whole = False
                    break
                if match(words, one.text) is not None:
                    likely.append(one)
            return likely

        likely = await self.lane.run(look)
        places: list[Place] = []
        top = begun.top
        for one in reversed(likely):
            docid = docid_of(one.created_ms)
            if docid >= begun.base:
                docid = top = max(docid, top + 1)
            places.append((docid, one.room_key, one.seq))
        beyond, upto = await self._matched(places[::-1], len(places), len(places))
        self.whole = self.whole and upto == len(places)
        return beyond

    async def _matched(
        self, places: Sequence[Place | Proposal], step: int, count: int
    ) -> tuple[list[Seen], int]:
        """Those of the messages that the actor may read and the query finds, as they are now; see `_hits`.

        At most `step` of them are read.
        """
        if not places:
            return [], 0
        keys = [one[1:] for one in places]
        marks = self.query.traits & MARKS
        looked = await self.store.read(
            search.seen, keys, self.scope.actor, self._rooms, step, marks=marks
        )
        self._rooms = looked.known
        return await self._hits(places[: looked.upto], looked.messages, count)

    def _end_s(self, late_s: float) -> float:
        """When a look at texts that begins now has to end."""
        ready()
        return max(late_s, self.clock.monotonic() + LOOK_SECONDS)

    async def _hits(
        self,
        places: Sequence[Place | Proposal],
        known: Mapping[tuple[int, int], Message],
        count: int,
    ) -> tuple[list[Seen], int]:
        """Those of the `known` messages that the query finds, and how many were looked at.

        That is until there are so many of them, or time is up.

        One at least is: so each page comes further, and nobody has to wait much longer for the thread.
        """
        asks = bool(self.query.traits)

        def look(_: None) -> tuple[list[Seen], int]:
            late_s = self._end_s(self.late_s)
            seen: list[Seen] = []
            for at, (docid, key, seq) in enumerate(places):
                if len(seen) == count or (at and self.clock.monotonic() > late_s):
                    return seen, at
                message = known.get((key, seq))
                if message is not None and message.deleted_ms is None and self.scope.names(message):
                    # the store gives none without the marks that are asked for
                    traits = traits_of(message) | MARKS if asks else frozenset[Trait]()
                    facts = Facts(at_ms=message.created_ms, traits=traits)
                    if (hit := match(self.query, message.text, facts)) is not None:
                        seen.append(Seen((docid, key, seq), message, hit))
            return seen, len(places)

        return await self.lane.run(look) if known else ([], len(places))


def _tokens(kind: str, keys: Iterable[int]) -> list[str]:
    """The tokens of these, or one that no message has, so that the answer tells nobody whether there are any."""
    return [token_of(kind, key) for key in sorted(keys)] or [token_of(kind, 0)]
