"""What is done again and again while a Palaver runs: the pulse, and the journal's sync."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from palaver.core.answers.engine import Engine
from palaver.core.answers.recovery import Recovery
from palaver.core.live.hub import Hub
from palaver.core.part import Part
from palaver.core.rooms import LOBBY
from palaver.core.spool.spool import Spool
from palaver.errors import Unavailable
from palaver.store.engine.executors import Lane
from palaver.store.journal import Journal
from palaver.store.read import rooms
from palaver.store.store import Store

PULSE_SECONDS = 5.0
SYNC_SECONDS = 1.0

log = structlog.stdlib.get_logger()


@dataclass(frozen=True, slots=True)
class Pulse(Part):
    """Keeps this process's turns its own, takes over those of dead ones, and notices a database that is away.

    A database that only reads is away for those who write.
    """

    store: Store
    hub: Hub
    turns: Engine
    recovery: Recovery
    spools: Sequence[Spool[Any]]
    take_over: Callable[[], Awaitable[None]]

    async def run(self) -> None:
        """Beats every few seconds."""
        while True:
            await asyncio.sleep(PULSE_SECONDS)
            try:
                await self.store.read(rooms.seqs, (LOBBY,))
                if self.store.shared:
                    if self.turns.running:
                        await self.turns.renew()
                    await self.take_over()
                await self.recovery.see_to_unbegun()
                up = not any(spool.depth for spool in self.spools)
            except Unavailable as failure:
                log.warning("database.away", code=failure.code)
                up = False
            self.hub.database_is(up=up)


@dataclass(frozen=True, slots=True)
class JournalSync(Part):
    """Puts the journal of answers on the disk once a second, so that a power cut loses no more than that."""

    journal: Journal
    lane: Lane[None]

    async def run(self) -> None:
        """Syncs, for ever."""
        while True:
            await asyncio.sleep(SYNC_SECONDS)
            job = self.journal.sync_job()
            if job is not None:
                try:
                    await self.lane.run(job)
                except OSError as failure:
                    log.warning("journal.not_synced", errno=failure.errno)

    def close(self) -> None:
        """Ends the journal; what is still open in it stays for recovery."""
        self.journal.close()
