"""The feed of one room: its newest events, encoded once, and where each of its readers stands.

A ring holds the events (`floor`, `seq`] without a hole. A `Cursor` is a reader's place: the seq that it was given last,
and of each running answer the number of deltas. An event whose type takes access puts cursors in doubt: up to that
event they are given what the ring holds, and nothing after it before the store has said that their actor may read.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from sys import getsizeof
from typing import Protocol, cast

from msgspec import Struct, field
from msgspec.structs import replace

from palaver.core.live.items import (
    Delta,
    Encode,
    Happened,
    Here,
    Item,
    Opened,
    StreamView,
    encoded,
)
from palaver.errors import Unavailable
from palaver.model import (
    AccessChange,
    ActorId,
    Event,
    EventType,
    MessageId,
    RoomId,
    Turn,
)
from palaver.model.access import taken_from

RING_BYTES_MAX = 2 * 1024 * 1024
"""So much memory a ring may take; what is older is read from the store."""
EVENT_BYTES = 450
"""Of an event and its message beside texts: the objects, and the ids and names that they hold."""
LET_IN_MAX = 20_000


class Listener(Protocol):
    """A reader, as the hub sees it. None of these calls may block or raise."""

    actor: ActorId
    shown: bool | None
    """Whether others see that it is here; None: it is nobody's who could be seen."""

    def touch(self, cursor: "Cursor") -> None:
        """Something new lies behind this cursor."""
        ...

    def notice(self, item: Item) -> None:
        """Something passing that no cursor knows of."""
        ...

    def changed(self, event: Event) -> None:
        """An event happened in a watched room."""
        ...

    def show(self, *, shown: bool) -> None:
        """Its person is to be seen from now on, or not any more."""
        ...


def always() -> bool:
    """Says that an answer may be shown at any time."""
    return True


class Stream(Struct, eq=False):
    """An answer that is being written. `pieces` holds (text, reasoning) of each delta.

    A `mirror` is written by another process. `leased`: whether the turn is still its writer's, so that it may be shown.
    `lengths`: characters of text and of reasoning. `spread`: how many pieces other processes were told, and how many
    characters of each kind. `awaited`: it `waits` for a program to take it up, which its first piece says.
    """

    turn: Turn
    mirror: bool = False
    leased: Callable[[], bool] = always
    pieces: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    lengths: tuple[int, int] = (0, 0)
    spread: tuple[int, int, int] = (0, 0, 0)
    awaited: bool = False
    _opened: Opened | None = None
    _tail: Delta | None = None

    @property
    def waits(self) -> bool:
        """Whether no program has taken it up yet that is to give it."""
        return self.awaited and not self.pieces

    def text(self, n: int = 0) -> str:
        """The answer's text so far, after the `n`-th delta."""
        return "".join(text for text, _ in self.pieces[n:])

    def reasoning(self, n: int = 0) -> str:
        """What the model thought so far, after the `n`-th delta."""
        return "".join(reasoning for _, reasoning in self.pieces[n:])

    def view(self) -> StreamView:
        """The whole answer so far."""
        turn = self.turn
        return StreamView(
            room=turn.room,
            message=turn.message,
            turn=turn.id,
            agent=turn.agent,
            agent_name=turn.agent_name,
            after=turn.trigger_seq,
            n=len(self.pieces),
            text=self.text(),
            reasoning=self.reasoning(),
            model=turn.model,
            choice=turn.choice,
            waits=self.waits,
            branch=turn.branch,
        )

    def opened(self, encode: Encode) -> Opened:
        """The item that announces this stream, the same for every reader."""
        if self._opened is None or self._opened.stream.waits is not self.waits:
            begun = replace(self.view(), n=0, text="", reasoning="")
            self._opened = encoded(Opened(begun), encode)
        return self._opened

    def since(self, n: int, encode: Encode) -> Delta:
        """What came after the `n`-th delta, as one; the last single one is encoded once for all."""
        last = len(self.pieces)
        if n == last - 1 and self._tail is not None and self._tail.n == last:
            return self._tail
        turn = self.turn
        delta = Delta(turn.room, turn.message, last, self.text(n), self.reasoning(n))
        encoded(delta, encode)
        if n == last - 1:
            self._tail = delta
        return delta


class Cursor(Struct, eq=False):
    """Where one reader stands in one room. `live` once its subscription was answered.

    `sure_to`: the last seq that is given before the reader's right is asked for anew; None while it is in no doubt.
    `doubts` counts what put it in doubt.
    """

    feed: "Feed"
    listener: Listener
    seq: int = 0
    streams: dict[MessageId, int] = field(default_factory=dict[MessageId, int])
    drafts: dict[MessageId, None] = field(default_factory=dict[MessageId, None])
    here: Here | None = None
    live: bool = False
    sure_to: int | None = None
    doubts: int = 0

    def doubt(self, sure_to: int) -> None:
        """Something after `sure_to` may be for this reader no longer."""
        self.sure_to = sure_to if self.sure_to is None else min(self.sure_to, sure_to)
        self.doubts += 1


class Feed(Struct, eq=False):
    """What the readers of one room share. `let_in`: who may read, as was found when the room was at `changed` or later.

    `seq` is not known before the store was asked. `changed`: the seq of the newest event that may have taken somebody's
    access. `early`: what was published before the feed was opened.
    """

    room: RoomId
    ring_max: int
    seq: int | None = None
    changed: int = 0
    opening: asyncio.Future[Unavailable | None] | None = None
    ring: deque[Happened] = field(default_factory=deque[Happened])
    bytes: int = 0
    cursors: dict[Cursor, None] = field(default_factory=dict[Cursor, None])
    let_in: dict[ActorId, None] = field(default_factory=dict[ActorId, None])
    here: Here | None = None
    early: list[Event] = field(default_factory=list[Event])

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

    def opened(self, seq: int, encode: Encode) -> bool:
        """The store said where the tail is; whether something that was published meanwhile follows it."""
        if self.seq is None:
            self.seq = seq
            self.changed = max(self.changed, seq)
        early, self.early = self.early, []
        for event in early:
            self.append(event, encode)
        return bool(early)

    def append(self, event: Event, encode: Encode) -> bool:
        """Takes the next event; False when it is known already."""
        if event.seq <= self.tail:
            return False
        if event.seq > self.tail + 1:
            self.skip(event.seq - 1)
        if event.type.access is AccessChange.TAKEN:
            self.doubt(event.seq, taken_from(event))
        if event.type is EventType.MEMBER_RENAMED or "deleted" in event.data:
            self.forget()  # what is kept says the old name, and the store the new one, or none
        happened = encoded(Happened(event), encode)
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
        self.doubt(seq, None, sure_to=self.tail)
        self.forget()
        self.seq = seq

    def doubt(self, seq: int, who: ActorId | None, *, sure_to: int | None = None) -> None:
        """The event at `seq` may have taken the access of an actor (None: of any)."""
        self.changed = max(self.changed, seq)
        if who is None:
            self.let_in.clear()
        else:
            self.let_in.pop(who, None)
        for cursor in self.cursors:
            if who is None or cursor.listener.actor == who:
                cursor.doubt(seq if sure_to is None else sure_to)

    def admit(self, actor: ActorId, seq: int) -> bool:
        """Notes that an actor may read, as was found when the room was at `seq`; False when that is too long ago."""
        if seq < self.changed:
            return False
        if len(self.let_in) >= LET_IN_MAX:
            del self.let_in[next(iter(self.let_in))]
        self.let_in[actor] = None
        return True

    def forget(self) -> None:
        """What is kept may say another name than the store, from which it is read then."""
        self.ring.clear()
        self.bytes = 0


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
