"""The hub: what is going on now, for everyone who reads along.

Theory of operation. A room that somebody reads has a `Feed`: its newest events, encoded once, in a ring without a
hole (`floor`, `seq`]. A reader has a `Cursor` for each of its rooms: the seq that it was given last, and for each
running answer the number of deltas. Nothing is pushed into a queue of a reader: it is touched, and pulls what lies
between its cursor and the feed's tail when its socket has room. So a slow reader costs nothing, its deltas merge by
themselves, and one that fell behind the ring reads the store.

Rules: only what is committed is published, in the order of seq (`publish` is the store's commit listener). An event
that does not follow the tail (another process wrote in between) empties the ring, so that readers fetch the gap from
the store: never a silent hole. Running answers and drafts are kept here whole, whether anybody reads them or not.

It does not check who may read (access does) and reads nothing itself but the tail of a room (`seq_of`). A feed
remembers whom the check has let in, until an event comes that may change that: so thousands who come back at once
cost the store nothing. `FEEDS_IDLE_MAX` rooms keep their feed for the time when everybody comes back.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import chain
from sys import getsizeof
from typing import Protocol, TypeVar, cast

from palaver.core.live.items import (
    Delta,
    Drafted,
    Encode,
    Happened,
    Item,
    Opened,
    ReadMark,
    StreamView,
    Typing,
)
from palaver.errors import Unavailable
from palaver.model import ActorId, Event, EventType, MessageId, RoomId, Turn, Visibility

RING_EVENTS_MAX = 512
RING_BYTES_MAX = 2 * 1024 * 1024
"""So much memory a ring may take; what is older is read from the store."""
EVENT_BYTES = 450
"""Of an event and its message beside texts: the objects, and the ids and names that they hold."""
FEEDS_IDLE_MAX = 64
LET_IN_MAX = 20_000
OPEN_ROOMS_MAX = 10_000
"""So many of the newest open rooms are known to be of interest to all who watch."""
T = TypeVar("T")


class Listener(Protocol):
    """A reader, as the hub sees it. None of these calls may block or raise."""

    actor: ActorId

    def touch(self, cursor: "Cursor") -> None:
        """Something new lies behind this cursor."""
        ...

    def notice(self, item: Item) -> None:
        """Something passing that no cursor knows of."""
        ...

    def changed(self, event: Event) -> None:
        """An event happened in a watched room."""
        ...


class Spread(Protocol):
    """What tells other processes, where there are some. None of these calls may block or raise."""

    def opened(self, stream: "Stream") -> None:
        """An answer of this process began."""
        ...

    def grew(self) -> None:
        """One of them grew."""
        ...

    def ended(self, stream: "Stream") -> None:
        """One of them is over."""
        ...

    def passing(self, item: Typing | ReadMark, actor: ActorId) -> None:
        """Something passing that an actor of this process did."""
        ...


class Stream:
    """An answer that is being written. `pieces` holds (text, reasoning) of each delta.

    A `mirror` is written by another process. `lengths`: characters of text and of reasoning.
    """

    __slots__ = ("_opened", "_tail", "after", "leased", "lengths", "mirror", "pieces", "turn")

    def __init__(self, turn: Turn, *, mirror: bool) -> None:
        self.turn = turn
        self.mirror = mirror
        self.after = turn.trigger_seq
        self.pieces: list[tuple[str, str]] = []
        self.lengths: tuple[int, int] = (0, 0)
        self.leased: Callable[[], bool] = lambda: True
        self._opened: Opened | None = None
        self._tail: Delta | None = None

    def view(self) -> StreamView:
        """The whole answer so far."""
        return self._view(len(self.pieces), self.text(), self.reasoning())

    def text(self) -> str:
        """The answer's text so far."""
        return "".join(text for text, _ in self.pieces)

    def reasoning(self) -> str:
        """What the model thought so far."""
        return "".join(reasoning for _, reasoning in self.pieces)

    def opened(self, encode: Encode) -> Opened:
        """The item that announces this stream, the same for every reader."""
        if self._opened is None:
            self._opened = Opened(self._view(0, "", ""))
            self._opened.frame = encode(self._opened)
        return self._opened

    def since(self, n: int, encode: Encode) -> Delta:
        """What came after the `n`-th delta, as one; the last single one is encoded once for all."""
        last = len(self.pieces)
        if n == last - 1 and self._tail is not None and self._tail.n == last:
            return self._tail
        pieces = self.pieces[n:]
        delta = Delta(
            self.turn.room,
            self.turn.message,
            last,
            "".join(text for text, _ in pieces),
            "".join(reasoning for _, reasoning in pieces),
        )
        delta.frame = encode(delta)
        if n == last - 1:
            self._tail = delta
        return delta

    def _view(self, n: int, text: str, reasoning: str) -> StreamView:
        turn = self.turn
        return StreamView(
            room=turn.room,
            message=turn.message,
            turn=turn.id,
            agent=turn.agent,
            agent_name=turn.agent_name,
            after=self.after,
            n=n,
            text=text,
            reasoning=reasoning,
        )


class Feed:
    """What the readers of one room share: the events (`floor`, `seq`], none of them missing.

    `let_in`: who was found to be allowed to read, and still is.
    """

    __slots__ = (
        *("bytes", "cursors", "early", "let_in", "opening", "ring", "ring_max", "room", "seq"),
    )

    def __init__(self, room: RoomId, ring_max: int) -> None:
        self.room = room
        self.ring_max = ring_max
        self.seq: int | None = None  # not known before the store was asked
        self.opening: asyncio.Future[Unavailable | None] | None = None
        self.ring: deque[Happened] = deque()
        self.bytes = 0
        self.cursors: dict[Cursor, None] = {}
        self.let_in: dict[ActorId, None] = {}
        self.early: list[Event] = []

    @property
    def tail(self) -> int:
        """The seq of the newest event."""
        assert self.seq is not None, "a feed is read only after it was opened"
        return self.seq

    @property
    def floor(self) -> int:
        """The ring holds every event after this seq."""
        return self.tail - len(self.ring)

    def after(self, seq: int, count: int) -> list[Happened]:
        """At most `count` events that follow `seq`, which must not lie below the floor."""
        start = seq - self.floor
        assert start >= 0, "the ring is asked only for what it holds"
        size = len(self.ring)
        return [self.ring[index] for index in range(start, min(size, start + count))]

    def append(self, event: Event, encode: Encode) -> bool:
        """Takes the next event; False when it is known already."""
        if event.seq <= self.tail:
            return False
        if event.seq > self.tail + 1:
            self.skip(event.seq - 1)
        if _changes_access(event):
            self.let_in.clear()
        if event.type is EventType.MEMBER_RENAMED:
            self.skip(event.seq - 1)  # what is kept says the old name, and the store the new one
        happened = Happened(event)
        happened.frame = encode(happened)
        happened.bytes = _size(happened)
        self.ring.append(happened)
        self.bytes += happened.bytes
        while len(self.ring) > self.ring_max or (
            self.bytes > RING_BYTES_MAX and len(self.ring) > 1
        ):
            self.bytes -= self.ring.popleft().bytes
        self.seq = event.seq
        return True

    def skip(self, seq: int) -> None:
        """The room is at `seq`, and what led there is to be read from the store."""
        self.ring.clear()
        self.bytes = 0
        self.let_in.clear()
        self.seq = seq

    def admit(self, actor: ActorId, seq: int) -> None:
        """The actor was allowed to read when the room was at `seq`."""
        if seq < self.floor or any(
            _changes_access(one.event) for one in self.after(min(seq, self.tail), self.ring_max)
        ):
            return
        if len(self.let_in) >= LET_IN_MAX:
            del self.let_in[next(iter(self.let_in))]
        self.let_in[actor] = None


def _size(happened: Happened) -> int:
    """What a kept event takes: its frame, its text as Python holds it, what else it says, and the objects around."""
    event, message = happened.event, happened.event.message
    size = EVENT_BYTES + getsizeof(happened.frame) + _size_of(event.data)
    return size if message is None else size + getsizeof(message.text) + _size_of(message.meta)


def _size_of(value: object) -> int:
    inner: Iterable[object] = ()
    if isinstance(value, Mapping):
        inner = chain.from_iterable(cast("Mapping[str, object]", value).items())
    elif isinstance(value, list | tuple):
        inner = cast("Sequence[object]", value)
    return getsizeof(cast("object", value)) + sum(map(_size_of, inner))


class Cursor:
    """Where one reader stands in one room. `live` once its subscription was answered."""

    __slots__ = ("drafts", "feed", "listener", "live", "seq", "streams")

    def __init__(self, feed: Feed, listener: Listener) -> None:
        self.feed = feed
        self.listener = listener
        self.seq = 0
        self.streams: dict[MessageId, int] = {}
        self.drafts: dict[MessageId, None] = {}
        self.live = False


class Hub:
    """The feeds, the running answers and the readers of this process."""

    def __init__(
        self,
        encode: Encode,
        seq_of: Callable[[RoomId], Awaitable[int]],
        *,
        ring_max: int = RING_EVENTS_MAX,
    ) -> None:
        self.encode = encode
        self.seq_of = seq_of
        self._ring_max = ring_max
        self.spread: Spread | None = None
        self._feeds: dict[RoomId, Feed] = {}
        self._idle: dict[RoomId, None] = {}
        self._streams: dict[RoomId, dict[MessageId, Stream]] = {}
        self._drafts: dict[RoomId, dict[MessageId, Drafted]] = {}
        # dicts for sets: their order is that of coming, so that a simulated life can be replayed
        self._watchers: dict[RoomId, dict[Listener, None]] = {}
        self._readers: dict[ActorId, dict[Listener, None]] = {}
        self._watching: dict[Listener, None] = {}
        self._open_rooms: dict[RoomId, None] = {}

    # what happens

    def publish(self, events: Sequence[Event]) -> None:
        """Tells the readers what was committed. In the order of the commits."""
        for event in events:
            if event.message is not None:
                _forget(self._streams, event.room, event.message.id)
                _forget(self._drafts, event.room, event.message.id)
            feed = self._feeds.get(event.room)
            if feed is not None:
                if feed.seq is None:
                    feed.early.append(event)
                elif feed.append(event, self.encode):
                    self._touch(feed)
            self._tell_watchers(event)

    def reached(self, room: RoomId, seq: int) -> None:
        """A room is at least at `seq`: a commit whose end was unclear had happened, and nobody was told."""
        feed = self._feeds.get(room)
        if feed is not None and feed.seq is not None and feed.seq < seq:
            feed.skip(seq)
            self._touch(feed)

    def open_stream(self, turn: Turn, *, mirror: bool = False) -> Stream:
        """An answer begins, here or in another process."""
        stream = Stream(turn, mirror=mirror)
        if self.spread is not None and not mirror:
            self.spread.opened(stream)
        self._streams.setdefault(turn.room, {})[turn.message] = stream
        feed = self._feeds.get(turn.room)
        for cursor in () if feed is None else feed.cursors:
            cursor.streams.pop(turn.message, None)  # who saw an earlier attempt begins anew
        self._touch(feed)
        return stream

    def add(self, stream: Stream, text: str, reasoning: str = "") -> None:
        """An answer grows."""
        stream.pieces.append((text, reasoning))
        stream.lengths = (stream.lengths[0] + len(text), stream.lengths[1] + len(reasoning))
        if self.spread is not None and not stream.mirror:
            self.spread.grew()
        self._touch(self._feeds.get(stream.turn.room))

    def touched(self, stream: Stream) -> None:
        """What was held back of an answer may be shown."""
        self._touch(self._feeds.get(stream.turn.room))

    def drop_stream(self, stream: Stream) -> None:
        """An answer is over; one without a message of its own just goes."""
        if self.spread is not None and not stream.mirror:
            self.spread.ended(stream)
        if self.streams(stream.turn.room).get(stream.turn.message) is not stream:
            return  # its message was published, or another process took it over
        _forget(self._streams, stream.turn.room, stream.turn.message)
        self._touch(self._feeds.get(stream.turn.room))

    def over(self, room: RoomId, message: MessageId) -> None:
        """A reader found the message of an answer in the store before it was published here."""
        _forget(self._streams, room, message)

    def streams(self, room: RoomId) -> dict[MessageId, Stream]:
        """The running answers of a room."""
        return self._streams.get(room, {})

    def draft(self, item: Drafted) -> None:
        """A message was accepted; the event with its id, or `undraft`, ends that."""
        item.frame = self.encode(item)
        self._drafts.setdefault(item.room, {})[item.message] = item
        self._touch(self._feeds.get(item.room))

    def undraft(self, room: RoomId, message: MessageId) -> None:
        """An accepted message was settled. Where an event has its id, nothing is left to do."""
        if _forget(self._drafts, room, message):
            self._touch(self._feeds.get(room))

    def drafts(self, room: RoomId) -> dict[MessageId, Drafted]:
        """The accepted messages of a room, in their order."""
        return self._drafts.get(room, {})

    def to_room(self, room: RoomId, item: Item, *, but: ActorId | None) -> None:
        """Something passing for everyone who reads a room now, except one actor."""
        feed = self._feeds.get(room)
        if feed is not None:
            item.frame = self.encode(item)
            for cursor in feed.cursors:
                if cursor.live and cursor.listener.actor != but:
                    cursor.listener.notice(item)

    def typing(self, item: Typing) -> None:
        """Somebody is typing."""
        self.to_room(item.room, item, but=item.actor)
        if self.spread is not None:
            self.spread.passing(item, item.actor)

    def read_mark(self, actor: ActorId, item: ReadMark, *, but: Listener | None) -> None:
        """Somebody has read; the other connections of that person hear of it."""
        self.to_actor(actor, item, but=but)
        if self.spread is not None:
            self.spread.passing(item, actor)

    def to_actor(self, actor: ActorId, item: Item, *, but: Listener | None) -> None:
        """Something passing for the other connections of one actor."""
        item.frame = self.encode(item)
        for listener in self._readers.get(actor, ()):
            if listener is not but:
                listener.notice(item)

    def to_all(self, item: Callable[[], Item], actor: ActorId | None = None) -> None:
        """Something passing for every reader, or all of one actor; each gets a value of its own."""
        for listeners in [
            mine for one, mine in self._readers.items() if actor is None or one == actor
        ]:
            for listener in list(listeners):
                made = item()
                made.frame = self.encode(made)
                listener.notice(made)

    # who reads

    def cares(self, room: RoomId) -> bool:
        """Whether anybody here reads or watches a room."""
        return (
            room in self._feeds
            or room in self._watchers
            or (room in self._open_rooms and bool(self._watching))
        )

    @property
    def readers(self) -> int:
        """How many read here."""
        return sum(map(len, self._readers.values()))

    def tails(self) -> dict[RoomId, int]:
        """How far each room is that is read here."""
        return {room: feed.seq for room, feed in self._feeds.items() if feed.seq is not None}

    def enter(self, listener: Listener) -> None:
        """A reader is there."""
        self._readers.setdefault(listener.actor, {})[listener] = None

    def leave(self, listener: Listener, cursors: Iterable[Cursor]) -> None:
        """A reader is gone, with all that it had."""
        for cursor in cursors:
            self.detach(cursor)
        mine = self._readers.get(listener.actor, {})
        mine.pop(listener, None)
        if not mine:
            self._readers.pop(listener.actor, None)
        if listener in self._watching:
            del self._watching[listener]
            for room in [room for room, them in self._watchers.items() if listener in them]:
                del self._watchers[room][listener]
                if not self._watchers[room]:
                    del self._watchers[room]

    def let_in(self, room: RoomId, actor: ActorId) -> bool:
        """Whether the actor was allowed to read this room, and nothing has happened that may have changed it."""
        feed = self._feeds.get(room)
        return feed is not None and feed.seq is not None and actor in feed.let_in

    async def attach(self, room: RoomId, listener: Listener) -> Cursor:
        """A reader takes its place at the tail of a room, before anything else is read."""
        feed = self._feeds.get(room)
        if feed is None:
            feed = self._feeds[room] = Feed(room, self._ring_max)
        self._idle.pop(room, None)
        cursor = Cursor(feed, listener)
        feed.cursors[cursor] = None
        try:
            while feed.seq is None:
                await self._open(feed)
        except BaseException:
            self.detach(cursor)
            raise
        cursor.seq = feed.tail
        return cursor

    def detach(self, cursor: Cursor) -> None:
        """A reader leaves a room; the feed stays a while for those who come back."""
        feed = cursor.feed
        feed.cursors.pop(cursor, None)
        if feed.cursors or self._feeds.get(feed.room) is not feed:
            return
        if feed.seq is None:
            del self._feeds[feed.room]
            return
        self._idle[feed.room] = None
        if len(self._idle) > FEEDS_IDLE_MAX:
            room = next(iter(self._idle))
            del self._idle[room], self._feeds[room]

    def restart(self) -> None:
        """The history is another one now: who comes from here on shares nothing with those who are here."""
        self._feeds.clear()
        self._idle.clear()

    def watch(self, listener: Listener, rooms: Iterable[RoomId]) -> None:
        """A reader wants to know that something happened in these rooms, and in those that it joins."""
        self._watching[listener] = None
        for room in rooms:
            self._watchers.setdefault(room, {})[listener] = None

    # inside

    async def _open(self, feed: Feed) -> None:
        """Asks where the tail is: once for all who come meanwhile."""
        if feed.opening is not None:
            failure = await asyncio.shield(feed.opening)
            if failure is not None:
                raise Unavailable(failure.code, failure.detail, retry_ms=failure.retry_ms)
            return
        opening = feed.opening = asyncio.get_running_loop().create_future()
        failure: Unavailable | None = None
        try:
            self._opened(feed, await self.seq_of(feed.room))
        except Unavailable as error:
            failure = error
            raise
        finally:  # who was cancelled leaves the question to the next
            feed.opening = None
            opening.set_result(failure)

    def _opened(self, feed: Feed, seq: int) -> None:
        """The store said where the tail is; what was published meanwhile follows it."""
        if feed.seq is None:
            feed.seq = seq
        early, feed.early = feed.early, []
        for event in early:
            feed.append(event, self.encode)
        if early:
            self._touch(feed)

    def _touch(self, feed: Feed | None) -> None:
        if feed is not None:
            for cursor in feed.cursors:
                if cursor.live:
                    cursor.listener.touch(cursor)

    def _tell_watchers(self, event: Event) -> None:
        joined = _joined(event)
        if joined is not None:
            for listener in self._readers.get(joined, ()):
                if listener in self._watching:
                    self._watchers.setdefault(event.room, {})[listener] = None
        if event.type is EventType.ROOM_CREATED and event.data.get("visibility") == Visibility.OPEN:
            self._open_rooms[event.room] = None
            if len(self._open_rooms) > OPEN_ROOMS_MAX:
                del self._open_rooms[next(iter(self._open_rooms))]
        watchers = (
            self._watching if event.room in self._open_rooms else self._watchers.get(event.room, ())
        )
        for listener in watchers:
            listener.changed(event)


def _changes_access(event: Event) -> bool:
    """Whether somebody may read after this event who might not before, or the other way round."""
    return not event.type.startswith("message.")


def _forget(kept: dict[RoomId, dict[MessageId, T]], room: RoomId, message: MessageId) -> bool:
    """Takes something of a room away; whether it was there."""
    of_room = kept.get(room, {})
    found = of_room.pop(message, None) is not None
    if found and not of_room:
        del kept[room]
    return found


def _joined(event: Event) -> ActorId | None:
    """Who came into a room by this event."""
    if event.type is EventType.ROOM_CREATED:
        return event.actor
    if event.type is EventType.MEMBER_JOINED:
        return ActorId(event.data["actor"])
    return None
