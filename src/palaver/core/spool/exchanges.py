"""Exchanges that the database cannot take now: kept in a journal of their own, and stored when it is back.

Theory of operation. A request that cannot be stored is written to this journal and synced before its answer is passed
on; the answer's pieces follow under the same key, and its end, synced before the client sees it. Of an exchange that
was opened in time only the end comes here. `drain` stores them in the order in which they came, so that a history that
a client sends again meanwhile finds its room then. What a dead process left is stored as its records say: whole where
they hold the end, else `interrupted`. What belongs to a history that the database has lost waits for it to come back.

Nobody can be asked who may see a room while the database is away: what an exchange may not is refused when it is
stored, and then only a log line tells of it.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from palaver.clock import Clock
from palaver.core.answers.outcome import interrupted
from palaver.core.answers.pieces import pieces_in
from palaver.core.rollback import History
from palaver.core.spool.messages import AGAIN_SECONDS, Keeper, Tally
from palaver.errors import Code, Refused, Unavailable
from palaver.model import ExchangeId
from palaver.settings import Settings
from palaver.store.engine.executors import Lane
from palaver.store.journal import DRAFT, Journal, forget, merged, orphans
from palaver.store.store import Store
from palaver.store.write.codec import decoded_exchange, encoded_exchange
from palaver.store.write.exchanges import FinishExchange, OpenExchange

log = structlog.stdlib.get_logger()


@dataclass(slots=True)
class _Held:
    """One exchange: its beginning, unless that is stored, and its end, once there is one."""

    opening: OpenExchange | None
    epoch: str | None
    finish: FinishExchange | None = None
    bytes: int = 0


class Held:
    """The exchanges of this process that wait for the database. `away` is called when one does."""

    def __init__(  # noqa: PLR0917  the parts
        self,
        store: Store,
        history: History,
        directory: Path,
        lane: Lane[None],
        settings: Settings,
        clock: Clock,
        away: Callable[[], None],
    ) -> None:
        self._store = store
        self._away = away
        self._history = history
        self.journal = Journal(directory, store.owner)
        full = "The request cannot be kept right now. Send it again later."
        self._keeper = Keeper(self.journal, lane, settings, full)
        self._clock = clock
        self._held: dict[ExchangeId, _Held] = {}
        self._aside: set[ExchangeId] = set()
        self._waiting = asyncio.Event()
        self._draining = asyncio.Lock()
        self.tally = Tally()

    @property
    def depth(self) -> int:
        """How many wait for the database."""
        return len(self._held)

    @property
    def waiting(self) -> int:
        """How many wait for the database, or for the history that knows them."""
        return len(self._held) + len(self._aside)

    def holds(self, exchange: ExchangeId) -> bool:
        """Whether an exchange waits here."""
        return exchange in self._held

    async def accept(self, opening: OpenExchange) -> None:
        """Keeps a request. Raises `Unavailable` when it can be kept here neither."""
        self._away()
        await self._keep(_Held(opening, self._history.epoch), opening)
        self.tally.accepted += 1

    async def finish(self, finish: FinishExchange) -> None:
        """Keeps the end of an exchange. `Unavailable`: it waits in memory only, and is stored all the same."""
        held = self._held.get(finish.id) or _Held(None, self._history.epoch)
        held.finish = finish
        self._held[finish.id] = held
        self._away()
        self._waiting.set()
        await self._keep(held, finish)

    async def recover(self, *, aside: bool = False) -> None:
        """Takes over what dead processes left, and stores it if the database is there; `aside`: also what waited."""
        left = list(orphans(self.journal.directory, aside=aside))
        found = merged(left)
        taken = True
        for key, records in found.items():
            held = _left(records)
            if held is None or held.finish is None:
                continue
            if not self._history.takes(held.epoch):
                self._aside.add(ExchangeId(f"x_{key}"))
                continue
            self._held[held.finish.id] = held
            try:
                for one in filter(None, (held.opening, held.finish)):
                    await self._keep(held, one)
            except Unavailable:
                taken = False
        if self._held:
            self._waiting.set()  # not before: what is stored meanwhile would be kept again
        await self._drain_once()
        waiting = {id_[2:] for id_ in self._aside} & found.keys()
        for key in waiting:
            self.journal.ended(key)  # it is in the file that is set aside
        if taken or not self._held:
            forget(left, waiting)
            return
        for orphan in left:  # whoever comes next finds them there; the store knows each by its id
            orphan.release()

    async def drain(self) -> None:
        """Stores what waits, for ever."""
        while True:
            await self._waiting.wait()
            with suppress(Unavailable):
                await self._history.check()
                await self._drain_once()
            if any(held.finish is not None for held in self._held.values()):
                await asyncio.sleep(AGAIN_SECONDS * (0.5 + self._clock.chance()))
            else:
                self._waiting.clear()

    def close(self) -> None:
        """Ends; what still waits stays in the journal for the next start."""
        self.journal.close()

    async def _drain_once(self) -> None:
        """Stores what has ended, the oldest first, until the database is away again."""
        async with self._draining:
            for id_, held in list(self._held.items()):
                if held.finish is None:
                    continue
                if not self._history.takes(held.epoch):
                    self._set_aside(id_)
                elif not await self._stored(id_, held.opening, held.finish):
                    return

    async def _stored(
        self, id_: ExchangeId, opening: OpenExchange | None, finish: FinishExchange
    ) -> bool:
        try:
            if opening is not None:
                await self._store.write(opening)
            await self._store.write(finish)
        except Unavailable:
            return False
        except Refused as refused:
            try:
                if await self._lost(refused, opening):
                    self._set_aside(id_)
                    return True
            except Unavailable:
                return False
            self.tally.rejected += 1
            log.warning("exchange.rejected", exchange=id_, code=refused.code)
        else:
            self.tally.drained += 1
        del self._held[id_]
        self.journal.ended(id_)
        return True

    async def _lost(self, refused: Refused, opening: OpenExchange | None) -> bool:
        """Whether it was refused because the history has lost what it names."""
        if refused.code is Code.EXCHANGE_NOT_FOUND:
            return True
        return opening is not None and not await self._history.knows(opening.actor, opening.room)

    def _set_aside(self, id_: ExchangeId) -> None:
        """Leaves an exchange in the journal, for the history that it belongs to."""
        log.warning("exchange.waits", exchange=id_)
        del self._held[id_]
        self._aside.add(id_)

    async def _keep(self, held: _Held, one: OpenExchange | FinishExchange) -> None:
        data = encoded_exchange(one, held.epoch)
        waiting_bytes = sum(each.bytes for each in self._held.values())
        self._keeper.keep(one.id, data, waiting=self.depth, waiting_bytes=waiting_bytes)
        held.bytes += len(data)
        self._held[one.id] = held
        await self._keeper.sync()


def _left(records: Sequence[tuple[bytes, bytes]]) -> _Held | None:
    """What a dead process's records say of an exchange; one without an end is interrupted."""
    kept = [decoded_exchange(data) for kind, data in records if kind == DRAFT]
    if not kept:
        return None
    openings = [one for one, _ in kept if isinstance(one, OpenExchange)]
    finishes = [one for one, _ in kept if isinstance(one, FinishExchange)]
    opening = openings[0] if openings else None
    epoch = kept[0][1]
    held = _Held(opening, epoch, finishes[-1] if finishes else None)
    if opening is not None and not finishes:
        held.finish = interrupted(opening, 1, pieces_in(one for one in records if one[0] != DRAFT))
    return held
