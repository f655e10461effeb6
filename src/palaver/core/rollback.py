"""Finds out whether the database still holds what it once held, and what may be stored in it while it does not.

A history that is behind is served under a new epoch. What was accepted under another one waits, and so does what names
a turn, room or actor that is not there: all of that belongs to the history that was, and is stored when it is back.
"""

import asyncio
from collections.abc import Callable

import structlog

from palaver.core.part import Part
from palaver.errors import Unavailable
from palaver.model import ActorId, RoomId, TurnId
from palaver.store.admin.high_water import Behind, Mark, compared
from palaver.store.engine.executors import Lane
from palaver.store.read import actors, rooms, turns
from palaver.store.store import Store

MARK_SECONDS = 1.0

log = structlog.stdlib.get_logger()


class History(Part):
    """The history of the store, as its mark knows it. A database in memory has no mark.

    `served` is the epoch that those who are here were told; `renewed` lets all of them begin anew.
    """

    def __init__(
        self, store: Store, mark: Mark | None, lane: Lane[None], renewed: Callable[[], None]
    ) -> None:
        self._store = store
        self._mark = mark
        self._lane = lane
        self._renewed = renewed
        self.served = store.epoch
        self.back = False
        """What was lost is there again, since this start."""

    @property
    def behind(self) -> Behind | None:
        """What the database has lost of what it once held."""
        return None if self._mark is None else self._mark.behind

    @property
    def epoch(self) -> str:
        """The epoch under which things are accepted now."""
        return self._store.epoch

    def takes(self, epoch: str | None) -> bool:
        """Whether what was accepted under this epoch may be stored now."""
        return self.behind is None or epoch == self._store.epoch

    async def knows(self, actor: ActorId, room: RoomId | None) -> bool:
        """Whether the database has this actor and this room at all. Raises `Unavailable`."""
        if room is not None and not await self._store.read(rooms.seqs, (room,)):
            return False
        return await self._store.read(actors.get, actor) is not None

    async def unknown(self, digits: set[str]) -> set[str]:
        """The turns, by the digits of their ids, that may end only in another history than this one."""
        if self.behind is not None or not digits:
            return digits
        asked = [TurnId(f"t_{one}") for one in sorted(digits)]
        return digits - {one[2:] for one in await self._store.read(turns.known, asked)}

    async def check(self) -> None:
        """Finds out whether something is lost, before what was accepted is stored. Raises `Unavailable`."""
        if self._mark is not None and self._mark.behind is None:
            known, _ = self._mark.question(thorough=False)
            if (await self._store.read(compared, known, ())).behind is not None:
                await self.compare()

    async def compare(self, *, thorough: bool = False) -> None:
        """Compares the database with its mark, and moves the mark. One that is behind gets a new epoch.

        `thorough`, at a start: all places of the mark, and whether what was missing is back. Raises `Unavailable`.
        """
        mark, store = self._mark, self._store
        if mark is None:
            return
        if thorough and mark.lost and (await store.read(compared, mark.lost, ())).behind is None:
            mark.healed()
            self.back = True
            log.warning("history.back")
        found = await store.read(compared, *mark.question(thorough=thorough))
        if found.behind is not None:
            lost = found.behind
            log.error("history.behind", room=lost.room, seq=lost.seq, found=lost.found)
            await store.renew_epoch()
        elif found.epoch != store.epoch:
            log.warning("history.replaced", epoch=found.epoch)
            store.take_epoch(found.epoch)
        job = mark.answered(found)
        if job is not None:
            try:
                await self._lane.run(job)
            except OSError as failure:
                log.warning("mark.not_written", errno=failure.errno)

    async def remember(self, *, thorough: bool = False) -> None:
        """As `compare`; a database that is away is asked another time."""
        try:
            await self.compare(thorough=thorough)
        except Unavailable as failure:
            log.warning("history.not_compared", code=failure.code)

    async def start(self) -> None:
        """Compares the history with its mark, before anybody is served."""
        await self.remember(thorough=True)
        self.served = self._store.epoch

    async def run(self) -> None:
        """Keeps the mark, and notices when the history becomes another one while we serve."""
        while True:
            await asyncio.sleep(MARK_SECONDS)
            await self.remember()
            if self.served != self._store.epoch:
                self.served = self._store.epoch
                self._renewed()
