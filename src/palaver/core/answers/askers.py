"""Stops the answers of who may ask no more: who left a room, was taken out, only reads there now, or is disabled.

An event that may take a right puts the answers of its room in doubt: what a client asked for is told no further until
the store was asked who may still ask. Where other processes take rights, the store is asked once a second in any case,
so that a notice that is lost costs no more than that. What came of a stopped answer is kept as `stopped`. An answer in
a room is stopped because who asked has lost the room; that their session has ended stops it not: the room reads it.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from palaver.core.answers.tape import LiveAnswer
from palaver.core.part import Part
from palaver.errors import Unavailable
from palaver.model import ActorId, RoomId
from palaver.store.read import turns
from palaver.store.store import Store
from palaver.store.write.audit import AUDIT

POLL_SECONDS = 1.0


class Askers(Part):
    """Sees to it that who has asked may still ask. `runs`: the answers of turns of this process."""

    def __init__(self, store: Store, runs: Callable[[], Sequence[LiveAnswer]]) -> None:
        self._store, self._runs = store, runs
        self._doubt = asyncio.Event()

    async def recover(self, *, aside: bool = False) -> None:  # noqa: ARG002  as `Part.recover`
        """Has it looked up for what was taken over, too."""
        self._doubt.set()

    def taken(self, room: RoomId, who: ActorId | None) -> None:
        """An actor (None: anybody) may have lost a right in a room, in whichever process."""
        for live in self._runs():
            asker = None if live.exchange is None else live.exchange.actor
            if live.turn and room in {live.turn.room, AUDIT} and who in {None, asker}:
                live.doubts += 1
        self._doubt.set()

    async def run(self) -> None:
        """Asks the store whenever a right may have been taken, for ever."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS if self._store.shared else None):
                    await self._doubt.wait()
            self._doubt.clear()
            try:
                await self._see()
            except Unavailable:
                self._doubt.set()
                await asyncio.sleep(POLL_SECONDS)

    async def _see(self) -> None:
        asked = {live.turn.id: (live, live.doubts) for live in self._runs() if live.turn}
        if not asked:
            return
        unwanted = await self._store.read(turns.unwanted, list(asked))
        for turn, (live, doubts) in asked.items():
            if turn in unwanted or live.doubts == doubts:
                live.settle(wanted=turn not in unwanted)
