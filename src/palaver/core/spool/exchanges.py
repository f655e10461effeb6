"""Exchanges that the database cannot take now: kept in a journal of their own, and stored when it is back.

Theory of operation. A request that cannot be stored is kept (see `spool`) before its answer is passed on; the answer's
pieces follow in the same journal under the same key, and its end, kept before the client sees it. Of an exchange that
was opened in time only the end comes here. They are stored in the order in which they came, so that a history that a
client sends again meanwhile finds its room then. What a dead process left is stored as its records say: whole where
they hold the end, else `interrupted`.

Nobody can be asked who may see a room while the database is away: what an exchange may not is refused when it is
stored, and then only a log line tells of it.
"""

from collections.abc import Sequence

from palaver.core.answers.outcome import interrupted
from palaver.core.answers.pieces import pieces_in
from palaver.core.spool.spool import Spool, Waiting
from palaver.errors import Refused
from palaver.model import ExchangeId
from palaver.store.journal import DRAFT
from palaver.store.write.exchanges import OpenExchange
from palaver.store.write.turns import FinishTurn


class ExchangeSpool(Spool[None]):
    """The exchanges of this process that wait for the database."""

    folder = "exchanges"
    full = "The request cannot be kept right now. Send it again later."

    def holds(self, exchange: ExchangeId) -> bool:
        """Whether an exchange waits here for the database."""
        return exchange in self._known and exchange not in self._aside

    async def accept(self, opening: OpenExchange) -> None:
        """Keeps a request. Raises `Unavailable` when it can be kept here neither."""
        self._keep(self._accepted(opening))
        await self._sync()
        self.tally["accepted"] += 1

    async def finish(self, finish: FinishTurn) -> None:
        """Keeps the end of an exchange. `Unavailable`: it waits in memory only, and is stored all the same."""
        held = self._known.get(finish.id)
        if held is None:
            held = self._accepted(finish)
        else:
            held.commands.append(finish)
        self._add(held, 0)
        self._keep(held)
        await self._sync()

    async def recover(self, *, aside: bool = False) -> None:
        """Takes over what dead processes left, and stores it before their turns are claimed, if it can."""
        await super().recover(aside=aside)
        await self._drain()

    def _complete(self, one: Waiting, records: Sequence[tuple[bytes, bytes]]) -> None:
        opening = one.commands[-1]
        if isinstance(opening, OpenExchange):
            said = pieces_in(one for one in records if one[0] != DRAFT)
            one.commands.append(interrupted(opening, 1, said, self._store.redaction))

    async def _write(self, batch: Sequence[Waiting]) -> Sequence[Refused | None]:
        try:
            for command in batch[0].commands:
                await self._store.write(command)
        except Refused as refused:
            return [refused]
        return [None]
