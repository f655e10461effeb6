"""What this process tells the others of its database, gathered for some milliseconds. `cluster` says what it means."""

import asyncio
import json
from collections.abc import Iterable
from typing import Any

from msgspec import Struct, field

from palaver.core.live.feed import Stream
from palaver.core.live.items import Look, OwnChanged, ReadMark, Typing
from palaver.model import ActorId, Event, RoomId, Turn, TurnId
from palaver.store.notify import Bus

FLUSH_SECONDS = 0.008
CHUNK_CHARS = 1_100
"""So many characters fit into a notice, however JSON writes them."""
NOTICES_AT_ONCE = 256
TURN_FIELDS = (
    *("id", "room", "agent", "agent_name", "trigger_seq", "message", "attempt", "fence"),
    *("model", "choice", "branch"),
)
"""What others are told of a turn, in this order."""


class Outbox(Struct, eq=False):
    """Notices of one process, `me`. `alone` until another process was heard: then nothing but greetings is sent.

    `own`: the running answers of this process.
    """

    bus: Bus
    me: str
    alone: bool = True
    own: dict[TurnId, Stream] = field(default_factory=dict[TurnId, Stream])
    _rooms: dict[RoomId, tuple[int, int]] = field(default_factory=dict[RoomId, tuple[int, int]])
    _out: list[list[Any]] = field(default_factory=list[list[Any]])
    _ends: list[list[Any]] = field(default_factory=list[list[Any]])
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    def committed(self, happened: Iterable[Event]) -> None:
        """Events of this process, after their commit."""
        for event in happened:
            first, last = self._rooms.get(event.room, (event.seq, event.seq))
            self._rooms[event.room] = (min(first, event.seq), max(last, event.seq))
        self._wake.set()

    def opened(self, stream: Stream) -> None:
        """An answer of this process began, or waits for a program."""
        self.own[stream.turn.id] = stream
        self.say("o", *_told(stream))

    def grew(self) -> None:
        """One of them grew."""
        self._wake.set()

    def ended(self, stream: Stream) -> None:
        """One of them is over."""
        if self.own.pop(stream.turn.id, None) is not None:
            self._ends.append(["e", stream.turn.id, stream.turn.fence])
            self._wake.set()

    def passing(self, item: Typing | ReadMark | OwnChanged | Look, actor: ActorId) -> None:
        """Something passing that an actor of this process did."""
        match item:
            case Typing():
                self.say("t", item.room, actor, item.name)
            case ReadMark():
                self.say("k", item.room, actor, item.seq)
            case OwnChanged():
                self.say("m", item.room, actor, item.seq, item.starred)
            case Look():
                self.say("b", item.room, actor, item.branch)

    def stop(self, turn: TurnId) -> None:
        """Asks whoever runs a turn to stop it."""
        self.say("x", turn)

    def say(self, *notice: Any) -> None:
        """Sends a notice soon."""
        self._out.append(list(notice))
        self._wake.set()

    def send_rest(self, turn: TurnId, fence: int, text_from: int, reasoning_from: int) -> None:
        """Tells the rest of an answer of this process again, for who missed something."""
        stream = self.own.get(turn)
        if stream is None or stream.turn.fence != fence:
            return
        if text_from == 0 and reasoning_from == 0:
            self.say("o", *_told(stream))
        told, text_to, reasoning_to = stream.spread
        if not told:
            return
        text = stream.text()[text_from:text_to]
        reasoning = stream.reasoning()[reasoning_from:reasoning_to]
        self._out += _chunks(stream.turn, text_from, reasoning_from, text, reasoning)
        self._wake.set()

    async def run(self) -> None:
        """Sends what was gathered, for ever."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(FLUSH_SECONDS)
            self._wake.clear()
            notices = [["r", room, *range_] for room, range_ in self._rooms.items()]
            self._rooms.clear()
            notices += self._out
            notices += self._pieces()
            notices += self._ends  # after the events that the ends of streams go with
            self._out, self._ends = [], []
            if self.alone:
                notices = [notice for notice in notices if notice[0] in {"a", "h"}]
            texts = [json.dumps([self.me, *notice], ensure_ascii=False) for notice in notices]
            for start in range(0, len(texts), NOTICES_AT_ONCE):
                await self.bus.send(texts[start : start + NOTICES_AT_ONCE])

    def _pieces(self) -> list[list[Any]]:
        notices: list[list[Any]] = []
        for stream in self.own.values():
            known, text_from, reasoning_from = stream.spread
            if known < len(stream.pieces):
                text, reasoning = stream.text(known), stream.reasoning(known)
                notices += _chunks(stream.turn, text_from, reasoning_from, text, reasoning)
                stream.spread = (len(stream.pieces), *stream.lengths)
        return notices


def _chunks(
    turn: Turn, text_from: int, reasoning_from: int, text: str, reasoning: str
) -> list[list[Any]]:
    """A piece of an answer, cut so that each part fits into a notice; one without words says that it was taken up."""
    if not text and not reasoning:
        return [["d", turn.id, turn.fence, text_from, reasoning_from, "", ""]]
    notices: list[list[Any]] = []
    for start in range(0, len(reasoning), CHUNK_CHARS):
        part = reasoning[start : start + CHUNK_CHARS]
        notices.append(["d", turn.id, turn.fence, text_from, reasoning_from + start, "", part])
    reasoning_from += len(reasoning)
    for start in range(0, len(text), CHUNK_CHARS):
        part = text[start : start + CHUNK_CHARS]
        notices.append(["d", turn.id, turn.fence, text_from + start, reasoning_from, part, ""])
    return notices


def _told(stream: Stream) -> list[Any]:
    return [stream.waits, *[getattr(stream.turn, name) for name in TURN_FIELDS]]
