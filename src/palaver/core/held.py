"""Exchanges that the database cannot take now: kept in a journal of their own, and stored when it is back.

Theory of operation. A request that cannot be stored is written to this journal and synced before its answer is passed
on; the answer's pieces follow under the same key, and its end, synced before the client sees it. Of an exchange that
was opened in time only the end comes here. `drain` stores them in the order in which they came, so that a history that
a client sends again meanwhile finds its room then. What a dead process left is stored as its records say: whole where
they hold the end, else `interrupted`.

Nobody can be asked who may see a room while the database is away: what an exchange may not is refused when it is
stored, and then only a log line tells of it.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import structlog

from palaver.clock import Clock
from palaver.core.drafts import AGAIN_SECONDS, Keeper, Tally
from palaver.core.ending import interrupted
from palaver.core.gather import pieces_in
from palaver.errors import Refused, Unavailable
from palaver.model import ExchangeId
from palaver.settings import Settings
from palaver.store.commands import FinishExchange, OpenExchange
from palaver.store.drafts import decoded_exchange, encoded_exchange
from palaver.store.engine.lanes import Lane
from palaver.store.journal import DRAFT, Journal, forget, merged, orphans
from palaver.store.store import Store

log = structlog.stdlib.get_logger()


@dataclass(slots=True)
class _Held:
    """One exchange: its beginning, unless that is stored, and its end, once there is one."""

    opening: OpenExchange | None
    finish: FinishExchange | None = None
    bytes: int = 0


class Held:
    """The exchanges of this process that wait for the database."""

    def __init__(
        self, store: Store, directory: Path, lane: Lane[None], settings: Settings, clock: Clock
    ) -> None:
        self._store = store
        self.journal = Journal(directory, store.owner)
        full = "The request cannot be kept right now. Send it again later."
        self._keeper = Keeper(self.journal, lane, settings, full)
        self._clock = clock
        self._held: dict[ExchangeId, _Held] = {}
        self._waiting = asyncio.Event()
        self._draining = asyncio.Lock()
        self.tally = Tally()

    @property
    def depth(self) -> int:
        """How many wait to be stored."""
        return len(self._held)

    def holds(self, exchange: ExchangeId) -> bool:
        """Whether an exchange waits here."""
        return exchange in self._held

    async def accept(self, opening: OpenExchange) -> None:
        """Keeps a request. Raises `Unavailable` when it can be kept here neither."""
        await self._keep(_Held(opening), opening)
        self.tally.accepted += 1

    async def finish(self, finish: FinishExchange) -> None:
        """Keeps the end of an exchange. `Unavailable`: it waits in memory only, and is stored all the same."""
        held = self._held.get(finish.id) or _Held(None)
        held.finish = finish
        self._held[finish.id] = held
        self._waiting.set()
        await self._keep(held, finish)

    async def recover(self) -> None:
        """Takes over what dead processes left, and stores it if the database is there."""
        left = list(orphans(self.journal.directory))
        taken = True
        for records in merged(left).values():
            kept = [decoded_exchange(data) for kind, data in records if kind == DRAFT]
            openings = [one for one in kept if isinstance(one, OpenExchange)]
            finishes = [one for one in kept if isinstance(one, FinishExchange)]
            held = _Held(openings[0] if openings else None, finishes[-1] if finishes else None)
            if held.opening is not None and held.finish is None:
                pieces = pieces_in(record for record in records if record[0] != DRAFT)
                held.finish = interrupted(held.opening, 1, pieces)
            if held.finish is not None:
                self._held[held.finish.id] = held
                try:
                    for one in filter(None, (held.opening, held.finish)):
                        await self._keep(held, one)
                except Unavailable:
                    taken = False
        if self._held:
            self._waiting.set()  # not before: what is stored meanwhile would be kept again
        await self._drain_once()
        if taken or not self._held:
            forget(left)
            return
        for orphan in left:  # whoever comes next finds them there; the store knows each by its id
            orphan.release()

    async def drain(self) -> None:
        """Stores what waits, for ever."""
        while True:
            await self._waiting.wait()
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
                if held.finish is not None and not await self._stored(
                    id_, held.opening, held.finish
                ):
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
            self.tally.rejected += 1
            log.warning("exchange.rejected", exchange=id_, code=refused.code)
        else:
            self.tally.drained += 1
        del self._held[id_]
        self.journal.ended(id_)
        return True

    async def _keep(self, held: _Held, one: OpenExchange | FinishExchange) -> None:
        data = encoded_exchange(one)
        waiting_bytes = sum(each.bytes for each in self._held.values())
        self._keeper.keep(one.id, data, waiting=self.depth, waiting_bytes=waiting_bytes)
        held.bytes += len(data)
        self._held[one.id] = held
        await self._keeper.sync()
