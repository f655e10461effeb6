"""Searches what an actor may read, and says so where the answer is not all there is.

Theory of operation. The index proposes messages, newest first; whoever asks may read only those that `policy` lets them
read now, and the matcher looks at the stored text of each. What the feed holds beyond the index's position, and what is
committed and not in the feed yet, is read and matched as well: so a message is found by the first search after its
acknowledgement. The order of reading matters: the position, the proposals, what waits for the feed, the feed; so
nothing can move past between two of them, and what is seen twice is told apart by its place.

The order of pages is that of docids (`store.search.index`), which what is not indexed yet gets of its time; within a
page it is that of time. A cursor holds where the page ended and how far the index was when its search began: what was
beyond it then is looked at again for the next page, and so neither lost nor doubled by having been indexed meanwhile.
In an index that was made anew messages have other places: a cursor of the one before is refused.
"""

import re
from functools import partial

from msgspec import Struct
from msgspec.structs import astuple

from palaver.clock import Clock
from palaver.core import validation
from palaver.core.access import Access
from palaver.core.search.indexer import Indexer
from palaver.core.search.match import Snippet, score, snippet, stands_in
from palaver.core.search.query import Query, parse
from palaver.core.search.scope import Scope
from palaver.core.search.walk import TOP, Beyond, Place, Seen, Walk
from palaver.errors import Code, Refused
from palaver.model import Actor, Message, RoomId
from palaver.store.engine.executors import Lane
from palaver.store.read import feed
from palaver.store.search.index import Progress, SearchIndex
from palaver.store.store import Store

LIMIT_MAX = 100
RANKED_MAX = 2_000
"""So many hits are ranked by relevance, the newest ones."""
CUT_CHARS_MAX = 4_000
"""Of a longer text the snippet is cut in the thread: no search keeps the others waiting."""
_CURSOR = re.compile(r"\d{1,18}(?:\.\d{1,18}){5}\.[0-9a-f]{0,32}")


class Hit(Struct, frozen=True, kw_only=True):
    """A message that was found, in a room of this title, and a piece of its text in which the words are marked."""

    message: Message
    title: str
    snippet: Snippet


class Found(Struct, frozen=True, kw_only=True):
    """A page of hits. `cursor`: with which to go on; None at the end.

    `complete`: whether nothing is left out of this page. Where something is, the search took too long and goes on with
    `cursor`, or the index is behind: then all is found that was said before `indexed_until` (ms; 0: the index is made
    anew).
    """

    hits: tuple[Hit, ...] = ()
    complete: bool = True
    indexed_until: int | None = None
    cursor: str | None = None


class Search:
    """The search of one database."""

    def __init__(
        self, store: Store, index: SearchIndex, clock: Clock, lane: Lane[None], access: Access
    ) -> None:
        """`lane`: the thread in which texts are matched."""
        self._store, self._index, self._access = store, index, access
        self._clock, self._lane = clock, lane

    async def find(
        self,
        actor: Actor,
        text: str,
        *,
        room: RoomId | None = None,
        limit: int = 20,
        cursor: str | None = None,
        relevance: bool = False,
        offset_minutes: int = 0,
    ) -> Found:
        """The messages that a query finds, of those that the actor may read: newest first, or by `relevance`.

        By relevance the newest 2,000 hits are ranked, and there is no cursor. `room`: in this one alone.
        `offset_minutes`: how far ahead of UTC the days are that the query names.
        Refused: `query_too_long`, `limit_invalid`, `cursor_invalid`, `room_not_found`, `cursor_expired` (the index was
        made anew since).
        """
        query = parse(text, now_ms=self._clock.now_ms(), offset_minutes=offset_minutes)
        limit = validation.page_size(limit, LIMIT_MAX)
        below, begun = (TOP, None) if cursor is None else _place(cursor)
        scope = await Scope.of(self._store, self._access, actor, query, room)
        if query == Query():
            return Found()
        walk = Walk(
            store=self._store,
            index=self._index,
            clock=self._clock,
            lane=self._lane,
            query=query,
            scope=scope,
            begun=begun,
            below=below,
        )
        seen = await walk.run(await walk.wanted(), RANKED_MAX if relevance else limit + 1)
        progress, begun = walk.progress, walk.begun or Beyond()
        whole = walk.whole and progress is not None and progress.scanned is None
        complete = whole and scope.whole and not walk.late
        until = None if whole else await self._until(progress)
        if relevance:
            hits = self._ranked(walk, seen)[:limit]
            return Found(hits=await self._hits(walk, hits), complete=complete, indexed_until=until)
        last = (walk.high, 0, 0) if walk.late else None
        if len(seen) > limit:
            last = seen[limit - 1].place
        return Found(
            hits=await self._hits(walk, sorted(seen[:limit], key=_time, reverse=True)),
            complete=complete,
            indexed_until=until,
            cursor=None if last is None else ".".join(map(str, (*last, *astuple(begun)))),
        )

    async def _until(self, progress: Progress | None) -> int:
        """Before when everything is in the index; 0 while it is made anew."""
        if progress is None or progress.scanned is not None:
            return 0
        rows = await self._store.read(feed.after, progress.position, 1)
        return rows[0].at_ms if rows else self._clock.now_ms()

    async def _hits(self, walk: Walk, seen: list[Seen]) -> tuple[Hit, ...]:
        hits: list[Hit] = []
        for one in seen:
            cut = partial(snippet, one.message.text, one.match)
            long = len(one.message.text) > CUT_CHARS_MAX
            piece = await self._lane.run(lambda _, cut=cut: cut()) if long else cut()
            hits.append(Hit(message=one.message, title=walk.title(one), snippet=piece))
        return tuple(hits)

    def _ranked(self, walk: Walk, seen: list[Seen]) -> list[Seen]:
        now_ms = self._clock.now_ms()

        def worth(one: Seen) -> tuple[float, Place]:
            in_title = stands_in(walk.query, walk.title(one))
            age_ms = now_ms - one.message.created_ms
            return score(one.match, in_title=in_title, age_ms=age_ms), one.place

        return sorted(seen, key=worth, reverse=True)


def search_of(
    access: Access, store: Store, index: SearchIndex, clock: Clock, lane: Lane[None]
) -> tuple[Search, Indexer]:
    """The search of a database, and what keeps its index."""
    return Search(store, index, clock, lane, access), Indexer(store, index, clock, lane)


def _time(one: Seen) -> tuple[int, Place]:
    return one.message.created_ms, one.place


def _place(cursor: str) -> tuple[Place, Beyond]:
    if not _CURSOR.fullmatch(cursor):
        raise Refused(Code.CURSOR_INVALID, "This cursor is none of a search's.")
    *numbers, build = cursor.split(".")
    docid, key, seq, position, top, base = map(int, numbers)
    return (docid, key, seq), Beyond(position, top, base, build)
