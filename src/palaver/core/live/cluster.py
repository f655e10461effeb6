"""Peer synchronisation: what happens in one process reaches the readers of every other.

Theory of operation. After a commit a process tells the others "room r went from seq a to b", some milliseconds'
worth at once; they read those events from the log and publish them in their own hubs. A notice may be lost: once a
second each process asks the log how far the rooms are that it has readers for. So nothing here decides what readers
get; it only decides how soon.

A running answer has one owner, the process whose turn it is. The owner spreads its pieces with the offset at which
they begin; each other process keeps a mirror, so that its readers, also late ones, see the whole text. A mirror that
misses something says what it has, and the owner sends the rest. When the owner dies, the mirror is what was seen of
the answer: it stays until the turn's message is there, and whoever takes the turn over may store it.

An owner that slept through its lease may wake up when its turn is another's, or over. So every piece carries the turn's
fence: a mirror takes none of an older owner, and an owner that hears of a newer one, or finds its turn's message in the
log, stops. A mirror whose end nobody told asks the log as well.

What takes access, or ends a session or key, is told by its transaction itself (`notify.tell_taken`). So each process
hears of it before any piece that was sent after the commit, whoever sent it. Where notices may have been lost every
right is in doubt.

A notice is JSON: [process, kind, …]. `r` room first last · `c` room seq actor (whose access may be taken; null:
anybody's) · `o` the turn of a stream · `d` turn fence offset offset text reasoning · `e` turn fence (ended) · `?` turn
fence offset offset (send me the rest) · `a` who is there, and runs what? · `h` I am · `x` turn (stop it) · `t` room
actor name (typing) · `w` room actors or a number (who reads here) · `v` actor (is to be) seen · `k` room actor seq
(read) · `g` session or key (that has ended). A process that hears nobody spreads nothing.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, field

import structlog

from palaver.core.live.feed import Stream
from palaver.core.live.hub import Hub
from palaver.core.live.items import Look, OwnChanged, ReadMark, Typing
from palaver.core.live.outbox import TURN_FIELDS, Outbox
from palaver.core.part import Part
from palaver.errors import Unavailable
from palaver.model import (
    ActorId,
    CredentialId,
    Event,
    MessageId,
    Role,
    RoomId,
    Turn,
    TurnId,
    TurnState,
)
from palaver.store.notify import Bus

POLL_SECONDS = 1.0
EVENTS_AT_ONCE = 200
STORED_MAX = 1_000
"""So many answers are remembered as over."""
SEARCHED_MAX = 1_000
"""So far back the message of an answer is looked for that others still seem to write."""

log = structlog.stdlib.get_logger()


@dataclass(eq=False)
class PeerSync(Part):
    """The ear of one process; its mouth is the outbox.

    `stop` ends a turn that this process runs. `taken` is told whose access (None: anybody's) to a room may be gone.
    `since` reads from the log, which every process can read, the events after a seq, so many; `seqs` how far rooms are.
    Both raise `Unavailable`.
    """

    bus: Bus
    hub: Hub
    outbox: Outbox
    _: KW_ONLY
    stop: Callable[[TurnId], None]
    taken: Callable[[RoomId, ActorId | None], None]
    since: Callable[[RoomId, int, int], Awaitable[Sequence[Event]]]
    seqs: Callable[[Sequence[RoomId]], Awaitable[dict[RoomId, int]]]
    _mirrors: dict[TurnId, Stream] = field(default_factory=dict[TurnId, Stream])
    _searched: dict[TurnId, int] = field(default_factory=dict[TurnId, int])
    _stored: dict[MessageId, None] = field(default_factory=dict[MessageId, None])
    _over: set[TurnId] = field(default_factory=set[TurnId])
    _asked: set[TurnId] = field(default_factory=set[TurnId])
    _behind: dict[RoomId, tuple[int, int]] = field(default_factory=dict[RoomId, tuple[int, int]])
    _wanted: asyncio.Event = field(default_factory=asyncio.Event)

    # what happens here

    def committed(self, happened: Sequence[Event]) -> None:
        """Events of this process, after their commit."""
        self.outbox.committed(happened)
        for event in happened:
            self._note(event)

    # the tasks

    async def run(self) -> None:
        """Listens, speaks, reads and asks, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.bus.run(self._heard, self._lost))
            tasks.create_task(self.outbox.run())
            tasks.create_task(self._read())
            tasks.create_task(self._poll())

    async def _poll(self) -> None:
        """Repairs what was not heard."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            with suppress(Unavailable):
                seqs = await self.seqs(tuple(self.hub.tails()))
                tails = self.hub.tails()  # of now: what was published meanwhile is not read again
                for room, seq in seqs.items():
                    if seq > tails.get(room, seq):
                        self._catch_up(room, tails[room] + 1, seq)
                await self._search()

    async def _search(self) -> None:
        """Looks for the messages of mirrors whose end was not heard. Each event is read once for that."""
        for turn in [one for one in self._mirrors if one in self.outbox.own]:
            self._drop(turn)  # this process has taken it over
        mirrors = dict(self._mirrors)
        seqs = await self.seqs(tuple({stream.turn.room for stream in mirrors.values()}))
        for id_, stream in mirrors.items():
            room, trigger_seq = stream.turn.room, stream.turn.trigger_seq
            seq = seqs.get(room, 0)
            after = self._searched.get(id_, max(trigger_seq, seq - SEARCHED_MAX))
            while after < seq and (found := await self.since(room, after, EVENTS_AT_ONCE)):
                self._said(found)
                after = found[-1].seq
            if self._mirrors.get(id_) is stream:
                self._searched[id_] = after

    async def _read(self) -> None:
        """Reads what other processes wrote, and publishes it here in its order."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            for room in list(self._behind):
                first, last = self._behind.pop(room)
                with suppress(Unavailable):  # the next poll asks again
                    await self._publish(room, first - 1, last)
                for turn in [one.turn.id for one in self._mirrors_in(room)]:
                    if turn in self._over:
                        self._drop(turn)

    async def _publish(self, room: RoomId, after: int, last: int) -> None:
        while after < last:
            found = await self.since(room, after, min(EVENTS_AT_ONCE, last - after))
            if not found:
                return
            self._said(found)
            self.hub.publish(found)
            after = found[-1].seq

    def _said(self, events: Sequence[Event]) -> None:
        """The answers among these events are over, here too."""
        for event in events:
            self._note(event)
        said = {event.message.id for event in events if event.message is not None}
        for turn in [one for one, kept in self._mirrors.items() if kept.turn.message in said]:
            self._drop(turn)
        for stream in [one for one in self.outbox.own.values() if one.turn.message in said]:
            turn = stream.turn
            if self.hub.streams(turn.room).get(turn.message) is stream:  # we stored it not
                self._give_up(turn.id)

    # what others say

    def _lost(self) -> None:
        self.outbox.say("a")
        for room, seq in self.hub.tails().items():
            self.hub.doubt(room, seq, None)

    def _heard(self, notice: str) -> None:  # noqa: C901, PLR0912, PLR0915  one arm for each kind of notice
        try:
            who, kind, *rest = json.loads(notice)
        except (ValueError, TypeError):
            log.warning("bus.strange_notice")
            return
        if who == self.outbox.me:
            return
        self.outbox.alone = False
        match kind, rest:
            case "r", [room, first, last]:
                self._catch_up(RoomId(room), first, last)
            case "c", [room, seq, who_lost]:
                self.hub.doubt(RoomId(room), seq, who_lost)
                self.taken(RoomId(room), who_lost)
            case "g", [ended]:
                self.hub.standings.end(CredentialId(ended))
            case "o", [waits, *fields]:
                told = dict(zip(TURN_FIELDS, fields, strict=True))
                self._mirror(Turn(**told, state=TurnState.OPEN), waits=waits)
            case "d", [turn, fence, text_from, reasoning_from, text, reasoning]:
                self._grow(TurnId(turn), fence, (text_from, reasoning_from), text, reasoning)
            case "e", [turn, fence]:
                self._end(TurnId(turn), fence)
            case "?", [turn, fence, text_from, reasoning_from]:
                self.outbox.send_rest(TurnId(turn), fence, text_from, reasoning_from)
            case "a", []:
                self.outbox.say("h")
                for turn, own in self.outbox.own.items():
                    self.outbox.send_rest(turn, own.turn.fence, 0, 0)
            case "x", [turn]:
                self.stop(TurnId(turn))
            case "t", [room, actor, name]:
                self.hub.typing(Typing(RoomId(room), ActorId(actor), name), mirror=True)
            case "w", [room, here]:
                self.hub.presence.heard(who, RoomId(room), here)
            case "v", [actor, shown]:
                self.hub.show(ActorId(actor), shown=shown, mirror=True)
            case "k", [room, actor, seq]:
                self.hub.to_actor(ActorId(actor), ReadMark(RoomId(room), seq), but=None)
            case "m", [room, actor, seq, starred]:
                self.hub.to_actor(ActorId(actor), OwnChanged(RoomId(room), seq, starred), but=None)
            case "b", [room, actor, branch]:
                self.hub.to_actor(ActorId(actor), Look(RoomId(room), branch), but=None)
            case _:
                pass  # a greeting, or a newer process speaks of what this one does not know

    def _note(self, event: Event) -> None:
        """Remembers the answers that are over: who wakes up late may still speak of them."""
        if event.message is not None and event.message.role is Role.ASSISTANT:
            self._stored[event.message.id] = None
            if len(self._stored) > STORED_MAX:
                del self._stored[next(iter(self._stored))]

    def _catch_up(self, room: RoomId, first: int, last: int) -> None:
        if not self._mirrors_in(room) and not self.hub.cares(room):
            return
        known = self._behind.get(room, (first, last))
        self._behind[room] = (min(first, known[0]), max(last, known[1]))
        self._wanted.set()

    def _mirror(self, turn: Turn, *, waits: bool) -> None:
        own = self.outbox.own.get(turn.id)
        if own is not None and own.turn.fence < turn.fence:
            self._give_up(turn.id)
        known = self._mirrors.get(turn.id)
        if known is not None and known.turn.fence < turn.fence:  # it was taken over and begins anew
            self._drop(turn.id)
            known = None
        if known is None and turn.id not in self.outbox.own and turn.message not in self._stored:
            known = self._mirrors[turn.id] = self.hub.open_stream(turn, mirror=True)
        if waits and known is not None and known.turn.fence == turn.fence:
            self.hub.awaits(known)

    def _grow(
        self, turn: TurnId, fence: int, begin: tuple[int, int], text: str, reasoning: str
    ) -> None:
        if self._fence(turn) > fence:
            return  # of an owner that does not know yet that it is none
        stream = self._mirrors.get(turn)
        if stream is not None and stream.turn.fence < fence:
            stream = None
        have = (0, 0) if stream is None else stream.lengths
        if stream is None or begin[0] > have[0] or begin[1] > have[1]:
            if turn not in self._asked:
                self._asked.add(turn)
                self.outbox.say("?", turn, fence, *have)
            return
        self._asked.discard(turn)
        text, reasoning = text[have[0] - begin[0] :], reasoning[have[1] - begin[1] :]
        if text or reasoning or stream.waits:
            self.hub.add(stream, text, reasoning)

    def _fence(self, turn: TurnId) -> int:
        """The newest owner of a turn that is known here."""
        streams = (self._mirrors.get(turn), self.outbox.own.get(turn))
        return max([stream.turn.fence for stream in streams if stream is not None], default=0)

    def _end(self, turn: TurnId, fence: int) -> None:
        """The owner is done. Its message, if there is one, may still have to be read."""
        self._asked.discard(turn)
        stream = self._mirrors.get(turn)
        if stream is None or stream.turn.fence > fence:
            return
        self._over.add(turn)
        if stream.turn.room not in self._behind:
            self._catch_up(stream.turn.room, 1, 0)

    def _give_up(self, turn: TurnId) -> None:
        """A turn that we run is over, or another's. Whatever we still say of it goes nowhere."""
        stream = self.outbox.own.pop(turn)
        log.warning("turn.taken_over", turn=turn, room=stream.turn.room)
        self.hub.drop_stream(stream)
        self.stop(turn)

    def _drop(self, turn: TurnId) -> None:
        self._over.discard(turn)
        self._searched.pop(turn, None)
        stream = self._mirrors.pop(turn, None)
        if stream is not None:
            self.hub.drop_stream(stream)

    def _mirrors_in(self, room: RoomId) -> list[Stream]:
        return [stream for stream in self._mirrors.values() if stream.turn.room == room]
