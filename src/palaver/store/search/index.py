"""The search index: which messages have which tokens, in the order of their dates.

It only proposes: what it gives may be deleted, not for the caller, or no hit at all, and is looked at again; but up to
its position in the feed it leaves nothing out. It is derived: of another database (`epoch`), of other rules for tokens,
or damaged, it is made anew. SQLite keeps it in a file of its own, so that its merges are in no message's way;
PostgreSQL in two tables that no revision knows.

Each message has a `docid`: its second has 128 of them, and it gets the one behind the last, or where the second is
full, that of the next one that is not. So the order of docids is that of time, also of what was imported later; `spill`
says how far one may lie behind its time. Rows, position and progress are one transaction.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple, Protocol, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Connection

from palaver.errors import PalaverError
from palaver.store.engine import errors
from palaver.store.engine.base import Database
from palaver.store.tokens import TOKENS_VERSION

T = TypeVar("T")

SECOND_BITS = 7
PLACES = 1 << SECOND_BITS
"""So many docids a second has."""
VERSION = f"{SECOND_BITS}/{TOKENS_VERSION}"
"""Of docids and tokens: an index of another version is made anew."""
LEASE_MS = 5_000
DOCID_MAX = 2**62

ROOM, AUTHOR, FACT = "\ue000", "\ue001", "\ue002"
"""What tokens begin with that no text has: of the key of a room or an author, and of what a message has."""
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


class Progress(Struct, frozen=True, kw_only=True):
    """How far the index is.

    `build`: another one each time that it is made anew. `position` in the feed, `begun`: the one at which it was new.
    `scanned`: while what was there before is read, the key of a room and a seq; else None. `spill`: how far docids lie
    behind the first one of their time, at most. `top`: the last docid, `top_base`: the first one of its time.
    """

    epoch: str
    version: str
    position: int
    build: str = ""
    begun: int = 0
    scanned: tuple[int, int] | None = None
    spill: int = 0
    top: int = 0
    top_base: int = 0


class Indexed(NamedTuple):
    """A message as it goes into the index; `again`: it may be there with other words."""

    created_ms: int
    room_key: int
    seq: int
    words: Sequence[str]
    again: bool = False


class Proposal(NamedTuple):
    """A message that may be a hit."""

    docid: int
    room_key: int
    seq: int


class Wanted(Struct, frozen=True, kw_only=True):
    """What proposals must have: all of `words`, of each of `among` at least one; and docids from `low` to below `high`.

    A word is a token and whether others may begin with it. Nothing wanted: any message. `until`: the docid of a time
    from which on none is wanted; those of before may lie behind it by what the index says (`Progress.spill`).
    """

    words: Sequence[tuple[str, bool]] = ()
    among: Sequence[Sequence[str]] = ()
    low: int = 0
    high: int = DOCID_MAX
    until: int = DOCID_MAX


Row = tuple[int, int, int, Sequence[str]]
"""The docid of a message, the key of its room, its seq and its tokens."""


class Engine(Protocol):
    """What the index asks of the SQL of its engine. `steady`: whether who reads sees one moment."""

    steady: bool

    def lock(self, conn: Connection) -> None:
        """Lets nobody else make the tables until this transaction ends."""
        ...

    def create(self, conn: Connection) -> None:
        """Makes the tables, empty, whatever was there."""
        ...

    def load(self, conn: Connection) -> Progress | None:
        """The progress that was saved last; None where there is no index."""
        ...

    def claim(self, conn: Connection, owner: str) -> bool:
        """Whether this process may work on it for `LEASE_MS`."""
        ...

    def save(self, conn: Connection, progress: Progress) -> None:
        """Saves progress."""
        ...

    def insert(self, conn: Connection, rows: Sequence[Row]) -> None:
        """Inserts messages, in the order of their docids."""
        ...

    def retire(self, conn: Connection, low: int, high: int, room_key: int, seq: int) -> None:
        """Proposes a message no more by a docid from `low` to `high`; on SQLite nobody else gets it."""
        ...

    def lasts(self, conn: Connection, seconds: Collection[int]) -> dict[int, int]:
        """By the first docid of each of these seconds, the last one that a message has; the one before, if none has."""
        ...

    def propose(self, conn: Connection, wanted: Wanted, limit: int) -> tuple[list[Proposal], int]:
        """Proposals, newest first, and the docid down to which was looked: `wanted.low` when that was all."""
        ...


class SearchIndex:
    """The index of one database, in the one that `connect` opens; `remove` takes away what is left of a damaged one."""

    def __init__(
        self,
        engine: Engine,
        owner: str,
        connect: Callable[[], Database],
        remove: Callable[[], None],
    ) -> None:
        self._engine, self._owner = engine, owner
        self._connect, self._remove = connect, remove
        self._database: Database | None = connect()
        self._damaged = False
        self._writes = asyncio.Lock()

    async def start(self) -> None:
        """Opens it for writing, and so makes the file that others read. Unavailable: `database_unavailable`."""
        if not self._damaged:
            await self._writing(_nothing)

    async def progress(self) -> Progress | None:
        """How far it is; None when there is none that can be used. Unavailable: `database_unavailable`."""
        return None if self._damaged else await self._reading(self._engine.load)

    async def claim(self) -> bool:
        """Whether this process is to work on it now."""
        return await self._writing(lambda conn: self._engine.claim(conn, self._owner))

    async def begin(self, progress: Progress, known: Progress | None) -> None:
        """Makes an empty one in place of the `known` one, unless another process has done so."""
        damaged = self._damaged
        if damaged:
            database, self._database = self._database, None
            if database is not None:
                await database.close()
            self._remove()
            self._database, self._damaged = self._connect(), False

        def begun(conn: Connection) -> None:
            self._engine.lock(conn)
            if damaged or self._engine.load(conn) == known:
                self._engine.create(conn)
                self._engine.save(conn, progress)

        await self._writing(begun)

    async def add(self, entries: Sequence[Indexed], progress: Progress, known: Progress) -> bool:
        """Adds messages with the progress that they are; False where another process was faster."""

        def added(conn: Connection) -> bool:
            found = self._engine.load(conn)
            if found != known:
                return False
            for one in entries:
                if one.again:
                    base = docid_of(one.created_ms)
                    self._engine.retire(conn, base, base + known.spill, one.room_key, one.seq)
            rows, reached = self._placed(conn, entries, progress)
            self._engine.insert(conn, rows)
            self._engine.save(conn, reached)
            return True

        return await self._writing(added)

    async def propose(
        self, wanted: Wanted, limit: int
    ) -> tuple[Progress | None, list[Proposal], int]:
        """How far it is, as `progress`, and what it proposes then, as `Engine.propose`: read in this order.

        Nothing where it was made anew meanwhile, which PostgreSQL shows to whoever has begun to read (`TRUNCATE`).
        """

        def proposed(conn: Connection) -> tuple[Progress | None, list[Proposal], int]:
            progress = self._engine.load(conn)
            if progress is None:
                return None, [], wanted.low
            high = min(wanted.high, wanted.until + progress.spill)
            found = self._engine.propose(conn, replace(wanted, high=high), limit)
            if not self._engine.steady:
                after = self._engine.load(conn)
                if after is None or after.build != progress.build:
                    return None, [], wanted.low
            return progress, *found

        return (None, [], wanted.low) if self._damaged else await self._reading(proposed)

    async def close(self) -> None:
        """Closes its connections."""
        if self._database is not None:
            await self._database.close()

    def _placed(
        self, conn: Connection, entries: Sequence[Indexed], progress: Progress
    ) -> tuple[list[Row], Progress]:
        """Rows with their docids, in the order of these, and what they change of the progress."""
        ordered = sorted(entries, key=attrgetter("created_ms", "room_key", "seq"))
        bases = {docid_of(one.created_ms) for one in ordered}
        lasts = self._engine.lasts(conn, bases)
        spill, top, top_base = progress.spill, progress.top, progress.top_base
        rows: list[Row] = []
        for base, those in groupby(ordered, lambda one: docid_of(one.created_ms)):
            second = base
            for entry in those:
                while (docid := lasts[second] + 1) == second + PLACES:
                    second += PLACES
                    if (
                        second not in lasts
                    ):  # twice as far each time: very many may be of one second
                        ahead = range(second, 2 * second - base, PLACES)
                        lasts = self._engine.lasts(conn, ahead) | lasts
                lasts[second] = docid
                rows.append((docid, entry.room_key, entry.seq, entry.words))
                spill = max(spill, docid - base)
                if docid > top:
                    top, top_base = docid, base
        return sorted(rows), replace(progress, spill=spill, top=top, top_base=top_base)

    async def _reading(self, work: Callable[[Connection], T]) -> T:
        return await self._guarded(lambda database: database.reading(work))

    async def _writing(self, work: Callable[[Connection], T]) -> T:
        async with self._writes:
            return await self._guarded(lambda database: database.writing(0, work))

    async def _guarded(self, call: Callable[[Database], Awaitable[T]]) -> T:
        """Calls the database, with its errors as ours; of a damaged index nothing more is used."""
        if self._database is None:
            raise errors.away()
        try:
            return await call(self._database)
        except PalaverError:
            raise
        except Exception as error:
            if errors.damaged(error) is not None or errors.lacks_table(error):
                self._damaged = True
                raise errors.away() from error
            raise errors.temporary(error) or error from error


def _nothing(_: Connection) -> None:
    """Connects, and that is all."""


def docid_of(created_ms: int) -> int:
    """The first docid of a time."""
    return max(0, created_ms // 1000) << SECOND_BITS


def token_of(kind: str, key: int) -> str:
    """The token of a room's or an author's key."""
    digits = ""
    while key:
        key, digit = divmod(key, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return kind + (digits or "0")


def said_of(progress: Progress) -> str:
    """Progress as JSON."""
    return msgspec.json.encode(progress).decode()


def progress_of(said: str) -> Progress | None:
    """Progress of JSON; None for what another program wrote."""
    try:
        return msgspec.json.decode(said, type=Progress)
    except msgspec.DecodeError:
        return None
