"""Messages that are accepted while the database is away, and stored when it is back.

Theory of operation. A send that the store cannot take now is written to the journal of drafts and synced before it
is acknowledged as `accepted`; those who read the room on this process see it at once. While a room has drafts,
further sends to it queue behind them, so that their order stays. `drain` tries the oldest of each room again and
again: what is stored is an event like any other, under the same id; what is refused (the author was thrown out
meanwhile) is told to its author as `rejected`. A send whose COMMIT had an unclear end may be stored already: its cid
decides, for ever. One whose sender was cut off while it was written is written again, so that it is answered.

A draft belongs to the history for which it was accepted. While the database is behind that, or knows its room or author
no longer, the draft waits in the journal (`set aside`): it is shown and told as `accepted`, and the room goes on.

Nobody can be asked who may write while the database is away: only someone who is reading the room live may, whose
right was checked when the reading began. Bounds: `drafts_max` messages, `draft_bytes_max` bytes, 24 hours.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import structlog

from palaver.clock import Clock
from palaver.core.live.hub import Hub
from palaver.core.live.items import Drafted, Settled
from palaver.core.rollback import History
from palaver.errors import Code, PalaverError, Refused, Unavailable
from palaver.model import Actor, ActorId, Message, MessageId, RoomId
from palaver.settings import Settings
from palaver.store.engine.executors import Lane
from palaver.store.journal import DRAFT, Journal, Orphan, forget, merged, orphans
from palaver.store.store import Store
from palaver.store.write.codec import decoded, encoded
from palaver.store.write.messages import Added, AddMessage, AddMessages

AGAIN_SECONDS = 0.5
DRAIN_MAX = 256
"""So many of a room's drafts share a commit when the database is back."""
REMEMBERED_MAX = 10_000
"""Of so many of the newest messages it is known under which id this process stored them."""
DRAFT_MS_MAX = 24 * 3_600_000

log = structlog.stdlib.get_logger()


@dataclass(slots=True)
class Tally:
    """What became of drafts, since this process began. `lost`: the disk has damaged what it had synced."""

    accepted: int = 0
    drained: int = 0
    rejected: int = 0
    lost: int = 0


class Keeper:
    """A journal of what was accepted: within bounds, and on the disk before anybody is told."""

    def __init__(self, journal: Journal, lane: Lane[None], settings: Settings, full: str) -> None:
        self.journal = journal
        self._lane = lane
        self._bytes_max = settings.draft_bytes_max
        self._count_max = settings.drafts_max
        self._full = full
        self._syncing = asyncio.Lock()

    def keep(self, key: str, data: bytes, *, waiting: int, waiting_bytes: int) -> None:
        """Keeps it beside what waits already. `Unavailable`: it cannot, and has kept nothing of it."""
        if waiting >= self._count_max or waiting_bytes + len(data) > self._bytes_max:
            raise self._no_room()
        try:
            self.journal.keep(key, DRAFT, data)
        except OSError:
            raise self._no_room() from None

    async def sync(self) -> None:
        """Everything kept is on the disk now.

        `Unavailable`: maybe not; what was kept stays, so that the same may be sent again.
        """
        kept = self.journal.bytes
        async with self._syncing:
            if self.journal.synced_bytes >= kept:
                return  # by who had its turn before: many share one sync
            job = self.journal.sync_job()
            if job is not None:
                try:
                    await self._lane.run(job)
                except OSError:
                    raise self._no_room() from None

    def _no_room(self) -> Unavailable:
        return Unavailable(Code.DATABASE_UNAVAILABLE, self._full, retry_ms=2_000)


@dataclass(frozen=True, slots=True)
class _Draft:
    command: AddMessage
    accepted_ms: int
    name: str
    size: int
    epoch: str | None
    since: float  # on the monotonic clock
    waited_ms: int = 0  # until then


class Drafts:
    """The drafts of this process. `away` happens when a message waits, `stored` after each that was stored."""

    def __init__(
        self,
        *,
        store: Store,
        history: History,
        hub: Hub,
        directory: Path,
        lane: Lane[None],
        settings: Settings,
        clock: Clock,
        stored: Callable[[AddMessage, Added], Awaitable[None]],
        away: Callable[[], None],
    ) -> None:
        self._store = store
        self._away = away
        self._history = history
        self._hub = hub
        full = "The message cannot be kept right now. It stays in your outbox; send it again later."
        self._keeper = Keeper(Journal(directory, store.owner), lane, settings, full)
        self._journal = self._keeper.journal
        self._clock = clock
        self._stored = stored
        self._rooms: dict[RoomId, dict[MessageId, _Draft]] = {}
        self._cids: dict[tuple[str, str], _Draft] = {}
        self._aside: dict[MessageId, _Draft] = {}
        self._stored_here: dict[tuple[str, str], tuple[int, MessageId, int]] = {}
        self._abandoned: dict[MessageId, AddMessage] = {}
        self._waiting = asyncio.Event()
        self._bytes = 0
        self.tally = Tally()

    @property
    def depth(self) -> int:
        """How many messages wait for the database."""
        return len(self._cids) - len(self._aside)

    @property
    def waiting(self) -> int:
        """How many wait for the database, or for the history that knows them."""
        return len(self._cids)

    def waits(self, command: AddMessage) -> bool:
        """Whether a message must queue behind drafts of its room, or is one that waits."""
        return command.room in self._rooms or (command.author, command.cid or "") in self._cids

    async def accept(self, actor: Actor, command: AddMessage) -> MessageId | None:
        """Keeps a message until it can be stored; its id. The same cid again is the same message.

        None when it waits no more, because the database came back while it was synced: its sender was told what became
        of it, and must not hear `accepted` after that. The store knows.

        Raises `Unavailable` when it can be kept here neither: the client's outbox still has it.
        """
        assert command.cid is not None, "only what can be sent again is accepted"
        known = self._cids.get((command.author, command.cid))
        if known is not None:
            same = (known.command.room, known.command.text) == (command.room, command.text)
            if not same:
                raise _reused()
            await self._keeper.sync()
            return known.command.id if self._keeps(known) else None
        accepted_ms = self._clock.now_ms()
        epoch, since = self._history.epoch, self._clock.monotonic()
        data = encoded(command, accepted_ms, actor.name, epoch)
        self._keeper.keep(command.id, data, waiting=self.waiting, waiting_bytes=self._bytes)
        draft = _Draft(command, accepted_ms, actor.name, len(data), epoch, since)
        self._add(draft)
        self._away()
        await self._keeper.sync()
        if not self._keeps(draft):
            return None
        self.tally.accepted += 1
        self._show(draft)
        return command.id

    def remember(self, command: AddMessage, stored: Message) -> None:
        """A message was stored here; while the database is away, the same `cid` gets the same answer."""
        if command.cid is not None:
            said = hash((command.room, command.text))
            self._stored_here[command.author, command.cid] = (said, stored.id, stored.seq)
            if len(self._stored_here) > REMEMBERED_MAX:
                del self._stored_here[next(iter(self._stored_here))]

    def stored_here(self, command: AddMessage) -> tuple[MessageId, int] | None:
        """The id and seq under which this process stored a message. Refused: `cid_reused`."""
        found = self._stored_here.get((command.author, command.cid or ""))
        if found is None:
            return None
        if found[0] != hash((command.room, command.text)):
            raise _reused()
        return found[1:]

    def abandoned(self, command: AddMessage) -> None:
        """Nobody waits any more for a message that is being written: what follows it is seen to here."""
        self._abandoned[command.id] = command
        self._waiting.set()

    async def recover(self, *, aside: bool = False) -> None:
        """Takes over the drafts of dead processes, into this one's journal where it takes them.

        `aside`: also those that were set aside, which are not too old whenever their history is back.
        """
        left = list(orphans(self._journal.directory, past_damage=True, aside=aside))
        kept, waiting = await self._take_all_over(left)
        try:
            await self._keeper.sync()
        except Unavailable:
            kept = False
        if not kept:
            for orphan in left:  # whoever comes next finds them there
                orphan.release()
            return
        damaged = sum(orphan.damaged for orphan in left)
        if damaged:  # told once, by who deletes the files
            self.tally.lost += damaged
            log.error("drafts.damaged", count=damaged)
        forget(left, waiting)

    async def drain(self) -> None:
        """Stores what waits, for ever."""
        while True:
            await self._waiting.wait()
            with suppress(Unavailable):
                await self._check()
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._see_to_abandoned())
                    for room in list(self._rooms):
                        tasks.create_task(self._drain_room(room))
            if self._rooms or self._abandoned:
                await asyncio.sleep(AGAIN_SECONDS * (0.5 + self._clock.chance()))
            else:
                self._waiting.clear()

    def close(self) -> None:
        """Ends; what still waits stays in the journal for the next start."""
        self._journal.close()

    async def _check(self) -> None:
        """Sets aside what a history that has lost something since does not take."""
        await self._history.check()
        if self._history.behind is not None:
            for draft in [one for drafts in self._rooms.values() for one in drafts.values()]:
                if not self._history.takes(draft.epoch):
                    self._set_aside(draft)

    def _left(self, data: bytes, *, late: bool) -> _Draft:
        """A draft that a dead process left. One that comes `late` has not waited for the database."""
        command, accepted_ms, name, epoch = decoded(data)
        waited_ms = 0 if late else max(0, self._clock.now_ms() - accepted_ms)
        since = self._clock.monotonic()
        return _Draft(command, accepted_ms, name, len(data), epoch, since, waited_ms)

    async def _take_all_over(self, left: Sequence[Orphan]) -> tuple[bool, set[str]]:
        """Takes over what belongs to this history; whether the journal took it, and the keys of what waits."""
        kept = True
        late = {key for orphan in left if orphan.aside for key in orphan.records}
        known: dict[tuple[ActorId, RoomId], bool] = {}
        waiting: set[str] = set()
        for key, records in merged(left).items():
            for kind, data in records:
                if kind == DRAFT:
                    draft = self._left(data, late=self._history.back or key in late)
                    where = (draft.command.author, draft.command.room)
                    if where not in known:
                        known[where] = await self._known(*where)
                    if known[where] and self._history.takes(draft.epoch):
                        kept = self._take_over(draft, data) and kept
                    else:
                        self._set_aside(draft)
                        waiting.add(key)
        return kept, waiting

    async def _known(self, author: ActorId, room: RoomId) -> bool:
        try:
            return await self._history.knows(author, room)
        except Unavailable:
            return True  # `drain` asks again

    def _take_over(self, draft: _Draft, data: bytes) -> bool:
        """Takes over a draft; whether the journal took it. One may have been met before."""
        command = draft.command
        kept = True
        try:
            if not self._journal.holds(command.id):
                self._journal.keep(command.id, DRAFT, data)
        except OSError:
            kept = False
        if command.id not in self._rooms.get(command.room, ()):
            self._add(draft)
            self._show(draft)
        return kept

    def _set_aside(self, draft: _Draft) -> None:
        """Leaves a draft in the journal, for the history that it belongs to."""
        command = draft.command
        if command.id in self._aside:
            return
        log.warning("draft.waits", message=command.id, room=command.room)
        if self._keeps(draft):
            self._taken_out(command)
        else:
            self._show(draft)
        self._aside[command.id] = draft
        self._cids[command.author, command.cid or ""] = draft

    async def _drain_room(self, room: RoomId) -> None:
        """Stores a room's drafts in their order, many in one commit, until the database is away again."""
        while drafts := self._rooms.get(room):
            fresh: list[_Draft] = []
            for draft in list(islice(drafts.values(), DRAIN_MAX)):
                if self._age_ms(draft) <= DRAFT_MS_MAX:
                    fresh.append(draft)
                else:
                    old = Refused(Code.DRAFT_TOO_OLD, "The message waited for more than 24 hours.")
                    self._settle(draft, old)
            if not fresh:
                continue
            try:
                stored = await self._store.write(
                    AddMessages(room, tuple(one.command for one in fresh))
                )
                for draft, result in zip(fresh, stored, strict=True):
                    refused = isinstance(result, Refused)
                    if refused and not await self._history.knows(draft.command.author, room):
                        self._set_aside(draft)
                    else:
                        self._settle(draft, result)
            except Unavailable:
                return
            for draft, result in zip(fresh, stored, strict=True):
                if isinstance(result, Added):
                    with suppress(PalaverError):
                        await self._stored(draft.command, result)

    def _age_ms(self, draft: _Draft) -> float:
        """How long it has waited. The wall clock counts only for what a dead process left, because it may jump."""
        return draft.waited_ms + (self._clock.monotonic() - draft.since) * 1_000

    async def _see_to_abandoned(self) -> None:
        for command in list(self._abandoned.values()):
            try:
                added = await self._store.write(command)
                await self._stored(command, added)
            except Unavailable:
                return
            except Refused:
                pass  # nobody is there to be told
            del self._abandoned[command.id]

    def _keeps(self, draft: _Draft) -> bool:
        one = draft.command
        return one.id in self._rooms.get(one.room, ()) or one.id in self._aside

    def _add(self, draft: _Draft) -> None:
        command = draft.command
        self._rooms.setdefault(command.room, {})[command.id] = draft
        self._cids[command.author, command.cid or ""] = draft
        self._bytes += draft.size
        self._waiting.set()

    def _show(self, draft: _Draft) -> None:
        """Shows it to all who read the room here, now or later, until it is settled."""
        one = draft.command
        assert one.cid is not None, "only what can be sent again is accepted"
        shown = (one.room, one.id, one.author, draft.name, one.text, draft.accepted_ms, one.cid)
        self._hub.draft(Drafted(*shown))

    def _settle(self, draft: _Draft, result: Added | Refused) -> None:
        command = draft.command
        self._taken_out(command)
        del self._cids[command.author, command.cid or ""]
        self._bytes -= draft.size
        self._journal.ended(command.id)
        room, cid = command.room, command.cid or ""
        if isinstance(result, Refused):
            self.tally.rejected += 1
            log.warning("draft.rejected", message=command.id, room=room)
            settled = Settled(room, cid, command.id, None, result.code, result.detail)
        else:
            self.tally.drained += 1
            stored = result.message
            self.remember(command, stored)
            self._hub.reached(room, stored.seq)  # its commit may have had an unclear end
            settled = Settled(room, cid, stored.id, stored.seq, None, None)
        self._hub.undraft(room, command.id)
        self._hub.to_actor(command.author, settled, but=None)

    def _taken_out(self, command: AddMessage) -> None:
        drafts = self._rooms[command.room]
        del drafts[command.id]
        if not drafts:
            del self._rooms[command.room]


def _reused() -> Refused:
    return Refused(Code.CID_REUSED, "This cid belongs to another message of yours.")
