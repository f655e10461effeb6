"""Follows the audit room, so that what ended in another process ends here; and reads it for the operator.

The log is asked once a second whatever notices say: they only make it sooner. A log that has become shorter is another
history; it is followed from its beginning.
"""

import asyncio
from contextlib import suppress

from palaver.core.live.standing import Standings
from palaver.core.part import Part
from palaver.errors import Unavailable
from palaver.model import Event
from palaver.store.read import events, rooms
from palaver.store.store import Store
from palaver.store.write.audit import AUDIT

POLL_SECONDS = 1.0
EVENTS_AT_ONCE = 200


class Follower(Part):
    """Reads what the audit room has behind `seq`."""

    def __init__(self, store: Store, standings: Standings, seq: int) -> None:
        self._store, self._standings, self._seq = store, standings, seq

    async def run(self) -> None:
        """Asks once a second, for ever."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            with suppress(Unavailable):
                await self._follow()

    async def _follow(self) -> None:
        seq = (await self._store.read(rooms.seqs, (AUDIT,))).get(AUDIT, 0)
        if seq < self._seq:
            self._seq = 0
        while self._seq < seq and (found := await read(self._store, self._seq)):
            self._standings.committed(found)
            self._seq = found[-1].seq


async def read(store: Store, after: int, count: int = EVENTS_AT_ONCE) -> tuple[Event, ...]:
    """What was audited after a seq, at most so much."""
    return await store.read(events.since, AUDIT, after, count)
