"""Who is here: the people who read a room now. Told by the hub's readers, and stored nowhere.

Theory of operation. Who comes or goes only stirs the room. Once a second (`tick`) the stirred rooms are looked at, and
where it is news, the room's feed gets another `Here`, which its readers pull like all else: so a thousand who come at
once cost each reader an item or two, a slow reader gets the newest one only, and nobody any whose right to read is in
doubt. Nothing is told of who is alone. Who goes is here for `STAY_TICKS` more, as long as a page takes to come back;
who is taken out, or hides, is gone at once.

Other processes are told who reads here: of a room at most every `SPREAD_TICKS`. They forget it after `FORGET_TICKS`.
"""

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct, field

from palaver.core.live.feed import Feed
from palaver.core.live.items import Encode, Here, encoded
from palaver.core.live.outbox import Outbox
from palaver.model import ActorId, RoomId
from palaver.store.write.audit import AUDIT

TICK_SECONDS = 1.0
NAMED_MAX = 100
"""So many are told by name; of more there is a number, and each hundred of them makes news a second slower."""
STAY_TICKS, SPREAD_TICKS, FORGET_TICKS = 5, 10, 30

Who = Sequence[ActorId] | int


class _Room(Struct, eq=False):
    """`seen`: who reads in this process (0), or is here until a tick. `elsewhere`: who reads in others, told when.

    `spread`: what others were told, at `spread_at`. `next`: the tick from which on readers are told again.
    """

    seen: dict[ActorId, int] = field(default_factory=dict[ActorId, int])
    elsewhere: dict[str, tuple[int, Who]] = field(default_factory=dict[str, tuple[int, Who]])
    spread: Who = ()
    spread_at: int = -SPREAD_TICKS
    next: int = 0

    def forget(self, who: ActorId | None) -> bool:
        """Takes an actor (None: everybody) away; whether there was something to take."""
        found = bool(self.seen) if who is None else self.seen.pop(who, None) is not None
        if who is None:
            self.seen.clear()
        for process, (at, them) in list(self.elsewhere.items()):
            if who is None or (not isinstance(them, int) and who in them):
                kept = (
                    () if isinstance(them, int) else [one for one in them if who not in {None, one}]
                )
                self.elsewhere[process] = (at, kept)
                found = True
        return found

    def age(self, here: dict[ActorId, int], now: int) -> bool:
        """Takes in who reads here, and takes away who has been gone for long; whether somebody will have been soon."""
        self.seen |= here
        for actor, until in list(self.seen.items()):
            if actor in here:
                continue
            self.seen[actor] = until or now + STAY_TICKS
            if self.seen[actor] <= now:
                del self.seen[actor]
        self.elsewhere = {
            process: (at, who)
            for process, (at, who) in self.elsewhere.items()
            if who and at > now - FORGET_TICKS
        }
        return len(self.seen) > len(here)


class Presence:
    """Who reads each room of `feeds`; `touch` lets the readers of one look."""

    def __init__(
        self,
        feeds: Mapping[RoomId, Feed],
        touch: Callable[[Feed], None],
        encode: Encode,
        outbox: Outbox | None,
    ) -> None:
        self._feeds, self._touch, self._encode, self._outbox = feeds, touch, encode, outbox
        self._rooms: dict[RoomId, _Room] = {}
        self._stirred: dict[RoomId, None] = {}
        self._now = 0

    def of(self, room: RoomId) -> Here:
        """Who is here, as was found at the last tick."""
        one = self._rooms.get(room, _Room())
        people, more = dict.fromkeys(one.seen), 0
        for _, who in one.elsewhere.values():
            if isinstance(who, int):
                more += who
            else:
                people.update(dict.fromkeys(who))
        count = len(people) + more
        named = more == 0 and count <= NAMED_MAX
        return Here(room=room, count=count, people=tuple(people) if named else None)

    def stir(self, room: RoomId) -> None:
        """Somebody may have come or gone."""
        self._stirred[room] = None

    def taken(self, room: RoomId, who: ActorId | None) -> None:
        """An actor (None: everybody) may have lost a room, or all. Whose reader may still read is seen again."""
        for known in tuple(self._rooms) if room == AUDIT else (room,):
            one = self._rooms.get(known)
            if one is not None and one.forget(who):
                self.stir(known)

    def hide(self, actor: ActorId) -> None:
        """An actor does not want to be seen any more, in any room."""
        self.taken(AUDIT, actor)

    def heard(self, process: str, room: RoomId, who: Who) -> None:
        """Another process says who reads there."""
        self._rooms.setdefault(room, _Room()).elsewhere[process] = (self._now, who)
        self.stir(room)

    async def tick(self) -> None:
        """A second is over."""
        self._now += 1
        stirred, self._stirred = self._stirred, {}
        if self._outbox is not None:
            due = self._now - SPREAD_TICKS
            stirred |= dict.fromkeys(r for r, one in self._rooms.items() if one.spread_at <= due)
        for room in stirred:
            self._look(room, self._rooms.setdefault(room, _Room()))

    def _look(self, room: RoomId, one: _Room) -> None:
        feed = self._feeds.get(room)
        here: dict[ActorId, int] = {}
        for cursor in () if feed is None else feed.cursors:
            actor = cursor.listener.actor
            # whose right is in doubt stays, unless it was taken by name
            if not cursor.listener.shown:
                continue
            if cursor.live and (cursor.sure_to is None or one.seen.get(actor) == 0):
                here[actor] = 0
            else:
                self.stir(room)
        if one.age(here, self._now):
            self.stir(room)
        if feed is not None:
            self._tell(feed, one)
        self._spread(room, one)
        if not (one.seen or one.elsewhere or one.spread):
            del self._rooms[room]

    def _tell(self, feed: Feed, one: _Room) -> None:
        here, told = self.of(feed.room), feed.here
        known = told is not None and (told.count, told.people) == (here.count, here.people)
        if known or (told is None and here.count <= 1):
            return
        if self._now < one.next:
            self.stir(feed.room)
            return
        feed.here = encoded(here, self._encode)
        one.next = self._now + here.count // NAMED_MAX
        self._touch(feed)

    def _spread(self, room: RoomId, one: _Room) -> None:
        if self._outbox is None or one.spread_at > self._now - SPREAD_TICKS:
            return
        who: Who = list(one.seen) if len(one.seen) <= NAMED_MAX else len(one.seen)
        if (who or one.spread) and not self._outbox.alone:
            self._outbox.say("w", room, who)
        one.spread, one.spread_at = who, self._now
