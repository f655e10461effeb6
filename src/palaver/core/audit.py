"""Follows the audit room, so that what ended in another process ends here; and reads it for who may.

The log is asked once a second whatever notices say: they only make it sooner. A log that has become shorter is another
history; it is followed from its beginning.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from palaver.core.part import Part
from palaver.errors import Unavailable
from palaver.model import Actor, ActorId, Event, RoomId
from palaver.policy import ServerAct, check_server
from palaver.store.read import events, rooms
from palaver.store.store import Store
from palaver.store.write.audit import AUDIT
from palaver.store.write.writer import Committed

POLL_SECONDS = 1.0
EVENTS_AT_ONCE = 200


class Follower(Part):
    """Reads what the audit room has behind `seq`, and tells it."""

    def __init__(self, store: Store, told: Sequence[Committed], seq: int) -> None:
        self._store, self._told, self._seq = store, told, seq
        self._wake = asyncio.Event()

    def taken(self, room: RoomId, who: ActorId | None) -> None:  # noqa: ARG002  as `Access.listeners`
        """Another process has told of an account whose status has changed."""
        if room == AUDIT:
            self._wake.set()

    async def run(self) -> None:
        """Asks once a second, for ever."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._wake.wait()
            self._wake.clear()
            with suppress(Unavailable):
                await self._follow()

    async def _follow(self) -> None:
        seq = (await self._store.read(rooms.seqs, (AUDIT,))).get(AUDIT, 0)
        if seq < self._seq:
            self._seq = 0
        while self._seq < seq and (found := await read(self._store, self._seq)):
            for tell in self._told:
                tell(found)
            self._seq = found[-1].seq


async def read(store: Store, after: int, count: int = EVENTS_AT_ONCE) -> tuple[Event, ...]:
    """What was audited after a seq, at most so much."""
    return await store.read(events.since, AUDIT, after, count)


async def latest(
    store: Store, me: Actor, *, before: int | None, limit: int
) -> tuple[tuple[Event, ...], int | None]:
    """What was audited last, or before a seq, the newest first, and the seq to go on before. Refused: `forbidden`."""
    check_server(ServerAct.AUDIT, me.server_role)
    end = (await store.read(rooms.seqs, (AUDIT,))).get(AUDIT, 0) + 1
    end = end if before is None else max(1, min(before, end))
    after = max(0, end - 1 - limit)
    found = await read(store, after, end - 1 - after)
    return found[::-1], after + 1 if after else None
