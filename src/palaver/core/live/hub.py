"""The hub: what is going on now, for everyone who reads along.

Theory of operation. A room that somebody reads has a `Feed`, and each of its readers a `Cursor` there. Nothing is
pushed into a queue of a reader: it is touched, and pulls what lies between its cursor and the feed's tail when its
socket has room. So a slow reader costs nothing, its deltas merge by themselves, and one that fell behind the ring
reads the store.

Rules: only what is committed is published, in the order of seq (`publish` is the store's commit listener). An event
that does not follow the tail (another process wrote in between) empties the ring, so that readers fetch the gap from
the store: never a silent hole. Running answers and drafts are kept here whole, whether anybody reads them or not.

It does not check who may read (access does) and reads nothing itself but the tail of a room (`seq_of`). A feed
remembers whom the check has let in, until an event comes that may change that: so thousands who come back at once
cost the store nothing. `FEEDS_IDLE_MAX` rooms keep their feed for the time when everybody comes back.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

from palaver.core.live.feed import Cursor, Feed, Listener, Stream, always
from palaver.core.live.items import (
    DatabaseState,
    Drafted,
    Encode,
    Item,
    Look,
    OwnChanged,
    ReadMark,
    Typing,
    encoded,
)
from palaver.core.live.outbox import Outbox
from palaver.core.live.presence import Presence
from palaver.core.live.standing import Standings
from palaver.errors import Unavailable
from palaver.model import ActorId, Event, EventType, MessageId, RoomId, Turn, Visibility
from palaver.store.write.audit import AUDIT

RING_EVENTS_MAX = 512
FEEDS_IDLE_MAX = 64
OPEN_ROOMS_MAX = 10_000
"""So many of the newest open rooms are known to be of interest to all who watch."""
T = TypeVar("T")


class Hub:
    """The feeds, the running answers and the readers of this process. `outbox`: what tells other processes."""

    def __init__(
        self,
        encode: Encode,
        seq_of: Callable[[RoomId], Awaitable[int]],
        outbox: Outbox | None = None,
        *,
        ring_max: int = RING_EVENTS_MAX,
    ) -> None:
        self.encode = encode
        self.seq_of = seq_of
        self._ring_max = ring_max
        self.database_up = True
        self._outbox = outbox
        self.standings = Standings()
        self._feeds: dict[RoomId, Feed] = {}
        self._idle: dict[RoomId, None] = {}
        self.presence = Presence(self._feeds, self._touch, encode, outbox)
        self._streams: dict[RoomId, dict[MessageId, Stream]] = {}
        self._drafts: dict[RoomId, dict[MessageId, Drafted]] = {}
        # dicts for sets: their order is that of coming, so that a simulated life can be replayed
        self._watchers: dict[RoomId, dict[Listener, None]] = {}
        self._readers: dict[ActorId, dict[Listener, None]] = {}
        self._watching: dict[Listener, None] = {}
        self._open_rooms: dict[RoomId, None] = {}
        self.mirrored: list[Callable[[], None]] = []
        """Told when an answer begins in another process."""

    # what happens

    def publish(self, events: Sequence[Event]) -> None:
        """Tells the readers what was committed. In the order of the commits."""
        for event in events:
            if event.room == AUDIT:
                self.standings.committed((event,))
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

    def open_stream(
        self, turn: Turn, *, mirror: bool = False, leased: Callable[[], bool] = always
    ) -> Stream:
        """Begins to show an answer of this process, or of another one (`mirror`), while it is `leased`."""
        stream = Stream(turn, mirror, leased)
        self._streams.setdefault(turn.room, {})[turn.message] = stream
        for told in self.mirrored if mirror else ():
            told()
        self._announce(stream)
        return stream

    def awaits(self, stream: Stream) -> None:
        """An answer waits for a program to take it up, which its first piece says."""
        if not stream.awaited:
            stream.awaited = True
            self._announce(stream)

    def add(self, stream: Stream, text: str, reasoning: str = "") -> None:
        """An answer grows."""
        stream.pieces.append((text, reasoning))
        stream.lengths = (stream.lengths[0] + len(text), stream.lengths[1] + len(reasoning))
        if self._outbox is not None and not stream.mirror:
            self._outbox.grew()
        self._touch(self._feeds.get(stream.turn.room))

    def touched(self, stream: Stream) -> None:
        """What was held back of an answer may be shown."""
        self._touch(self._feeds.get(stream.turn.room))

    def drop_stream(self, stream: Stream) -> None:
        """An answer is over; one without a message of its own just goes."""
        if self._outbox is not None and not stream.mirror:
            self._outbox.ended(stream)
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

    def mirrors(self) -> list[Stream]:
        """The running answers of other processes."""
        return [one for there in self._streams.values() for one in there.values() if one.mirror]

    def draft(self, item: Drafted) -> None:
        """A message was accepted; the event with its id, or `undraft`, ends that."""
        self._drafts.setdefault(item.room, {})[item.message] = encoded(item, self.encode)
        self._touch(self._feeds.get(item.room))

    def undraft(self, room: RoomId, message: MessageId) -> None:
        """An accepted message was settled. Where an event has its id, nothing is left to do."""
        if _forget(self._drafts, room, message):
            self._touch(self._feeds.get(room))

    def drafts(self, room: RoomId) -> dict[MessageId, Drafted]:
        """The accepted messages of a room, in their order."""
        return self._drafts.get(room, {})

    def typing(self, item: Typing, *, mirror: bool = False) -> None:
        """Somebody is typing, here or in another process."""
        encoded(item, self.encode)
        feed = self._feeds.get(item.room)
        for cursor in () if feed is None else feed.cursors:
            if cursor.live and cursor.sure_to is None and cursor.listener.actor != item.actor:
                cursor.listener.notice(item)
        if self._outbox is not None and not mirror:
            self._outbox.passing(item, item.actor)

    def tell_self(
        self, actor: ActorId, item: ReadMark | OwnChanged | Look, *, but: Listener | None = None
    ) -> None:
        """Somebody has read, looks at a branch, or changed what is theirs alone; their other connections hear of it."""
        self.to_actor(actor, item, but=but)
        if self._outbox is not None:
            self._outbox.passing(item, actor)

    def show(self, actor: ActorId, *, shown: bool, mirror: bool = False) -> None:
        """Whether others are to see that an actor is here."""
        for listener in self._readers.get(actor, ()):
            listener.show(shown=shown)
        if not shown:
            self.presence.hide(actor)
        if self._outbox is not None and not mirror:
            self._outbox.say("v", actor, shown)

    def to_actor(self, actor: ActorId, item: Item, *, but: Listener | None) -> None:
        """Something passing for the other connections of one actor."""
        encoded(item, self.encode)
        for listener in self._readers.get(actor, ()):
            if listener is not but:
                listener.notice(item)

    def to_all(self, item: Callable[[], Item], actor: ActorId | None = None) -> None:
        """Something passing for every reader, or all of one actor; each gets a value of its own."""
        for one, listeners in self._readers.items():
            for listener in listeners if actor is None or one == actor else ():
                listener.notice(encoded(item(), self.encode))

    def database_is(self, *, up: bool) -> None:
        """Tells every reader that the database went away or came back, if that is news."""
        if up != self.database_up:
            self.database_up = up
            self.to_all(lambda: DatabaseState(up))

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

    @property
    def present(self) -> tuple[ActorId, ...]:
        """Who reads here."""
        return tuple(self._readers)

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
                self.unwatch(listener, room)

    def doubt(self, room: RoomId, seq: int, who: ActorId | None) -> None:
        """Another process stores an event that may take the access of an actor (None: of any), to be published soon."""
        feed = self._feeds.get(room)
        if feed is not None:
            feed.doubt(seq, who)

    def taken(self, room: RoomId, who: ActorId | None) -> None:
        """As `Access.listeners`. Whose account has another status may have left for good, with their name."""
        self.presence.taken(room, who)
        for feed in self._feeds.values() if room == AUDIT else ():
            feed.forget()

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
        self.presence.stir(room)
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
        self.presence.stir(feed.room)
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

    def unwatch(self, listener: Listener, room: RoomId) -> None:
        """A reader has lost a room that it watched."""
        watchers = self._watchers.get(room, {})
        watchers.pop(listener, None)
        if not watchers:
            self._watchers.pop(room, None)

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
            if feed.opened(await self.seq_of(feed.room), self.encode):
                self._touch(feed)
        except Unavailable as error:
            failure = error
            raise
        finally:  # who was cancelled leaves the question to the next
            feed.opening = None
            opening.set_result(failure)

    def _announce(self, stream: Stream) -> None:
        if self._outbox is not None and not stream.mirror:
            self._outbox.opened(stream)
        feed = self._feeds.get(stream.turn.room)
        for cursor in () if feed is None else feed.cursors:
            cursor.streams.pop(stream.turn.message, None)  # who saw it before begins anew
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
        if event.type is EventType.ROOM_VISIBILITY:  # from now on it is of interest to its members
            self._open_rooms.pop(event.room, None)


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
