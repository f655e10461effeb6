"""REST about finding what was said."""

from typing import Annotated, Literal

from fastapi import Query
from typing_extensions import TypedDict

import palaver.core.search.search as core_search
from palaver.core.runtime import Core
from palaver.core.search.search import LIMIT_MAX
from palaver.model import RoomId
from palaver.policy import ServerAct
from palaver.wire import shapes
from palaver.wire.api.body import Whole
from palaver.wire.auth import Me
from palaver.wire.calls import call
from palaver.wire.shapes import explained, moment_or_none

Words = Annotated[str, Query(alias="q", description="What to look for, see docs/search.md.")]
Most = Annotated[
    Whole, Query(description=f"Hits at the most; more than {LIMIT_MAX} are that many.")
]
Offset = Annotated[
    int,
    Query(
        alias="offset",
        ge=-1_440,
        le=1_440,
        description="How many minutes the days of `q` are ahead of UTC.",
    ),
]


@explained
class Snippet(TypedDict):
    """A piece of a message's text around its first hit."""

    text: str
    ranges: list[list[int]]
    """Where the hits in it begin and end, in code points."""


@explained
class Hit(TypedDict):
    """A message that was found."""

    message: shapes.Message
    title: str
    """Of its room; "" where it has none."""
    snippet: Snippet


@explained
class Found(TypedDict):
    """A page of hits."""

    hits: list[Hit]
    complete: bool
    """Whether nothing is left out. Where something is, the search goes on with `cursor`, or the index is behind."""
    indexed_until: str | None
    """Where the index is behind: all that was said before is found. The epoch while it is made anew."""
    cursor: str | None
    """With which to go on; None at the end, and by relevance."""


class Search:
    """The call that finds messages."""

    def __init__(self, core: Core) -> None:
        self._search = core.search

    @call("GET", "/search", ServerAct.ROOMS)
    async def find(
        self,
        me: Me,
        text: Words,
        *,
        room: str | None = None,
        limit: Most = 20,
        cursor: str | None = None,
        sort: Literal["newest", "relevance"] = "newest",
        offset_minutes: Offset = 0,
    ) -> Found:
        """The messages that hold some words, in the rooms that one may read, or in one of them."""
        found = await self._search.find(
            me,
            text,
            room=None if room is None else RoomId(room),
            limit=limit,
            cursor=cursor,
            relevance=sort == "relevance",
            offset_minutes=offset_minutes,
        )
        return shape(found)


def shape(value: core_search.Found) -> Found:
    """A page of hits, as it is told."""
    return {
        "hits": [
            {
                "message": shapes.message(one.message),
                "title": one.title,
                "snippet": {
                    "text": one.snippet.text,
                    "ranges": list(map(list, one.snippet.ranges)),
                },
            }
            for one in value.hits
        ],
        "complete": value.complete,
        "indexed_until": moment_or_none(value.indexed_until),
        "cursor": value.cursor,
    }
