"""One live reader: a set of cursors that pulls what is new, in the order of each room.

A door makes one for each connection, subscribes it to rooms and asks `next` for items while its socket drains.
Subscribing takes the place at the tail first and reads the past second, so nothing can fall between the two; the
items of a room come out of `next` only after `start`, which the door calls when the answer to the subscription is
on its way. A right that is in doubt is asked for after what it is needed for was read, and before that is given.

Bounds: `BATCH_ITEMS_MAX` items a call, `REPLAY_EVENTS_MAX` missed events (beyond: an explicit reset), `NOTICES_MAX`
passing items that a busy reader keeps.
"""

import asyncio
from typing import Literal, Protocol, Self

from msgspec import Struct, field

from palaver.core.live.feed import Cursor
from palaver.core.live.hub import Hub
from palaver.core.live.items import (
    Closing,
    Ended,
    Happened,
    Item,
    Joined,
    Look,
    OwnChanged,
    ReadMark,
    RoomChanged,
    Settled,
    SignedOut,
    StreamView,
    Unsubscribed,
    encoded,
)
from palaver.errors import Code, Refused, Unavailable
from palaver.model import (
    AccessChange,
    ActorId,
    CredentialId,
    Event,
    EventType,
    MessageId,
    Page,
    RoomId,
)
from palaver.model.access import taken_from
from palaver.policy import signed_out

BATCH_ITEMS_MAX = 256
REPLAY_EVENTS_MAX = 5_000
FIRST_EVENTS_MAX = 500
NEWEST_MESSAGES = 50
NOTICES_MAX = 64
RETRY_SECONDS = 1.0


class Past(Protocol):
    """What a reader asks of the past. Only `allowed` checks that the actor may read."""

    async def allowed(self, room: RoomId) -> int:
        """The seq at which the actor was found to be allowed to read; else `Refused` with `room_not_found`."""
        ...

    async def since(self, room: RoomId, seq: int, count: int) -> tuple[Event, ...]:
        """Events after `seq`."""
        ...

    async def newest(self, room: RoomId, count: int) -> Page:
        """The newest messages."""
        ...

    async def rooms(self) -> tuple[RoomId, ...]:
        """The actor's rooms."""
        ...

    async def kept_out(self) -> tuple[RoomId, ...]:
        """The open rooms from which the actor was removed."""
        ...


class Reader(Struct, kw_only=True, eq=False):
    """The live reading of one actor on one connection, `by` a session or key; it is `over` when that has ended.

    `among`: the rooms to which the key is limited. Its door lets nobody subscribe to others. `shown`: see `Listener`.

    `_uncertain` are changes of watched rooms whose newest event in `_taken` has perhaps taken them from the actor; None
    stands there for what came before.
    """

    actor: ActorId
    hub: Hub
    past: Past
    epoch: str
    rooms_max: int
    by: CredentialId | None = None
    among: frozenset[RoomId] | None = None
    shown: bool | None = None
    over: bool = False
    _cursors: dict[RoomId, Cursor] = field(default_factory=dict[RoomId, Cursor])
    _touched: dict[Cursor, None] = field(default_factory=dict[Cursor, None])
    _notices: list[Item] = field(default_factory=list[Item])
    _ready: list[Item] = field(default_factory=list[Item])
    _changes: dict[RoomId, RoomChanged] = field(default_factory=dict[RoomId, RoomChanged])
    _uncertain: dict[RoomId, RoomChanged] = field(default_factory=dict[RoomId, RoomChanged])
    _taken: dict[RoomId, Event | None] = field(default_factory=dict[RoomId, Event | None])
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _woken: bool = False

    def __post_init__(self) -> None:
        self.hub.enter(self)
        self.hub.standings.begin(self.by, self.end)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leaves everything. Calling it again does nothing."""
        cursors, self._cursors = self._cursors, {}
        self._touched.clear()
        self.hub.standings.leave(self.by, self.end)
        self.hub.leave(self, cursors.values())

    def end(self) -> None:
        """Its session or key has ended: `next` gives `SignedOut`, and nothing that happens from now on."""
        self.over = True
        self.close()
        self._wake.set()

    async def subscribe(
        self, room: RoomId, since: int | None = None, *, epoch: str | None = None
    ) -> Joined:
        """Takes a place in a room and tells what the reader missed after `since`.

        `epoch` is the one under which `since` was learnt, where the client told it. Subscribing again starts anew.
        Refused: `room_not_found`, `too_many_rooms`, `session_ended`, `unauthenticated` (its key was revoked).
        """
        checked = None
        if not self.hub.let_in(room, self.actor):
            checked = await self.past.allowed(room)
        self.unsubscribe(room)
        if len(self._cursors) >= self.rooms_max:
            raise Refused(
                Code.TOO_MANY_ROOMS,
                f"A connection can follow {self.rooms_max} rooms at once. Leave one first.",
            )
        cursor = await self.hub.attach(room, self)
        self.unsubscribe(room)  # two subscriptions to one room at once: the later one stays
        self._cursors[room] = cursor
        if checked is not None and not cursor.feed.admit(self.actor, checked):
            cursor.doubt(-1)
        try:
            return await self._join(cursor, room, since, epoch)
        except BaseException:
            self.unsubscribe(room)
            raise

    def follows(self, room: RoomId) -> bool:
        """Whether this reader is subscribed to a room; what it sends there is checked again when it is stored.

        A doubt changes nothing here: who was refused one message and not the next would be heard in another order.
        """
        return room in self._cursors

    def start(self, room: RoomId) -> None:
        """From now on the room's items come out of `next`."""
        cursor = self._cursors.get(room)
        if cursor is not None:
            cursor.live = True
            self.touch(cursor)

    def unsubscribe(self, room: RoomId) -> None:
        """Leaves a room; nothing of it comes out of `next` any more."""
        cursor = self._cursors.pop(room, None)
        if cursor is not None:
            self._touched.pop(cursor, None)
            self.hub.detach(cursor)

    async def watch(self) -> None:
        """From now on `RoomChanged` comes for every room of the actor."""
        self.hub.watch(self, ())  # first, so that a room that is joined meanwhile is not missed
        self.hub.watch(self, await self.past.rooms())
        for room in await self.past.kept_out():  # which the hub tells of like any open one
            self._taken.setdefault(room, None)
            self._changes.pop(room, None)

    async def next(self) -> list[Item]:
        """Waits until there is something and gives some of it, oldest first in each room.

        A room that may not be read any more ends with `Unsubscribed`. After `wake` there may be nothing. Raises
        `Unavailable` when the store could not be read; calling again goes on without a loss. May be cancelled.
        """
        while True:
            await self._wake.wait()
            self._wake.clear()
            if not self.over:
                await self._take()
            if self.over:
                return self._last()
            if self._touched:
                self._wake.set()
            if self._ready or self._woken:
                items, self._ready, self._woken = self._ready, [], False
                return items

    def wake(self) -> None:
        """Lets `next` come back although there may be nothing."""
        self._woken = True
        self._wake.set()

    async def next_patiently(self) -> list[Item]:
        """As `next`; asks again every `RETRY_SECONDS` while the store cannot be read."""
        while True:
            try:
                return await self.next()
            except Unavailable:
                await asyncio.sleep(RETRY_SECONDS)

    # what the hub calls

    def touch(self, cursor: Cursor) -> None:
        """See `feed.Listener`."""
        self._touched[cursor] = None
        self._wake.set()

    def notice(self, item: Item) -> None:
        """See `feed.Listener`. A busy reader keeps the newest ones, and of closing notices at least one."""
        own = isinstance(item, ReadMark | OwnChanged | Look | Settled)
        if own and not self._opens(item.room):
            return
        if len(self._notices) >= NOTICES_MAX:
            others = (n for n, one in enumerate(self._notices) if not isinstance(one, Closing))
            del self._notices[next(others, 0)]
        self._notices.append(item)
        self._wake.set()

    def changed(self, event: Event) -> None:
        """See `feed.Listener`. Changes of one room merge until they are taken."""
        if not self._opens(event.room):
            return
        new = int(event.type is EventType.MESSAGE_CREATED and event.actor != self.actor)
        types = (event.type,)
        if self.actor.startswith(
            "a_"
        ):  # whom the hub tells of open rooms, too, and who may be in none
            self._taken.setdefault(event.room, None)
        changes = self._uncertain if event.room in self._taken else self._changes
        before = changes.get(event.room)
        if before is not None:
            new += before.new
            types = before.types if event.type in before.types else (*before.types, event.type)
        changes[event.room] = RoomChanged(event.room, event.seq, event.at_ms, new, types)
        taken = event.type.access is AccessChange.TAKEN
        if taken and taken_from(event) in {None, self.actor}:
            self._taken[event.room] = event
        self._wake.set()

    def show(self, *, shown: bool) -> None:
        """See `feed.Listener`."""
        if self.shown is not None:
            self.shown = shown
            for room in self._cursors:
                self.hub.presence.stir(room)

    # inside

    def _opens(self, room: RoomId) -> bool:
        return self.among is None or room in self.among

    def _last(self) -> list[Item]:
        """All that is given from the end on, whatever else was read meanwhile."""
        self._wake.set()
        why = signed_out(self.by)
        return [encoded(SignedOut(why.code, why.detail), self.hub.encode)]

    async def _take(self) -> None:
        """Puts some of what there is into `_ready`."""
        if self._notices or self._changes:
            self._take_passing()
        if self._uncertain:
            await self._see_uncertain()
        while self._touched and len(self._ready) < BATCH_ITEMS_MAX:
            cursor = next(iter(self._touched))
            del self._touched[cursor]
            try:
                self._ready += await self._pull(cursor, BATCH_ITEMS_MAX)
            except Refused as refusal:
                self._ready += self._lost(cursor, refusal)
            except BaseException:
                self.touch(cursor)  # what was taken already stays in `_ready` for the next call
                raise

    async def _join(
        self, cursor: Cursor, room: RoomId, since: int | None, epoch: str | None
    ) -> Joined:
        await self._check(cursor)
        tail = cursor.seq
        if since is not None and since > tail:
            # what the store gave before the hub was told of it is no gap
            tail = max(tail, await self.hub.seq_of(room))
        reason: Literal["new", "gap", "epoch"] | None = None
        events: list[Happened] = []
        page = Page(messages=(), before=None, after=None)
        if epoch is not None and epoch != self.epoch and since is not None:
            reason = "epoch"
        elif since is None:
            reason = "new"
        elif since > tail or tail - since > REPLAY_EVENTS_MAX or since < 0:
            reason = "gap"
        else:
            cursor.seq = since
            if since < cursor.feed.tail:
                events = await self._events(cursor, FIRST_EVENTS_MAX)
        if reason is not None:
            page = await self.past.newest(room, NEWEST_MESSAGES)
        streams = await self._running(cursor)
        if self.over:
            raise signed_out(self.by)
        return Joined(
            room=room,
            mode="resume" if reason is None else "reset",
            reason=reason,
            seq=cursor.seq,
            events=tuple(item.event for item in events),
            messages=tuple(message for message in page.messages if message.seq <= cursor.seq),
            before=page.before,
            branch=page.branch,
            streams=streams,
        )

    async def _running(self, cursor: Cursor) -> tuple[StreamView, ...]:
        await self._check(cursor)
        views = tuple(
            stream.view()
            for stream in self.hub.streams(cursor.feed.room).values()
            if stream.leased()
        )
        cursor.streams = {view.message: view.n for view in views}
        return views

    def _take_passing(self) -> None:
        self._ready += self._notices
        self._ready += [encoded(change, self.hub.encode) for change in self._changes.values()]
        self._notices.clear()
        self._changes.clear()

    async def _pull(self, cursor: Cursor, count: int) -> list[Item]:
        """What lies between a cursor and the tail of its room: events first, then running answers."""
        items: list[Item] = []
        if cursor.sure_to is not None and not self._has_certain(cursor):
            await self._check(cursor)
        if cursor.seq < cursor.feed.tail:
            found = await self._events(cursor, count)
            items += found
            for happened in found:
                if happened.event.message is not None:
                    id_ = happened.event.message.id
                    cursor.streams.pop(id_, None)
                    cursor.drafts.pop(id_, None)
                    self.hub.over(cursor.feed.room, id_)
            if self._cursors.get(cursor.feed.room) is not cursor:
                return []  # unsubscribed while the store was read
            if cursor.seq < cursor.feed.tail or cursor.sure_to is not None:
                self.touch(cursor)
                return items
        self._pull_streams(cursor, items)
        self._pull_drafts(cursor, items)
        if cursor.here is not cursor.feed.here:
            cursor.here = cursor.feed.here
            items += [] if cursor.here is None else [cursor.here]
        return items

    def _has_certain(self, cursor: Cursor) -> bool:
        """Whether the ring holds something from before what put the reader's right in doubt."""
        assert cursor.sure_to is not None
        return cursor.feed.floor <= cursor.seq < min(cursor.sure_to, cursor.feed.tail)

    async def _check(self, cursor: Cursor) -> None:
        """Asks whether the actor may read a room, as long as that is in doubt. Refused: `room_not_found`."""
        while cursor.sure_to is not None:
            doubts = cursor.doubts
            seq = await self.past.allowed(cursor.feed.room)
            if cursor.doubts == doubts:  # and nothing more has happened while the store was asked
                cursor.sure_to = None
                cursor.feed.admit(self.actor, seq)

    async def _see_uncertain(self) -> None:
        """Gives the changes of watched rooms that are still the actor's, and leaves the others."""
        while self._uncertain:
            room = next(iter(self._uncertain))
            taken = self._taken[room]
            try:
                await self.past.allowed(room)
            except Refused:
                del self._uncertain[room]
                # asked again at each change, if there is one: an open room is everyone's, and a deleted one may be back
                if taken is None or taken.type is not EventType.ROOM_DELETED:
                    self.hub.unwatch(self, room)
            except BaseException:
                self._wake.set()
                raise
            else:
                if self._taken[room] is taken:
                    del self._taken[room]
                    self._ready.append(encoded(self._uncertain.pop(room), self.hub.encode))

    def _lost(self, cursor: Cursor, refusal: Refused) -> list[Item]:
        """What ends the reading of a room that was found to be closed to the actor."""
        if self._cursors.get(cursor.feed.room) is not cursor:
            return []  # unsubscribed while the store was asked
        self.unsubscribe(cursor.feed.room)
        lost = Unsubscribed(cursor.feed.room, refusal.code, refusal.detail)
        return [encoded(lost, self.hub.encode)]

    def _pull_streams(self, cursor: Cursor, items: list[Item]) -> None:
        encode = self.hub.encode
        streams = self.hub.streams(cursor.feed.room)
        for message, stream in streams.items():
            if not stream.leased():
                continue
            if message not in cursor.streams:
                cursor.streams[message] = 0
                items.append(stream.opened(encode))
            known = cursor.streams[message]
            if known < len(stream.pieces):
                items.append(stream.since(known, encode))
                cursor.streams[message] = len(stream.pieces)
        if len(cursor.streams) > len(streams):
            for message in [message for message in cursor.streams if message not in streams]:
                del cursor.streams[message]
                items.append(self._ended(cursor, message))

    def _pull_drafts(self, cursor: Cursor, items: list[Item]) -> None:
        drafts = self.hub.drafts(cursor.feed.room)
        if len(drafts) == len(cursor.drafts) == 0:
            return
        items += [draft for message, draft in drafts.items() if message not in cursor.drafts]
        gone = [message for message in cursor.drafts if message not in drafts]
        items += [self._ended(cursor, message) for message in gone]
        cursor.drafts = dict.fromkeys(drafts)

    def _ended(self, cursor: Cursor, message: MessageId) -> Ended:
        return encoded(Ended(cursor.feed.room, message), self.hub.encode)

    async def _events(self, cursor: Cursor, count: int) -> list[Happened]:
        """The next events behind the cursor, from the ring or from the store."""
        feed = cursor.feed
        if cursor.seq >= feed.floor:
            if cursor.sure_to is not None:
                count = min(count, cursor.sure_to - cursor.seq)
            found = feed.after(cursor.seq, count)
        else:
            found: list[Happened] = []
            # no further than the hub is told, which shows an answer as running until it is
            count = min(count, feed.tail - cursor.seq)
            for event in await self.past.since(feed.room, cursor.seq, count):
                found.append(encoded(Happened(event), self.hub.encode))
            await self._check(cursor)  # the store tells a message as it is now, not as it was then
        for happened in found:
            assert happened.event.seq == cursor.seq + 1, "a room's seq has no holes"
            cursor.seq += 1
        return found
