"""Notes when what lets somebody in was last used: keys and sessions. Written behind, at most once a minute.

Each process notes its own; the database keeps the newest. What was not written yet when a process is killed is lost,
and costs a key or session a minute of its age.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

import structlog

from palaver.core.part import Part
from palaver.errors import Unavailable
from palaver.store.store import Store
from palaver.store.write.command import Command

USED_SECONDS = 60.0
USES_MAX = 20_000
"""So many are noted between two writes; the uses of others count from the next one on."""

K = TypeVar("K")
V = TypeVar("V")

log = structlog.stdlib.get_logger()


class LastUsed(Part, Generic[K, V]):
    """The newest use of each, and the command that writes them."""

    def __init__(self, store: Store, noting: Callable[[Mapping[K, V]], Command[None]]) -> None:
        self._store = store
        self._noting = noting
        self._used: dict[K, V] = {}
        self._were_used = asyncio.Event()

    def note(self, what: K, use: V) -> None:
        """Notes a use."""
        if what in self._used or len(self._used) < USES_MAX:
            self._used[what] = use
            self._were_used.set()

    async def run(self) -> None:
        """Writes what was noted, as long as it runs."""
        while True:
            await self._were_used.wait()
            self._were_used.clear()
            used, self._used = self._used, {}
            try:
                await self._store.write(self._noting(used))
            except Unavailable as failure:
                log.warning("use.not_noted", code=failure.code)
                self._used = {**used, **self._used}
                self._were_used.set()
            await asyncio.sleep(USED_SECONDS)
