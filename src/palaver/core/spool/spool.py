"""Keeps what was accepted while the database is away, and stores it when the database is back.

Theory of operation. What is accepted is written to a journal and synced before anybody is told so. `run` tries the
oldest of each queue again and again: what is stored or refused is settled, and its records go. A write whose COMMIT had
an unclear end may be stored already: each command is stored once, however often it is written. `recover` takes over
what dead processes left, into this process's journal; where that takes not all of it, their files stay.

What waits belongs to the history for which it was accepted. While the database is behind that, or knows its actor or
room no longer, it is set aside: it stays in the journal until its history is back, and the others go on.

Bounds, with what is set aside: `drafts_max` commands or exchanges, `draft_bytes_max` bytes. What goes beyond is refused
(`database_unavailable`), and `spool.full` is logged.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, ClassVar, Generic, TypeVar

import structlog
from msgspec import Struct

from palaver.core.ground import Ground
from palaver.core.part import Part
from palaver.errors import Code, Refused, Unavailable
from palaver.model import ActorId, RoomId
from palaver.store.journal import DRAFT, Journal, Orphan, forget, merged, orphans
from palaver.store.write.codec import Accepted, decoded, encoded
from palaver.store.write.exchanges import OpenExchange
from palaver.store.write.messages import AddMessage

AGAIN_SECONDS = 0.5

R = TypeVar("R")

log = structlog.stdlib.get_logger()


class Waiting(Struct, eq=False):
    """A message that waits, or an exchange: its beginning, unless that is stored, and its end, once there is one.

    `noted` stands beside each command in the journal. The wait is counted from `since`, on the monotonic clock, and had
    lasted for `waited_ms` by then.
    """

    commands: list[Accepted]
    noted: dict[str, Any]
    since: float
    waited_ms: int = 0
    bytes: int = 0

    @property
    def id(self) -> str:
        """Whose records these are in the journal."""
        return self.commands[0].id

    @property
    def queue(self) -> str:
        """What shares a queue is stored in its order: the messages of a room, and all exchanges."""
        first = self.commands[0]
        return first.room if isinstance(first, AddMessage) else ""

    @property
    def ready(self) -> bool:
        """Whether all of it is there, so that it can be stored."""
        return not isinstance(self.commands[-1], OpenExchange)

    @property
    def names(self) -> tuple[ActorId, RoomId | None] | None:
        """Whom and which room the database must know; else its history has lost what this belongs to."""
        match self.commands[0]:
            case AddMessage(author=actor, room=room) | OpenExchange(actor=actor, room=room):
                return actor, room
            case _:
                return None


class Spool(Part, ABC, Generic[R]):
    """What one process accepted and the database has yet to take, which gives an `R` for it.

    `tally` counts what was accepted, drained, rejected, or lost (the disk has damaged what it had synced) since this
    process began. Its journal is in `folder`. `full` is what a sender is told when nothing can be kept, `batch_max` of
    a queue are stored at once. `past_damage`: each record means something without those before it.
    """

    folder: ClassVar[str]
    full: ClassVar[str]
    batch_max: ClassVar[int] = 1
    past_damage: ClassVar[bool] = False

    def __init__(self, ground: Ground) -> None:
        self._ground, self._store, self._history = ground, ground.store, ground.history
        self._settings, self._clock = ground.settings, ground.clock
        directory = ground.settings.data_dir / "journal" / self.folder
        self.journal = Journal(directory, ground.store.owner)
        self._known: dict[str, Waiting] = {}
        self._queues: dict[str, dict[str, Waiting]] = {}
        self._aside: set[str] = set()
        self._bytes = 0
        self._is_full = False
        self._wake = asyncio.Event()
        self._draining, self._syncing = asyncio.Lock(), asyncio.Lock()
        self.tally: Counter[str] = Counter()

    @property
    def depth(self) -> int:
        """How many wait for the database."""
        return len(self._known) - len(self._aside)

    @property
    def waiting(self) -> int:
        """How many wait for the database, or for the history that knows them."""
        return len(self._known)

    async def recover(self, *, aside: bool = False) -> None:
        """Takes over what dead processes left; `aside`: also what was set aside."""
        left = list(orphans(self.journal.directory, past_damage=self.past_damage, aside=aside))
        waiting: set[str] = set()
        taken = False
        try:
            taken = await self._take_all_over(left, waiting)
        finally:
            if not taken:  # whoever comes next finds them there
                for orphan in left:
                    orphan.release()
        if taken:
            damaged = sum(orphan.damaged for orphan in left)
            if damaged:  # told once, by who deletes the files
                self.tally["lost"] += damaged
                log.error("spool.damaged", count=damaged)
            forget(left, waiting)

    async def run(self) -> None:
        """Stores what waits, for ever."""
        while True:
            await self._wake.wait()
            with suppress(Unavailable):
                await self._history.check()
                await self._drain()
            if self._has_work():
                await asyncio.sleep(AGAIN_SECONDS * (0.5 + self._clock.chance()))
            else:
                self._wake.clear()

    def close(self) -> None:
        """Ends; what still waits stays in the journal for the next start."""
        self.journal.close()

    # what differs

    @abstractmethod
    async def _write(self, batch: Sequence[Waiting]) -> Sequence[R | Refused]:
        """Stores some of a queue; what became of each. Raises `Unavailable`."""

    def _complete(self, one: Waiting, records: Sequence[tuple[bytes, bytes]]) -> None:
        """Gives what a dead process left the end that it needs to be stored."""

    def _show(self, one: Waiting) -> None:
        """Shows something that came from another process and waits here."""

    async def _settled(self, one: Waiting, result: R | Refused) -> None:
        """Sees to what follows, when something waits no more."""

    # keep

    def _accepted(self, command: Accepted, **noted: object) -> Waiting:
        noted["epoch"] = self._history.epoch
        return Waiting([command], noted, self._clock.monotonic())

    def _keep(self, one: Waiting) -> None:
        """Writes the last command of `one`, not yet synced. `Unavailable`: it is not kept, and nothing of it is."""
        self._ground.hub.database_is(up=False)
        record = encoded(one.commands[-1], **one.noted)
        more = one.id not in self._known
        most = self._settings.drafts_max, self._settings.draft_bytes_max
        if self.waiting + more > most[0] or self._bytes + len(record) > most[1]:
            if not self._is_full:
                waiting, aside = self.depth, len(self._aside)
                log.warning("spool.full", waiting=waiting, set_aside=aside, bytes=self._bytes)
            self._is_full = True
            raise self._no_room()
        try:
            self.journal.keep(one.id, DRAFT, record)
        except OSError:
            raise self._no_room() from None
        self._add(one, len(record))

    async def _sync(self) -> None:
        """Puts everything kept on the disk.

        `Unavailable`: maybe not; what was kept stays, so that the same may be sent again.
        """
        kept = self.journal.bytes
        async with self._syncing:
            if self.journal.synced_bytes >= kept:
                return  # by who had its turn before: many share one sync
            job = self.journal.sync_job()
            if job is not None:
                try:
                    await self._ground.lane.run(job)
                except OSError:
                    raise self._no_room() from None

    def _add(self, one: Waiting, size: int) -> None:
        self._known[one.id] = one
        one.bytes += size
        self._bytes += size
        if one.id not in self._aside:
            self._queues.setdefault(one.queue, {})[one.id] = one
            if one.ready:
                self._wake.set()

    def _no_room(self) -> Unavailable:
        return Unavailable(Code.DATABASE_UNAVAILABLE, self.full, retry_ms=2_000)

    # recover

    async def _take_all_over(self, left: Sequence[Orphan], waiting: set[str]) -> bool:
        """Takes over what belongs to this history; whether the journal took it. The keys of the rest are `waiting`."""
        taken = True
        late = {key for orphan in left if orphan.aside for key in orphan.records}
        known: dict[object, bool] = {}
        for key, records in merged(left).items():
            one = self._left(records, late=self._history.back or key in late)
            if one is None:
                continue
            if one.names not in known:
                known[one.names] = True
                with suppress(Unavailable):  # `run` asks again
                    known[one.names] = await self._knows(one)
            kept = [encoded(command, **one.noted) for command in one.commands]
            if known[one.names] and self._history.takes(one.noted.get("epoch")):
                taken = self._take_over(one, kept) and taken
            else:
                self._set_aside(one, kept)
                waiting.add(key)
        with suppress(Unavailable):
            await self._sync()
            return taken
        return False

    def _left(self, records: Sequence[tuple[bytes, bytes]], *, late: bool) -> Waiting | None:
        """Rebuilds what waits from a dead process's records. What comes `late` has waited for its history instead."""
        kept = [decoded(data) for kind, data in records if kind == DRAFT]
        if not kept:
            return None
        commands = {type(command): command for command, _ in kept}  # others may have taken it over
        noted, now_ms = kept[0][1], self._clock.now_ms()
        waited_ms = 0 if late else max(0, now_ms - noted.get("accepted_ms", now_ms))
        one = Waiting([*commands.values()], noted, self._clock.monotonic(), waited_ms)
        self._complete(one, records)
        return one

    def _take_over(self, one: Waiting, kept: Sequence[bytes]) -> bool:
        """Takes over one thing, which may have been met before; whether the journal took it."""
        taken = True
        try:
            if not self.journal.holds(one.id):
                self.journal.keep(one.id, DRAFT, *kept)
        except OSError:
            taken = False
        if one.id not in self._known:
            self._add(one, sum(map(len, kept)))
            self._show(one)
        return taken

    def _set_aside(self, one: Waiting, kept: Sequence[bytes] = ()) -> None:
        """Leaves something in the journal, for the history that it belongs to."""
        if one.id in self._aside:
            return
        log.warning("spool.waits", id=one.id)
        self._aside.add(one.id)
        if one.id in self._known:
            self._take_out(one)
        else:
            self._add(one, sum(map(len, kept)))
            self._show(one)

    async def _knows(self, one: Waiting) -> bool:
        return one.names is None or await self._history.knows(*one.names)

    # drain and settle

    def _has_work(self) -> bool:
        """Whether something waits that is ready."""
        return any(one.ready for queue in self._queues.values() for one in queue.values())

    async def _drain(self) -> None:
        """Stores what is ready, each queue in its order, until the database is away again."""
        async with self._draining, asyncio.TaskGroup() as tasks:
            for queue in list(self._queues):
                tasks.create_task(self._drain_queue(queue))

    async def _drain_queue(self, queue: str) -> None:
        with suppress(Unavailable):
            while ready := self._first(queue):
                batch: list[Waiting] = []
                for one in ready:
                    if self._history.takes(one.noted.get("epoch")):
                        batch.append(one)
                    else:
                        self._set_aside(one)
                results = await self._write(batch) if batch else ()
                for one, result in zip(batch, results, strict=True):
                    if isinstance(result, Refused) and await self._is_lost(one, result):
                        self._set_aside(one)
                    else:
                        await self._settle(one, result)

    def _first(self, queue: str) -> list[Waiting]:
        waiting = self._queues.get(queue, {}).values()
        return list(islice((one for one in waiting if one.ready), self.batch_max))

    async def _is_lost(self, one: Waiting, refused: Refused) -> bool:
        """Whether a refusal means that the history has lost what is named."""
        if refused.code is Code.DRAFT_TOO_OLD:
            return False
        return refused.code is Code.EXCHANGE_NOT_FOUND or not await self._knows(one)

    async def _settle(self, one: Waiting, result: R | Refused) -> None:
        self._take_out(one)
        del self._known[one.id]
        self._bytes -= one.bytes
        self._is_full = False
        self.journal.ended(one.id)
        if isinstance(result, Refused):
            self.tally["rejected"] += 1
            log.warning("spool.rejected", id=one.id, code=result.code)
        else:
            self.tally["drained"] += 1
        await self._settled(one, result)

    def _take_out(self, one: Waiting) -> None:
        queue = self._queues[one.queue]
        del queue[one.id]
        if not queue:
            del self._queues[one.queue]
